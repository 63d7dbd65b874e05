"""What a file of fewer bits loses on a text: its distribution after every token against the unquantized file's.

Both are computed by the same engine on the same ids in the same passes. The unquantized file is computed once; its
logits wait on the disk, since a vocabulary times a text is more than many models' weights.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from parity.core.checked import Agreement
from parity.engines.llamacpp import LlamaCppEngine
from parity.errors import DataError
from parity.files import disk_error
from parity.quantization.check_outputs import agreement

CHUNK_TOKENS = 128
Rows = Sequence[tuple[int, ...]]
Counting = Callable[[int, int], None]


def rows_of(engine: LlamaCppEngine, text: str, tokens: int) -> tuple[tuple[int, ...], ...]:
    """The first `tokens` ids of a text in rows of CHUNK_TOKENS, each beginning with BOS where the model has one.

    Raises:
        DataError: the text has no two tokens.
    """
    (ids,), (plain,) = engine.encode([text]), engine.encode([text], special=False)
    first = ids[: len(ids) - len(plain)] if ids[len(ids) - len(plain) :] == plain else ()
    step = CHUNK_TOKENS - len(first)
    rows = tuple((*first, *plain[at : min(at + step, tokens)]) for at in range(0, min(len(plain), tokens), step))
    rows = tuple(row for row in rows if len(row) > 1)
    if not rows:
        raise DataError("The text that the loss is measured on has no two tokens.", "Give more with --text.")
    return rows


class Reference:
    """Logits of the unquantized file after every id of some rows, row by row in a file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._begins: dict[tuple[int, ...], int] = {}
        self._row_bytes = 0  # of one position

    @property
    def rows(self) -> Rows:
        return tuple(self._begins)

    def compute(self, engine: LlamaCppEngine, rows: Rows, on_row: Counting) -> None:
        """Fill the file.

        Raises:
            StoreError: the disk is full.
            EngineError: llama.cpp broke off.
        """
        try:
            with self._path.open("wb") as stream:
                for at, row in enumerate(dict.fromkeys(rows), 1):
                    self._begins[row] = stream.tell()
                    stream.write(engine.logits(row).tobytes())
                    on_row(at, len(rows))
                self._row_bytes = stream.tell() // sum(map(len, self._begins))
        except OSError as error:
            raise disk_error(error, self._path) from error

    def logits(self, ids: Sequence[int]) -> NDArray[np.float32]:
        """Logits (T, V) of one of the rows."""
        begin, count = self._begins[tuple(ids)], len(ids) * self._row_bytes // 4
        return np.fromfile(self._path, np.float32, count, offset=begin).reshape(len(ids), -1)


@contextmanager
def reference(folder: Path) -> Iterator[Reference]:
    """A reference to be computed, whose file is gone afterwards."""
    path = folder / ".logits"
    try:
        yield Reference(path)
    finally:
        path.unlink(missing_ok=True)


@dataclass(slots=True)
class _Counted:
    """Logits of an engine, each row told of."""

    engine: LlamaCppEngine
    rows: int
    on_row: Counting
    done: int = 0

    def logits(self, ids: Sequence[int]) -> NDArray[np.float32]:
        found = self.engine.logits(ids)
        self.done += 1
        self.on_row(self.done, self.rows)
        return found


def loss(expected: Reference, engine: LlamaCppEngine, on_row: Counting) -> Agreement:
    """Divergence of the engine's distributions from the reference's, over every position of its rows.

    Raises:
        EngineError: llama.cpp broke off.
    """
    return agreement(expected, _Counted(engine, len(expected.rows), on_row), expected.rows)
