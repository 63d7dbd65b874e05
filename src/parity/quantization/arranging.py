"""From a transformers folder's tensors to llama.cpp's: names, and how rows are rearranged, stacked or split.

Names are the `gguf` package's map. Every tensor of the folder is used or dropped for a reason; one left over is an
error, since a tensor forgotten in silence is a model that almost works.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from parity.core.models import LatentAttention, ModelShape
from parity.errors import ModelError
from parity.models.mixtures import is_quantized
from parity.models.safetensors import TensorEntry
from parity.quantization.architectures import Architecture, Described
from parity.quantization.matrices import (
    READABLE,
    Given,
    Interleaved,
    Matrix,
    Row,
    Scaled,
    Source,
    Stored,
    Transposed,
)
from parity.quantization.models import Tensor

_DROPPED = re.compile(r".*(\.rotary_emb\.inv_freq|\.attention\.masked_bias|\.attention\.bias)$")
FLOAT8, SCALES = "F8_E4M3", ".weight_scale_inv"
_LAYER = re.compile(r"model\.layers\.(?P<layer>\d+)\.(?P<rest>.+)")
_EXPERT = re.compile(r"(?:mlp|block_sparse_moe)\.experts\.(?P<expert>\d+)\.(?P<role>\w+)\.weight")
_FUSED = re.compile(r"mlp\.experts\.(?P<role>gate_up_proj|down_proj)(?:\.weight)?")
_ROLES = {"w1": "gate", "w2": "down", "w3": "up", "gate_proj": "gate", "up_proj": "up", "down_proj": "down"}


@dataclass(frozen=True, slots=True)
class Held:
    """A tensor of the folder: its entry, the file and byte it begins at. In FP8 each block has its own of `scales`."""

    entry: TensorEntry
    path: Path
    offset: int
    scales: "Held | None" = None
    block: tuple[int, int] = (0, 0)

    @property
    def stored(self) -> Source:
        """As rows of the last dimension, a vector as rows of one."""
        shape = self.entry.shape
        columns = shape[-1] if len(shape) > 1 else 1
        rows = self.entry.elements // columns
        if self.scales is None:
            return Stored(self.path, self.offset, rows, columns, self.entry.dtype)
        factors = self.scales.stored
        assert isinstance(factors, Stored)
        return Scaled(self.path, self.offset, rows, columns, factors, self.block)


@dataclass(slots=True)
class _Experts:
    """The matrices of one layer's experts, as they are met: by role, then by number."""

    matrices: dict[str, dict[int, Source]] = field(default_factory=dict)


def arrange(held: Mapping[str, Held], row: Architecture, model: Described) -> tuple[Tensor, ...]:
    """llama.cpp's tensors, in no particular order.

    Raises:
        ModelError: a tensor is unknown, missing, of an unreadable type, or not of the shape its configuration says.
    """
    _check_types(held)
    names = tensor_namer(row.name, model.shape.layers)
    found: list[Tensor] = []
    experts: dict[int, _Experts] = {}
    for name, one in held.items():
        if _is_dropped(name, model.shape):
            continue
        layer, rest = _split(name)
        if layer is not None and _is_expert(one, rest, experts.setdefault(layer, _Experts())):
            continue
        if rest == "self_attn.kv_b_proj.weight" and model.shape.latent and layer is not None:
            found += _latent(one, layer, model.shape.latent, model.shape.heads)
        else:
            found.append(_plain(names(name), one, _heads(rest, row, model.shape)))
    for layer, collected in experts.items():
        found += _stacked(layer, collected, model.shape)
    found += _rope_factors(model)
    _check_whole(found, model.shape)
    return tuple(_as_stored(tensor) for tensor in found)


def _check_types(held: Mapping[str, Held]) -> None:
    wrong = {one.entry.dtype for one in held.values() if one.scales is None} - READABLE.keys()
    if wrong:
        raise ModelError(
            f"The weights are stored as {', '.join(sorted(wrong))}, which is quantized already.",
            "Convert the model they were made from, or write it in bf16 first.",
        )


def with_scales(held: Mapping[str, Held], block: tuple[int, int]) -> dict[str, Held]:
    """Matrices in F8_E4M3 with their factors, which are no tensors of their own then.

    Raises:
        ModelError: a matrix has none, or not one a block.
    """
    found = {name: one for name, one in held.items() if not name.endswith(SCALES)}
    for name, one in found.items():
        if one.entry.dtype != FLOAT8:
            continue
        scales, shape = held.get(name.removesuffix(".weight") + SCALES), one.entry.shape
        blocks = tuple(-(-extent // size) for extent, size in zip(shape, block, strict=False))
        if len(shape) != 2 or scales is None or scales.entry.shape != blocks or scales.entry.dtype != "F32":
            said = "has no factors" if scales is None else f"{list(scales.entry.shape)} factors ({scales.entry.dtype})"
            raise ModelError(
                f"{name} is stored as {FLOAT8}, {list(shape)}, and {said}; blocks of {block[0]} x {block[1]} need "
                f"{list(blocks)} (F32), named {SCALES.removeprefix('.')}.",
                "Parity reads DeepSeek's block-wise FP8. Write this model in bf16 with the tool that made it.",
            )
        found[name] = replace(one, scales=scales, block=block)
    return found


def tensor_namer(architecture: str, layers: int) -> Callable[[str], str]:
    """From a tensor's name in transformers to the one in llama.cpp.

    Raises:
        ModelError: (the function) llama.cpp has no such tensor in this architecture.
    """
    from gguf import MODEL_ARCH_NAMES, get_tensor_name_map

    number = next(number for number, name in MODEL_ARCH_NAMES.items() if name == architecture)
    table = get_tensor_name_map(number, layers)

    def name_of(source: str) -> str:
        asked = source.replace("e_score_correction_bias", "e_score_correction.bias")
        found = table.get_name(asked, try_suffixes=(".weight", ".bias"))
        if found is None:
            raise ModelError(
                f"The tensor {source!r} has no place in llama.cpp's {architecture}.",
                "Check that config.json belongs to these weights; or use llama.cpp's own script with --converter.",
            )
        return found

    return name_of


def _is_dropped(name: str, shape: ModelShape) -> bool:
    """Buffers; a tied head, stored all the same; layers beyond the last, which only predict more tokens at once."""
    layer, _ = _split(name)
    beyond = layer is not None and layer >= shape.layers
    return bool(_DROPPED.fullmatch(name)) or beyond or (shape.tied and name == "lm_head.weight")


def _split(name: str) -> tuple[int | None, str]:
    match = _LAYER.fullmatch(name)
    return (int(match["layer"]), match["rest"]) if match else (None, name)


def _is_expert(one: Held, rest: str, collected: _Experts) -> bool:
    """Whether a tensor is of experts; if so it is collected."""
    if (match := _EXPERT.fullmatch(rest)) and match["role"] in _ROLES:
        collected.matrices.setdefault(_ROLES[match["role"]], {})[int(match["expert"])] = one.stored
        return True
    match = _FUSED.fullmatch(rest)
    if match is None or len(one.entry.shape) != 3:
        return False
    count, rows, _ = one.entry.shape
    roles = ("gate", "up") if match["role"] == "gate_up_proj" else ("down",)
    size = rows // len(roles)
    for at, role in enumerate(roles):
        of_role = {expert: one.stored.part(expert * rows + at * size, size) for expert in range(count)}
        collected.matrices.setdefault(role, {}).update(of_role)
    return True


def _stacked(layer: int, collected: _Experts, shape: ModelShape) -> Iterator[Tensor]:
    count = shape.experts.count if shape.experts else 0
    for role, matrices in collected.matrices.items():
        if sorted(matrices) != list(range(count)):
            raise ModelError(f"Layer {layer} has {len(matrices)} of {count} experts ({role}).", "Finish the download.")
        first = matrices[0]
        size = (first.columns, first.rows, count)
        ordered = tuple(matrices[expert] for expert in range(count))
        yield Tensor(f"blk.{layer}.ffn_{role}_exps.weight", size, first.type, ordered)


def _latent(one: Held, layer: int, latent: LatentAttention, heads: int) -> Iterator[Tensor]:
    """The up-projection of keys and values, taken apart: keys transposed, so that queries go through them instead."""
    nope, value, whole = latent.nope_dim, latent.value_dim, one.stored
    if whole.rows != heads * (nope + value):
        raise ModelError(f"{one.entry.name} has {whole.rows} rows, not {heads * (nope + value)}.", "Check config.json.")
    starts = range(0, whole.rows, nope + value)
    keys = tuple(Transposed(whole.part(start, nope)) for start in starts)
    values = tuple(whole.part(start + nope, value) for start in starts)
    yield Tensor(f"blk.{layer}.attn_k_b.weight", (nope, whole.columns, heads), whole.type, keys)
    yield Tensor(f"blk.{layer}.attn_v_b.weight", (whole.columns, value, heads), whole.type, values)


def _heads(rest: str, row: Architecture, shape: ModelShape) -> int:
    """The size of heads whose rows are put in rotary pairs, 0 for any other tensor."""
    rotary = rest.startswith(("self_attn.q_proj.", "self_attn.k_proj."))
    return shape.head_dim if row.rotary_pairs and rotary else 0


def _plain(name: str, one: Held, head_size: int) -> Tensor:
    matrix: Matrix = one.stored
    if head_size:
        if matrix.rows % head_size:
            raise ModelError(
                f"{one.entry.name} has {matrix.rows} rows, no whole heads of {head_size}.", "Check config.json."
            )
        matrix = Interleaved(matrix, head_size)
    if len(one.entry.shape) == 1:
        matrix = Row(matrix)
    if len(one.entry.shape) > 2:
        raise ModelError(f"{one.entry.name} has {len(one.entry.shape)} dimensions, not 1 or 2.", "Check the model.")
    return Tensor(name, one.entry.shape[::-1], one.stored.type, (matrix,))


def _rope_factors(model: Described) -> Iterator[Tensor]:
    """Llama 3's scaled positions: what each frequency is divided by (transformers, modeling_rope_utils)."""
    rope = model.rope
    if model.shape.rope.kind != "llama3":
        return
    size, base = np.float32(model.shape.head_dim), model.shape.rope.base or 10_000.0
    keys = ("factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings")
    factor, low, high, original = (float(rope[key]) for key in keys)  # type: ignore[arg-type]
    # The power in double precision, rounded: as close as torch's own.
    power = base ** (np.arange(0, model.shape.head_dim, 2, dtype=np.float32) / size).astype(np.float64)
    frequency = np.float32(1.0) / power.astype(np.float32)
    length = np.float32(2 * np.pi) / frequency
    smooth = (np.float32(original) / length - np.float32(low)) / np.float32(high - low)
    between = 1 / ((1 - smooth) / np.float32(factor) + smooth)
    found = np.where(length < original / high, 1.0, np.where(length > original / low, factor, between))
    yield Tensor("rope_freqs.weight", (len(found),), "F32", (Given(tuple(map(float, found))),))


def _check_whole(found: list[Tensor], shape: ModelShape) -> None:
    names = {tensor.name: tensor for tensor in found}
    needed = ["token_embd.weight", "output_norm.weight", *([] if shape.tied else ["output.weight"])]
    needed += [f"blk.{layer}.attn_norm.weight" for layer in range(shape.layers)]
    missing = [name for name in needed if name not in names]
    if missing:
        raise ModelError(
            f"The folder has no tensor for {len(missing)} that llama.cpp needs, among them {missing[0]}.",
            "Finish the download, or check config.json (tie_word_embeddings, num_hidden_layers).",
        )
    rows = names["token_embd.weight"].shape[1]
    if rows != shape.vocabulary:
        raise ModelError(
            f"The embeddings have {rows} rows, the configuration says {shape.vocabulary}.", "Check config.json."
        )


def _as_stored(tensor: Tensor) -> Tensor:
    """Vectors, norms and routers are fp32 in every GGUF file."""
    kept = tensor.type == "F64" or not is_quantized(tensor.weight)
    return replace(tensor, type="F32") if kept else tensor
