"""Ten ways in which a GGUF file is made wrong, each planted in a tiny model: what a check must find and name.

Knows how the mistake is made (in the folder that is converted, or in the file's head) and what it is called; not how it
is found.
"""

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from parity.core.checked import Aspect, HopName
from parity.core.refs import ModelRef, Scheme
from parity.errors import UsageError, did_you_mean
from parity.models.ggml_types import BY_NAME
from parity.quantization.gguf_source import open_gguf
from parity.quantization.layout import entries, lay_out
from parity.quantization.quantize import QuantizeSpec, quantize
from parity.quantization.writing import Importance, finish, write

if TYPE_CHECKING:
    from torch import Tensor

_LOST_TOKENS = 64


@dataclass(frozen=True, slots=True)
class Planted:
    """A folder, a file that was made from it wrongly, and where that is lost; with the adapter that is not in it."""

    base: Path
    file: Path
    hop: HopName
    aspect: Aspect
    adapter: Path | None = None


@dataclass(frozen=True, slots=True)
class _Fault:
    """Made in a model of `family`, in a file of type `to`, by `plant` from (folder, file, scratch)."""

    family: str
    to: str
    aspect: Aspect
    plant: Callable[[Path, Path, Path, str], None]


def plant(name: str, folder_of: Callable[[str], Path], scratch: Path) -> Planted:
    """Plant a fault of FAULTS, in files under `scratch`; `folder_of` gives the faithful folder of a family.

    Folders have rows of 256 and, in attention of "codellama", biases that are not zero.

    Raises:
        UsageError: no fault of that name.
    """
    if name not in FAULTS:
        raise UsageError(f"Unknown fault {name!r}.", did_you_mean(name, list(FAULTS)))
    fault = FAULTS[name]
    scratch.mkdir(parents=True, exist_ok=True)
    base, file = folder_of(fault.family), scratch / "wrong.gguf"
    fault.plant(base, file, scratch / "wrong", fault.to)
    adapter = random_adapter(base, scratch / "adapter") if name == "stale adapter" else None
    return Planted(base, file, "gguf", fault.aspect, adapter)


def altered_folder(
    folder: Path, target: Path, change: "Callable[[dict[str, Tensor]], None] | None" = None, **config: object
) -> Path:
    """A copy of a folder with other tensors or another configuration."""
    from safetensors.torch import load_file, save_file

    shutil.copytree(folder, target)
    if change is not None:
        held = load_file(target / "model.safetensors")
        change(held)
        save_file({name: value.contiguous() for name, value in held.items()}, target / "model.safetensors")
    if config:
        found = json.loads((target / "config.json").read_text())
        (target / "config.json").write_text(json.dumps({**found, **config}))
    return target


def edited_head(file: Path, target: Path, drop: tuple[str, ...] = (), add: tuple[tuple[str, object], ...] = ()) -> Path:
    """A GGUF file with some entries of its head left out, or added by methods of the `gguf` writer."""
    model = open_gguf(file)

    def fill(writer: Any) -> None:
        for method, value in add:
            getattr(writer, method)(value)

    metadata = {key: value for key, value in model.metadata.items() if key not in drop}
    added = entries("llama", fill) if add else {}
    metadata |= {key: value for key, value in added.items() if key != "general.architecture"}
    layout = lay_out(metadata, [(tensor, BY_NAME[tensor.type]) for tensor in model.tensors])
    write(layout, target, "edited", Importance({}), 1, lambda _: None)
    if not target.exists():
        finish(target)
    return target


def random_adapter(base: Path, target: Path) -> Path:
    """A LoRA adapter that moves every query and value weight."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(1)
    config = LoraConfig(r=4, target_modules=["q_proj", "v_proj"], init_lora_weights=False)
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(base, local_files_only=True), config)
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            weight.data *= 0.3
    model.save_pretrained(str(target))
    return target


def _converted(folder: Path, file: Path, to: str) -> None:
    quantize(QuantizeSpec(ModelRef(Scheme.FOLDER, str(folder)), to, file))


def _of_tensors(change: "Callable[[dict[str, Tensor]], None]", **config: object) -> Callable[..., None]:
    return lambda base, file, wrong, to: _converted(altered_folder(base, wrong, change, **config), file, to)


def _of_config(**config: object) -> Callable[..., None]:
    return lambda base, file, wrong, to: _converted(altered_folder(base, wrong, None, **config), file, to)


def _of_head(drop: tuple[str, ...], add: tuple[tuple[str, object], ...] = ()) -> Callable[..., None]:
    def plant(base: Path, file: Path, wrong: Path, to: str) -> None:
        right = wrong.with_suffix(".right.gguf")
        _converted(base, right, to)
        edited_head(right, file, drop, add)

    return plant


def _interleave(held: "dict[str, Tensor]") -> None:
    """Rows of the queries in rotary order already, so that they are permuted twice."""
    for name in [name for name in held if name.endswith("q_proj.weight")]:
        rows, columns = held[name].shape
        held[name] = held[name].reshape(-1, 2, rows // 8, columns).swapaxes(1, 2).flatten(0, 2)


def _lose_biases(held: "dict[str, Tensor]") -> None:
    for name in [name for name in held if name.endswith(".bias")]:
        del held[name]


def _swap_experts(held: "dict[str, Tensor]") -> None:
    for name in [name for name in held if ".experts.0." in name]:
        other = name.replace(".experts.0.", ".experts.1.")
        held[name], held[other] = held[other], held[name]


def _wrong_rope(base: Path, file: Path, wrong: Path, to: str) -> None:
    config = json.loads((base / "config.json").read_text())
    rope = {**config.get("rope_parameters", {"rope_type": "default"}), "rope_theta": 123456.0}
    _converted(altered_folder(base, wrong, None, rope_parameters=rope, rope_theta=123456.0), file, to)


def _wrong_template(base: Path, file: Path, wrong: Path, to: str) -> None:
    altered_folder(base, wrong)
    (wrong / "chat_template.jinja").write_text("{{ messages[0].content }}")
    _converted(wrong, file, to)


def _truncated(base: Path, file: Path, wrong: Path, to: str) -> None:
    left = json.loads((base / "config.json").read_text())["vocab_size"] - _LOST_TOKENS

    def cut(held: "dict[str, Tensor]") -> None:
        for name in [name for name in held if "embed_tokens" in name or "lm_head" in name]:
            held[name] = held[name][:left]

    altered_folder(base, wrong, cut, vocab_size=left)
    tokenizer = json.loads((wrong / "tokenizer.json").read_text())
    model = tokenizer["model"]
    gone = {token for token, at in model["vocab"].items() if at >= left}
    model["vocab"] = {token: at for token, at in model["vocab"].items() if token not in gone}
    merges = [pair if isinstance(pair, list) else pair.split() for pair in model["merges"]]
    model["merges"] = [pair for pair in merges if not {*pair, "".join(pair)} & gone]
    tokenizer["added_tokens"] = [token for token in tokenizer["added_tokens"] if token["id"] < left]
    (wrong / "tokenizer.json").write_text(json.dumps(tokenizer))
    _converted(wrong, file, to)


FAULTS: Mapping[str, _Fault] = {
    "wrong permutation": _Fault("llama-2", "Q8_0", "tensors", _of_tensors(_interleave)),
    "lost bias": _Fault("codellama", "F32", "tensors", _of_tensors(_lose_biases, attention_bias=False)),
    "swapped experts": _Fault("mixtral", "Q8_0", "tensors", _of_tensors(_swap_experts)),
    "wrong rope base": _Fault("llama-2", "F32", "configuration", _wrong_rope),
    "wrong epsilon": _Fault("llama-2", "Q4_K_M", "configuration", _of_config(rms_norm_eps=0.01)),
    "missing EOS": _Fault("llama-2", "F32", "tokenizer", _of_head(("tokenizer.ggml.eos_token_id",))),
    "doubled BOS": _Fault(
        "llama-2", "F32", "tokenizer", _of_head(("tokenizer.ggml.add_bos_token",), (("add_add_bos_token", True),))
    ),
    "truncated vocabulary": _Fault("qwen3", "F32", "tokenizer", _truncated),
    "wrong template": _Fault("llama-2", "Q8_0", "template", _wrong_template),
    # The file is made from the base alone.
    "stale adapter": _Fault("qwen2", "Q4_K_M", "tensors", lambda base, file, wrong, to: _converted(base, file, to)),
}
