"""Whether a training fits before it begins, and which field to turn when it does not.

Sizes come from `models.fit`; what differs here is put right: chunked losses hold few logits, fp32 bases take twice as
much, and without checkpointing every layer's activations are kept.
"""

from dataclasses import dataclass
from pathlib import Path

from parity.core.models import ModelShape
from parity.core.refs import ModelRef, Scheme
from parity.errors import ModelError
from parity.models.fit import FitSpec, fit
from parity.models.hardware import Machine
from parity.models.memory import Train, training_memory
from parity.tuning.loss import CHUNK_BYTES
from parity.tuning.recipe import Weights

# Floats a token leaves in a layer for the way back: in hidden sizes, and in feed-forward widths.
_KEPT_HIDDEN, _KEPT_FFN = 14, 4
_CHUNKS = 3


@dataclass(frozen=True, slots=True)
class Step:
    """What is computed at once: rows of `length_tokens` for `micro_tokens` in all, weights of `weight_bytes` each."""

    weights: Weights
    rank: int
    length_tokens: int
    micro_tokens: int
    weight_bytes: int


@dataclass(frozen=True, slots=True)
class Preflight:
    """Bytes a step takes and may take. `checkpointing`: activations are computed again to fit."""

    needed_bytes: int
    room_bytes: int
    checkpointing: bool
    device: str


def preflight(folder: Path, step: Step, checkpointing: str, machine: Machine | None = None) -> Preflight | None:
    """Size one step; None for an architecture whose sizes are unknown.

    Raises:
        ModelError: it does not fit even with checkpointing; the message names the fields that would help.
    """
    train = _train(step.weights)
    spec = FitSpec(context_tokens=step.length_tokens, parallel=1, train=train)
    try:
        found = fit(ModelRef(Scheme.FOLDER, str(folder)), spec, machine)
    except ModelError:
        return None
    shape, room = found.shape, found.device.room_bytes
    overhead = found.choices[0].memory.overhead_bytes
    kept, again = (_bytes(shape, step, overhead, keep) for keep in (True, False))
    if checkpointing == "off" or (checkpointing == "auto" and kept <= room):
        needed, recompute = kept, False
    else:
        needed, recompute = again, True
    if needed > room:
        raise ModelError(
            f"A step needs about {needed / 1e9:.1f} GB; {found.device.name} has {room / 1e9:.1f} GB to use.",
            _knobs(shape, step, overhead, room, checkpointing),
        )
    return Preflight(needed, room, recompute, found.device.name)


def _bytes(shape: ModelShape, step: Step, overhead: int, keep_activations: bool) -> int:
    batch = max(1, -(-step.micro_tokens // step.length_tokens))
    memory = training_memory(shape, _train(step.weights), step.length_tokens, batch, step.rank, overhead)
    total = memory.total_bytes - memory.logits_bytes + _CHUNKS * CHUNK_BYTES
    if step.weights not in ("full", "qlora"):
        total += memory.weights_bytes * (step.weight_bytes - 2) // 2
    if keep_activations:
        floats = _KEPT_HIDDEN * shape.hidden + _KEPT_FFN * shape.ffn
        total += batch * step.length_tokens * shape.layers * floats * step.weight_bytes
    return total


def _knobs(shape: ModelShape, step: Step, overhead: int, room: int, checkpointing: str) -> str:
    tries: list[tuple[str, Step]] = []
    if step.weights == "full":
        tries.append(('weights = "lora"', _changed(step, weights="lora")))
    if step.weights != "qlora":
        tries.append(('weights = "qlora"', _changed(step, weights="qlora")))
    half = max(2, step.length_tokens // 2)
    tries.append((f"length_tokens = {half}", _changed(step, length_tokens=half, micro_tokens=half)))
    said = []
    if checkpointing == "off":
        said.append('checkpointing = "auto" keeps fewer activations.')
    for name, other in tries:
        needed = _bytes(shape, other, overhead, keep_activations=False)
        fits = "fits" if needed <= room else "does not fit either"
        said.append(f"{name} takes about {needed / 1e9:.1f} GB and {fits}.")
    return " ".join(said)


def _changed(step: Step, **values: object) -> Step:
    fields = {name: getattr(step, name) for name in Step.__dataclass_fields__}
    return Step(**{**fields, **values})


def _train(weights: Weights) -> Train:
    return "full" if weights == "full" else "qlora" if weights == "qlora" else "lora"
