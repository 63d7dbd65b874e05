"""Near-duplicates: rows that share most of their words, found by MinHash and locality-sensitive hashing.

Word 3-grams, 128 hash functions (rensa), 32 bands of 4 (a pair at Jaccard .8 shares a band with p = 1 - (1 - .8^4)^32
> .9999), pairs then verified by their estimated similarity. System turns are left out: one prompt shared by a whole
log would make everything a duplicate. Signatures take 512 bytes a row.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from parity.core.digests import words_of
from parity.core.examples import Row, turns_of

PERMUTATIONS, BAND = 128, 4
# An estimate of .8 has a standard error of .035; two of them below it still counts as near.
THRESHOLD, VERIFIED = 0.8, 0.72
_SEED, _BATCH, _GRAM = 42, 5000, 3

Signatures = NDArray[np.uint32]


def shingles(row: Row) -> set[str]:
    """Word 3-grams of what a user and the assistant wrote in a row."""
    words = [word for turn in turns_of(row) if turn.role != "system" for word in words_of(turn.content, True)]
    words += [""] * (_GRAM - len(words))
    return {" ".join(words[at : at + _GRAM]) for at in range(len(words) - _GRAM + 1)}


def signatures(rows: Iterable[Row]) -> Signatures:
    """MinHash signatures, one row of 128 for every row; equal on every machine."""
    import rensa

    parts = [np.zeros((0, PERMUTATIONS), np.uint32)]
    for batch in _batched(rows, _BATCH):
        matrix: Any = rensa.RMinHash.digest_matrix_from_token_sets(
            [sorted(shingles(r)) for r in batch], PERMUTATIONS, _SEED
        )
        parts.append(np.asarray(matrix.to_rows(), np.uint32))
    return np.concatenate(parts)


def clusters(signed: Signatures) -> list[int]:
    """For every row the first row of its cluster; a cluster is what near pairs connect."""
    leaders = Groups(len(signed))
    for band in range(0, PERMUTATIONS, BAND):
        keys = np.ascontiguousarray(signed[:, band : band + BAND]).view(np.dtype((np.void, BAND * 4))).ravel()
        order = np.argsort(keys, kind="stable")
        ordered = keys[order]
        starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]]) if len(order) else np.zeros(0, int)
        first = np.repeat(starts, np.diff(np.r_[starts, len(order)]))
        places = np.arange(len(order))
        for other in (first, np.maximum(places - 1, first)):  # with the first of its bucket, and with its neighbour
            pairs = np.flatnonzero(other != places)
            for some in np.array_split(pairs, len(pairs) // 100_000 + 1):
                a, b = order[some], order[other[some]]
                near = (signed[a] == signed[b]).mean(axis=1) >= VERIFIED
                for one, two in zip(a[near].tolist(), b[near].tolist(), strict=True):
                    leaders.join(one, two)
    return [leaders.find(at) for at in range(len(signed))]


class Groups:
    """Union of groups of rows, each known by its lowest row."""

    def __init__(self, rows: int) -> None:
        self._above = list(range(rows))

    def find(self, row: int) -> int:
        while self._above[row] != row:
            self._above[row] = self._above[self._above[row]]
            row = self._above[row]
        return row

    def join(self, one: int, other: int) -> None:
        low, high = sorted((self.find(one), self.find(other)))
        self._above[high] = low


def _batched(rows: Iterable[Row], size: int) -> Iterable[Sequence[Row]]:
    batch: list[Row] = []
    for row in rows:
        batch.append(row)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
