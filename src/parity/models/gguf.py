"""Reads a GGUF header within bounds and checks it against the file: version 2 and 3, either byte order.

Foreign files are opened with this reader before anything else sees them. Every number is exact, every limit is checked
before anything is allocated, and what is wrong is named with the byte it is at. Long arrays (a vocabulary) are walked
and checked, not held. Tensor data is never read.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from types import MappingProxyType
from typing import TypeAlias

from parity.errors import ModelError
from parity.models.byte_sources import ByteSource, LocalBytes
from parity.models.ggml_types import BY_ID, GgmlType
from parity.models.gguf_cursor import Cursor, Malformed

MAGIC = b"GGUF"
MAX_KEYS = 65_536
MAX_TENSORS = 65_536
MAX_DIMENSIONS = 4
MAX_TENSOR_NAME_BYTES = 64
MAX_ALIGNMENT = 1024 * 1024
DEFAULT_ALIGNMENT = 32
_MAX_NESTING = 4
_HELD_ELEMENTS = 4_096
_LIST_COST = 16  # a list within a list takes that much longer to walk over than a text
_KEY_BYTES, _TENSOR_BYTES = 14, 33  # the fewest bytes an entry can take
_UINT32, _BOOL, _STRING, _ARRAY = 4, 7, 8, 9
_NUMBERS = MappingProxyType(
    {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 10: "Q", 11: "q", 12: "d"}
)  # struct codes
_SIZES = MappingProxyType({0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 8: 8, 9: 12, 10: 8, 11: 8, 12: 8})


@dataclass(frozen=True, slots=True)
class GgufArray:
    """A list of `length` elements; `values` is None where it is too long to be held (or is a list of lists)."""

    length: int
    values: tuple[int | float | bool | str, ...] | None


@dataclass(frozen=True, slots=True)
class LongText:
    """A text that was checked for size and skipped."""

    size_bytes: int


GgufValue: TypeAlias = int | float | bool | str | GgufArray | LongText


@dataclass(frozen=True, slots=True)
class GgufTensor:
    """One tensor. `shape` in the order of GGUF (the contiguous dimension first); `offset` from the data's beginning."""

    name: str
    shape: tuple[int, ...]
    type: GgmlType
    offset: int
    size_bytes: int

    @property
    def elements(self) -> int:
        return prod(self.shape)


@dataclass(frozen=True, slots=True)
class GgufHeader:
    """What a whole GGUF file holds. `trailing_bytes` lie behind the last tensor and belong to nothing.

    `extents`: the bytes (begin, end) each key and its value take, for those who copy them unread.
    """

    version: int
    big_endian: bool
    metadata: Mapping[str, GgufValue]
    tensors: tuple[GgufTensor, ...]
    alignment: int
    data_start: int
    size_bytes: int
    trailing_bytes: int
    extents: Mapping[str, tuple[int, int]]

    def text(self, key: str) -> str | None:
        value = self.metadata.get(key)
        return value if isinstance(value, str) else None

    def whole(self, key: str) -> int | None:
        value = self.metadata.get(key)
        return value if isinstance(value, int) and not isinstance(value, bool) else None


def check_gguf(path: Path) -> GgufHeader:
    """The header of a GGUF file on this machine; as `read_gguf`.

    Raises:
        ModelError: the file is missing or is not whole and well formed.
    """
    return read_gguf(LocalBytes(path))


def read_gguf(source: ByteSource) -> GgufHeader:
    """The header of a whole, well-formed GGUF file.

    Raises:
        ModelError: it is not GGUF, a limit is passed, something appears twice, or a tensor does not lie in the file.
    """
    try:
        return _read(source)
    except Malformed as error:
        raise ModelError(
            f"{source.name} is not a whole GGUF file: at byte {error.position}, {error}.",
            "Download it again, or convert it again with a current llama.cpp.",
        ) from error


def _read(source: ByteSource) -> GgufHeader:
    size = source.size
    cursor = Cursor(source)
    if cursor.take(4) != MAGIC:
        raise Malformed(0, "it does not begin with 'GGUF'")
    version, big_endian = _version(cursor)
    tensor_count, key_count = cursor.number("Q"), cursor.number("Q")
    for what, many, most, fewest, at in (
        ("tensors", tensor_count, MAX_TENSORS, _TENSOR_BYTES, 8),
        ("keys", key_count, MAX_KEYS, _KEY_BYTES, 16),
    ):
        if many > most or many * fewest > size - 24:
            raise Malformed(at, f"it claims {many} {what}; at most {min(most, (size - 24) // fewest)} can be here")
    metadata, extents = _metadata(cursor, key_count)
    said = metadata.get("general.alignment")
    alignment = said if isinstance(said, int) else DEFAULT_ALIGNMENT
    tensors = _tensors(cursor, tensor_count, alignment)
    data_start = -(-cursor.position // alignment) * alignment
    used = _check_layout(tensors, alignment, data_start, size)
    trailing = max(size - data_start - used, 0) if tensors else 0
    return GgufHeader(
        version, big_endian, MappingProxyType(metadata), tuple(tensors), alignment, data_start, size, trailing, extents
    )


def _version(cursor: Cursor) -> tuple[int, bool]:
    raw = cursor.take(4)
    little, big = int.from_bytes(raw, "little"), int.from_bytes(raw, "big")
    if little in (2, 3):
        return little, False
    if big in (2, 3):
        cursor.big_endian = True
        return big, True
    raise Malformed(4, f"its version is {little}; versions 2 and 3 are known")


def _metadata(cursor: Cursor, key_count: int) -> tuple[dict[str, GgufValue], dict[str, tuple[int, int]]]:
    metadata: dict[str, GgufValue] = {}
    extents: dict[str, tuple[int, int]] = {}
    for _ in range(key_count):
        at = cursor.position
        key = cursor.name(MAX_KEYS - 1, "key")
        if not key.isascii():
            raise Malformed(at, f"the key {key[:40]!r} is not ASCII")
        if key in metadata:
            raise Malformed(at, f"the key {key[:80]!r} appears twice")
        kind = cursor.number("I")
        metadata[key] = _value(cursor, kind)
        if key == "general.alignment":
            _check_alignment(metadata[key], kind, at)
        extents[key] = (at, cursor.position)
    return metadata, extents


def _check_alignment(alignment: GgufValue, kind: int, at: int) -> None:
    if kind != _UINT32:
        raise Malformed(at, "general.alignment is not a 32-bit unsigned number")
    if not isinstance(alignment, int) or not 8 <= alignment <= MAX_ALIGNMENT or alignment & (alignment - 1):
        raise Malformed(at, f"general.alignment is {alignment}, not a power of two between 8 and {MAX_ALIGNMENT}")


def _value(cursor: Cursor, kind: int) -> GgufValue:
    if kind in _NUMBERS:
        number: int | float = cursor.number(_NUMBERS[kind])
        return number
    if kind == _BOOL:
        return _bool(cursor)
    if kind == _STRING:
        text = cursor.text()
        return text if isinstance(text, str) else LongText(text)
    if kind == _ARRAY:
        return _array(cursor, depth=1)
    raise Malformed(cursor.position - 4, f"value type {kind} is unknown")


def _bool(cursor: Cursor) -> bool:
    at = cursor.position
    raw = cursor.take(1)[0]
    if raw > 1:
        raise Malformed(at, f"a truth value is {raw}")
    return raw == 1


def _array(cursor: Cursor, depth: int) -> GgufArray:
    at = cursor.position
    kind, length = cursor.number("I"), cursor.number("Q")
    if kind not in _SIZES:
        raise Malformed(at, f"element type {kind} is unknown")
    if length * _SIZES[kind] > cursor.remaining:
        raise Malformed(at + 4, f"a list claims {length} elements, the file has {cursor.remaining} bytes left")
    if kind == _ARRAY:
        if depth >= _MAX_NESTING:
            raise Malformed(at, f"lists are nested deeper than {_MAX_NESTING}")
        cursor.spend_walk(_LIST_COST * length)
        for _ in range(length):
            _array(cursor, depth + 1)
        return GgufArray(length, None)
    if kind == _STRING and (length > _HELD_ELEMENTS or not cursor.may_hold(length)):
        cursor.skip_texts(length)
        return GgufArray(length, None)
    if length > _HELD_ELEMENTS or not cursor.may_hold(length):
        cursor.skip(length * _SIZES[kind])
        return GgufArray(length, None)
    held = tuple(_value(cursor, kind) for _ in range(length))
    plain = tuple(value for value in held if not isinstance(value, GgufArray | LongText))
    return GgufArray(length, plain if len(plain) == length else None)


def _tensors(cursor: Cursor, tensor_count: int, alignment: int) -> list[GgufTensor]:
    tensors: dict[str, GgufTensor] = {}
    for _ in range(tensor_count):
        at = cursor.position
        name = cursor.name(MAX_TENSOR_NAME_BYTES, "tensor name")
        if name in tensors:
            raise Malformed(at, f"the tensor {name!r} appears twice")
        tensors[name] = _tensor(cursor, name, alignment)
    return list(tensors.values())


def _tensor(cursor: Cursor, name: str, alignment: int) -> GgufTensor:
    at = cursor.position
    dimensions = cursor.number("I")
    if not 1 <= dimensions <= MAX_DIMENSIONS:
        raise Malformed(at, f"tensor {name!r} has {dimensions} dimensions, not 1 to {MAX_DIMENSIONS}")
    shape = tuple(cursor.number("Q") for _ in range(dimensions))
    if any(not 0 < extent < 2**63 for extent in shape):
        wrong = next(extent for extent in shape if not 0 < extent < 2**63)
        raise Malformed(at + 4, f"tensor {name!r} has a dimension of {wrong}")
    at = cursor.position
    kind = BY_ID.get(code := cursor.number("I"))
    if kind is None:
        raise Malformed(at, f"tensor {name!r} has unknown type {code}")
    if shape[0] % kind.block:
        raise Malformed(at, f"tensor {name!r} has rows of {shape[0]}, no whole blocks of {kind.block} ({kind.name})")
    offset = cursor.number("Q")
    if offset % alignment:
        raise Malformed(at + 4, f"tensor {name!r} begins at offset {offset}, no multiple of {alignment}")
    return GgufTensor(name, shape, kind, offset, kind.bytes_of(shape))


def _check_layout(tensors: list[GgufTensor], alignment: int, data_start: int, size: int) -> int:
    """That tensors follow each other as listed, without overlap or hole, inside the file; the padded bytes they take.

    llama.cpp refuses any other order too.
    """
    expected = end = 0
    for tensor in tensors:
        if tensor.offset != expected:
            what = "overlaps the tensor before it" if tensor.offset < expected else "leaves a hole before it"
            raise Malformed(
                data_start + tensor.offset, f"tensor {tensor.name!r} {what} (expected at {data_start + expected})"
            )
        end = tensor.offset + tensor.size_bytes
        if data_start + end > size:
            raise Malformed(
                data_start + tensor.offset,
                f"tensor {tensor.name!r} takes {tensor.size_bytes} bytes up to {data_start + end}, the file has {size}",
            )
        expected = -(-end // alignment) * alignment
    return expected
