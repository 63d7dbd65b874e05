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

# For columns of a pass, what each predicts.
Wanted = dict[int, list[Want]]


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
    def _pass(self, path: Path, pieces: Sequence[Piece], few: Set[int]) -> list[tuple[Want, float]]:
        """One forward pass; for every want of its positions log p, or the logit alone of requests in `few`."""
        hidden_TH = self._body.read(path, pieces)
        alone = _wanted(path, pieces, lambda request: request in few)
        others = _wanted(path, pieces, lambda request: request not in few)
        return [*self._logits(hidden_TH, alone), *self._logprobs(hidden_TH, others)]

    def _logits(self, hidden_TH: Tensor, wanted: Wanted) -> Iterator[tuple[Want, float]]:
        """The logits that are wanted, and no other is computed."""
        asked = [(column, want) for column, wants in wanted.items() for want in wants]
        for several in _products(asked, self._body.room.tile is not None):
            columns_P, tokens_P = [column for column, _ in several], [token for _, (_, _, token) in several]
            hidden_PH = hidden_TH[torch.tensor(columns_P, device=hidden_TH.device)]
            self._body.multiplied(len(several), 1)
            logits = few_logits(self._head, hidden_PH, tokens_P).tolist()
            yield from zip((want for _, want in several), logits, strict=True)

    def _logprobs(self, hidden_TH: Tensor, wanted: Wanted) -> Iterator[tuple[Want, float]]:
        """Log p, normalised over the vocabulary."""
        for columns in _blocks(sorted(wanted), self._body.room.tile is not None):
            logits_RV = self._head(hidden_TH[torch.tensor(list(columns), device=hidden_TH.device)])
            self._body.multiplied(len(columns))
            wide = torch.promote_types(logits_RV.dtype, torch.float32)
            logprobs_RV = torch.log_softmax(logits_RV, dim=-1, dtype=wide)
            picked = [(row, want) for row, column in enumerate(columns) for want in wanted.get(column, ())]
            rows, tokens = [row for row, _ in picked], [token for _, (_, _, token) in picked]
            yield from zip((want for _, want in picked), logprobs_RV[rows, tokens].tolist(), strict=True)


def _wanted(path: Path, pieces: Sequence[Piece], of: Callable[[int], bool]) -> Wanted:
    """What columns of the pass predict for certain requests."""
    wanted = {}
    for piece, (first, _, _, _) in zip(pieces, path.spans, strict=True):
        for depth in sorted(depth for depth in piece.row.wants if piece.begin <= depth < piece.end):
            if found := [want for want in piece.row.wants[depth] if of(want[0])]:
                wanted[first + depth - piece.begin] = found
    return wanted


def _products(asked: Sequence[tuple[int, Want]], tiled: bool) -> Iterator[Sequence[tuple[int, Want]]]:
    """Logits that are computed together; in tiles those of one request, so that what else is wanted changes nothing."""
    if tiled:
        yield from (list(several) for _, several in groupby(asked, key=lambda entry: entry[1][0]))
        return
    for start in range(0, len(asked), HEAD_ROWS):
        yield asked[start : start + HEAD_ROWS]


def _blocks(columns: Sequence[int], tiled: bool) -> Iterator[Sequence[int]]:
    """Columns multiplied with the output matrix together; in tiles a column always with the same neighbours."""
    if tiled:
        for first in sorted({column - column % HEAD_TILE for column in columns}):
            yield range(first, first + HEAD_TILE)
        return
    for start in range(0, len(columns), HEAD_ROWS):
        yield columns[start : start + HEAD_ROWS]
