"""The architectures whose layers we know, as data: what a configuration leaves unsaid, and what its flags mean.

One row a `model_type`. Defaults are those of the transformers configuration classes (checked against 5.24 by
tests/models/test_counts.py). An architecture without a row is unknown: its size is never guessed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from parity.core.models import Block

WindowRule = Literal["none", "all", "from_layer", "every_other", "all_but_sixth"]
ExpertRule = Literal["none", "mixtral", "qwen", "qwen_shared", "deepseek"]

_NO_FLAGS: Mapping[str, tuple[str, ...]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Family:
    """One architecture. `kv_heads` None: as many as query heads; not `grouped`: always so.

    `flags`: which fields of the block a configuration key sets. `ffn_factor`: the feed-forward width where none is
    stated, in hidden sizes. `positions_offset`: positions are learned, so many more than the context.
    """

    classes: tuple[str, ...]
    block: Block = field(default_factory=Block)
    flags: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: _NO_FLAGS)
    kv_heads: int | None = None
    grouped: bool = True
    head_dim: int | None = None
    tied: bool = False
    window: WindowRule = "none"
    window_tokens: int | None = None
    experts: ExpertRule = "none"
    latent: bool = False
    ffn_factor: int | None = None
    positions_offset: int | None = None


_BIASED = ("qkv_bias", "output_bias")
_ATTENTION = MappingProxyType({"attention_bias": _BIASED})
_ATTENTION_MLP = MappingProxyType({"attention_bias": _BIASED, "mlp_bias": ("mlp_bias",)})
_ALL = (*_BIASED, "mlp_bias")
_PLAIN = Block(gated=False, norm_bias=True)
_FULLY_BIASED = Block(gated=False, qkv_bias=True, output_bias=True, mlp_bias=True, norm_bias=True)
_ONE_NORM = Block(gated=False, qkv_bias=True, output_bias=True, mlp_bias=True, head_bias=True, norms=1, norm_bias=True)

FAMILIES: Mapping[str, Family] = MappingProxyType(
    {
        "llama": Family(("LlamaForCausalLM", "LLaMAForCausalLM"), flags=_ATTENTION_MLP),
        "yi": Family(("YiForCausalLM",)),
        "baichuan": Family(("BaichuanForCausalLM",), grouped=False),
        "internlm2": Family(("InternLM2ForCausalLM",), flags=MappingProxyType({"bias": _BIASED})),
        "internlm": Family(
            ("InternLMForCausalLM",), Block(qkv_bias=True, output_bias=True), MappingProxyType({"bias": _BIASED}),
            grouped=False,
        ),
        "orion": Family(("OrionForCausalLM",), Block(norm_bias=True)),
        "granite": Family(("GraniteForCausalLM",), flags=_ATTENTION_MLP),
        "smollm3": Family(("SmolLM3ForCausalLM",), flags=_ATTENTION_MLP, kv_heads=4, tied=True),
        "mistral": Family(("MistralForCausalLM",), kv_heads=8, window="all", window_tokens=4096),
        "ministral3": Family(("Ministral3ForCausalLM",), kv_heads=8, head_dim=128, window="all"),
        "mixtral": Family(("MixtralForCausalLM",), kv_heads=8, window="all", experts="mixtral"),
        "qwen2": Family(("Qwen2ForCausalLM",), Block(qkv_bias=True), kv_heads=32, window="from_layer"),
        "qwen2_moe": Family(
            ("Qwen2MoeForCausalLM",), Block(qkv_bias=True), MappingProxyType({"qkv_bias": ("qkv_bias",)}),
            kv_heads=16, window="from_layer", experts="qwen_shared",
        ),
        "qwen3": Family(
            ("Qwen3ForCausalLM",), Block(query_key_norm="head"), _ATTENTION,
            kv_heads=32, head_dim=128, window="from_layer",
        ),
        "qwen3_moe": Family(
            ("Qwen3MoeForCausalLM",), Block(query_key_norm="head"), _ATTENTION,
            kv_heads=4, window="from_layer", experts="qwen",
        ),
        "deepseek": Family(("DeepseekForCausalLM",), flags=_ATTENTION, experts="deepseek"),
        "deepseek_v2": Family(("DeepseekV2ForCausalLM",), flags=_ATTENTION_MLP, experts="deepseek", latent=True),
        "deepseek_v3": Family(("DeepseekV3ForCausalLM",), flags=_ATTENTION, experts="deepseek", latent=True),
        "gemma": Family(("GemmaForCausalLM",), flags=_ATTENTION, kv_heads=16, head_dim=256, tied=True),
        "gemma2": Family(
            ("Gemma2ForCausalLM",), Block(norms=4), _ATTENTION,
            kv_heads=4, head_dim=256, tied=True, window="every_other", window_tokens=4096,
        ),
        "gemma3_text": Family(
            ("Gemma3ForCausalLM",), Block(norms=4, query_key_norm="head"), _ATTENTION,
            kv_heads=4, head_dim=256, tied=True, window="all_but_sixth", window_tokens=4096,
        ),
        "phi": Family(("PhiForCausalLM",), _ONE_NORM, ffn_factor=4),
        "phi3": Family(("Phi3ForCausalLM",), window="all"),
        "stablelm": Family(
            ("StableLmForCausalLM",), Block(norm_bias=True), MappingProxyType({"use_qkv_bias": ("qkv_bias",)}),
            kv_heads=32,
        ),
        "cohere": Family(("CohereForCausalLM",), Block(norms=1), _ATTENTION, tied=True),
        "olmo": Family(("OlmoForCausalLM",), Block(norm_weight=False), _ATTENTION),
        "olmo2": Family(("Olmo2ForCausalLM",), Block(query_key_norm="heads"), _ATTENTION),
        "olmoe": Family(("OlmoeForCausalLM",), Block(query_key_norm="heads"), _ATTENTION, experts="mixtral"),
        "starcoder2": Family(
            ("Starcoder2ForCausalLM",), _FULLY_BIASED, MappingProxyType({"use_bias": _ALL}),
            kv_heads=2, tied=True, window="all",
        ),
        "gpt2": Family(("GPT2LMHeadModel",), _FULLY_BIASED, tied=True, grouped=False, ffn_factor=4, positions_offset=0),
        "gpt_bigcode": Family(
            ("GPTBigCodeForCausalLM",), _FULLY_BIASED, tied=True, ffn_factor=4, positions_offset=0, kv_heads=1
        ),
        "gpt_neox": Family(
            ("GPTNeoXForCausalLM",), Block(gated=False, qkv_bias=True, output_bias=True, mlp_bias=True, norm_bias=True),
            _ATTENTION, grouped=False,
        ),
        "gptj": Family(
            ("GPTJForCausalLM",), Block(gated=False, mlp_bias=True, head_bias=True, norms=1, norm_bias=True),
            grouped=False, ffn_factor=4,
        ),
        "opt": Family(("OPTForCausalLM",), _FULLY_BIASED, tied=True, grouped=False, positions_offset=2),
        "bloom": Family(
            ("BloomForCausalLM",),
            Block(gated=False, qkv_bias=True, output_bias=True, mlp_bias=True, norm_bias=True, embedding_norm=True),
            tied=True, grouped=False, ffn_factor=4,
        ),
        "falcon": Family(
            ("FalconForCausalLM", "RWForCausalLM"), _PLAIN, MappingProxyType({"bias": _ALL}), tied=True, ffn_factor=4
        ),
    }
)  # fmt: skip

_ALIASES = {"Yi": "yi", "phi-msft": "phi", "RefinedWebModel": "falcon", "RefinedWeb": "falcon"}


def find_family(model_type: str | None, architectures: tuple[str, ...]) -> tuple[str, Family] | None:
    """The row of a configuration, by `model_type` or, where that is absent, by the class it names; None if unknown."""
    if model_type:
        name = _ALIASES.get(model_type, model_type)
        return (name, FAMILIES[name]) if name in FAMILIES else None
    return next(((name, row) for name, row in FAMILIES.items() if set(row.classes) & set(architectures)), None)
