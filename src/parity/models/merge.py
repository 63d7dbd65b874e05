"""A LoRA adapter merged into its base model, file by file: at no time is more than one tensor of the base in memory.

Knows PEFT's adapter files: rank and alpha patterns, rsLoRA, DoRA, embeddings, whole modules that were trained beside.
The one file of this room that multiplies matrices. What it cannot merge exactly it refuses.
"""

import math
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor

from parity.errors import ModelError, listed
from parity.files import disk_error, read_object
from parity.models.safetensors import TensorEntry, check_safetensors

_PREFIX = "base_model.model."
_LORA = re.compile(r"(?P<module>.+)\.lora_(?P<part>A|B|embedding_A|embedding_B|magnitude_vector)(\.weight)?$")
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Merged:
    """What a merge did: how many tensors of the base changed, of how many; and where the result is."""

    folder: Path
    changed: int
    tensors: int


@dataclass(frozen=True, slots=True)
class AdapterConfig:
    """What `adapter_config.json` says of the strength of every module's update."""

    rank: int
    alpha: float
    rank_pattern: Mapping[str, int]
    alpha_pattern: Mapping[str, float]
    rank_stabilized: bool
    transposed: bool

    def scale(self, module: str) -> float:
        """What B @ A is multiplied by: alpha / r, or alpha / sqrt(r) (rsLoRA, arXiv 2312.03732)."""
        rank = _of_pattern(self.rank_pattern, module, self.rank)
        alpha = _of_pattern(self.alpha_pattern, module, self.alpha)
        return float(alpha) / (math.sqrt(rank) if self.rank_stabilized else rank)


def merge_adapter(base: Path, adapter: Path, folder: Path, on_progress: Progress | None = None) -> Merged:
    """Write `base` with `adapter` merged to `folder`, in the base's own number type; nothing is written on an error.

    W + scale * B @ A is computed in fp32 and rounded once. DoRA (arXiv 2402.09353): rows rescaled to the magnitudes.

    Raises:
        ModelError: a file is missing or broken, the adapter is not for this base, or cannot be merged exactly.
        StoreError: the disk is full, or `folder` cannot be written.
    """
    if folder.exists() and any(folder.iterdir()):
        raise ModelError(f"{folder} is not empty.", "Name a new folder for the merged model.")
    config = _config(adapter)
    _refuse_quantized(base)
    updates = _updates(adapter)
    shards = {path: check_safetensors(path) for path in sorted(base.glob("*.safetensors"))}
    _check_match(base, updates, shards)
    total = sum(map(len, shards.values()))
    folder.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        _copy_rest(base, scratch)
        done = changed = 0
        for path, entries in shards.items():
            for count in _merge_file(path, scratch / path.name, entries, updates, config):
                done, changed = done + 1, changed + count
                if on_progress:
                    on_progress("merging", done, total)
        if folder.exists():
            folder.rmdir()
        scratch.chmod(0o755)
        scratch.rename(folder)
    except OSError as error:
        raise disk_error(error, folder) from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return Merged(folder, changed, total)


@dataclass(frozen=True, slots=True)
class _Update:
    """Where in the adapter's file the parts of one tensor's update are, by part: A, B, magnitude_vector, or whole."""

    file: Path
    parts: Mapping[str, str]


def _merge_file(
    source: Path, target: Path, entries: list[TensorEntry], updates: Mapping[str, _Update], config: AdapterConfig
) -> Iterator[int]:
    """Copy one weight file and overwrite the tensors that change; yields 1 or 0 for every tensor."""
    shutil.copyfile(source, target)
    with source.open("rb") as stream:
        start = 8 + int.from_bytes(stream.read(8), "little")
    with target.open("r+b") as stream:
        for entry in entries:
            update = updates.get(entry.name)
            if update is not None:
                with safe_open(source, framework="pt") as weights, safe_open(update.file, framework="pt") as parts:
                    tensor = weights.get_tensor(entry.name)
                    read = {part: parts.get_tensor(name) for part, name in update.parts.items()}
                found = _merged(entry.name, tensor, read, config)
                stream.seek(start + entry.begin)
                stream.write(_bytes(found))
                yield int(not torch.equal(found, tensor))
            else:
                yield 0
        stream.flush()
        os.fsync(stream.fileno())


def _merged(name: str, weight: Tensor, parts: Mapping[str, Tensor], config: AdapterConfig) -> Tensor:
    if "whole" in parts:
        return _fitting(name, weight, parts["whole"])
    scale = config.scale(name.removesuffix(".weight"))
    if "embedding_A" in parts:
        delta = (parts["embedding_B"].float() @ parts["embedding_A"].float()).T
    else:
        delta = parts["B"].float() @ parts["A"].float()
        delta = delta.T if config.transposed else delta
    found = weight.float() + scale * _fitting(name, weight, delta).float()
    if "magnitude_vector" in parts:
        norms = torch.linalg.norm(found, dim=1)
        found = (parts["magnitude_vector"].float().flatten() / norms)[:, None] * found
    if not bool(torch.isfinite(found).all()):
        raise ModelError(f"Merging {name} gives infinite values or NaN.", "The adapter is broken: train it again.")
    return found.to(weight.dtype)


def _fitting(name: str, weight: Tensor, other: Tensor) -> Tensor:
    if other.shape != weight.shape:
        raise ModelError(
            f"The adapter's {name} has shape {list(other.shape)}, the base's {list(weight.shape)}.",
            "The adapter was made for another base, or for a vocabulary that was extended: resize the base first.",
        )
    return other.to(weight.dtype) if other.dtype != torch.float32 else other


def _bytes(tensor: Tensor) -> bytes:
    return tensor.contiguous().view(torch.uint8).numpy().tobytes()


def _config(adapter: Path) -> AdapterConfig:
    path = adapter / "adapter_config.json"
    found = read_object(path, "adapter configuration", ModelError, "Save it again.")
    problems = []
    if found.get("peft_type") != "LORA":
        problems.append(f"it is {found.get('peft_type')!r}; only LoRA adapters can be merged")
    if found.get("target_parameters"):
        problems.append("it trains single parameters of fused experts (target_parameters), which files keep apart")
    if found.get("layer_replication") or found.get("trainable_token_indices"):
        problems.append("it replicates layers or trains single tokens")
    if not isinstance(found.get("r"), int) or found["r"] < 1 or not isinstance(found.get("lora_alpha"), int | float):
        problems.append("r or lora_alpha is missing")
    if problems:
        raise ModelError(f"{path} cannot be merged:\n{listed(problems)}", "Merge it with PEFT's merge_and_unload.")
    return AdapterConfig(
        found["r"],
        found["lora_alpha"],
        found.get("rank_pattern") or {},
        found.get("alpha_pattern") or {},
        bool(found.get("use_rslora")),
        bool(found.get("fan_in_fan_out")),
    )


def _refuse_quantized(base: Path) -> None:
    config = read_object(base / "config.json", "model configuration", ModelError, "Save it again.")
    if "quantization_config" in config:
        raise ModelError(
            f"{base} is quantized; merging into it would round every weight again.",
            "Merge into the unquantized base the adapter was trained on, and quantize the result.",
        )


def _updates(adapter: Path) -> dict[str, _Update]:
    """Every update of the adapter's file, by the name of the base's tensor."""
    path = adapter / "adapter_model.safetensors"
    if not path.is_file():
        pickled = (
            " Its weights are pickled (.bin): save it again as safetensors." if list(adapter.glob("*.bin")) else ""
        )
        raise ModelError(f"{adapter} holds no adapter_model.safetensors.{pickled}", "Check the path of the adapter.")
    parts: dict[str, dict[str, str]] = {}
    for entry in check_safetensors(path):
        name = entry.name.removeprefix(_PREFIX)
        match = _LORA.match(name)
        if ".base_layer." in name:
            continue  # the base's own weight, which PEFT saves along with an adapted embedding
        target, part = (f"{match['module']}.weight", match["part"]) if match else (name, "whole")
        parts.setdefault(target, {})[part] = entry.name
    halves = [name for name, found in parts.items() if ("A" in found) != ("B" in found)]
    if halves:
        raise ModelError(f"{path} has only half of the update of {halves[0]}.", "Save the adapter again.")
    return {name: _Update(path, found) for name, found in parts.items()}


def _check_match(base: Path, updates: Mapping[str, _Update], shards: Mapping[Path, list[TensorEntry]]) -> None:
    known = {entry.name for entries in shards.values() for entry in entries}
    if not known:
        raise ModelError(f"{base} holds no safetensors weights.", "Check the path of the base model.")
    missing = sorted(updates.keys() - known)
    if missing:
        raise ModelError(
            f"The adapter changes {len(missing)} tensors that {base} does not have, among them {missing[0]}.",
            "It was made for another base; or it trains an output layer that this base shares with its embeddings.",
        )


def _copy_rest(base: Path, folder: Path) -> None:
    """Everything but weights and code, as it is."""
    for path in base.iterdir():
        if path.is_file() and path.suffix in (".json", ".txt", ".model", ".jinja", ".md", ".tiktoken"):
            shutil.copyfile(path, folder / path.name)


def _of_pattern(pattern: Mapping[str, float], module: str, otherwise: float) -> float:
    """The value of the first key that the module's name ends with, as PEFT matches it."""
    for key, value in pattern.items():
        if re.fullmatch(rf"(.*\.)?({key})", module):
            return value
    return otherwise
