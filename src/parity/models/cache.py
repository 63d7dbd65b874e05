"""The hub's cache on this machine: where a repository's commits lie, in the layout all Hugging Face tools share.

    <cache>/models--org--name/refs/<branch or tag>     holds a commit
    <cache>/models--org--name/snapshots/<commit>/...   links into blobs/, which are named by their digest

Reads HF_HUB_CACHE, HF_HOME and XDG_CACHE_HOME when asked, and never the network.
"""

import hashlib
import os
import re
from collections.abc import Callable
from pathlib import Path

from parity.core.refs import ModelRef, Scheme
from parity.errors import ModelError

COMMIT = re.compile(r"[0-9a-f]{40}")
_SHORT = re.compile(r"[0-9a-f]{7,39}")
_BLOCK_BYTES = 1 << 20


def cache_folder() -> Path:
    """Where hub downloads are kept."""
    if named := os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE"):
        return Path(named).expanduser()
    if home := os.environ.get("HF_HOME"):
        return Path(home).expanduser() / "hub"
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "huggingface" / "hub"


def repository_folder(name: str) -> Path:
    """The folder of `org/name` in the cache, there or not."""
    return cache_folder() / ("models--" + name.replace("/", "--"))


def pinned(ref: ModelRef, commit: str) -> ModelRef:
    """The same repository at one commit."""
    return ModelRef(Scheme.HUB, ref.name, commit)


def snapshot(ref: ModelRef) -> tuple[ModelRef, Path]:
    """The pulled copy of a hub model: its name pinned to the commit, and its folder.

    A revision is a commit, the beginning of one, or a branch or tag as it was when it was pulled; without one it is the
    commit pulled last.

    Raises:
        ModelError: there is no such copy.
    """
    root = repository_folder(ref.name)
    folders = root / "snapshots"
    commits = [entry for entry in folders.iterdir() if COMMIT.fullmatch(entry.name)] if folders.is_dir() else []
    commit = _resolve(root, commits, ref.revision)
    if commit is None:
        others = ", ".join(sorted(entry.name[:12] for entry in commits))
        raise ModelError(
            f"{ref} has not been pulled to {cache_folder()}" + (f" (pulled: {others})." if others else "."),
            f"Fetch it first: parity pull {ref}",
        )
    return pinned(ref, commit), folders / commit


def _resolve(root: Path, commits: list[Path], revision: str | None) -> str | None:
    names = [entry.name for entry in commits]
    if revision is None:
        return max(commits, key=lambda entry: entry.stat().st_mtime_ns).name if commits else None
    if revision in names:
        return revision
    refs = (root / "refs").resolve()
    named = (refs / revision).resolve()
    if named.is_relative_to(refs) and named.is_file():
        commit = named.read_text(encoding="utf-8").strip()
        return commit if commit in names else None
    found = [name for name in names if name.startswith(revision)] if _SHORT.fullmatch(revision) else []
    return found[0] if len(found) == 1 else None


def content_digest(path: Path, kind: str, on_block: Callable[[], None] | None = None) -> str:
    """Hex digest of a file as the hub lists it: `kind` "sha256" for large files, "git" for a git blob's SHA-1."""
    digest = hashlib.sha256() if kind == "sha256" else hashlib.sha1(usedforsecurity=False)
    if kind == "git":
        digest.update(f"blob {path.stat().st_size}\0".encode())
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK_BYTES):
            digest.update(block)
            if on_block:
                on_block()
    return digest.hexdigest()


def altered(folder: Path) -> list[str]:
    """Names of a snapshot's files whose bytes are not those their blob is named by; unlinked copies are not judged."""
    changed = []
    for path in sorted(folder.iterdir()):
        if not path.is_symlink():
            continue
        # Not resolve(): a blob may itself be a link into a store that names its files otherwise.
        blob = Path(os.readlink(path)).name
        kind = {64: "sha256", 40: "git"}.get(len(blob))
        if not path.is_file() or (kind and content_digest(path, kind) != blob):
            changed.append(path.name)
    return changed
