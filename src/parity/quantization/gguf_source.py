"""An existing GGUF file, or the several files of a split one, as a model to quantize.

Foreign files are read by the bounded reader. Metadata is copied byte by byte, never interpreted more than needed.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from parity.core.digests import digest
from parity.errors import ModelError
from parity.files import disk_error
from parity.models.gguf import GgufHeader, GgufTensor, check_gguf
from parity.models.mixtures import Traits
from parity.quantization.layout import SPLIT_KEYS
from parity.quantization.matrices import READABLE, Stored
from parity.quantization.models import Bytes, GgufModel, Tensor, in_order

_SPLIT = re.compile(r"(?P<stem>.+)-(?P<at>\d{5})-of-(?P<count>\d{5})\.gguf")
_TODO = "Convert the model again, or download it again."


def open_gguf(path: Path) -> GgufModel:
    """A GGUF model; of a split one any file may be named.

    Raises:
        ModelError: a file is missing, broken, big-endian, or does not belong to the others.
    """
    files = files_of(path)
    headers = [check_gguf(file) for file in files]
    _check(files, headers)
    first = headers[0]
    metadata = _entries(files[0], first)
    for key in (*SPLIT_KEYS, "general.alignment"):
        metadata.pop(key, None)
    tensors = tuple(
        _tensor(file, header, one) for file, header in zip(files, headers, strict=True) for one in header.tensors
    )
    return GgufModel(metadata, in_order(tensors), _traits(first), digest([_identity(file) for file in files]))


def files_of(path: Path) -> list[Path]:
    """The file, or all files of the split model it is one of.

    Raises:
        ModelError: some are missing.
    """
    match = _SPLIT.fullmatch(path.name)
    if not match:
        return [path]
    count = int(match["count"])
    files = [path.with_name(f"{match['stem']}-{at:05d}-of-{count:05d}.gguf") for at in range(1, count + 1)]
    missing = [file.name for file in files if not file.is_file()]
    if missing:
        raise ModelError(
            f"{len(missing)} of {count} files are missing: {', '.join(missing[:5])}.", "Finish the download."
        )
    return files


def _check(files: list[Path], headers: list[GgufHeader]) -> None:
    for file, header in zip(files, headers, strict=True):
        if header.big_endian:
            raise ModelError(f"{file} is big-endian.", "Convert it on the machine it was made for.")
        if (header.whole("split.count") or 1) != len(files):
            raise ModelError(
                f"{file} says it is one of {header.whole('split.count') or 1} files; here are {len(files)}.",
                "Keep the names the files were published under.",
            )
    if not any(header.tensors for header in headers):
        raise ModelError(f"{files[0]} holds no tensors, only a vocabulary.", "Name a file with weights.")
    if not headers[0].text("general.architecture"):
        raise ModelError(f"{files[0]} names no architecture.", _TODO)


def _entries(file: Path, header: GgufHeader) -> dict[str, bytes]:
    try:
        with file.open("rb") as stream:
            raw = stream.read(header.data_start)
    except OSError as error:
        raise disk_error(error, file) from error
    return {key: raw[begin:end] for key, (begin, end) in header.extents.items()}


def _tensor(file: Path, header: GgufHeader, found: GgufTensor) -> Tensor:
    begin, kind = header.data_start + found.offset, found.type.name
    verbatim = Bytes(file, begin, found.size_bytes)
    return Tensor(
        found.name, found.shape, kind, tuple(_parts(file, begin, found)) if kind in READABLE else (), verbatim
    )


def _parts(file: Path, begin: int, found: GgufTensor) -> Iterator[Stored]:
    columns, rows = found.shape[0], found.shape[1] if len(found.shape) > 1 else 1
    whole = Stored(file, begin, found.elements // columns, columns, found.type.name)
    for first in range(0, whole.rows, rows):
        yield whole.part(first, rows)


def _traits(header: GgufHeader) -> Traits:
    arch = header.text("general.architecture") or ""
    layers, heads = header.whole(f"{arch}.block_count"), header.whole(f"{arch}.attention.head_count")
    kv_heads = header.whole(f"{arch}.attention.head_count_kv") or heads
    return Traits(layers or 0, heads or 0, kv_heads or 0, header.whole(f"{arch}.expert_count") or 0, arch)


def _identity(file: Path) -> tuple[str, int, int]:
    status = file.stat()
    return file.name, status.st_size, status.st_mtime_ns
