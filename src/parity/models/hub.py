"""`pull`: a model from the hub to this machine, pinned to one commit, every file checked against the hub's own listing.

Takes the files Parity reads and no others: configuration, tokenizer, template, safetensors, licence. Refuses pickled
weights, and configurations that ask to run code, before any weights are fetched. Runs nothing that came from the hub.
"""

import os
import re
import shutil
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from parity.core.refs import ModelRef, Scheme
from parity.errors import ModelError, UsageError
from parity.files import disk_error, locked, read_object
from parity.files.egress import forbidden
from parity.models.cache import COMMIT, altered, pinned, repository_folder, snapshot
from parity.models.model_files import shard_names
from parity.models.safetensors import check_safetensors
from parity.models.sources import code_keys, locate
from parity.models.transfer import HubEntry, Patience, Progress, Transfer, library_missing

INDEX, SINGLE = "model.safetensors.index.json", "model.safetensors"
_SMALL = re.compile(
    r"(config|generation_config|tokenizer|tokenizer_config|special_tokens_map|added_tokens|vocab|chat_template"
    r"|preprocessor_config)\.json|tokenizer\.model|spiece\.model|merges\.txt|vocab\.txt|chat_template\.jinja"
    r"|[\w.-]+\.tiktoken|(README|readme)\.md|(LICEN[CS]E|NOTICE|USE_POLICY)[\w.-]*"
)
_DIGEST = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".pkl")


@dataclass(frozen=True, slots=True)
class Pulled:
    """A model on this machine. `code` are the keys by which its configuration asks to run code; Parity never does.

    `fetched_bytes` is the size of the files that had to come; `retries` counts failed attempts and stalls.
    """

    ref: ModelRef
    folder: Path
    files: tuple[HubEntry, ...]
    fetched_bytes: int
    retries: int
    gated: bool
    code: tuple[str, ...]
    offline: bool = False


def pull(
    ref: ModelRef, trust: bool = False, patience: Patience | None = None, on_progress: Progress | None = None
) -> Pulled:
    """Fetch a hub model, or check the copy that is here when the hub is out of bounds. Goes on where it was stopped.

    Raises:
        UsageError: `ref` is no hub model.
        ModelError: it does not exist, may not be fetched, holds no safetensors, asks to run code (unless `trust`), came
            with other bytes than listed, or the connection failed too often.
        StoreError: the cache cannot be written.
    """
    if ref.scheme is not Scheme.HUB:
        raise UsageError(f"{ref} is not a hub model.", "Write parity pull hf:org/name@revision.")
    if forbidden() or os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
        return _already_here(ref, trust)
    if find_spec("huggingface_hub") is None:
        raise library_missing()
    transfer = Transfer(ref, patience or Patience(), on_progress)
    try:
        with locked(repository_folder(ref.name).parent / ".locks" / "parity" / f"{ref.name.replace('/', '--')}.lock"):
            return _pull(ref, trust, transfer)
    except OSError as error:
        raise disk_error(error, repository_folder(ref.name)) from error
    finally:
        transfer.close()


def _pull(ref: ModelRef, trust: bool, transfer: "Transfer") -> Pulled:
    listing = transfer.answer({"do": "list", "name": ref.name, "revision": ref.revision}, "the list of its files")
    commit = str(listing["commit"])
    if not COMMIT.fullmatch(commit):
        raise ModelError(f"The hub names no commit for {ref} ({commit!r}).", "Check HF_ENDPOINT.")
    entries = {entry.name: entry for entry in map(_entry, listing["files"]) if entry is not None}
    _check_listing(ref, entries)
    folder = repository_folder(ref.name) / "snapshots" / commit
    transfer.commit = commit
    transfer.fetch([entries["config.json"]])
    code = code_keys(_object(folder / "config.json"))
    if code and not trust:
        raise ModelError(
            f"The configuration of {ref} asks to run its own code ({', '.join(code)}); its weights were not fetched.",
            "Use a version that transformers supports by itself. --trust fetches it, and still runs nothing.",
        )
    chosen = [entry for name, entry in sorted(entries.items()) if _SMALL.fullmatch(name)]
    if INDEX in entries:
        transfer.fetch([entries[INDEX]])
        chosen += [entries[INDEX], *_shards(ref, folder / INDEX, entries)]
    else:
        chosen.append(entries[SINGLE])
    _check_room(folder, sum(entry.size_bytes for entry in chosen), transfer)
    transfer.fetch(chosen)
    _remember(ref, commit)
    _check_whole(pinned(ref, commit), folder, chosen, code)
    return Pulled(
        pinned(ref, commit),
        folder,
        tuple(chosen),
        sum(entry.size_bytes for entry in chosen if entry.name in transfer.fetched),
        transfer.retries,
        bool(listing["gated"]),
        tuple(code),
    )


def _entry(raw: dict[str, Any]) -> HubEntry | None:
    """A listed file of the top folder; nothing where its size or digest is missing or malformed."""
    name, size, digest = raw["name"], raw["size_bytes"], raw["digest"]
    if "/" in name or "\\" in name or name.startswith("."):
        return None
    if not isinstance(size, int) or size < 0 or not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
        return None
    return HubEntry(name, size, str(raw["kind"]), digest)


def _check_listing(ref: ModelRef, entries: dict[str, HubEntry]) -> None:
    """Refuse what could not be used, before anything is fetched."""
    if INDEX not in entries and SINGLE not in entries:
        if pickled := sorted(name for name in entries if name.endswith(_PICKLED)):
            raise ModelError(
                f"{ref} holds only pickled weights ({pickled[0]}), which can run code. Nothing was fetched.",
                "Use a repository, or a revision (often refs/pr/...), that has model.safetensors.",
            )
        other = sorted(name for name in entries if name.endswith((".gguf", ".safetensors")))
        found = f"; it has {', '.join(other[:3])}" if other else ""
        raise ModelError(
            f"{ref} holds no {SINGLE} or {INDEX}{found}. Nothing was fetched.",
            "Use a repository with the weights in the layout of transformers.",
        )
    if "config.json" not in entries:
        raise ModelError(f"{ref} has no config.json. Nothing was fetched.", "Use a repository of a transformers model.")


def _object(path: Path) -> dict[str, Any]:
    return read_object(path, "file of the repository", ModelError, "Tell the owner of the repository.")


def _shards(ref: ModelRef, index: Path, entries: dict[str, HubEntry]) -> list[HubEntry]:
    names = shard_names(_object(index), f"The shard index of {ref}")
    missing = [name for name in names if name not in entries]
    if missing or not names:
        raise ModelError(f"The shard index of {ref} names weights it does not have: {missing[:3]}.", "Tell its owner.")
    return [entries[name] for name in names]


def _check_room(folder: Path, needed_bytes: int, transfer: Transfer) -> None:
    here = sum(blob.stat().st_size for blob in (folder.parent.parent / "blobs").iterdir() if blob.is_file())
    free = shutil.disk_usage(folder).free
    if needed_bytes - here > free:
        raise ModelError(
            f"It needs {(needed_bytes - here) / 1e9:.1f} GB and {folder} has {free / 1e9:.1f} GB free.",
            "Free some space, or point HF_HOME to another disk.",
        )


def _remember(ref: ModelRef, commit: str) -> None:
    """Keep what a branch or tag meant, and mark the commit as the one pulled last."""
    root = repository_folder(ref.name)
    revision = ref.revision or "main"
    if revision != commit:
        path = (root / "refs" / revision).resolve()
        if path.is_relative_to((root / "refs").resolve()):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(commit, encoding="utf-8")
    os.utime(root / "snapshots" / commit)


def _check_whole(ref: ModelRef, folder: Path, files: list[HubEntry], code: list[str]) -> None:
    """The same checks as any folder gets; a configuration that asks for code was let through by the user."""
    if not code:
        locate(ref)
        return
    for entry in files:
        if entry.name.endswith(".safetensors"):
            check_safetensors(folder / entry.name)


def _already_here(ref: ModelRef, trust: bool) -> Pulled:
    found, folder = snapshot(ref)
    if changed := altered(folder):
        raise ModelError(
            f"{len(changed)} files of {found} were altered or are missing: {', '.join(changed[:3])}.",
            "Pull it again with the hub in reach.",
        )
    code = code_keys(_object(folder / "config.json"))
    files = [_on_disk(path) for path in sorted(folder.iterdir()) if path.is_file()]
    _check_whole(found, folder, files, code if trust else [])
    return Pulled(found, folder, tuple(files), 0, 0, False, tuple(code), offline=True)


def _on_disk(path: Path) -> HubEntry:
    digest = Path(os.readlink(path)).name if path.is_symlink() else ""
    return HubEntry(path.name, path.stat().st_size, "sha256" if len(digest) == 64 else "git", digest)
