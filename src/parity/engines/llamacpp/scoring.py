"""Log-likelihoods along a walk with llama.cpp's own sequences: every distinct token is computed once.

Sequence 0 is the path of the walk. In a pass every piece of a row is a sequence: it takes what it shares with the path
as a copy, which costs nothing in a unified cache, and a token that several rows of the pass share belongs to all of
their sequences. After the pass the last row is the path.
"""

import time
from collections.abc import Iterator, Sequence
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from parity.core.outputs import Output
from parity.engines.llamacpp.model import Context, Model
from parity.engines.tokens.encoding import Encoded
from parity.engines.tokens.ledger import Cancelled, Ledger, Work
from parity.engines.tokens.walk import Cut, Piece, passes, walk
from parity.errors import EngineError

SEQUENCES = 64
# Ids of a pass where nothing asked beside a row may change a bit of it.
TILE = 32
_PATH = 0


class Scorer:
    """Scores with one model. `sharing=False` computes every row whole, to compare with.

    With a `tile` a pass is part of one row, cut at multiples of it. The path lies in the cells as in the row, so what
    is summed, and in which order, is decided by the row's own ids.
    """

    def __init__(
        self, model: Model, pass_tokens: int, work: Work, sharing: bool = True, tile: int | None = None
    ) -> None:
        self._model, self._pass_tokens, self.work = model, pass_tokens, work
        # llama.cpp wants room in a pass for a token of every sequence.
        self._sequences = min(SEQUENCES, pass_tokens)
        self._sharing, self._tile = sharing and model.shares, tile
        self._context: Context | None = None

    def close(self) -> None:
        if self._context:
            self._context.close()
            self._context = None

    def score(self, encoded: Sequence[Encoded], cancelled: Cancelled) -> Iterator[tuple[int, Output] | None]:
        """Yields (index of the request, result) as it is settled, and None after every pass."""
        rows = walk([entry.context for entry in encoded], [entry.continuations for entry in encoded], self._tile)
        if not self._sharing:
            for row in rows:
                row.begin = 0
        context = self._room(max((len(row.ids) for row in rows), default=0))
        ledger = Ledger(encoded)
        for pieces in passes(rows, Cut(self._pass_tokens, self._tile)):
            for start in range(0, len(pieces), self._sequences - 1):
                yield from ledger.drop(cancelled)
                if ledger.all_settled:
                    return
                begun = time.perf_counter()
                for request, option, value in self._pass(context, pieces[start : start + self._sequences - 1]):
                    ledger.add(request, option, value)
                seconds = time.perf_counter() - begun
                self.work.seconds += seconds
                for index, output in ledger.settled(seconds):
                    self.work.scored(encoded[index])
                    yield index, output
                yield None

    def logits(self, ids: Sequence[int]) -> NDArray[np.float32]:
        """Logits (T, V) after each id of one sequence.

        Raises:
            EngineError: there are none, or more than the context holds.
        """
        if not 0 < len(ids) <= self._model.context_tokens:
            raise EngineError(
                f"{len(ids)} ids where 1 to {self._model.context_tokens} can be computed.", "Give fewer, or some."
            )
        context, ids_T = self._room(len(ids)), np.array(ids, np.int32)
        parts = []
        for start in range(0, len(ids), self._pass_tokens):
            part_T = ids_T[start : start + self._pass_tokens]
            depths_T = np.arange(start, start + len(part_T), dtype=np.int32)
            parts.append(
                context.decode(part_T, depths_T, [[_PATH]] * len(part_T), np.ones(len(part_T), np.int8)).copy()
            )
        return np.concatenate(parts)

    def _room(self, longest: int) -> Context:
        """A context with an empty path and cells for the longest row and one pass more."""
        cells = longest + self._pass_tokens
        if self._context is None or self._context.cells < cells:
            self.close()
            self._context = Context(self._model, cells + cells // 2, self._sequences, self._pass_tokens, unified=True)
        self._context.keep(_PATH, 0)
        return self._context

    def _pass(self, context: Context, pieces: Sequence[Piece]) -> list[tuple[int, int, float]]:
        """One decode; (request, option, log p of one token) for every want of its positions."""
        begins = [piece.begin for piece in pieces]
        context.keep(_PATH, begins[0])
        # What all rows from the first to this one share is all that this one has on the path so far.
        for sequence, held in enumerate(accumulate(begins, min), start=1):
            if held:
                context.copy(_PATH, sequence, held)
        ids_T = np.concatenate([piece.row.ids[piece.begin : piece.end] for piece in pieces]).astype(np.int32)
        depths_T = np.concatenate([np.arange(piece.begin, piece.end, dtype=np.int32) for piece in pieces])
        wants = [piece.row.wants.get(depth, []) for piece in pieces for depth in range(piece.begin, piece.end)]
        wanted_T = np.fromiter(map(bool, wants), np.int8, len(wants))
        logits_RV = context.decode(ids_T, depths_T, _sequences(pieces), wanted_T)
        self.work.computed += len(ids_T)
        self.work.walked(pieces)
        found = []
        for logits_V, several in zip(logits_RV, filter(None, wants), strict=True):
            total = _log_sum(logits_V)
            found += [(request, option, float(logits_V[token]) - total) for request, option, token in several]
        context.keep(_PATH, 0)
        context.copy(len(pieces), _PATH)
        for sequence in range(1, len(pieces) + 1):
            context.keep(sequence, 0)
        return found


def _sequences(pieces: Sequence[Piece]) -> list[list[int]]:
    """For every new id of the pass the sequences it belongs to: its row's, and those of later rows that share it."""
    found = []
    for at, piece in enumerate(pieces):
        sharing: list[list[int]] = [[at + 1] for _ in range(piece.end - piece.begin)]
        shared = piece.end
        for later in range(at + 1, len(pieces)):
            shared = min(shared, pieces[later].begin)
            if shared <= piece.begin:
                break
            for several in sharing[: shared - piece.begin]:
                several.append(later + 1)
        found += sharing
    return found


def _log_sum(logits_V: NDArray[np.float32]) -> float:
    """Log of the sum of exponentials; sums in fp64."""
    peak = float(logits_V.max())
    return peak + float(np.log(np.exp(logits_V - np.float32(peak)).sum(dtype=np.float64)))
