"""Rows on the disk, and what is kept of each in memory: where it lies, its id, whose it is, whether it is a copy.

So a million rows need a fraction of a gigabyte (512 bytes a row of it signatures, which the system may put aside). Rows
are read once, as they come from anywhere; afterwards only their bytes are copied.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import islice, takewhile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from parity.core.examples import Row, compact, row_object, turns_of
from parity.core.fingerprints import SHORTEST_WORDS, Fingerprints, words_of
from parity.curation.near import PERMUTATIONS, Labels, Signatures, signatures
from parity.curation.strings import strings_of

_BATCH = 5000
_NOTHING = np.zeros((0, PERMUTATIONS), np.uint32)


@dataclass(frozen=True, slots=True)
class Shelf:
    """Rows R in the order they came: `ids_R` are digests in hex, row r lies from `starts_R[r]` up to `starts_R[r + 1]`.

    `owners_RO` holds hashes of the user and of the session a row comes from, and of the question it begins with (0:
    unknown, or too short to tell), `copied_R` whether it holds a
    fingerprint, `signed_RP` its MinHash signature.
    """

    file: Path
    ids_R: NDArray[np.bytes_]
    starts_R: NDArray[np.int64]
    owners_RO: NDArray[np.uint64]
    copied_R: NDArray[np.bool_]
    signed_RP: Signatures

    def __len__(self) -> int:
        return len(self.ids_R)

    def id(self, row: int) -> str:
        return bytes(self.ids_R[row]).decode()

    def lines(self, rows: Labels) -> Iterator[bytes]:
        """The bytes of rows, in the order they are asked for."""
        with self.file.open("rb") as stream:
            for start, end in zip(self.starts_R[rows].tolist(), self.starts_R[rows + 1].tolist(), strict=True):
                yield os.pread(stream.fileno(), end - start, start)


def shelve(rows: Iterable[Row], folder: Path, fingerprints: Fingerprints) -> Shelf:
    """Write rows into a folder as canonical lines, and keep of each what a split needs.

    Raises:
        OSError: the disk is full or refuses.
    """
    ids, owners, copied, sizes = [np.zeros(0, "S64")], [np.zeros((0, 3), np.uint64)], list[bool](), [0]
    file, signed = folder / "rows", folder / "signatures"
    coming = iter(rows)
    with file.open("wb") as stream, signed.open("wb") as signing:
        while batch := list(islice(coming, _BATCH)):
            objects = [row_object(row) for row in batch]
            lines = [compact(found).encode() + b"\n" for found in objects]
            stream.writelines(lines)
            sizes += map(len, lines)
            ids.append(np.array([found["id"] for found in objects], "S64"))
            owners.append(np.array([_owners(row) for row in batch], np.uint64))
            copied += [_copied(row, fingerprints) for row in batch]
            signatures(batch).tofile(signing)
    many = len(sizes) - 1
    matrix = np.memmap(signed, np.uint32, "r", shape=(many, PERMUTATIONS)) if many else _NOTHING
    return Shelf(file, np.concatenate(ids), np.cumsum(sizes), np.concatenate(owners), np.array(copied, bool), matrix)


def _copied(row: Row, fingerprints: Fingerprints) -> bool:
    return any(fingerprints.found_in(text) for turn in turns_of(row) for text in strings_of(turn))


def _question(row: Row) -> str:
    """The words a user began with, when there are enough of them to tell one question from another."""
    asked = takewhile(lambda turn: turn.role != "assistant", turns_of(row))
    words = words_of("\n".join(turn.content for turn in asked if turn.role == "user"), numbers=True)
    return " ".join(words) if len({*words}) >= SHORTEST_WORDS else ""


def _owners(row: Row) -> Sequence[int]:
    named = (row.origin.user, row.origin.session, _question(row))
    return [int.from_bytes(blake2b(name.encode(), digest_size=8).digest()) if name else 0 for name in named]
