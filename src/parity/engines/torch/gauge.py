"""What one token costs in a model, found by watching one small pass: operations, bytes computed with, bytes kept.

Holds for every family, since nothing of it is read from a configuration: matrix products are counted as they are done
(experts those that a token is sent to), tensors as they are made and freed. Knows no time.
"""

import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from parity.engines.torch.path import walking

_WATCHED_TOKENS = 64


@dataclass(frozen=True, slots=True)
class Gauge:
    """Costs of one model.

    `body_flops` of one token in all layers without attention; `pair_flops` of one token that looks at one other, by
    sliding window (0: none), layers added up; `logit_flops` of one logit. `kv_bytes`: keys and
    values of a token; `pass_bytes`: what it takes at most while its pass is computed; `logit_bytes`: what a row of
    logits takes while it is normalised.
    """

    body_flops: float
    pair_flops: Mapping[int, int]
    logit_flops: int
    kv_bytes: int
    pass_bytes: int
    logit_bytes: int
    layers: int

    def flops(self, depth_T: NDArray[np.int64]) -> float:
        """Operations of the layers for tokens at these depths, each of which sees those before it and itself."""
        seen_T = depth_T + 1
        pairs = sum(
            flops * int((np.minimum(seen_T, window) if window else seen_T).sum())
            for window, flops in self.pair_flops.items()
        )
        return self.body_flops * len(seen_T) + pairs


@torch.no_grad()
def gauge(model: Any) -> Gauge:
    """Watch one pass of a few tokens. For models whose attention goes through `path.py`."""
    ids_1T = torch.arange(_WATCHED_TOKENS, device=model.device)[None] % model.config.get_text_config().vocab_size
    probe, live, products = _Probe(), LiveBytes(), FlopCounterMode(display=False)
    with walking(model, probe), products, live:
        model.base_model(input_ids=ids_1T, position_ids=torch.arange(_WATCHED_TOKENS)[None].to(ids_1T), use_cache=False)
    matrix = model.get_output_embeddings().weight
    return Gauge(
        products.get_total_flops() / _WATCHED_TOKENS,
        probe.pair_flops,
        2 * matrix.shape[1],
        probe.kv_bytes,
        -(-live.peak_bytes // _WATCHED_TOKENS),
        matrix.shape[0] * (matrix.element_size() + 2 * 4),
        probe.layers,
    )


class _Probe:
    """Stands where keys and values are kept, and notes their sizes."""

    def __init__(self) -> None:
        self.pair_flops: dict[int, int] = {}
        self.kv_bytes = self.layers = 0

    def attend(
        self, layer: int, query: Tensor, key: Tensor, value: Tensor, scaling: float | None, window: int | None
    ) -> Tensor:
        del layer, scaling
        _, heads, length, size = query.shape
        self.layers += 1
        flops = 2 * heads * (size + value.shape[3])
        self.pair_flops[window or 0] = self.pair_flops.get(window or 0, 0) + flops
        self.kv_bytes += sum(part.shape[1] * part.shape[3] * part.element_size() for part in (key, value))
        return query.new_zeros(1, length, heads, value.shape[3])


class LiveBytes(TorchDispatchMode):
    """Counts bytes of the tensors that are made inside this block, while they live. `peak_bytes`: the most at once."""

    def __init__(self) -> None:
        super().__init__()
        self.live_bytes = self.peak_bytes = 0
        self._known: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = {id(part.untyped_storage()) for part in _tensors((args, kwargs or {}))}
        found = func(*args, **(kwargs or {}))
        for part in _tensors(found):
            storage = part.untyped_storage()
            if id(storage) in given or id(storage) in self._known:
                continue
            self._known.add(id(storage))
            size = storage.nbytes()
            weakref.finalize(storage, self._freed, id(storage), size)
            self.live_bytes += size
            self.peak_bytes = max(self.peak_bytes, self.live_bytes)
        return found

    def _freed(self, storage: int, size: int) -> None:
        self._known.discard(storage)
        self.live_bytes -= size


def _tensors(value: Any) -> list[Tensor]:
    return [leaf for leaf in torch.utils._pytree.tree_leaves(value) if isinstance(leaf, Tensor)]
