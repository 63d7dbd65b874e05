"""The architectures of llama.cpp that we convert to, as data: metadata keys, tensors rearranged, what is not honoured.

One row an architecture; a transformers `model_type` leads to it. Keys and their meaning are llama.cpp's (conversion/,
MIT); values come from the configuration with transformers' defaults filled in, since files leave defaults out.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from parity.core.digests import Plain
from parity.core.models import LatentAttention, ModelShape
from parity.core.quantized import Caveat
from parity.errors import ModelError

Number = int | float | bool | str
Kind = Literal["uint32", "float32", "bool", "string"]
_SOFTMAX, _SIGMOID = 1, 2  # llama.cpp's numbers for how experts are gated


@dataclass(frozen=True, slots=True)
class Described:
    """A model as its configuration describes it: the sizes we derived, and every key transformers knows."""

    shape: ModelShape
    config: Mapping[str, Plain]

    @property
    def rope(self) -> Mapping[str, Plain]:
        found = self.config.get("rope_parameters") or self.config.get("rope_scaling") or {}
        return found if isinstance(found, Mapping) else {}

    @property
    def latent(self) -> LatentAttention:
        assert self.shape.latent is not None
        return self.shape.latent

    def number(self, key: str) -> int | float | None:
        found = self.config.get(key)
        return found if isinstance(found, int | float) else None


@dataclass(frozen=True, slots=True)
class Key:
    """One metadata entry, without the architecture's name before it; no entry where the value is None."""

    name: str
    kind: Kind
    value: Callable[[Described], Number | None]


@dataclass(frozen=True, slots=True)
class Architecture:
    """`rotary_pairs`: query and key rows go in pairs. `caveats` look at a model for what llama.cpp does otherwise."""

    name: str
    model_types: tuple[str, ...]
    keys: tuple[Key, ...] = ()
    rotary_pairs: bool = False
    caveats: tuple[Callable[[Described], Caveat | None], ...] = ()


def _stated(name: str, kind: Kind, key: str) -> Key:
    return Key(name, kind, lambda model: model.number(key))


def _scaled(name: str, kind: Kind, *keys: str) -> Key:
    """An entry of YaRN's parameters."""

    def value(model: Described) -> Number | None:
        found = next((model.rope[key] for key in keys if model.rope.get(key) is not None), None)
        return found if _rope_kind(model) == "yarn" and isinstance(found, int | float) else None

    return Key(f"rope.scaling.{name}", kind, value)


def _experts(model: Described, size: Literal["count", "per_token", "ffn"]) -> int | None:
    found = model.shape.experts
    return {"count": found.count, "per_token": found.per_token, "ffn": found.ffn}[size] if found else None


def _rope_kind(model: Described) -> str:
    return model.shape.rope.kind


def _rope_factor(model: Described) -> float | None:
    return model.shape.rope.factor if _rope_kind(model) in ("linear", "yarn") else None


_COMMON = (
    Key("block_count", "uint32", lambda model: model.shape.layers),
    Key("context_length", "uint32", lambda model: model.shape.context_tokens),
    Key("embedding_length", "uint32", lambda model: model.shape.hidden),
    Key("feed_forward_length", "uint32", lambda model: model.shape.ffn),
    Key("attention.head_count", "uint32", lambda model: model.shape.heads),
    Key("attention.head_count_kv", "uint32", lambda model: 1 if model.shape.latent else model.shape.kv_heads),
    _stated("attention.layer_norm_rms_epsilon", "float32", "rms_norm_eps"),
    Key("rope.freq_base", "float32", lambda model: model.shape.rope.base),
    Key("rope.scaling.type", "string", lambda model: _rope_kind(model) if _rope_factor(model) else None),
    Key("rope.scaling.factor", "float32", _rope_factor),
    _scaled("original_context_length", "uint32", "original_max_position_embeddings"),
    _scaled("yarn_ext_factor", "float32", "extrapolation_factor"),
    _scaled("yarn_attn_factor", "float32", "attention_factor", "attn_factor"),
    _scaled("yarn_beta_fast", "float32", "beta_fast"),
    _scaled("yarn_beta_slow", "float32", "beta_slow"),
    Key("vocab_size", "uint32", lambda model: model.shape.vocabulary),
    Key("expert_count", "uint32", lambda model: _experts(model, "count")),
    Key("expert_used_count", "uint32", lambda model: _experts(model, "per_token")),
)
_HEAD_SIZES = (
    Key("attention.key_length", "uint32", lambda model: model.shape.head_dim),
    Key("attention.value_length", "uint32", lambda model: model.shape.head_dim),
    Key("rope.dimension_count", "uint32", lambda model: model.shape.head_dim),
)
_EXPERT_SIZE = Key("expert_feed_forward_length", "uint32", lambda model: _experts(model, "ffn"))
_SHARED_EXPERT_SIZE = _stated("expert_shared_feed_forward_length", "uint32", "shared_expert_intermediate_size")
_LATENT_KEYS = (
    # 0 for queries of full rank: llama.cpp asks for the key unless it recognizes a published model by its layers.
    Key("attention.q_lora_rank", "uint32", lambda model: model.latent.query_rank or 0),
    Key("attention.kv_lora_rank", "uint32", lambda model: model.latent.kv_rank),
    Key("attention.key_length", "uint32", lambda model: model.latent.kv_rank + model.latent.rope_dim),
    Key("attention.value_length", "uint32", lambda model: model.latent.kv_rank),
    Key("attention.key_length_mla", "uint32", lambda model: model.shape.head_dim),
    Key("attention.value_length_mla", "uint32", lambda model: model.latent.value_dim),
    Key("rope.dimension_count", "uint32", lambda model: model.latent.rope_dim),
    _stated("leading_dense_block_count", "uint32", "first_k_dense_replace"),
    _EXPERT_SIZE,
    Key("expert_shared_count", "uint32", lambda model: model.number("n_shared_experts") or 0),
    _stated("expert_weights_scale", "float32", "routed_scaling_factor"),
    Key("expert_weights_norm", "bool", lambda model: bool(model.config.get("norm_topk_prob")) or None),
    _stated("expert_group_count", "uint32", "n_group"),
    _stated("expert_group_used_count", "uint32", "topk_group"),
    Key("expert_gating_func", "uint32", lambda model: _gating(model)),
    # Not the factor of the other architectures: for historical reasons a tenth of it is stored here.
    Key("rope.scaling.yarn_log_multiplier", "float32", lambda model: _log_multiplier(model)),
)


def _gating(model: Described) -> int:
    """transformers' classes fix what published configurations state as `scoring_func`."""
    said = model.config.get("scoring_func") or ("sigmoid" if model.shape.architecture == "deepseek_v3" else "softmax")
    if said not in ("softmax", "sigmoid"):
        raise ModelError(f"The configuration's 'scoring_func' is {said!r}.", "llama.cpp knows softmax and sigmoid.")
    return _SIGMOID if said == "sigmoid" else _SOFTMAX


def _log_multiplier(model: Described) -> float | None:
    scale = model.rope.get("mscale_all_dim")
    return 0.1 * float(scale) if isinstance(scale, int | float) and not isinstance(scale, bool) else None


def _window(model: Described) -> Caveat | None:
    window = model.shape.window
    if window is None:
        return None
    return Caveat(
        f"llama.cpp ignores the sliding window of {window.tokens} tokens: beyond it answers differ", window.tokens
    )


def _dynamic(model: Described) -> Caveat | None:
    original = model.shape.rope.original_context_tokens or model.shape.context_tokens
    if _rope_kind(model) != "dynamic":
        return None
    return Caveat("llama.cpp does not stretch rotary positions as the context grows (rope type 'dynamic')", original)


def _normalizes(does: bool) -> Callable[[Described], Caveat | None]:
    """llama.cpp fixes for an architecture whether the chosen experts' weights sum to one."""

    def look(model: Described) -> Caveat | None:
        if bool(model.config.get("norm_topk_prob")) is does:
            return None
        how = "always" if does else "never"
        return Caveat(f"llama.cpp {how} makes the chosen experts' weights sum to one (norm_topk_prob is {not does})")

    return look


def _groups(model: Described) -> Caveat | None:
    limited = model.config.get("topk_method") == "group_limited_greedy" and (model.number("n_group") or 1) > 1
    return (
        Caveat("llama.cpp ranks groups of experts by their two best, this model by the best one") if limited else None
    )


_ROWS = (
    Architecture("llama", ("llama", "mistral", "mixtral", "yi"), _HEAD_SIZES, rotary_pairs=True),
    Architecture("qwen2", ("qwen2",), _HEAD_SIZES),
    Architecture(
        "qwen2moe", ("qwen2_moe",),
        (*_HEAD_SIZES, _EXPERT_SIZE, _SHARED_EXPERT_SIZE),
        caveats=(_normalizes(False),),
    ),
    Architecture("qwen3", ("qwen3",), _HEAD_SIZES),
    Architecture("qwen3moe", ("qwen3_moe",), (*_HEAD_SIZES, _EXPERT_SIZE), caveats=(_normalizes(True),)),
    Architecture("deepseek2", ("deepseek_v2", "deepseek_v3"), _LATENT_KEYS, caveats=(_groups,)),
)  # fmt: skip
ARCHITECTURES: Mapping[str, Architecture] = MappingProxyType({kind: row for row in _ROWS for kind in row.model_types})
# Architectures without a class in transformers: what they compute is code that came with the weights, which is not run.
_OWN_CODE: Mapping[str, str] = MappingProxyType(
    {
        "deepseek": "This is the first DeepSeek-MoE: its experts are DeepSeek V2's, its attention is Llama's, and the "
        "code that says so comes with the weights, where Parity runs none"
    }
)
_FOR_ALL = (_window, _dynamic)


def find_architecture(model_type: str) -> Architecture:
    """The row of a transformers `model_type`.

    Raises:
        ModelError: we do not convert it.
    """
    if model_type not in ARCHITECTURES:
        raise ModelError(
            f"The architecture {model_type!r} is not one Parity converts. It converts {', '.join(ARCHITECTURES)}. "
            f"{_known_elsewhere(model_type)}",
            "Name the convert_hf_to_gguf.py of a llama.cpp checkout with --converter, and Parity quantizes what it "
            "makes; or run a published GGUF file of this model (gguf:FILE).",
        )
    return ARCHITECTURES[model_type]


def _known_elsewhere(model_type: str) -> str:
    from gguf import MODEL_ARCH_NAMES

    if model_type in _OWN_CODE:
        return f"{_OWN_CODE[model_type]}; llama.cpp's script converts it."
    if model_type in MODEL_ARCH_NAMES.values():
        return "llama.cpp has an architecture of that name."
    return "llama.cpp has none of that name, but may know it under another."


def values_of(row: Architecture, model: Described) -> Iterator[tuple[str, Kind, Number]]:
    """Every metadata entry of the architecture: key, type, value."""
    for key in (*_COMMON, *row.keys):
        value = key.value(model)
        if value is not None:
            yield f"{row.name}.{key.name}", key.kind, value


def caveats_of(row: Architecture, model: Described) -> tuple[Caveat, ...]:
    """What llama.cpp will do otherwise than transformers.

    Raises:
        ModelError: something of this model llama.cpp cannot do at all.
    """
    _refuse(row, model)
    return tuple(found for look in (*_FOR_ALL, *row.caveats) if (found := look(model)))


def _refuse(row: Architecture, model: Described) -> None:
    shape, activation = model.shape, model.config.get("hidden_act")
    sparse = len(shape.experts.layers) if shape.experts else 0
    reasons = (
        (activation not in (None, "silu"), f"its activation is {activation!r}, llama.cpp's {row.name} computes silu"),
        (
            _rope_kind(model) not in ("default", "linear", "dynamic", "yarn", "llama3"),
            f"its rotary positions are {_rope_kind(model)!r}",
        ),
        (
            row.name in ("qwen2moe", "qwen3moe") and sparse not in (0, shape.layers),
            f"{shape.layers - sparse} of its {shape.layers} layers have no experts, all of which {row.name} needs",
        ),
        (
            _rope_kind(model) == "yarn" and not isinstance(model.rope.get("original_max_position_embeddings"), int),
            "its YaRN positions do not state the context they were trained for",
        ),
    )
    for broken, why in reasons:
        if broken:
            raise ModelError(f"llama.cpp cannot compute this model: {why}.", "Run it with transformers (the folder).")
