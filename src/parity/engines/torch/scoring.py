"""Log-likelihoods along a walk: every distinct token is computed once, logits only where something is predicted.

The output matrix is multiplied at the positions that predict, and normalised in fp32.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from math import fsum
from typing import Any

import torch
from torch import Tensor

from parity.core.outputs import Failure, FailureKind, Loglikelihoods, Output, Usage
from parity.engines.torch.body import Body, Work
from parity.engines.torch.encoding import Encoded
from parity.engines.torch.path import Path
from parity.engines.torch.room import HEAD_ROWS, HEAD_TILE
from parity.engines.torch.walk import Piece, Want, passes, walk


class Scorer:
    """Scores encoded requests with one model's layers and output matrix."""

    def __init__(self, model: Any, body: Body, turn: AbstractContextManager[object]) -> None:
        self._head, self._body, self._turn = model.get_output_embeddings(), body, turn

    @property
    def work(self) -> Work:
        return self._body.work

    def score(self, encoded: Sequence[Encoded], cancelled: Callable[[int], bool]) -> Iterator[tuple[int, Output]]:
        """Yields (index of the request, result) as soon as its last continuation is scored."""
        room, work = self._body.room, self._body.work
        rows = walk([entry.context for entry in encoded], [entry.continuations for entry in encoded], room.tile)
        work.distinct += sum(row.new_tokens for row in rows)
        work.requested += sum(len(entry.context) + len(rest) - 1 for entry in encoded for rest in entry.continuations)
        ledger = _Ledger(encoded)
        depth = max((len(row.ids) for row in rows), default=0)
        cut = room.cut(depth)
        path = Path(cut.room(depth))
        for pieces in passes(rows, cut):
            yield from ledger.drop(cancelled)
            if ledger.all_settled:
                return
            with self._turn:
                begun = time.perf_counter()
                for (request, option, _), value in self._pass(path, pieces):
                    ledger.add(request, option, value)
                seconds = time.perf_counter() - begun
            work.seconds += seconds
            yield from ledger.settled(seconds)

    @torch.inference_mode()
    def _pass(self, path: Path, pieces: Sequence[Piece]) -> Iterator[tuple[Want, float]]:
        """One forward pass; log p for every want of its positions."""
        hidden_TH = self._body.read(path, pieces)
        columns, wants = _wanted(path, pieces)
        found: list[tuple[Want, float]] = []
        for multiplied, picked in _blocks(columns, self._body.room.tile is not None):
            rows_RH = hidden_TH[torch.tensor(multiplied, device=hidden_TH.device)]
            self._body.multiplied(len(multiplied))
            logprobs_RV = self._logprobs(rows_RH)
            found += _picked(logprobs_RV, [(row, want) for row, at in picked for want in wants[at]])
        return iter(found)

    def _logprobs(self, rows_RH: Tensor) -> Tensor:
        logits_RV = self._head(rows_RH)
        return torch.log_softmax(logits_RV, dim=-1, dtype=torch.promote_types(logits_RV.dtype, torch.float32))


class _Ledger:
    """What is known of each request so far, and which are settled."""

    def __init__(self, encoded: Sequence[Encoded]) -> None:
        self._encoded = encoded
        self._values: list[list[list[float]]] = [[[] for _ in entry.continuations] for entry in encoded]
        self._open = [sum(map(len, entry.continuations)) for entry in encoded]
        self._left = set(range(len(encoded)))
        self._ready: list[int] = []

    @property
    def all_settled(self) -> bool:
        return not self._left

    def add(self, request: int, option: int, value: float) -> None:
        self._values[request][option].append(value)
        self._open[request] -= 1
        if not self._open[request]:
            self._ready.append(request)

    def drop(self, cancelled: Callable[[int], bool]) -> Iterator[tuple[int, Output]]:
        for request in sorted(index for index in self._left if cancelled(index)):
            self._left.discard(request)
            yield request, Failure(FailureKind.CANCELLED, "cancelled before it was answered")

    def settled(self, seconds: float) -> Iterator[tuple[int, Output]]:
        """Results that became complete; the pass's time is shared between them."""
        ready = [request for request in self._ready if request in self._left]
        self._ready = []
        for request in ready:
            self._left.discard(request)
            entry = self._encoded[request]
            tokens = tuple(map(len, entry.continuations))
            usage = Usage(len(entry.context), sum(tokens), entry.truncated_tokens, entry.dropped_shots)
            # The nearest sum, in whatever order its parts came.
            values = tuple(map(fsum, self._values[request]))
            self._values[request] = []
            yield request, Loglikelihoods(values, tokens, usage, seconds / len(ready))


def _wanted(path: Path, pieces: Sequence[Piece]) -> tuple[list[int], list[list[Want]]]:
    """Columns of the pass that predict something, and what each predicts."""
    columns, wants = [], []
    for piece, (first, _, _, _) in zip(pieces, path.spans, strict=True):
        for depth in sorted(depth for depth in piece.row.wants if piece.begin <= depth < piece.end):
            columns.append(first + depth - piece.begin)
            wants.append(piece.row.wants[depth])
    return columns, wants


def _blocks(columns: Sequence[int], tiled: bool) -> Iterator[tuple[list[int], list[tuple[int, int]]]]:
    """Columns multiplied with the output matrix together, and (row of that product, which of `columns`) to be read.

    In tiles a column is always multiplied with the same neighbours, so that what else is wanted changes nothing.
    """
    if not tiled:
        for start in range(0, len(columns), HEAD_ROWS):
            several = list(columns[start : start + HEAD_ROWS])
            yield several, [(row, start + row) for row in range(len(several))]
        return
    for block in sorted({column // HEAD_TILE for column in columns}):
        first = block * HEAD_TILE
        picked = [(column - first, at) for at, column in enumerate(columns) if column // HEAD_TILE == block]
        yield list(range(first, first + HEAD_TILE)), picked


def _picked(logprobs_RV: Tensor, asked: Sequence[tuple[int, Want]]) -> list[tuple[Want, float]]:
    rows = torch.tensor([row for row, _ in asked], device=logprobs_RV.device)
    tokens = torch.tensor([token for _, (_, _, token) in asked], device=logprobs_RV.device)
    return list(zip((want for _, want in asked), logprobs_RV[rows, tokens].tolist(), strict=True))
