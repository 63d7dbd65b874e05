"""Log-likelihoods along a walk: every distinct token is computed once, logits only where something is predicted.

Packed without padding: a pass is one row of ids from many sequences, kept apart by their paths. The output matrix is
multiplied at the positions that predict, and normalised in fp32.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from parity.core.outputs import Output
from parity.engines.tokens.encoding import Encoded
from parity.engines.tokens.ledger import Ledger, Work
from parity.engines.tokens.walk import Piece, passes, walk
from parity.engines.torch.path import Path, walking

# Positions normalised together: 64 rows of a 152,000-word vocabulary are 39 MB in fp32.
HEAD_ROWS = 64


class Scorer:
    """Scores encoded requests with one model. `work` adds up over calls."""

    def __init__(self, model: Any, pass_tokens: int, turn: AbstractContextManager[object]) -> None:
        self._model, self._pass_tokens, self._turn = model, pass_tokens, turn
        self.work = Work()

    def score(self, encoded: Sequence[Encoded], cancelled: Callable[[int], bool]) -> Iterator[tuple[int, Output]]:
        """Yields (index of the request, result) as soon as its last continuation is scored."""
        rows = walk([entry.context for entry in encoded], [entry.continuations for entry in encoded])
        self.work.count(encoded, rows)
        ledger = Ledger(encoded)
        path = Path(max((len(row.ids) for row in rows), default=0))
        for pieces in passes(rows, self._pass_tokens):
            yield from ledger.drop(cancelled)
            if ledger.all_settled:
                return
            with self._turn, walking(self._model, path):
                begun = time.perf_counter()
                for request, option, value in self._pass(path, pieces):
                    ledger.add(request, option, value)
                seconds = time.perf_counter() - begun
            self.work.seconds += seconds
            yield from ledger.settled(seconds)

    @torch.inference_mode()
    def _pass(self, path: Path, pieces: Sequence[Piece]) -> list[tuple[int, int, float]]:
        """One forward pass; returns (request, option, log p of one token) for every want of its positions."""
        model, device = self._model, self._model.device
        path.stand(pieces)
        ids_T = np.concatenate([piece.row.ids[piece.begin : piece.end] for piece in pieces])
        depth_T = np.concatenate([np.arange(piece.begin, piece.end) for piece in pieces])
        self.work.computed += len(ids_T)
        hidden_TH = model.base_model(
            input_ids=torch.from_numpy(ids_T).long()[None].to(device),
            position_ids=torch.from_numpy(depth_T)[None].to(device),
            use_cache=False,
        ).last_hidden_state[0]
        columns, wants = _wanted(path, pieces)
        found: list[tuple[int, int, float]] = []
        for start in range(0, len(columns), HEAD_ROWS):
            rows_RH = hidden_TH[torch.tensor(columns[start : start + HEAD_ROWS], device=device)]
            found += _picked(self._logprobs(rows_RH), wants[start : start + HEAD_ROWS])
        return found

    def _logprobs(self, rows_RH: Tensor) -> Tensor:
        logits_RV = self._model.get_output_embeddings()(rows_RH)
        return torch.log_softmax(logits_RV, dim=-1, dtype=torch.promote_types(logits_RV.dtype, torch.float32))


def _wanted(path: Path, pieces: Sequence[Piece]) -> tuple[list[int], list[list[tuple[int, int, int]]]]:
    """Columns of the pass that predict something, and what each predicts."""
    columns, wants = [], []
    for piece, (first, _, _) in zip(pieces, path.spans, strict=True):
        for depth in sorted(depth for depth in piece.row.wants if piece.begin <= depth < piece.end):
            columns.append(first + depth - piece.begin)
            wants.append(piece.row.wants[depth])
    return columns, wants


def _picked(logprobs_RV: Tensor, wants: Sequence[list[tuple[int, int, int]]]) -> list[tuple[int, int, float]]:
    asked = [(row, want) for row, several in enumerate(wants) for want in several]
    rows = torch.tensor([row for row, _ in asked], device=logprobs_RV.device)
    tokens = torch.tensor([token for _, (_, _, token) in asked], device=logprobs_RV.device)
    values = logprobs_RV[rows, tokens].tolist()
    return [(request, option, value) for (_, (request, option, _)), value in zip(asked, values, strict=True)]
