"""From `gguf:FILE` or `gguf:FILE#ADAPTER` to files that are safe to hand to llama.cpp, checked by our own reader.

A file that says it is one of several stands for all of them. Loads nothing.
"""

import re
from dataclasses import dataclass, replace
from pathlib import Path

from parity.core.digests import digest
from parity.core.refs import ModelRef
from parity.errors import ModelError
from parity.files import digest_file, digest_files
from parity.models.gguf import GgufHeader, check_gguf

_PART = re.compile(r"-(\d{5})-of-(\d{5})\.gguf$")


@dataclass(frozen=True, slots=True)
class Weights:
    """Files of a model in order, its adapter, and the digest of all of them; `ref` has no `~` in it any more.

    `types`: what its matrices are stored as.
    """

    ref: ModelRef
    files: tuple[Path, ...]
    adapter: Path | None
    digest: str
    architecture: str
    types: frozenset[str]


def find_weights(ref: ModelRef) -> Weights:
    """Find and check the files of a GGUF model.

    Raises:
        ModelError: one is missing, broken, big-endian or no model.
    """
    named = Path(ref.name).expanduser()
    files = _parts(named, _checked(named).whole("split.count") or 1)
    headers = [_checked(file) for file in files]
    first, header = files[0], headers[0]
    architecture = header.text("general.architecture")
    if architecture is None or header.text("general.type") == "adapter":
        raise ModelError(
            f"{first} is no model: {'it is an adapter' if architecture else 'it names no architecture'}.",
            "An adapter is named behind the model: gguf:model.gguf#adapter.gguf.",
        )
    if not any(part.tensors for part in headers):
        raise ModelError(f"{first} holds a vocabulary and no tensors.", "Name the file that has the weights.")
    adapter = _adapter(Path(ref.part).expanduser(), architecture) if ref.part else None
    name = digest_files(first.parent, [file.name for file in files])
    return Weights(
        replace(ref, name=str(first), part=str(adapter) if adapter else None),
        files,
        adapter,
        digest((name, digest_file(adapter))) if adapter else name,
        architecture,
        frozenset(tensor.type.name for part in headers for tensor in part.tensors if len(tensor.shape) > 1),
    )


def _checked(file: Path) -> GgufHeader:
    if not file.is_file():
        raise ModelError(f"There is no file at {file}.", "Check the path.")
    header = check_gguf(file)
    if header.big_endian:
        raise ModelError(f"{file} is big-endian: llama.cpp does not run it here.", "Convert it again on this machine.")
    return header


def _parts(first: Path, count: int) -> tuple[Path, ...]:
    """All files of a split model, the first to the last."""
    if count <= 1:
        return (first,)
    found = _PART.search(first.name)
    if not found or int(found[2]) != count:
        raise ModelError(
            f"{first} says it is one of {count} files, which its name does not.",
            f"Name them MODEL-00001-of-{count:05d}.gguf and so on, in one folder.",
        )
    stem = first.name[: found.start()]
    return tuple(first.with_name(f"{stem}-{number:05d}-of-{count:05d}.gguf") for number in range(1, count + 1))


def _adapter(file: Path, architecture: str) -> Path:
    header = _checked(file)
    if header.text("general.type") != "adapter" or header.text("adapter.type") != "lora":
        raise ModelError(f"{file} is no LoRA adapter in GGUF.", "Convert the adapter, or merge it into the model.")
    if header.text("general.architecture") != architecture:
        raise ModelError(
            f"{file} adapts {header.text('general.architecture')} models, not {architecture}.", "Use its own base."
        )
    return file
