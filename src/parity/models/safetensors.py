"""Reads a safetensors header within bounds and checks it against the file, before anything else opens it.

Format: 8 bytes little-endian header length, a JSON header, then the tensors. Nothing is allocated that the file
has not already paid for in bytes, and no header that would take more than some tens of MB to parse is parsed:
brackets and commas are counted first, because an empty list of three bytes takes sixty in memory.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import NoReturn

from parity.errors import ModelError
from parity.models.byte_sources import ByteSource, LocalBytes

# The reference allows 100 MB. Real headers are far smaller (600 tensors a shard: 80 kB; 19,000 in one file: 2.5 MB).
MAX_HEADER_BYTES = 8 * 1024 * 1024
MAX_TENSORS = 65_536
MAX_DIMENSIONS = 8
_MAX_COMMAS = 1_000_000
_MAX_LISTS = 2 * MAX_TENSORS + 1_024
_WHOLE_LIMIT = 2**63

BITS: Mapping[str, int] = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "U16": 16, "I16": 16, "F16": 16, "BF16": 16,
    "U32": 32, "I32": 32, "F32": 32, "U64": 64, "I64": 64, "F64": 64, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6, "F8_E8M0": 8,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class TensorEntry:
    """One tensor: its shape, type, and bytes begin..end counted from the end of the header."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int

    @property
    def elements(self) -> int:
        return prod(self.shape)


@dataclass(frozen=True, slots=True)
class SafetensorsHeader:
    """What a whole file holds. `metadata` is the free text its writer left; `data_start` the byte tensors begin at."""

    tensors: tuple[TensorEntry, ...]
    metadata: tuple[tuple[str, str], ...]
    data_start: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class _Raw:
    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


def check_safetensors(path: Path) -> list[TensorEntry]:
    """The tensors of a whole, well-formed file, in the order of their bytes.

    Raises:
        ModelError: the file is truncated, its header is broken, or its offsets do not cover it exactly.
    """
    return list(read_safetensors(LocalBytes(path)).tensors)


def read_safetensors(source: ByteSource) -> SafetensorsHeader:
    """The header of a whole, well-formed file.

    Raises:
        ModelError: the file is truncated, its header is broken or too large, or its offsets do not cover it exactly.
    """
    size = source.size
    if size < 8:
        raise _broken(source, f"it has {size} bytes and needs at least 8")
    length = int.from_bytes(source.read(0, 8), "little")
    if length > size - 8:
        raise _broken(source, f"its header claims {length} bytes at byte 0, the file has {size - 8} left")
    if length > MAX_HEADER_BYTES:
        raise _broken(source, f"its header claims {length} bytes at byte 0, more than the {MAX_HEADER_BYTES} allowed")
    try:
        tensors, metadata = _parse(source.read(8, length))
    except RecursionError:
        raise _broken(source, "its header at byte 8 is malformed: lists within lists") from None
    except ValueError as error:
        raise _broken(source, f"its header at byte 8 is malformed: {error}") from error
    position = 0
    for tensor in tensors:
        if tensor.begin != position:
            raise _broken(source, f"tensor {_short(tensor.name)} begins at byte {tensor.begin}, expected {position}")
        position = tensor.end
    if 8 + length + position != size:
        raise _broken(source, f"its tensors end at byte {8 + length + position}, the file has {size}")
    return SafetensorsHeader(tuple(tensors), metadata, 8 + length, size)


def _parse(header: bytes) -> tuple[list[TensorEntry], tuple[tuple[str, str], ...]]:
    if header[:1] != b"{":
        raise ValueError("it does not begin with '{'")
    if not header.isascii() and len(header) > MAX_HEADER_BYTES // 2:
        raise ValueError(f"{len(header)} bytes of text beyond ASCII are too many")
    if header.count(b"{") > MAX_TENSORS + 1_024 or header.count(b"[") > _MAX_LISTS or header.count(b",") > _MAX_COMMAS:
        raise ValueError(f"it has more entries than {MAX_TENSORS} tensors need")
    text = header.decode("utf-8")
    del header
    entries = json.loads(text, object_pairs_hook=_object, parse_constant=_refuse_constant)
    if not isinstance(entries, dict):
        raise ValueError("it is not one table of tensors")
    metadata = entries.pop("__metadata__", {})
    if not _is_text(metadata):
        raise ValueError("'__metadata__' must hold text only")
    if len(entries) > MAX_TENSORS:
        raise ValueError(f"it names {len(entries)} tensors, more than the {MAX_TENSORS} allowed")
    for written in (*entries, *metadata, *metadata.values()):
        written.encode("utf-8")  # half a surrogate pair is a ValueError here, and a crash wherever it is printed
    tensors = sorted(_tensors(entries), key=lambda tensor: (tensor.begin, tensor.end))
    return tensors, tuple(metadata.items())


def _tensors(entries: Mapping[str, object]) -> Iterator[TensorEntry]:
    for name, raw in entries.items():
        if not isinstance(raw, _Raw):
            raise ValueError(f"tensor {_short(name)} lacks dtype, shape or data_offsets")
        if raw.dtype not in BITS:
            raise ValueError(f"tensor {_short(name)} has unknown type {_short(raw.dtype)}")
        if raw.begin > raw.end:
            raise ValueError(f"tensor {_short(name)} ends before it begins")
        if prod(raw.shape) * BITS[raw.dtype] != 8 * (raw.end - raw.begin):
            raise ValueError(
                f"tensor {_short(name)} of shape {list(raw.shape)} and {raw.dtype} does not fill its "
                f"{raw.end - raw.begin} bytes"
            )
        yield TensorEntry(name, raw.dtype, raw.shape, raw.begin, raw.end)


def _object(pairs: list[tuple[str, object]]) -> object:
    """A JSON object as it is met: a tensor's entry is packed at once, so that many of them stay small."""
    entries = dict(pairs)
    if len(entries) != len(pairs):
        raise ValueError("a key appears twice")
    if not {"dtype", "shape", "data_offsets"} <= entries.keys() or _is_text(entries):
        return entries
    shape, offsets, dtype = entries["shape"], entries["data_offsets"], entries["dtype"]
    if not isinstance(dtype, str) or not isinstance(shape, list) or not isinstance(offsets, list):
        raise ValueError("a tensor's dtype, shape or data_offsets has the wrong kind of value")
    if len(shape) > MAX_DIMENSIONS or len(offsets) != 2:
        raise ValueError(f"a tensor has {len(shape)} dimensions and {len(offsets)} offsets")
    if not all(type(n) is int and 0 <= n < _WHOLE_LIMIT for n in (*shape, *offsets)):
        raise ValueError("a tensor has a shape or offset that is not a whole number")
    return _Raw(dtype, tuple(shape), offsets[0], offsets[1])


def _is_text(entries: object) -> bool:
    return isinstance(entries, dict) and all(isinstance(value, str) for value in entries.values())


def _refuse_constant(word: str) -> NoReturn:
    raise ValueError(f"{word} is no JSON")


def _short(name: str) -> str:
    return repr(name if len(name) <= 80 else name[:77] + "...")


def _broken(source: ByteSource, why: str) -> ModelError:
    return ModelError(f"{source.name} is not a whole safetensors file: {why}.", "Download or save it again.")
