"""Matrices that lie in a file and are read a few rows at a time, as fp32: no tensor is ever held whole.

Knows how rows are stored and how an architecture rearranges them. Does not know what they mean to a model.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
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

    def part(self, first: int, rows: int) -> "Stored":
        """`rows` rows from `first` on, as a matrix of their own."""
        step = self.columns * READABLE[self.type].itemsize
        return replace(self, offset=self.offset + first * step, rows=rows)


def _float8_values() -> Floats:
    """What the 256 bytes of F8_E4M3 mean: 4 bits of exponent, 3 of fraction, no infinity, NaN where all are set."""
    byte = np.arange(256)
    exponent, fraction = (byte >> 3 & 15).astype(np.int32), (byte & 7) / 8
    size = np.where(exponent > 0, np.ldexp(1 + fraction, exponent - 7), np.ldexp(fraction, -6))
    signed = np.where(byte & 127 == 127, np.nan, np.where(byte >> 7, -size, size))
    return signed.astype(np.float32)


_FLOAT8 = _float8_values()


@dataclass(frozen=True, slots=True)
class Scaled:
    """Bytes in F8_E4M3, each block of `block` (rows, columns) with a factor of its own, as DeepSeek V3 publishes them.

    Blocks are counted from row 0 of the tensor; this matrix begins at its row `first`. No number type of the source
    holds the products: `type` is what its makers write them as.
    """

    path: Path
    offset: int
    rows: int
    columns: int
    scales: Stored
    block: tuple[int, int]
    first: int = 0
    unit: int = 1
    type: str = "BF16"

    def read(self, first: int, last: int) -> Floats:
        """Rows first..last as fp32: byte times factor.

        Raises:
            ModelError: the file ends before.
        """
        begin, end, (tall, wide) = self.first + first, self.first + last, self.block
        count = (last - first) * self.columns
        raw = np.fromfile(self.path, np.uint8, count, offset=self.offset + begin * self.columns)
        if len(raw) != count:
            raise ModelError(f"{self.path} became shorter while it was read.", "Download it again.")
        top = begin // tall
        factors = self.scales.read(top, -(-end // tall))[np.arange(begin, end) // tall - top]
        values = _FLOAT8[raw].reshape(last - first, self.columns)
        values *= np.repeat(factors, wide, axis=1)[:, : self.columns]
        return values

    def part(self, first: int, rows: int) -> "Scaled":
        """`rows` rows from `first` on, as a matrix of their own."""
        return replace(self, first=self.first + first, rows=rows)


Source = Stored | Scaled


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
