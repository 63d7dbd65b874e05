"""Matrices that lie in a file and are read a few rows at a time, as fp32: no tensor is ever held whole.

Knows how rows are stored and how an architecture rearranges them. Does not know what they mean to a model.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from parity.errors import ModelError

Floats = NDArray[np.float32]
# Types whose values are read; by ggml's names, which safetensors' coincide with.
READABLE: Mapping[str, np.dtype[Any]] = {
    "F32": np.dtype("<f4"), "F16": np.dtype("<f2"), "BF16": np.dtype("<u2"), "F64": np.dtype("<f8"),
}  # fmt: skip


class Matrix(Protocol):
    """`rows` x `columns` numbers. A read begins at a multiple of `unit` rows and takes whole ones."""

    @property
    def rows(self) -> int: ...

    @property
    def columns(self) -> int: ...

    @property
    def unit(self) -> int: ...

    def read(self, first: int, last: int) -> Floats: ...


@dataclass(frozen=True, slots=True)
class Stored:
    """Rows of a file that follow each other from byte `offset` on, in one of the READABLE types."""

    path: Path
    offset: int
    rows: int
    columns: int
    type: str
    unit: int = 1

    def read(self, first: int, last: int) -> Floats:
        """Rows first..last as fp32, exact.

        Raises:
            ModelError: the file ends before.
        """
        kind, count = READABLE[self.type], (last - first) * self.columns
        at = self.offset + first * self.columns * kind.itemsize
        values = np.fromfile(self.path, kind, count, offset=at)
        if len(values) != count:
            raise ModelError(f"{self.path} became shorter while it was read.", "Download it again.")
        if self.type == "BF16":
            values = np.left_shift(values, 16, dtype=np.uint32).view(np.float32)
        exact: Floats = values.astype(np.float32, copy=False).reshape(last - first, self.columns)
        return exact


@dataclass(frozen=True, slots=True)
class Interleaved:
    """Rows of query or key heads in the order of rotary pairs (2i, 2i + 1), from halves (i, i + size / 2).

    transformers rotates the first half of a head against the second, llama.cpp's architecture `llama` neighbours.
    """

    inner: Matrix
    unit: int

    @property
    def rows(self) -> int:
        return self.inner.rows

    @property
    def columns(self) -> int:
        return self.inner.columns

    def read(self, first: int, last: int) -> Floats:
        halves = self.inner.read(first, last).reshape(-1, 2, self.unit // 2, self.columns)
        return np.ascontiguousarray(halves.swapaxes(1, 2)).reshape(last - first, self.columns)


@dataclass(frozen=True, slots=True)
class Transposed:
    """The transpose of a small matrix, read whole."""

    inner: Matrix

    @property
    def rows(self) -> int:
        return self.inner.columns

    @property
    def columns(self) -> int:
        return self.inner.rows

    @property
    def unit(self) -> int:
        return self.rows

    def read(self, first: int, last: int) -> Floats:
        return np.ascontiguousarray(self.inner.read(0, self.inner.rows).T[first:last])


@dataclass(frozen=True, slots=True)
class Row:
    """A vector, whatever its shape in the file: one row of a 1-D tensor, or entries of a bias still to be reordered."""

    inner: Matrix

    @property
    def rows(self) -> int:
        return 1

    @property
    def columns(self) -> int:
        return self.inner.rows * self.inner.columns

    @property
    def unit(self) -> int:
        return 1

    def read(self, first: int, last: int) -> Floats:
        return self.inner.read(0, self.inner.rows).reshape(1, -1)[first:last]


@dataclass(frozen=True, slots=True)
class Given:
    """Numbers at hand: one row."""

    values: tuple[float, ...]

    @property
    def rows(self) -> int:
        return 1

    @property
    def columns(self) -> int:
        return len(self.values)

    @property
    def unit(self) -> int:
        return 1

    def read(self, first: int, last: int) -> Floats:
        return np.array([self.values], dtype=np.float32)[first:last]


def part(matrix: Stored, first: int, rows: int) -> Stored:
    """`rows` rows of a stored matrix, from `first` on, as a matrix of their own."""
    step = matrix.columns * READABLE[matrix.type].itemsize
    return Stored(matrix.path, matrix.offset + first * step, rows, matrix.columns, matrix.type)
