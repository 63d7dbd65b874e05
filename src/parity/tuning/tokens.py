"""Rows as the model will see them: token ids, which of them are learned, and how much; kept flat, so a million fit.

Knows nothing of templates or texts: `curation` labels them, `reading.py` asks it to.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from parity.core.digests import digest
from parity.errors import DataError

IGNORED = -100


@dataclass(frozen=True, slots=True)
class Row:
    """One row. `labels` equal `ids` where learned and -100 elsewhere; `id` names it in messages."""

    id: str
    ids: tuple[int, ...]
    labels: tuple[int, ...]

    @property
    def tokens(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, slots=True)
class Pair:
    """One prompt, the better answer and the worse, as token ids."""

    id: str
    prompt: tuple[int, ...]
    chosen: tuple[int, ...]
    rejected: tuple[int, ...]

    @property
    def tokens(self) -> int:
        return len(self.prompt) + max(len(self.chosen), len(self.rejected))


@dataclass(frozen=True, slots=True)
class Thumb:
    """One answer and whether people liked it."""

    id: str
    prompt: tuple[int, ...]
    completion: tuple[int, ...]
    label: bool

    @property
    def tokens(self) -> int:
        return len(self.prompt) + len(self.completion)


@dataclass(frozen=True, slots=True)
class Task:
    """A prompt whose answers are rewarded; `text` names it, `targets` is what a marker compares with."""

    id: str
    prompt: tuple[int, ...]
    text: str
    targets: tuple[str, ...]

    @property
    def tokens(self) -> int:
        return len(self.prompt)


@dataclass(frozen=True, slots=True)
class Tokens:
    """Rows end to end: ids and labels [T], `starts` [rows + 1], and the rows' names."""

    ids: NDArray[np.int32]
    labels: NDArray[np.int32]
    starts: NDArray[np.int64]
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.names)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of every row."""
        return np.diff(self.starts)

    @property
    def learned(self) -> int:
        """Tokens with a label that can be predicted: the first of a row cannot."""
        first = np.zeros(len(self.labels), dtype=bool)
        first[self.starts[:-1]] = True
        return int(((self.labels != IGNORED) & ~first).sum())

    def row(self, index: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Ids and labels of one row."""
        part = slice(int(self.starts[index]), int(self.starts[index + 1]))
        return self.ids[part], self.labels[part]

    def digest(self) -> str:
        """SHA-256 over every id, label and border."""
        import hashlib

        whole = hashlib.sha256()
        for array in (self.ids, self.labels, self.starts):
            whole.update(np.ascontiguousarray(array).tobytes())
        return whole.hexdigest()


def gather(rows: Iterable[Row], what: str) -> Tokens:
    """Rows as flat arrays.

    Raises:
        DataError: there are none, or one is empty, misaligned, labels another token, or learns nothing; all are named.
    """
    ids: list[NDArray[np.int32]] = []
    labels: list[NDArray[np.int32]] = []
    names: list[str] = []
    problems: list[str] = []
    for row in rows:
        if problem := _problem(row):
            problems.append(f"{row.id}: {problem}")
            continue
        ids.append(np.asarray(row.ids, dtype=np.int32))
        labels.append(np.asarray(row.labels, dtype=np.int32))
        names.append(row.id)
    if problems:
        shown = "\n".join(f"  - {problem}" for problem in problems[:20])
        more = f"\n  and {len(problems) - 20} more" if len(problems) > 20 else ""
        raise DataError(
            f"{len(problems)} rows of {what} cannot be trained on:\n{shown}{more}", "Mend or remove them; none was cut."
        )
    if not names:
        raise DataError(f"{what} holds no rows.", "Check the file.")
    starts = np.concatenate([[0], np.cumsum([len(part) for part in ids])]).astype(np.int64)
    return Tokens(np.concatenate(ids), np.concatenate(labels), starts, tuple(names))


def select(tokens: Tokens, rows: Iterable[int]) -> Tokens:
    """Some rows, in the order given."""
    chosen = list(rows)
    parts = [tokens.row(index) for index in chosen]
    starts = np.concatenate([[0], np.cumsum([len(ids) for ids, _ in parts])]).astype(np.int64)
    empty = np.zeros(0, dtype=np.int32)
    return Tokens(
        np.concatenate([ids for ids, _ in parts]) if parts else empty,
        np.concatenate([labels for _, labels in parts]) if parts else empty,
        starts,
        tuple(tokens.names[index] for index in chosen),
    )


def held_out(names: tuple[str, ...], seed: int, share: float = 0.05, most: int = 500) -> frozenset[int]:
    """Which rows are dev when nobody named any: a share by the digest of their names, at least one, not all."""
    count = max(1, min(most, round(share * len(names))))
    if len(names) < 2:
        return frozenset()
    order = sorted(range(len(names)), key=lambda index: digest((seed, names[index], index)))
    return frozenset(order[:count])


def _problem(row: Row) -> str | None:
    if not row.ids:
        return "it is empty"
    if len(row.ids) != len(row.labels):
        return f"{len(row.ids)} tokens but {len(row.labels)} labels"
    if any(label not in (IGNORED, token) for token, label in zip(row.ids, row.labels, strict=True)):
        return "a label is not the token it stands at"
    if all(label == IGNORED for label in row.labels[1:]):
        return "nothing in it is learned: every label is masked"
    return None
