"""From a configuration (`config.json`) to a ModelShape: old and new key names, defaults, layer patterns.

Knows how configurations are written. An architecture it does not know, or a size that is missing, is an error.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from parity.core.digests import Plain
from parity.core.models import Block, Experts, LatentAttention, ModelShape, Rope, SlidingWindow
from parity.errors import ModelError, did_you_mean
from parity.models.families import FAMILIES, Family, find_family

Config = Mapping[str, Plain]

_LAYERS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")
_HIDDEN = ("hidden_size", "n_embd", "d_model")
_HEADS = ("num_attention_heads", "n_head", "n_heads", "num_heads")
_KV_HEADS = ("num_key_value_heads", "num_kv_heads", "n_head_kv")
_FFN = ("intermediate_size", "n_inner", "ffn_dim", "ffn_hidden_size")
_CONTEXT = ("max_position_embeddings", "n_positions", "n_ctx", "max_seq_len", "seq_length", "max_sequence_length")
_EXPERTS = ("num_local_experts", "num_experts", "n_routed_experts")
_LIMIT = 2**31


def shape_of(config: Config) -> ModelShape:
    """The sizes of the model a configuration describes.

    Raises:
        ModelError: the architecture is unknown, the model is not text only, or a size is missing or impossible.
    """
    name, family = _family(config)
    layers, hidden, heads = _size(config, _LAYERS), _size(config, _HIDDEN), _size(config, _HEADS)
    kv_heads = _kv_heads(config, name, family, heads)
    latent = _latent(config) if family.latent else None
    context = _context(config)
    return ModelShape(
        architecture=name,
        layers=layers,
        hidden=hidden,
        heads=heads,
        kv_heads=kv_heads,
        head_dim=latent.nope_dim + latent.rope_dim if latent else _head_dim(config, family, hidden, heads),
        ffn=_ffn(config, family, hidden),
        vocabulary=_size(config, ("vocab_size",)),
        context_tokens=context,
        tied=_flag(config, "tie_word_embeddings", family.tied),
        window=_window(config, family, layers),
        experts=_experts(config, family, layers),
        latent=latent,
        rope=_rope(config),
        block=_block(config, name, family, context),
        dtype=_text(config.get("dtype")) or _text(config.get("torch_dtype")),
    )


def context_of(config: Config) -> int | None:
    """The context window in tokens, whatever the architecture; None if the configuration does not say."""
    inner = config.get("text_config")
    return _context(inner if isinstance(inner, Mapping) else config)


def _family(config: Config) -> tuple[str, Family]:
    if any(isinstance(config.get(key), Mapping) for key in ("vision_config", "audio_config", "text_config")):
        raise ModelError(
            f"The configuration describes a model that does not read text only ({config.get('model_type')}).",
            "Its parameters can be counted from its weight files, not from the configuration.",
        )
    model_type = _text(config.get("model_type"))
    classes = config.get("architectures")
    named = tuple(str(entry) for entry in classes) if isinstance(classes, list | tuple) else ()
    found = find_family(model_type, named)
    if found is None:
        asked = model_type or ", ".join(named) or "none named"
        raise ModelError(
            f"The architecture {asked!r} is not one whose layers Parity knows.",
            did_you_mean(asked, list(FAMILIES)),
        )
    return found


def _size(config: Config, keys: Sequence[str]) -> int:
    found = _maybe(config, keys)
    if found is None:
        raise ModelError(f"The configuration has no {keys[0]!r}.", "Use the config.json the model was published with.")
    return found


def _maybe(config: Config, keys: Sequence[str]) -> int | None:
    for key in keys:
        value = config.get(key)
        if value is None:
            continue
        if type(value) is not int or not 0 < value < _LIMIT:
            raise ModelError(f"The configuration's {key!r} is {value!r}.", "It must be a positive whole number.")
        return value
    return None


def _kv_heads(config: Config, name: str, family: Family, heads: int) -> int:
    if name == "falcon" and not _flag(config, "new_decoder_architecture", False):
        return 1 if _flag(config, "multi_query", True) else heads
    if name == "gpt_bigcode":
        return 1 if _flag(config, "multi_query", True) else heads
    if not family.grouped:
        return heads
    said = _maybe(config, _KV_HEADS)
    if said is None:
        absent = not any(key in config for key in _KV_HEADS)
        said = (family.kv_heads if absent else None) or heads
    if heads % said:
        raise ModelError(
            f"The configuration has {heads} query heads and {said} key-value heads.", "One must divide the other."
        )
    return said


def _head_dim(config: Config, family: Family, hidden: int, heads: int) -> int:
    return _maybe(config, ("head_dim",)) or ("head_dim" not in config and family.head_dim) or hidden // heads


def _ffn(config: Config, family: Family, hidden: int) -> int:
    said = _maybe(config, _FFN)
    if said is None and family.ffn_factor:
        return family.ffn_factor * hidden
    return said if said is not None else _size(config, _FFN)


def _context(config: Config) -> int | None:
    return next((int(value) for key in _CONTEXT if type(value := config.get(key)) is int and value > 0), None)


def _window(config: Config, family: Family, layers: int) -> SlidingWindow | None:
    tokens = config.get("sliding_window", family.window_tokens)
    if type(tokens) is not int or tokens <= 0 or family.window == "none":
        return None
    kinds = config.get("layer_types")
    if isinstance(kinds, list | tuple):
        chosen = tuple(i for i, kind in enumerate(kinds[:layers]) if kind == "sliding_attention")
    elif family.window == "all":
        chosen = tuple(range(layers))
    elif family.window == "from_layer":
        first = config.get("max_window_layers", 28)
        used = _flag(config, "use_sliding_window", False) and type(first) is int
        chosen = tuple(range(first, layers)) if used and type(first) is int else ()
    else:
        pattern = config.get("sliding_window_pattern", 6) if family.window == "all_but_sixth" else 2
        step = pattern if type(pattern) is int and pattern > 0 else 6
        chosen = tuple(i for i in range(layers) if (i + 1) % step)
    return SlidingWindow(tokens, chosen) if chosen else None


def _experts(config: Config, family: Family, layers: int) -> Experts | None:
    count = _maybe(config, _EXPERTS)
    if family.experts == "none" or count is None:
        return None
    per_token = _size(config, ("num_experts_per_tok",))
    if per_token > count:
        raise ModelError(f"The configuration chooses {per_token} of {count} experts.", "Check the configuration.")
    if family.experts == "mixtral":
        return Experts(count, per_token, _size(config, _FFN), tuple(range(layers)))
    ffn = _size(config, ("moe_intermediate_size",))
    if family.experts == "deepseek":
        dense, every = _count(config, "first_k_dense_replace", 0), _count(config, "moe_layer_freq", 1)
        sparse = tuple(i for i in range(dense, layers) if i % max(every, 1) == 0)
        return Experts(count, per_token, ffn, sparse, _count(config, "n_shared_experts", 0) * ffn)
    only = config.get("mlp_only_layers")
    dense_layers = set(only) if isinstance(only, list | tuple) else set()
    step = max(_count(config, "decoder_sparse_step", 1), 1)
    sparse = tuple(i for i in range(layers) if i not in dense_layers and (i + 1) % step == 0)
    shared = _count(config, "shared_expert_intermediate_size", 0) if family.experts == "qwen_shared" else 0
    return Experts(count, per_token, ffn, sparse, shared, shared_gate=shared > 0)


def _latent(config: Config) -> LatentAttention:
    return LatentAttention(
        kv_rank=_size(config, ("kv_lora_rank",)),
        query_rank=_maybe(config, ("q_lora_rank",)),
        rope_dim=_size(config, ("qk_rope_head_dim",)),
        nope_dim=_size(config, ("qk_nope_head_dim",)),
        value_dim=_size(config, ("v_head_dim",)),
    )


def _rope(config: Config) -> Rope:
    """Positions from `rope_parameters` (transformers 5) or from `rope_theta` and `rope_scaling` (before)."""
    new = config.get("rope_parameters")
    scaling = new if isinstance(new, Mapping) else config.get("rope_scaling")
    entries: Config = scaling if isinstance(scaling, Mapping) else {}
    inner = entries.get("full_attention")
    entries = inner if isinstance(inner, Mapping) else entries
    base = _number(entries.get("rope_theta")) or _number(config.get("rope_theta"))
    kind = _text(entries.get("rope_type")) or _text(entries.get("type")) or "default"
    original = entries.get("original_max_position_embeddings")
    return Rope(base, kind, _number(entries.get("factor")), original if type(original) is int else None)


def _block(config: Config, name: str, family: Family, context: int | None) -> Block:
    block = family.block
    for key, names in family.flags.items():
        if key in config:
            for field in names:
                block = _with_flag(block, field, _flag(config, key, False))
    if name == "falcon" and not _flag(config, "new_decoder_architecture", False):
        block = replace(block, norms=1 if _flag(config, "parallel_attn", True) else 2)
    if name == "stablelm" and _flag(config, "use_parallel_residual", False):
        block = replace(block, norms=1)
    if name == "cohere" and _flag(config, "use_qk_norm", False):
        block = replace(block, query_key_norm="heads")
    if name in ("phi", "stablelm") and _flag(config, "qk_layernorm", False):
        raise ModelError(f"{name} with 'qk_layernorm' is not counted.", "Count it from its weight files.")
    if name == "opt" and config.get("word_embed_proj_dim", config.get("hidden_size")) != config.get("hidden_size"):
        raise ModelError("OPT with projected embeddings is not counted.", "Count it from its weight files.")
    if family.positions_offset is not None:
        block = replace(block, learned_positions=(context or _size(config, _CONTEXT)) + family.positions_offset)
    return block


def _with_flag(block: Block, name: str, value: bool) -> Block:
    match name:
        case "qkv_bias":
            return replace(block, qkv_bias=value)
        case "output_bias":
            return replace(block, output_bias=value)
        case _:
            return replace(block, mlp_bias=value)


def _flag(config: Config, key: str, default: bool) -> bool:
    value = config.get(key)
    return default if value is None else bool(value)


def _count(config: Config, key: str, default: int) -> int:
    value = config.get(key)
    if value is None:
        return default
    if type(value) is not int or not 0 <= value < _LIMIT:
        raise ModelError(f"The configuration's {key!r} is {value!r}.", "It must be a whole number.")
    return value


def _number(value: Plain) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _text(value: Plain) -> str | None:
    return value if isinstance(value, str) and value else None
