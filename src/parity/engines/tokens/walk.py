"""The order in which shared prefixes cost nothing: rows of token ids sorted, each begun where it leaves the one before.

Sorted rows are a depth-first walk of their prefix tree. A row shares its first `shared` ids with the row before it, and
whatever was computed for those still lies on the path; so the tokens of all steps together are the distinct nodes of
the tree, each once. No tree is built, and what must be kept is one path. Knows ids, not tensors.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int32]


@dataclass(slots=True)
class Row:
    """Ids read by the model, and what their positions must predict.

    `wants[depth]` are (request, option, token): the log-likelihood of `token` after the id at `depth`.
    """

    ids: Ids
    shared: int = 0
    wants: dict[int, list[tuple[int, int, int]]] = field(default_factory=dict)

    @property
    def new_tokens(self) -> int:
        return len(self.ids) - self.shared


@dataclass(frozen=True, slots=True)
class Piece:
    """Part of a row that one pass computes: its ids from depth `begin` to `end`, after those before on the path."""

    row: Row
    begin: int
    end: int


def walk(contexts: Sequence[Sequence[int]], continuations: Sequence[Sequence[Sequence[int]]]) -> list[Row]:
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
    owners = _owners(ordered)
    for key, request, option in asked:
        row, start = rows[key], len(contexts[request]) - 1
        for offset, token in enumerate(continuations[request][option]):
            owner = _owner_at(owners[id(row)], start + offset)
            owner.wants.setdefault(start + offset, []).append((request, option, token))
    return ordered


def passes(rows: Sequence[Row], most_tokens: int) -> Iterator[list[Piece]]:
    """Cut the walk into passes of at most `most_tokens` ids; a long row is cut into several pieces."""
    batch: list[Piece] = []
    room = most_tokens
    for row in rows:
        begin = row.shared
        while begin < len(row.ids):
            end = min(len(row.ids), begin + room)
            batch.append(Piece(row, begin, end))
            room -= end - begin
            begin = end
            if not room:
                yield batch
                batch, room = [], most_tokens
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
        path = [(start, owner) for start, owner in path if start < row.shared]
        if row.new_tokens:
            path.append((row.shared, row))
        owners[id(row)] = list(path)
    return owners


def _owner_at(path: Sequence[tuple[int, Row]], depth: int) -> Row:
    return next(owner for start, owner in reversed(path) if start <= depth)
