"""Where adapters go: every linear layer of the blocks, experts as asked; and a count of what they reached.

Names of modules differ by family and move between versions (fused experts, latent attention), so they are found by
looking at the model, and what PEFT made of them is checked afterwards: an adapter that silently misses the experts
trains .02 % of a mixture.
"""

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch

from parity.errors import ModelError

if TYPE_CHECKING:
    from peft import LoraConfig, PeftModel
    from transformers import PreTrainedModel

_STACKED = 3  # dimensions of a fused weight: experts, rows, columns
_REWARD_HEAD = "score"  # new in a reward model, and trained whole
_OLD_EXPERT_NAMES = ("gate", "w1", "w2", "w3", "gate_proj", "up_proj", "down_proj")


@dataclass(frozen=True, slots=True)
class Targets:
    """Full names of what can carry an adapter: linear layers of the blocks, and fused weights of experts."""

    linear: tuple[str, ...]
    experts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AdapterCount:
    """How many weights of one kind (the last name, such as q_proj) carry an adapter, of how many; all `parameters`."""

    kind: str
    adapted: int
    present: int
    parameters: int


def find_targets(model: "PreTrainedModel") -> Targets:
    """Every linear layer inside the blocks, without output layer, routers and gates of shared experts.

    Raises:
        ModelError: there is no linear layer to adapt.
    """
    head = model.get_output_embeddings()
    routers = _routers(model)
    linear = []
    for name, module in model.named_modules():
        if module is head or name in (*routers, _REWARD_HEAD) or not _is_linear(module):
            continue
        linear.append(name)
    experts = [name for name, weight in model.named_parameters() if weight.dim() == _STACKED and ".experts." in name]
    if not linear and not experts:
        raise ModelError("This model has no linear layer that an adapter could change.", 'Set weights = "full".')
    return Targets(tuple(linear), tuple(experts))


def lora_config(
    model: "PreTrainedModel", weights: str, rank: int, experts: Literal["train", "frozen"], task: str = "CAUSAL_LM"
) -> "LoraConfig":
    """PEFT's configuration for all linear layers, and for experts when they train.

    Raises:
        ModelError: the kind of adapter cannot do what is asked of this model.
    """
    from peft import LoraConfig

    targets = find_targets(model)
    fused = targets.experts if experts == "train" else ()
    modules, parameters = _split(targets)
    _check_form(weights, fused, tuple(parameters))
    return LoraConfig(
        task_type=task,
        r=rank,
        lora_alpha=rank,
        lora_dropout=0.0,
        bias="none",
        use_rslora=weights == "rslora",
        use_dora=weights == "dora",
        target_modules=modules,
        target_parameters=[*parameters, *fused] or None,
        modules_to_save=[_REWARD_HEAD] if task == "SEQ_CLS" else None,
    )


_NO_FORM = {
    "dora": "DoRA has no form for weights that carry their adapter as parameters",
    "qlora": "QLoRA has no form for weights that carry their adapter as parameters (only linear layers are packed)",
}


def _check_form(weights: str, fused: tuple[str, ...], parameters: tuple[str, ...]) -> None:
    """Refuse DoRA and QLoRA where a mixture's weights must be named as parameters, and name them."""
    if weights not in _NO_FORM or not (fused or parameters):
        return
    named = [*fused, *parameters]
    more = f" and {len(named) - 2} more" if len(named) > 2 else ""
    # Frozen experts help only where nothing else of the mixture must be named so.
    todo = "" if parameters else ', or experts = "frozen" to adapt the rest with it'
    raise ModelError(f"{_NO_FORM[weights]}: {', '.join(named[:2])}{more}.", f'Set weights = "lora"{todo}.')


def _split(targets: Targets) -> tuple[list[str], list[str]]:
    """Linear layers to name as modules, and those to name as parameters.

    In a mixture PEFT 0.21 reads modules called as experts once were (`down_proj`, `w1`, ...) as the experts, and loses
    dense and shared layers of that name (DeepSeek) or reaches experts that should stay frozen: as parameters they are
    taken at their word, also when the adapter is loaded again.
    """
    if not targets.experts:
        return sorted({name.rsplit(".", 1)[-1] for name in targets.linear}), []
    taken = [name for name in targets.linear if name.rsplit(".", 1)[-1] in _OLD_EXPERT_NAMES]
    return [name for name in targets.linear if name not in set(taken)], [f"{name}.weight" for name in taken]


def count_adapters(
    model: "PeftModel", targets: Targets, experts: Literal["train", "frozen"]
) -> tuple[AdapterCount, ...]:
    """What PEFT really adapted, by kind of weight, most parameters first.

    Raises:
        ModelError: a layer or the experts were missed, or experts that should stay frozen were reached.
    """
    adapted = _adapted(model)
    wanted = set(targets.linear) | (set(targets.experts) if experts == "train" else set())
    missed, unasked = sorted(wanted - adapted.keys()), sorted(adapted.keys() - wanted)
    if missed or unasked:
        which = f"missed {len(missed)} weights, among them {missed[0]}" if missed else f"also reached {unasked[0]}"
        raise ModelError(
            f"PEFT {which}: what would be trained is not what was asked.",
            "This model's layers need a newer Parity; report its architecture.",
        )
    present = Counter(map(_kind, (*targets.linear, *targets.experts)))
    kinds: Counter[str] = Counter()
    parameters: Counter[str] = Counter()
    for name, count in adapted.items():
        kinds[_kind(name)] += 1
        parameters[_kind(name)] += count
    rows = [AdapterCount(kind, kinds[kind], total, parameters[kind]) for kind, total in present.items()]
    return tuple(sorted(rows, key=lambda row: (-row.parameters, row.kind)))


def _kind(name: str) -> str:
    return ("experts." if ".experts." in name else "") + name.rsplit(".", 1)[-1]


def _adapted(model: "PeftModel") -> dict[str, int]:
    """Trainable adapter parameters of every weight that carries one, by the base's own name of it."""
    found: Counter[str] = Counter()
    for name, module in model.get_base_model().named_modules():
        layers = getattr(module, "lora_A", None)
        if layers is None or not len(layers):
            continue
        own = name.replace(".base_layer", "")
        parameter = getattr(module, "parameter_name", None)
        target = own if parameter in (None, "weight") else f"{own}.{parameter}"
        for part in ("lora_A", "lora_B", "lora_magnitude_vector"):
            for layer in getattr(module, part).values():
                found[target] += sum(weight.numel() for weight in layer.parameters() if weight.requires_grad)
    return dict(found)


def _routers(model: "PreTrainedModel") -> set[str]:
    """Names of what chooses or weighs experts: children of a mixture beside its experts whose output is that narrow."""
    found = set()
    for name, module in model.named_modules():
        children = dict(module.named_children())
        if "experts" not in children:
            continue
        for child in ("gate", "router", "shared_expert_gate"):
            if child in children:
                found |= {
                    f"{name}.{child}",
                    *(f"{name}.{child}.{inner}" for inner, _ in children[child].named_modules()),
                }
    return found


def _is_linear(module: torch.nn.Module) -> bool:
    from transformers.pytorch_utils import Conv1D

    return isinstance(module, torch.nn.Linear | Conv1D)  # bitsandbytes' 4-bit layer is an nn.Linear
