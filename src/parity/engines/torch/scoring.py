"""Log-likelihoods along a walk: every distinct token is computed once, logits only where something is predicted.

The output matrix is multiplied at the positions that predict, and normalised in fp32; where options of one token are
only compared, it is multiplied by their rows alone.
"""

import time
from collections.abc import Callable, Iterator, Sequence, Set
from contextlib import AbstractContextManager
from itertools import groupby
from typing import Any

import torch
from torch import Tensor

from parity.core.outputs import Output
from parity.engines.tokens.encoding import Encoded
from parity.engines.tokens.ledger import Ledger, Work
from parity.engines.tokens.walk import Piece, Want, passes, walk
from parity.engines.torch.body import Body
from parity.engines.torch.head import few_logits, has_rows
from parity.engines.torch.path import Path
from parity.engines.torch.room import HEAD_ROWS, HEAD_TILE

# Logits of single tokens that are computed together: a row of the output matrix is copied for each.
_FEW_LOGITS = 256


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
        few = {at for at, entry in enumerate(encoded) if entry.needs_few_logits and has_rows(self._head)}
        ledger = Ledger(encoded, few)
        depth = max((len(row.ids) for row in rows), default=0)
        cut = room.cut(depth)
        path = Path(cut.room(depth))
        for pieces in passes(rows, cut):
            yield from ledger.drop(cancelled)
            if ledger.all_settled:
                return
            with self._turn:
                begun = time.perf_counter()
                for (request, option, _), value in self._pass(path, pieces, few):
                    ledger.add(request, option, value)
                seconds = time.perf_counter() - begun
            work.seconds += seconds
            for index, output in ledger.settled(seconds):
                work.scored(encoded[index])
                yield index, output

    @torch.inference_mode()
    def _pass(self, path: Path, pieces: Sequence[Piece], few: Set[int]) -> Iterator[tuple[Want, float]]:
        """One forward pass; for every want of its positions log p, or the logit alone of requests in `few`."""
        hidden_TH = self._body.read(path, pieces)
        found = self._few(hidden_TH, _wanted(path, pieces, lambda request: request in few))
        columns, wants = _wanted(path, pieces, lambda request: request not in few)
        for multiplied, picked in _blocks(columns, self._body.room.tile is not None):
            rows_RH = hidden_TH[torch.tensor(multiplied, device=hidden_TH.device)]
            self._body.multiplied(len(multiplied))
            logprobs_RV = self._logprobs(rows_RH)
            found += _picked(logprobs_RV, [(row, want) for row, at in picked for want in wants[at]])
        return iter(found)

    def _few(self, hidden_TH: Tensor, wanted: tuple[list[int], list[list[Want]]]) -> list[tuple[Want, float]]:
        """The logits that are wanted and no other."""
        asked = [(column, want) for column, wants in zip(*wanted, strict=True) for want in wants]
        found: list[tuple[Want, float]] = []
        for several in _products(asked, self._body.room.tile is not None):
            columns_P, tokens_P = [column for column, _ in several], [token for _, (_, _, token) in several]
            self._body.multiplied(len(several), 1)
            hidden_PH = hidden_TH[torch.tensor(columns_P, device=hidden_TH.device)]
            logits = few_logits(self._head, hidden_PH, tokens_P).tolist()
            found += zip((want for _, want in several), logits, strict=True)
        return found

    def _logprobs(self, rows_RH: Tensor) -> Tensor:
        logits_RV = self._head(rows_RH)
        return torch.log_softmax(logits_RV, dim=-1, dtype=torch.promote_types(logits_RV.dtype, torch.float32))


def _wanted(path: Path, pieces: Sequence[Piece], of: Callable[[int], bool]) -> tuple[list[int], list[list[Want]]]:
    """Columns of the pass that predict something for certain requests, and what each predicts."""
    columns, wants = [], []
    for piece, (first, _, _, _) in zip(pieces, path.spans, strict=True):
        for depth in sorted(depth for depth in piece.row.wants if piece.begin <= depth < piece.end):
            if found := [want for want in piece.row.wants[depth] if of(want[0])]:
                columns.append(first + depth - piece.begin)
                wants.append(found)
    return columns, wants


def _products(asked: Sequence[tuple[int, Want]], tiled: bool) -> Iterator[Sequence[tuple[int, Want]]]:
    """Logits that are computed together; in tiles those of one request, so that what else is wanted changes nothing."""
    if tiled:
        yield from (list(several) for _, several in groupby(asked, key=lambda entry: entry[1][0]))
        return
    for start in range(0, len(asked), _FEW_LOGITS):
        yield asked[start : start + _FEW_LOGITS]


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
