"""Near-duplicates: rows that share most of their words, found by MinHash and locality-sensitive hashing.

Word 3-grams, 128 hash functions (rensa), 32 bands of 4 (a pair at Jaccard .8 shares a band with p = 1 - (1 - .8^4)^32
> .9999), pairs then verified by their estimated similarity. System turns are left out: one prompt shared by a whole
log would make everything a duplicate. Signatures take 512 bytes a row, and may lie in a file.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from parity.core.examples import Row, turns_of
from parity.core.fingerprints import words_of

PERMUTATIONS, BAND = 128, 4
# An estimate of .8 has a standard error of .035; two of them below it still counts as near.
THRESHOLD, VERIFIED = 0.8, 0.72
_SEED, _BATCH, _GRAM, _PAIRS = 42, 5000, 3, 100_000
_MIX = np.uint64(0x9E3779B97F4A7C15)  # 2^64 / golden ratio: spreads a band's bits over its key

Signatures = NDArray[np.uint32]
Labels = NDArray[np.intp]


def shingles(row: Row) -> set[str]:
    """Word 3-grams of what a user and the assistant wrote in a row."""
    words = [word for turn in turns_of(row) if turn.role != "system" for word in words_of(turn.content, True)]
    words += [""] * (_GRAM - len(words))
    return {" ".join(words[at : at + _GRAM]) for at in range(len(words) - _GRAM + 1)}


def signatures(rows: Sequence[Row]) -> Signatures:
    """MinHash signatures, one row of 128 for every row; equal on every machine."""
    import rensa

    parts = [np.zeros((0, PERMUTATIONS), np.uint32)]
    for at in range(0, len(rows), _BATCH):
        sets = [sorted(shingles(row)) for row in rows[at : at + _BATCH]]
        matrix: Any = rensa.RMinHash.digest_matrix_from_token_sets(sets, PERMUTATIONS, _SEED)
        parts.append(np.asarray(matrix.to_rows(), np.uint32))
    return np.concatenate(parts)


def clusters(
    signed: Signatures, order: Labels | None = None, progress: Callable[[int, int], None] = lambda *_: None
) -> Labels:
    """For every row, taken in `order`, the first row of its cluster; a cluster is what near pairs connect.

    Rows are numbered by their place in `order` (as they come when there is none), so that an order by content makes
    the result independent of the order in `signed`. `progress` is told how many bands of how many are compared.
    """
    order = np.arange(len(signed)) if order is None else order
    labels = np.arange(len(signed))
    for band in range(0, PERMUTATIONS, BAND):
        keys = _keys(signed[order, band : band + BAND])
        places = np.argsort(keys, kind="stable")
        firsts, befores = _bucket_mates(keys[places])
        for mates in (firsts, befores):
            apart = np.flatnonzero(labels[places] != labels[places[mates]])
            near = [
                some[(signed[order[places[some]]] == signed[order[places[mates[some]]]]).mean(axis=1) >= VERIFIED]
                for some in np.array_split(apart, len(apart) // _PAIRS + 1)
            ]
            found = np.concatenate(near)
            labels = joined(labels, places[found], places[mates[found]])
        progress(band // BAND + 1, PERMUTATIONS // BAND)
    return labels


def joined(labels: Labels, ones: Labels, others: Labels) -> Labels:
    """Labels in which the groups of every pair of rows (ones, others) have become one, known by its first row."""
    if not len(ones):
        return labels
    size = len(labels)
    edges = coo_array((np.ones(len(ones)), (labels[ones], labels[others])), shape=(size, size))
    _, component = connected_components(edges, directed=False)
    _, first, which = np.unique(component[labels], return_index=True, return_inverse=True)
    merged: Labels = first[which]
    return merged


def _keys(band: Signatures) -> NDArray[np.uint64]:
    """One number for the four of a band. Two bands may get the same: pairs are verified, so nothing comes of it."""
    keys = np.zeros(len(band), np.uint64)
    for column in band.T:
        keys = (keys ^ column) * _MIX
        keys ^= keys >> np.uint64(32)
    return keys


def _bucket_mates(keys: NDArray[np.uint64]) -> tuple[Labels, Labels]:
    """For every one of sorted keys the place of the first that is equal, and of the one before it (itself if first)."""
    places = np.arange(len(keys))
    begins = np.ones(len(keys), bool)
    begins[1:] = keys[1:] != keys[:-1]
    firsts = np.maximum.accumulate(np.where(begins, places, 0))
    return firsts, np.maximum(places - 1, firsts)
