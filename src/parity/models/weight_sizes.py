"""Bytes of a model's weights in a storage type, tensor by tensor, with the mixtures llama.cpp makes.

A type such as Q4_K_M gives some tensors more bits than others. The rules are those of llama.cpp's quantizer
(src/llama-quant.cpp, MIT) without an importance matrix; block sizes are ggml's. Averages over Llama-2-7B are checked
against the published ones by tests/models/test_fit.py.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from parity.core.models import Experts, ModelShape
from parity.errors import UsageError, did_you_mean
from parity.models.counts import Weight, active_elements, weights_of
from parity.models.ggml_types import BY_NAME
from parity.models.gguf import GgufHeader

# From the most bits to the fewest; the type most blocks of each are in.
MIXTURES = {
    "F32": "F32", "BF16": "BF16", "F16": "F16", "Q8_0": "Q8_0", "Q6_K": "Q6_K", "Q5_K_M": "Q5_K", "Q5_K_S": "Q5_K",
    "Q4_K_M": "Q4_K", "Q4_K_S": "Q4_K", "Q4_0": "Q4_0", "IQ4_NL": "IQ4_NL", "IQ4_XS": "IQ4_XS", "Q3_K_L": "Q3_K",
    "Q3_K_M": "Q3_K", "Q3_K_S": "Q3_K", "Q2_K": "Q2_K",
}  # fmt: skip
_FALLBACK = {"Q2_K": "IQ4_NL", "Q3_K": "IQ4_NL", "IQ4_XS": "IQ4_NL", "Q4_K": "Q5_0", "Q5_K": "Q5_1", "Q6_K": "Q8_0"}
_KEPT = ("norm", "bias", "ffn_gate_inp", "position_embd", "rope_freqs")
_EIGHT_EXPERTS_OUTPUT = ("Q2_K", "Q3_K_S", "Q3_K_M", "IQ4_NL", "Q4_K_S", "Q4_K_M", "IQ4_XS")


@dataclass(frozen=True, slots=True)
class WeightBytes:
    """Bytes of all weights, and of those one token passes through (the input table is only looked up)."""

    total: int
    active: int


def check_type(name: str) -> str:
    """The name of a type in the spelling of llama.cpp.

    Raises:
        UsageError: there is no such type.
    """
    folded = {known.casefold(): known for known in MIXTURES}
    if name.casefold() not in folded:
        raise UsageError(f"Unknown type {name!r}.", did_you_mean(name, list(MIXTURES)))
    return folded[name.casefold()]


def weights_in(shape: ModelShape, weights: Iterable[Weight], mixture: str) -> WeightBytes:
    """Bytes of the given weights in a type.

    Raises:
        UsageError: there is no such type.
    """
    mixture = check_type(mixture)
    total = active = 0
    for weight in weights:
        size = _bytes_of(weight, _type_of(weight, mixture, shape))
        total += size
        active += _read_per_token(weight.role, size, shape)
    return WeightBytes(total, active)


def stored_bytes(shape: ModelShape, header: GgufHeader) -> WeightBytes:
    """Bytes of a GGUF file's tensors as they are."""
    total = active = 0
    for tensor, weight in zip(header.tensors, weights_of_gguf(header), strict=True):
        total += tensor.size_bytes
        active += _read_per_token(weight.role, tensor.size_bytes, shape)
    return WeightBytes(total, active)


def weights_of_gguf(header: GgufHeader) -> Iterator[Weight]:
    """The tensors of a GGUF file as weights, rows before columns."""
    for tensor in header.tensors:
        name = tensor.name.removesuffix(".weight")
        if name.startswith("blk."):
            _, layer, role = name.split(".", 2)
            yield Weight(role, tensor.shape[::-1], int(layer) if layer.isdecimal() else None)
        else:
            yield Weight(name, tensor.shape[::-1])


def weights_of_shape(shape: ModelShape) -> tuple[Weight, ...]:
    return tuple(weights_of(shape))


def _read_per_token(role: str, size: int, shape: ModelShape) -> int:
    if role == "position_embd" or (role == "token_embd" and not shape.tied):
        return 0
    return active_elements(role, size, shape.experts)


def _bytes_of(weight: Weight, name: str) -> int:
    kind = BY_NAME[name]
    if weight.shape[-1] % kind.block:
        kind = BY_NAME[_FALLBACK.get(name, "F16")]
    if weight.shape[-1] % kind.block:
        kind = BY_NAME["F16"]
    return kind.bytes_of(weight.shape)


def _type_of(weight: Weight, mixture: str, shape: ModelShape) -> str:
    plain = MIXTURES[mixture]
    role = weight.role
    if mixture in ("F32", "BF16", "F16"):
        found = plain
    elif len(weight.shape) < 2 or any(word in role for word in _KEPT):
        found = "F32"
    elif role == "output" or (role == "token_embd" and shape.tied):
        found = "Q8_0" if plain == "Q8_0" or weight.shape[-1] % 256 else "Q6_K"
    elif weight.layer is not None and mixture not in ("Q8_0", "Q6_K", "Q4_0"):
        found = _type_in_layer(role, weight.layer, mixture, shape)
    else:
        found = plain
    return found


def _type_in_layer(role: str, layer: int, mixture: str, shape: ModelShape) -> str:
    if role == "attn_v":
        return _value_type(layer, mixture, shape)
    if role == "attn_k":
        return "Q8_0" if _eight(shape.experts) else MIXTURES[mixture]
    if role == "attn_output":
        return _output_type(mixture, shape)
    return _down_type(layer, mixture, shape) if role.startswith("ffn_down") else MIXTURES[mixture]


def _value_type(layer: int, mixture: str, shape: ModelShape) -> str:
    groups = shape.heads // shape.kv_heads
    found = MIXTURES[mixture]
    if _eight(shape.experts):
        return "Q8_0"
    if mixture == "Q2_K":
        found = "Q4_K" if groups >= 4 else "Q3_K"
    elif mixture == "Q3_K_M":
        found = "Q5_K" if layer < 2 else "Q4_K"
    elif mixture == "Q3_K_L" or (mixture in ("IQ4_NL", "IQ4_XS") and groups >= 4):
        found = "Q5_K"
    elif mixture in ("Q4_K_M", "Q5_K_M") and _more_bits(layer, shape.layers):
        found = "Q6_K"
    elif mixture == "Q4_K_S" and layer < 4:
        found = "Q5_K"
    # Models of 80 layers with eight heads to a key share it widely: it gets more bits.
    return "Q5_K" if shape.layers == 80 and groups >= 8 and found in ("Q3_K", "Q4_K") else found


def _output_type(mixture: str, shape: ModelShape) -> str:
    if _eight(shape.experts):
        return "Q5_K" if mixture in _EIGHT_EXPERTS_OUTPUT else MIXTURES[mixture]
    return {"Q2_K": "Q3_K", "Q3_K_M": "Q4_K", "Q3_K_L": "Q5_K"}.get(mixture, MIXTURES[mixture])


def _down_type(layer: int, mixture: str, shape: ModelShape) -> str:
    layers = shape.layers
    match mixture:
        case "Q2_K":
            return "Q3_K"
        case "Q3_K_M":
            return "Q5_K" if layer < layers // 16 else "Q4_K"
        case "Q3_K_L":
            return "Q5_K"
        case "Q4_K_M" | "Q5_K_M" if _more_bits(layer, layers):
            return "Q6_K"
        case "Q4_K_S" | "IQ4_NL" | "IQ4_XS" if layer < layers // 8:
            return "Q5_K"
    return MIXTURES[mixture]


def _more_bits(layer: int, layers: int) -> bool:
    """The first and last eighth of the layers, and every third between."""
    return layer < layers // 8 or layer >= 7 * layers // 8 or (layer - layers // 8) % 3 == 2


def _eight(experts: Experts | None) -> bool:
    return experts is not None and experts.count == 8
