"""The files of one model wherever they lie, seen without loading any: a folder here, or a repository on the hub."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from parity.core.digests import Plain
from parity.errors import ModelError
from parity.models.byte_sources import ByteSource, LocalBytes

INDEX, SINGLE = "model.safetensors.index.json", "model.safetensors"
# A tokenizer has some MB, an index of 90,000 tensors ten.
MAX_TEXT_BYTES = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class FileEntry:
    """One file of the top folder."""

    name: str
    size_bytes: int


class ModelFiles(Protocol):
    """A listing, and any of its files as bytes. `revision` is the commit, where there is one."""

    @property
    def where(self) -> str: ...

    @property
    def revision(self) -> str | None: ...

    def listing(self) -> tuple[FileEntry, ...]: ...

    def open(self, name: str) -> ByteSource: ...


@dataclass(frozen=True, slots=True)
class LocalFolder:
    """A folder on this machine."""

    folder: Path
    revision: str | None = None

    @property
    def where(self) -> str:
        return str(self.folder)

    def listing(self) -> tuple[FileEntry, ...]:
        found = (path for path in self.folder.iterdir() if path.is_file() and not path.name.startswith("."))
        return tuple(FileEntry(path.name, path.stat().st_size) for path in sorted(found))

    def open(self, name: str) -> ByteSource:
        return LocalBytes(inside(self.folder, name))


def inside(folder: Path, name: str) -> Path:
    """The path of a file that a foreign text names, if it lies in the folder itself.

    A link out of the folder is refused, except into `blobs`, where the hub's cache keeps what a snapshot links to.

    Raises:
        ModelError: the name is no plain file name, or leads out of the folder.
    """
    if name in ("", ".", "..") or any(sign in name for sign in "/\\\0:"):
        raise ModelError(
            f"{folder} names the file {name[:80]!r}, which is no plain file name.", "Do not use this model."
        )
    path, home = folder / name, folder.resolve()
    blobs = home.parent.parent / "blobs" if home.parent.name == "snapshots" else home
    parent = path.resolve().parent
    if parent not in (home, blobs) and not (blobs != home and parent.is_relative_to(blobs)):
        raise ModelError(f"{path} is a link that leads out of the model's folder.", "Do not use this model.")
    return path


def read_small(files: ModelFiles, name: str, limit_bytes: int = MAX_TEXT_BYTES) -> str:
    """A text file, whole.

    Raises:
        ModelError: it is larger than `limit_bytes`, or no UTF-8.
    """
    source = files.open(name)
    if source.size > limit_bytes:
        raise ModelError(f"{source.name} has {source.size} bytes, more than the {limit_bytes} allowed.", "Check it.")
    try:
        return source.read(0, source.size).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ModelError(f"{source.name} is not UTF-8 text (byte {error.start}).", "Download it again.") from error


def read_json(files: ModelFiles, name: str) -> Mapping[str, Plain]:
    """A JSON object in a file.

    Raises:
        ModelError: it is larger than allowed, or holds no JSON object.
    """
    try:
        found = json.loads(read_small(files, name))
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{files.where}: {name} is not JSON ({error}).", "Download the model again.") from error
    if not isinstance(found, dict):
        raise ModelError(f"{files.where}: {name} does not hold a JSON object.", "Download the model again.")
    return found


def weight_names(files: ModelFiles) -> tuple[str, ...]:
    """The safetensors files that hold the model, whether they are there or not; empty if it names none.

    Raises:
        ModelError: the shard index is malformed or names anything but plain safetensors files of this folder.
    """
    names = {entry.name for entry in files.listing()}
    if INDEX in names:
        return shard_names(read_json(files, INDEX), f"{files.where}/{INDEX}")
    return (SINGLE,) if SINGLE in names else ()


def shard_names(index: Mapping[str, Plain], where: str) -> tuple[str, ...]:
    """The files a shard index names, sorted.

    Raises:
        ModelError: it has no `weight_map`, or names anything but plain safetensors files.
    """
    shards = index.get("weight_map")
    if not isinstance(shards, Mapping) or not shards:
        raise ModelError(f"{where} is not a shard index (no weight_map).", "Download the model again.")
    for name in shards.values():
        if not isinstance(name, str) or not name.endswith(".safetensors") or any(sign in name for sign in "/\\\0:"):
            raise ModelError(
                f"{where} names {str(name)[:80]!r}, which is no plain safetensors file of the same folder.",
                "Do not use this model.",
            )
    return tuple(sorted({str(name) for name in shards.values()}))
