"""From a ModelRef to a folder on this machine that is safe to load: the files are there, whole, and are data.

Knows the layout of a transformers folder. Does not load weights, and never runs code that came with them.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from parity.core.refs import ModelRef, Scheme
from parity.errors import ModelError
from parity.files import digest_files, read_object
from parity.models.cache import snapshot
from parity.models.model_files import inside, shard_names
from parity.models.safetensors import check_safetensors

_READ = (".json", ".safetensors", ".model", ".txt", ".jinja", ".tiktoken")


@dataclass(frozen=True, slots=True)
class LocalModel:
    """A transformers folder that passed the checks. `digest` covers every file that can change an answer.

    `ref` names it to the last: a hub model at the commit that was found.
    """

    ref: ModelRef
    folder: Path
    digest: str
    architecture: str
    context_tokens: int | None


def locate(ref: ModelRef) -> LocalModel:
    """Find and check the folder of a model.

    A hub model is its pulled copy; nothing is fetched here.

    Raises:
        ModelError: the folder is missing (a hub model: not pulled), incomplete, truncated, holds pickled weights
            only, or asks to run code.
    """
    ref, folder = snapshot(ref) if ref.scheme is Scheme.HUB else (ref, Path(ref.name).expanduser())
    if not folder.is_dir():
        hint = f" If you meant the hub, write hf:{ref.name}." if ref.name.count("/") == 1 else ""
        raise ModelError(f"There is no model folder at {folder}.", "Check the path." + hint)
    config = _config(folder)
    _refuse_code(folder, config)
    shards = _shards(folder)
    for shard in shards:
        check_safetensors(folder / shard)
    names = [p.name for p in folder.iterdir() if p.is_file() and p.suffix in _READ and not p.name.startswith(".")]
    architectures = config.get("architectures") or ["unknown"]
    return LocalModel(ref, folder, digest_files(folder, names), str(architectures[0]), _context(config))


def _config(folder: Path) -> dict[str, Any]:
    return read_object(folder / "config.json", "model configuration", ModelError, "Download the model again.")


def _refuse_code(folder: Path, config: dict[str, Any]) -> None:
    for key in code_keys(config):
        raise ModelError(
            f"{folder / 'config.json'} asks to run its own code ({key!r}).",
            "Parity does not run code that comes with weights. Use a version that transformers supports.",
        )


def code_keys(config: dict[str, Any]) -> list[str]:
    """Keys by which a configuration asks to run code that comes with it, at any depth; empty for a safe one."""
    found = [key for key in ("auto_map", "trust_remote_code", "_attn_implementation_internal") if config.get(key)]
    for inner in config.values():
        if isinstance(inner, dict):
            found += [key for key in code_keys(inner) if key not in found]
    return found


def _shards(folder: Path) -> list[str]:
    index = folder / "model.safetensors.index.json"
    if index.exists():
        content = read_object(index, "shard index", ModelError, "Download the model again.")
        shards = list(shard_names(content, str(index)))
        missing = [name for name in shards if not inside(folder, name).is_file()]
        if missing:
            raise ModelError(
                f"{folder} lacks {len(missing)} of {len(shards)} weight files: {', '.join(missing[:5])}.",
                "Finish the download.",
            )
        return shards
    if inside(folder, "model.safetensors").is_file():
        return ["model.safetensors"]
    pickled = [p.name for p in folder.iterdir() if p.suffix in (".bin", ".pt", ".pth", ".ckpt")]
    if pickled:
        raise ModelError(
            f"{folder} holds only pickled weights ({pickled[0]}), which can run code when opened.",
            "Use the safetensors version of this model.",
        )
    raise ModelError(f"{folder} holds no weights (model.safetensors).", "Check that the download is complete.")


def _context(config: dict[str, Any]) -> int | None:
    inner = config.get("text_config", config)
    for key in ("max_position_embeddings", "n_positions", "n_ctx", "max_seq_len", "seq_length"):
        if isinstance(inner.get(key), int):
            return int(inner[key])
    return None
