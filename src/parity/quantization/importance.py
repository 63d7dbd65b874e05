"""Importance matrices as files: how much each input column of a matrix matters, summed over calibration text.

Knows llama.cpp's two formats, GGUF (`<tensor>.in_sum2`, `<tensor>.counts`) and the older one (.dat), and reads both as
foreign: within bounds. Does not know how sums are computed.
"""

import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from parity.errors import ModelError
from parity.files import disk_error
from parity.models.gguf import MAGIC, GgufArray, GgufHeader, GgufTensor, check_gguf
from parity.quantization.matrices import Floats, Stored
from parity.quantization.models import Tensor

if TYPE_CHECKING:
    from gguf import GGUFWriter

_SUMS, _COUNTS, _MEANS = ".in_sum2", ".counts", ".in_sum"
_MOST_ENTRIES, _MOST_VALUES, _MOST_NAME = 65_536, 1 << 28, 512
_TODO = "Compute it again (parity quantize --imatrix TEXT, or llama-imatrix)."


@dataclass(frozen=True, slots=True)
class Sums:
    """Of one tensor: squares of its inputs summed by column (P, C), and over how many rows (P,); P experts or heads.

    `inputs_PC`: the inputs themselves summed, which llama.cpp keeps for its statistics; None where not stored.
    """

    squares_PC: Floats
    counts_P: Floats
    inputs_PC: Floats | None = None


@dataclass(frozen=True, slots=True)
class ImportanceMatrix:
    """`source`: the text it was computed from, or the file. `chunks` of `chunk_tokens` tokens each."""

    sums: Mapping[str, Sums]
    source: str
    chunks: int
    chunk_tokens: int

    @property
    def names(self) -> frozenset[str]:
        return frozenset(name for name, sums in self.sums.items() if sums.counts_P.all())

    @property
    def digest(self) -> str:
        whole = sha256()
        for name in sorted(self.sums):
            whole.update(name.encode() + self.sums[name].squares_PC.tobytes() + self.sums[name].counts_P.tobytes())
        return whole.hexdigest()

    def means(self) -> dict[str, Floats]:
        """Mean squares by column, (P, C); 1 throughout for an expert that was never chosen, as llama.cpp has it."""
        found = {}
        for name, sums in self.sums.items():
            counts = (
                sums.counts_P
                if len(sums.counts_P) == len(sums.squares_PC)
                else np.repeat(sums.counts_P, len(sums.squares_PC))
            )
            with np.errstate(divide="ignore", invalid="ignore"):
                mean = sums.squares_PC / counts[:, None]
            found[name] = np.where(counts[:, None] > 0, mean, np.float32(1.0)).astype(np.float32)
        return found

    def fitted(self, tensors: Iterable[Tensor]) -> "ImportanceMatrix":
        """The entries that are of this model, a row for each of its experts or heads.

        Raises:
            ModelError: it has nothing for this model, columns that do not fit, or values that are not finite.
        """
        known = {tensor.name: tensor for tensor in tensors}
        met = {name: _fitted(name, sums, known[name]) for name, sums in self.sums.items() if name in known}
        if not met:
            raise ModelError(f"The importance matrix {self.source} knows no tensor of this model.", _TODO)
        return replace(self, sums=met)


def _fitted(name: str, sums: Sums, tensor: Tensor) -> Sums:
    parts, columns = prod(tensor.shape[2:]), tensor.shape[0]
    # Heads and, in the older format, experts are written as one long row.
    if sums.squares_PC.size not in (parts * columns, columns) or len(sums.counts_P) not in (1, parts):
        raise ModelError(
            f"The importance matrix has {' x '.join(map(str, sums.squares_PC.shape))} columns for {name}, the model "
            f"{parts} x {columns}: it was computed for another model.",
            _TODO,
        )
    if not np.isfinite(sums.squares_PC).all():
        raise ModelError(f"The importance matrix is not finite for {name}.", _TODO)
    return replace(sums, squares_PC=sums.squares_PC.reshape(-1, columns))


def importance_entries(writer: "GGUFWriter", matrix: ImportanceMatrix) -> None:
    """What llama.cpp notes in a file that was quantized with a matrix."""
    writer.add_string("quantize.imatrix.file", Path(matrix.source).name)
    writer.add_uint32("quantize.imatrix.entries_count", len(matrix.sums))
    writer.add_uint32("quantize.imatrix.chunks_count", matrix.chunks)


def is_matrix(path: Path) -> bool:
    """Whether a file is a matrix in one of the two formats, by its first bytes; text otherwise.

    Raises:
        ModelError: it cannot be read.
    """
    try:
        with path.open("rb") as stream:
            head = stream.read(4)
            return head == MAGIC or (len(head) == 4 and _looks_legacy(stream, head))
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}.", "Name calibration text, or a matrix.") from error


def _looks_legacy(stream: BinaryIO, head: bytes) -> bool:
    entries, length = int.from_bytes(head, "little"), int.from_bytes(stream.read(4), "little")
    return 0 < entries <= _MOST_ENTRIES and 0 < length <= _MOST_NAME and stream.read(length).endswith(b".weight")


def read_matrix(path: Path) -> ImportanceMatrix:
    """A matrix in either format.

    Raises:
        ModelError: it is broken, truncated, or too large to be one.
    """
    with path.open("rb") as stream:
        if stream.read(4) != MAGIC:
            return _read_legacy(path)
    header = check_gguf(path)
    by_name = {tensor.name: tensor for tensor in header.tensors}
    sums = {}
    for name in (found.removesuffix(_SUMS) for found in by_name if found.endswith(_SUMS)):
        if name + _COUNTS not in by_name:
            raise ModelError(f"{path} has sums for {name}, but not of how many rows.", _TODO)
        squares, counts = (_values(path, header, by_name[name + kind]) for kind in (_SUMS, _COUNTS))
        inputs = _values(path, header, by_name[name + _MEANS]) if name + _MEANS in by_name else None
        sums[name] = Sums(squares, counts.reshape(-1), inputs)
    if not sums:
        raise ModelError(f"{path} holds no importance matrix (no tensor ends in {_SUMS}).", _TODO)
    chunks, size = header.whole("imatrix.chunk_count") or 0, header.whole("imatrix.chunk_size") or 0
    return ImportanceMatrix(sums, _dataset(header) or path.name, chunks, size)


def _dataset(header: GgufHeader) -> str | None:
    found = header.metadata.get("imatrix.datasets")
    return str(found.values[0]) if isinstance(found, GgufArray) and found.values else None


def _values(path: Path, header: GgufHeader, tensor: GgufTensor) -> Floats:
    if tensor.type.name != "F32" or tensor.elements > _MOST_VALUES:
        raise ModelError(f"{path}: {tensor.name} is {tensor.type.name}, {tensor.elements} values.", _TODO)
    columns = tensor.shape[0]
    rows = Stored(path, header.data_start + tensor.offset, tensor.elements // columns, columns, "F32")
    return rows.read(0, rows.rows)


def _read_legacy(path: Path) -> ImportanceMatrix:
    """The format before GGUF: means times calls, one count for all experts of a tensor."""
    sums: dict[str, Sums] = {}
    with path.open("rb") as stream:
        for _ in range(_whole(stream, path, _MOST_ENTRIES)):
            name = _take(stream, path, _whole(stream, path, _MOST_NAME)).decode("utf-8", "replace")
            calls, count = _whole(stream, path, 2**31 - 1), _whole(stream, path, _MOST_VALUES)
            values = np.frombuffer(_take(stream, path, 4 * count), dtype="<f4")
            sums[name] = Sums(values.reshape(1, -1).copy(), np.array([max(calls, 1)], dtype=np.float32))
        tail = stream.read(4)
    chunks = struct.unpack("<i", tail)[0] if len(tail) == 4 else 0
    return ImportanceMatrix(sums, path.name, max(chunks, 0), 0)


def _whole(stream: BinaryIO, path: Path, most: int) -> int:
    found: int = struct.unpack("<i", _take(stream, path, 4))[0]
    if not 0 <= found <= most:
        raise ModelError(f"{path} is no importance matrix: a count is {found}.", _TODO)
    return found


def _take(stream: BinaryIO, path: Path, size: int) -> bytes:
    raw = stream.read(size) if size <= path.stat().st_size else b""
    if len(raw) != size:
        raise ModelError(f"{path} is truncated.", _TODO)
    return raw


def write_matrix(matrix: ImportanceMatrix, path: Path) -> Path:
    """Write a matrix as llama.cpp's current GGUF format.

    Raises:
        StoreError: the folder cannot be written or the disk is full.
    """
    import gguf

    temporary = path.with_name(f".{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        writer = gguf.GGUFWriter(temporary, "imatrix")
        writer.add_type("imatrix")
        writer.add_array("imatrix.datasets", [matrix.source])
        writer.add_uint32("imatrix.chunk_count", matrix.chunks)
        writer.add_uint32("imatrix.chunk_size", matrix.chunk_tokens)
        for name, sums in sorted(matrix.sums.items()):
            if sums.inputs_PC is not None:
                writer.add_tensor(name + _MEANS, sums.inputs_PC)
            writer.add_tensor(name + _SUMS, sums.squares_PC)
            writer.add_tensor(name + _COUNTS, sums.counts_P.reshape(-1, 1))
        writer.write_header_to_file(temporary)
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        temporary.replace(path)
    except OSError as error:
        raise disk_error(error, path) from error
    finally:
        temporary.unlink(missing_ok=True)
    return path
