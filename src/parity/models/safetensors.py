"""Reads a safetensors header within bounds and checks it against the file, before anything else opens it.

Format: 8 bytes little-endian header length, a JSON header, then the tensors. Nothing is allocated that the file
has not already paid for in bytes.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from parity.errors import ModelError

MAX_HEADER_BYTES = 100 * 1024 * 1024

_BITS = {
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


def check_safetensors(path: Path) -> list[TensorEntry]:
    """The tensors of a whole, well-formed file.

    Raises:
        ModelError: the file is truncated, its header is broken, or its offsets do not cover it exactly.
    """
    size = path.stat().st_size
    if size < 8:
        raise _broken(path, f"it has {size} bytes and needs at least 8")
    with path.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if length > min(size - 8, MAX_HEADER_BYTES):
            raise _broken(path, f"its header claims {length} bytes at byte 0, the file has {size - 8} left")
        header = stream.read(length)
    try:
        entries = json.loads(header.decode("utf-8"), object_pairs_hook=_no_duplicates)
        tensors = sorted(
            (_entry(name, raw) for name, raw in entries.items() if name != "__metadata__"), key=lambda t: t.begin
        )
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise _broken(path, f"its header is malformed: {error}") from error
    position = 0
    for tensor in tensors:
        if tensor.begin != position:
            raise _broken(path, f"tensor {tensor.name!r} begins at byte {tensor.begin}, expected {position}")
        position = tensor.end
    if 8 + length + position != size:
        raise _broken(path, f"its tensors end at byte {8 + length + position}, the file has {size}")
    return tensors


def _entry(name: str, raw: dict[str, Any]) -> TensorEntry:
    begin, end = raw["data_offsets"]
    shape = tuple(raw["shape"])
    if raw["dtype"] not in _BITS:
        raise ValueError(f"tensor {name!r} has unknown type {raw['dtype']!r}")
    if not all(type(n) is int and n >= 0 for n in (*shape, begin, end)):
        raise ValueError(f"tensor {name!r} has a shape or offset that is not a whole number")
    bits = _BITS[raw["dtype"]]
    for dimension in shape:
        bits *= dimension
    if bits != 8 * (end - begin):
        raise ValueError(
            f"tensor {name!r} of shape {list(shape)} and {raw['dtype']} does not fill its {end - begin} bytes"
        )
    return TensorEntry(name, raw["dtype"], shape, begin, end)


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    keys = dict(pairs)
    if len(keys) != len(pairs):
        raise ValueError("a key appears twice")
    return keys


def _broken(path: Path, why: str) -> ModelError:
    return ModelError(f"{path} is not a whole safetensors file: {why}.", "Download or save it again.")
