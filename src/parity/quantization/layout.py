"""Where everything stands in a GGUF file that is still to be written: its head, and every tensor's place.

Knows the format, version 3, little-endian. The head is known before any tensor is quantized, since sizes follow from
types; so a file is written from front to back, and an interrupted one can be taken up at any tensor.
"""

import struct
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from parity.models.byte_sources import HeldBytes
from parity.models.ggml_types import GgmlType
from parity.models.gguf import DEFAULT_ALIGNMENT, MAGIC, read_gguf
from parity.quantization.models import Tensor

if TYPE_CHECKING:
    from gguf import GGUFWriter

_HEAD = struct.Struct("<4sIQQ")
_VERSION = 3
# What a file says of itself, as one of several.
SPLIT_KEYS = ("split.no", "split.count", "split.tensors.count")


@dataclass(frozen=True, slots=True)
class Placed:
    """A tensor, the type it will be stored in, and the byte of the file it begins at."""

    tensor: Tensor
    kind: GgmlType
    begin: int

    @property
    def size_bytes(self) -> int:
        return self.kind.bytes_of(self.tensor.shape[::-1])

    @property
    def end(self) -> int:
        return self.begin + _padded(self.size_bytes)


@dataclass(frozen=True, slots=True)
class Layout:
    """One whole file: `head` ends where the first tensor begins."""

    head: bytes
    placed: tuple[Placed, ...]

    @property
    def size_bytes(self) -> int:
        return self.placed[-1].end if self.placed else len(self.head)


def entries(architecture: str, fill: Callable[["GGUFWriter"], None]) -> dict[str, bytes]:
    """Metadata entries as bytes, by key, as the `gguf` package writes what `fill` adds."""
    from gguf import GGUFWriter

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "metadata.gguf")
        writer = GGUFWriter(path, architecture)
        fill(writer)
        writer.write_header_to_file(path)
        writer.write_kv_data_to_file()
        writer.close()
        raw = path.read_bytes()
    return entries_in(raw)


def entries_in(raw: bytes) -> dict[str, bytes]:
    """Every metadata entry of a GGUF file's first bytes, as it stands there."""
    return {key: raw[begin:end] for key, (begin, end) in read_gguf(HeldBytes("metadata", raw)).extents.items()}


def lay_out(metadata: Mapping[str, bytes], tensors: Sequence[tuple[Tensor, GgmlType]]) -> Layout:
    """One file with these entries and these tensors, in this order."""
    table, offset = bytearray(), 0
    for tensor, kind in tensors:
        name = tensor.name.encode()
        table += struct.pack(f"<Q{len(name)}sI", len(name), name, len(tensor.shape))
        table += struct.pack(f"<{len(tensor.shape)}QIQ", *tensor.shape, kind.id, offset)
        offset += _padded(kind.bytes_of(tensor.shape[::-1]))
    head = _HEAD.pack(MAGIC, _VERSION, len(tensors), len(metadata)) + b"".join(metadata.values()) + bytes(table)
    head += bytes(_padded(len(head)) - len(head))
    placed, begin = [], len(head)
    for tensor, kind in tensors:
        placed.append(Placed(tensor, kind, begin))
        begin = placed[-1].end
    return Layout(head, tuple(placed))


def lay_out_split(
    metadata: Mapping[str, bytes], tensors: Sequence[tuple[Tensor, GgmlType]], limit_bytes: int
) -> tuple[Layout, ...]:
    """Several files of at most `limit_bytes` of tensors each (but one tensor at least), as llama.cpp splits them."""
    files: list[list[tuple[Tensor, GgmlType]]] = [[]]
    room = limit_bytes
    for tensor, kind in tensors:
        size = _padded(kind.bytes_of(tensor.shape[::-1]))
        if files[-1] and size > room:
            files.append([])
            room = limit_bytes
        files[-1].append((tensor, kind))
        room -= size
    if len(files) == 1:
        return (lay_out(metadata, tensors),)
    return tuple(
        lay_out({**(metadata if at == 0 else {}), **_split_entries(at, len(files), len(tensors))}, held)
        for at, held in enumerate(files)
    )


def split_paths(path: Path, count: int) -> tuple[Path, ...]:
    """The names of `count` files that together are one model; `path` itself for one."""
    if count == 1:
        return (path,)
    return tuple(path.with_name(f"{path.stem}-{at:05d}-of-{count:05d}.gguf") for at in range(1, count + 1))


def _split_entries(at: int, count: int, tensors: int) -> dict[str, bytes]:
    def fill(writer: "GGUFWriter") -> None:
        writer.add_uint16("split.no", at)
        writer.add_uint16("split.count", count)
        writer.add_int32("split.tensors.count", tensors)

    found = entries("llama", fill)
    return {key: found[key] for key in SPLIT_KEYS}


def _padded(size: int) -> int:
    return -(-size // DEFAULT_ALIGNMENT) * DEFAULT_ALIGNMENT
