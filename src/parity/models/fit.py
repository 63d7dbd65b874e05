"""Does a model fit a machine, in which type, how fast at best, and which knob to turn when it does not.

Exact where files say so (a GGUF is what it is), from the shape otherwise. Speeds come from memory bandwidth: a token
needs every active weight and the cache so far read once. llama.cpp reaches 0.32 to 0.90 of that with an 8B Llama on
nine GPUs (Q4_K_M and F16, table of XiongjieDai/GPU-Benchmarks-on-LLM-Inference), so half is a cautious expectation.
"""

from dataclasses import dataclass

from parity.core.models import ModelShape
from parity.core.refs import ModelRef, Scheme
from parity.errors import ModelError, UsageError, did_you_mean, listed
from parity.models.byte_sources import LocalBytes
from parity.models.counts import Weight
from parity.models.gguf import GgufHeader, read_gguf
from parity.models.gguf_shapes import shape_of_gguf
from parity.models.gpus import find_gpu
from parity.models.hardware import Machine, this_machine
from parity.models.inspection import open_files, stored_in
from parity.models.memory import KV_TYPES, Memory, Train, kv_bytes, running_memory, training_memory
from parity.models.mixtures import MIXTURES, find_mixture
from parity.models.model_files import read_json, weight_names
from parity.models.shapes import shape_of
from parity.models.weight_sizes import WeightBytes, stored_bytes, weights_in, weights_of_gguf, weights_of_shape

DEFAULT_CONTEXT_TOKENS = 8_192
DEFAULT_TRAIN_TOKENS = 2_048
ADAPTER_RANK = 16
EXPECTED_SHARE = 0.5
# What a driver, its context and fragmentation keep of a GPU; what others use of a machine's memory.
_GPU_OVERHEAD, _CPU_OVERHEAD = 1_000_000_000, 300_000_000
_GPU_SHARE, _CPU_SHARE = 0.95, 0.9
_OFFERED = ("BF16", "Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "IQ4_XS", "Q3_K_M", "Q2_K")


@dataclass(frozen=True, slots=True)
class FitSpec:
    """What is asked: tokens of context for each of `parallel` sequences (rows of a batch when training)."""

    context_tokens: int | None = None
    parallel: int = 1
    type: str | None = None
    train: Train | None = None
    on: str | None = None
    kv_type: str = "F16"


@dataclass(frozen=True, slots=True)
class Device:
    """Where it should fit. `room_bytes`: what may be used; `bandwidth_bytes_s` None: speeds are not estimated."""

    name: str
    memory_bytes: int
    room_bytes: int
    bandwidth_bytes_s: float | None
    gpu: bool


@dataclass(frozen=True, slots=True)
class Choice:
    """One way to run or train it. `tokens_per_s` expected for one sequence, `at_most` by bandwidth alone."""

    type: str
    memory: Memory
    fits: bool
    tokens_per_s: float | None = None
    tokens_per_s_at_most: float | None = None


@dataclass(frozen=True, slots=True)
class Fit:
    """Every choice, the best that fits (None: none does), and what would change the answer."""

    ref: str
    shape: ModelShape
    spec: FitSpec
    context_tokens: int
    device: Device
    choices: tuple[Choice, ...]
    best: Choice | None
    longest_context_tokens: int | None
    knobs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Model:
    shape: ModelShape
    weights: tuple[Weight, ...]
    stored: WeightBytes | None
    stored_type: str | None
    fixed: bool


def fit(ref: ModelRef, spec: FitSpec, machine: Machine | None = None) -> Fit:
    """Size a model for this machine, or for a named GPU.

    Raises:
        UsageError: an unknown GPU or type, or a number that makes no sense.
        ModelError: the model is not there, is broken, or its architecture is unknown.
    """
    _check(spec)
    device = _device(spec, machine)
    model = _model(ref)
    context = spec.context_tokens or min(
        model.shape.context_tokens or DEFAULT_CONTEXT_TOKENS,
        DEFAULT_TRAIN_TOKENS if spec.train else DEFAULT_CONTEXT_TOKENS,
    )
    choices = _training(model, spec, context, device) if spec.train else _running(model, spec, context, device)
    best = next((choice for choice in choices if choice.fits), None)
    longest = _longest(model, best, spec, device) if best and not spec.train else None
    knobs = _knobs(model, spec, context, choices, best, device)
    return Fit(str(ref), model.shape, spec, context, device, choices, best, longest, tuple(knobs))


def _check(spec: FitSpec) -> None:
    problems = [
        f"{flag} {value} is not at least 1"
        for flag, value in (("--context", spec.context_tokens), ("--parallel", spec.parallel))
        if value is not None and value < 1
    ]
    if spec.kv_type not in KV_TYPES:
        problems.append(f"--kv-type {spec.kv_type}: {did_you_mean(spec.kv_type, list(KV_TYPES))}")
    if spec.type and spec.train:
        problems.append("--type is for running; --train decides the type itself (qlora: 4 bits, the others: 16)")
    if problems:
        raise UsageError("This cannot be sized:\n" + listed(problems), "See parity fit --help.")
    if spec.type:
        find_mixture(spec.type)


def _device(spec: FitSpec, machine: Machine | None) -> Device:
    if spec.on:
        gpu = find_gpu(spec.on)
        return Device(gpu.name, gpu.memory_bytes, round(_GPU_SHARE * gpu.memory_bytes), gpu.bandwidth_bytes_s, True)
    machine = machine or this_machine()
    if machine.gpus:
        gpu = max(machine.gpus, key=lambda found: found.memory_bytes)
        return Device(gpu.name, gpu.memory_bytes, round(_GPU_SHARE * gpu.memory_bytes), gpu.bandwidth_bytes_s, True)
    if machine.memory_bytes is None:
        raise ModelError("How much memory this machine has cannot be found out.", "Name a GPU with --on.")
    room = machine.memory_bytes if machine.free_bytes is None else machine.free_bytes
    name = f"this machine ({machine.cores} cores)"
    return Device(name, machine.memory_bytes, round(_CPU_SHARE * room), machine.bandwidth_bytes_s, False)


def _model(ref: ModelRef) -> _Model:
    opened = open_files(ref)
    if isinstance(opened, LocalBytes):
        if ref.scheme is not Scheme.GGUF and opened.path.suffix == ".safetensors":
            raise ModelError(f"{ref} does not say how its tensors are used.", "Name the folder with its config.json.")
        return _gguf_model(read_gguf(opened))
    shape = shape_of(read_json(opened, "config.json"))
    weights = weights_of_shape(shape)
    names = {entry.name for entry in opened.listing()}
    stored = stored_in(opened) if names.issuperset(weight_names(opened)) else ()
    if not stored:
        return _Model(shape, weights, None, None, False)
    total, plain = sum(row.size_bytes for row in stored), weights_in(shape, weights, "BF16")
    return _Model(shape, weights, WeightBytes(total, total * plain.active // plain.total), stored[0].type, False)


def _gguf_model(header: GgufHeader) -> _Model:
    if not header.tensors:
        raise ModelError("The file holds no tensors, only a vocabulary.", "Name a file with weights.")
    if (parts := header.whole("split.count")) and parts > 1:
        raise ModelError(f"This is one of {parts} files of a model.", "Join them first (llama-gguf-split --merge).")
    shape = shape_of_gguf(header)
    return _Model(shape, tuple(weights_of_gguf(header)), stored_bytes(shape, header), shape.dtype, True)


def _running(model: _Model, spec: FitSpec, context: int, device: Device) -> tuple[Choice, ...]:
    types = (find_mixture(spec.type).name,) if spec.type else _OFFERED
    sized = [(name, weights_in(model.shape, model.weights, name)) for name in types]
    if model.stored and not spec.type:
        others = [] if model.fixed else [(name, size) for name, size in sized if name != model.stored_type]
        sized = [(f"as stored ({model.stored_type})", model.stored), *others]
    return tuple(_choice(model.shape, name, size, spec, context, device) for name, size in sized)


def _choice(shape: ModelShape, name: str, size: WeightBytes, spec: FitSpec, context: int, device: Device) -> Choice:
    overhead = _GPU_OVERHEAD if device.gpu else _CPU_OVERHEAD
    memory = running_memory(shape, size.total, context, spec.parallel, spec.kv_type, overhead)
    fits = memory.total_bytes <= device.room_bytes
    if device.bandwidth_bytes_s is None:
        return Choice(name, memory, fits)
    # Half the context stands for the cache an average token reads.
    read = size.active + kv_bytes(shape, max(context // 2, 1), 1, spec.kv_type)
    most = device.bandwidth_bytes_s / read
    return Choice(name, memory, fits, EXPECTED_SHARE * most, most)


def _training(model: _Model, spec: FitSpec, context: int, device: Device) -> tuple[Choice, ...]:
    assert spec.train is not None
    overhead = _GPU_OVERHEAD if device.gpu else _CPU_OVERHEAD
    memory = training_memory(model.shape, spec.train, context, spec.parallel, ADAPTER_RANK, overhead)
    return (Choice(spec.train, memory, memory.total_bytes <= device.room_bytes),)


def _longest(model: _Model, best: Choice, spec: FitSpec, device: Device) -> int | None:
    """The longest context, up to the model's own, at which the best choice still fits."""
    low, high = 1, model.shape.context_tokens or 1_048_576
    others = best.memory.total_bytes - best.memory.kv_bytes
    while low < high:
        middle = (low + high + 1) // 2
        fits = others + kv_bytes(model.shape, middle, spec.parallel, spec.kv_type) <= device.room_bytes
        low, high = (middle, high) if fits else (low, middle - 1)
    return low


def _knobs(
    model: _Model, spec: FitSpec, context: int, choices: tuple[Choice, ...], best: Choice | None, device: Device
) -> list[str]:
    """What to turn, largest saving first; nothing when the first choice fits."""
    if best is choices[0]:
        return []
    last = choices[-1].memory
    short = last.total_bytes - device.room_bytes
    smallest = " for the smallest choice" if len(choices) > 1 else ""
    knobs = [f"{short / 1e9:.1f} GB are missing{smallest}."] if best is None else []
    if spec.train:
        return knobs + _training_knobs(model, spec, context, device)
    if last.kv_bytes > 0.1 * last.total_bytes:
        saved = last.kv_bytes // 2
        knobs.append(f"Half the context (--context {context // 2}) saves {saved / 1e9:.1f} GB.")
        if spec.parallel > 1:
            knobs.append(f"Half the sequences (--parallel {spec.parallel // 2}) saves {saved / 1e9:.1f} GB.")
        if spec.kv_type == "F16":
            knobs.append(f"A cache in 8 bits (--kv-type Q8_0) saves {0.47 * last.kv_bytes / 1e9:.1f} GB.")
    if best is None and spec.type:
        smaller = _smaller(model, spec, context, device)
        knobs.append(f"--type {smaller} fits." if smaller else "No type fits: take a smaller model or a larger device.")
    elif best is None and model.fixed:
        knobs.append("A file of fewer bits may fit: --type says which.")
    elif best is None:
        knobs.append("No type fits: take a smaller model or a larger device (--on).")
    return knobs


def _smaller(model: _Model, spec: FitSpec, context: int, device: Device) -> str | None:
    names = [name for name in MIXTURES if name in _OFFERED]
    sized = ((name, weights_in(model.shape, model.weights, name)) for name in names)
    tried = (_choice(model.shape, name, size, spec, context, device) for name, size in sized)
    return next((choice.type for choice in tried if choice.fits), None)


def _training_knobs(model: _Model, spec: FitSpec, context: int, device: Device) -> list[str]:
    overhead = _GPU_OVERHEAD if device.gpu else _CPU_OVERHEAD
    knobs = []
    trains: dict[Train, tuple[Train, ...]] = {"full": ("lora", "qlora"), "lora": ("qlora",), "qlora": ()}
    for other in trains[spec.train or "qlora"]:
        memory = training_memory(model.shape, other, context, spec.parallel, ADAPTER_RANK, overhead)
        fits = "fits" if memory.total_bytes <= device.room_bytes else "does not fit either"
        knobs.append(f"--train {other} takes {memory.total_bytes / 1e9:.1f} GB and {fits}.")
    memory = training_memory(model.shape, spec.train or "qlora", context // 2, spec.parallel, ADAPTER_RANK, overhead)
    knobs.append(f"Half the length (--context {context // 2}) takes {memory.total_bytes / 1e9:.1f} GB.")
    return knobs
