"""The order in which shared prefixes cost nothing: rows of token ids sorted, each begun where it leaves the one before.

Sorted rows are a depth-first walk of their prefix tree. A row shares its first `shared` ids with the row before it, and
whatever was computed for those still lies on the path; so the tokens of all steps together are the distinct nodes of
the tree, each once. No tree is built, and what must be kept is one path. Knows ids, not tensors.

In tiles, a row is computed from the last multiple of the tile that it shares, one tile a pass, whatever else is asked:
what is computed for a row then depends on its own ids alone.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int32]
# (request, option, token): the log-likelihood of the token, after the id where this is wanted.
Want = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Cut:
    """How a walk is cut into passes: at most `tokens` ids each; or, with a `tile`, exactly so many, filled up."""

    tokens: int
    tile: int | None = None

    def room(self, depth: int) -> int:
        """Ids a path must have room for, where the longest row has `depth`."""
        return -(-depth // self.tile) * self.tile if self.tile else depth


@dataclass(slots=True)
class Row:
    """Ids read by the model, and what their positions must predict; computed from depth `begin`.

    `wants[depth]` is what the id at `depth` must predict.
    """

    ids: Ids
    shared: int = 0
    begin: int = 0
    wants: dict[int, list[Want]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Piece:
    """Part of a row that one pass computes: its ids from depth `begin` to `end`, after those before on the path."""

    row: Row
    begin: int
    end: int


def walk(
    contexts: Sequence[Sequence[int]], continuations: Sequence[Sequence[Sequence[int]]], tile: int | None = None
) -> list[Row]:
    """Rows of all requests in walking order, each position's wants where it is computed.

    `continuations[request][option]` follow `contexts[request]`; their last token is predicted, never read.
    """
    rows: dict[bytes, Row] = {}
    asked: list[tuple[bytes, int, int]] = []
    for request, (context, options) in enumerate(zip(contexts, continuations, strict=True)):
        for option, rest in enumerate(options):
            # Big-endian, so that bytes sort as the ids do.
            key = np.asarray((*context, *rest[:-1]), dtype=">i4").tobytes()
            if key not in rows:
                rows[key] = Row(np.frombuffer(key, dtype=">i4").astype(np.int32))
            asked.append((key, request, option))
    ordered = [rows[key] for key in sorted(rows)]
    for before, row in pairwise(ordered):
        row.shared = _shared(before.ids, row.ids)
        row.begin = row.shared - row.shared % (tile or 1)
    owners = _owners(ordered)
    for key, request, option in asked:
        row, start = rows[key], len(contexts[request]) - 1
        for offset, token in enumerate(continuations[request][option]):
            owner = _owner_at(owners[id(row)], start + offset)
            owner.wants.setdefault(start + offset, []).append((request, option, token))
    return ordered


def passes(rows: Sequence[Row], cut: Cut) -> Iterator[list[Piece]]:
    """Cut the walk into passes; a long row is cut into several pieces."""
    batch: list[Piece] = []
    most = cut.tile or cut.tokens
    room = most
    for row in rows:
        begin = row.begin
        while begin < len(row.ids):
            end = min(len(row.ids), begin + room)
            batch.append(Piece(row, begin, end))
            room -= end - begin
            begin = end
            if not room or cut.tile:
                yield batch
                batch, room = [], most
    if batch:
        yield batch


def _shared(one: Ids, other: Ids) -> int:
    length = min(len(one), len(other))
    differs = np.flatnonzero(one[:length] != other[:length])
    return int(differs[0]) if len(differs) else length


def _owners(ordered: Sequence[Row]) -> dict[int, list[tuple[int, Row]]]:
    """For every row the stretches of its path, (first depth, row that computes it), by depth."""
    owners: dict[int, list[tuple[int, Row]]] = {}
    path: list[tuple[int, Row]] = []
    for row in ordered:
        path = [(start, owner) for start, owner in path if start < row.begin]
        if row.begin < len(row.ids):
            path.append((row.begin, row))
        owners[id(row)] = list(path)
    return owners


def _owner_at(path: Sequence[tuple[int, Row]], depth: int) -> Row:
    return next(owner for start, owner in reversed(path) if start <= depth)
