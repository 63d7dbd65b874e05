"""Attention along a walk: every new token sees the path from the root to itself, and nothing else.

One buffer of keys and values a layer holds the path; a piece of a row writes its own at its depth, over what a row
before left there, and attends to all up to its end. Registered with transformers as an attention implementation; the
models' own code is untouched. Knows causal attention with grouped heads and sliding windows; anything else a model
passes (soft caps, sinks, biases) is refused, and that model is scored plainly.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, PreTrainedModel

from parity.engines.torch.walk import Piece
from parity.errors import EngineError

NAME = "parity_path"
# Ids that look back together: fewer would be more calls, more would compare with what lies after them.
QUERIES = 256
_UNKNOWN = ("softcap", "s_aux", "sinks", "position_bias", "alibi")


# (layer, number of the piece in its pass, keys and values (1, heads, ids up to the end of the piece, size))
Passed = Callable[[int, int, Tensor, Tensor], None]


class Memory(Protocol):
    """Keys and values a model attends to; what one forward pass adds is written while it is computed."""

    def attend(
        self, layer: int, query: Tensor, key: Tensor, value: Tensor, scaling: float | None, window: int | None
    ) -> Tensor: ...


class Path:
    """Keys and values of the ids from the root to where the walk stands, for every layer.

    `passed` is told of every piece in every layer as soon as it lies on the path: a later piece may overwrite it.
    """

    def __init__(self, depth: int, passed: Passed | None = None) -> None:
        self._depth = depth
        self.passed = passed
        self._buffers: dict[int, tuple[Tensor, Tensor]] = {}
        self._masks: dict[tuple[int, torch.dtype], Tensor] = {}
        self._filled = 0
        self.spans: list[tuple[int, int, int, int]] = []

    def stand(self, pieces: Sequence[Piece], filled: int = 0) -> None:
        """Say which ids come next: spans of (first and last column + 1 in the pass, depth of the first and last + 1).

        The last span has `filled` columns more than ids; they lie on the path too, where nothing looks at them.
        """
        self.spans, column = [], 0
        for piece in pieces:
            length = piece.end - piece.begin
            self.spans.append((column, column + length, piece.begin, piece.end))
            column += length
        self._filled = filled

    def attend(
        self, layer: int, query: Tensor, key: Tensor, value: Tensor, scaling: float | None, window: int | None
    ) -> Tensor:
        """Attention output (1, T, heads, value size) of queries (1, heads, T, size); keys and values join the path."""
        keys, values = self._buffers_of(layer, key, value)
        grouped = query.shape[1] != key.shape[1]
        found = query.new_empty(1, query.shape[2], query.shape[1], value.shape[3]).transpose(1, 2)
        for number, (begin, last, depth, end) in enumerate(self.spans):
            until = last + (self._filled if number == len(self.spans) - 1 else 0)
            keys[:, :, depth : depth + until - begin] = key[:, :, begin:until]
            values[:, :, depth : depth + until - begin] = value[:, :, begin:until]
            if self.passed:
                self.passed(layer, number, keys[:, :, :end], values[:, :, :end])
            for first in range(begin, until, QUERIES):
                after = min(until, first + QUERIES)
                before = depth + first - begin
                start = max(0, before - window + 1) if window else 0
                found[:, :, first:after] = scaled_dot_product_attention(
                    query[:, :, first:after],
                    keys[:, :, start : before + after - first],
                    values[:, :, start : before + after - first],
                    attn_mask=self._mask(after - first, before - start, window, query),
                    scale=scaling,
                    enable_gqa=grouped,
                )
        return found.transpose(1, 2)

    def held(self, begin: int, end: int) -> Iterator[tuple[int, Tensor, Tensor]]:
        """For every layer its keys and values (heads, end - begin, size) of the path from depth `begin` to `end`."""
        for layer, (keys, values) in self._buffers.items():
            yield layer, keys[0, :, begin:end], values[0, :, begin:end]

    def _buffers_of(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        if layer not in self._buffers:
            shapes = ((1, part.shape[1], self._depth, part.shape[3]) for part in (key, value))
            keys, values = (key.new_empty(shape) for shape in shapes)
            self._buffers[layer] = keys, values
        return self._buffers[layer]

    def _mask(self, length: int, before: int, window: int | None, like: Tensor) -> Tensor | None:
        """What `length` ids with `before` ids behind them may see: causal, and no further back than the window.

        Whether one id sees another depends on their distance alone, so every mask is a view of one large one.
        """
        if length == 1:
            return None
        key = (window or 0, like.dtype)
        large = self._masks.get(key)
        if large is None or large.shape[1] < before + QUERIES:
            columns = QUERIES + max(min(self._depth, 2 * before + 1024), before)
            distance = torch.arange(columns - QUERIES, columns)[:, None] - torch.arange(columns)[None, :]
            seen = distance >= 0
            if window:
                seen &= distance < window
            large = torch.where(seen, 0.0, float("-inf")).to(like.device, like.dtype)
            self._masks[key] = large
        offset = large.shape[1] - large.shape[0] - before
        return large[:length, offset : offset + before + length]


class _Active(threading.local):
    """A model of another thread attends to something else at the same time."""

    memory: Memory | None = None


_active = _Active()


@contextmanager
def walking(model: PreTrainedModel, memory: Memory) -> Iterator[None]:
    """Inside this block the model attends to `memory`. One block at a time: the caller holds the model's turn."""
    usual = model.config._attn_implementation
    model.set_attn_implementation(NAME)
    _active.memory = memory
    try:
        yield
    finally:
        _active.memory = None
        model.set_attn_implementation(usual)


def _attend(
    module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **settings: Any
) -> tuple[Tensor, None]:
    unknown = [name for name in _UNKNOWN if settings.get(name) is not None]
    if unknown or _active.memory is None:
        raise EngineError(f"Attention with {', '.join(unknown) or 'no path'} cannot follow a walk.", "Score plainly.")
    found = _active.memory.attend(
        module.layer_idx, query, key, value, settings.get("scaling"), settings.get("sliding_window")
    )
    return found, None


AttentionInterface.register(NAME, _attend)  # no mask function of this name: transformers then builds no mask
