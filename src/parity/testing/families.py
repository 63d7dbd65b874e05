"""A tiny model of every family Parity promises: real configuration shapes, random weights, seconds to build.

Knows transformers' configuration classes by name, and the one trait of each family that breaks engines which were
written for Llama: tied embeddings, scaled positions, sliding windows, experts, latent attention, query norms, biases.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from parity.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

CONTEXT_TOKENS = 256
_DENSE: Mapping[str, Any] = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": CONTEXT_TOKENS,
}
_LATENT: Mapping[str, Any] = {
    "num_key_value_heads": 4,
    "num_hidden_layers": 3,
    "kv_lora_rank": 16,
    "qk_nope_head_dim": 16,
    "qk_rope_head_dim": 8,
    "v_head_dim": 16,
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
    "n_shared_experts": 1,
    "moe_intermediate_size": 32,
    "first_k_dense_replace": 1,
}
# Sizes with rows of 256, the block of K-quants; keys a family does not have are left out.
WIDE: Mapping[str, Any] = {
    "hidden_size": 256,
    "intermediate_size": 512,
    "moe_intermediate_size": 256,
    "shared_expert_intermediate_size": 256,
    "kv_lora_rank": 256,
    "q_lora_rank": 256,
    "qk_nope_head_dim": 64,
    "qk_rope_head_dim": 32,
    "v_head_dim": 64,
    "head_dim": 64,
}
_LLAMA3_ROPE: Mapping[str, Any] = {
    "rope_type": "llama3",
    "rope_theta": 500_000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}
_EXPERTS: Mapping[str, Any] = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32}


@dataclass(frozen=True, slots=True)
class Family:
    """A family's configuration class in transformers, and what this model says beside the common sizes."""

    config: str
    traits: Mapping[str, Any]


FAMILIES: Mapping[str, Family] = {
    "llama-1": Family("LlamaConfig", {"num_key_value_heads": 4}),
    "llama-2": Family("LlamaConfig", {}),
    "llama-3": Family("LlamaConfig", {"tie_word_embeddings": True, "rope_parameters": _LLAMA3_ROPE}),
    "codellama": Family("LlamaConfig", {"rope_parameters": {"rope_type": "default", "rope_theta": 1_000_000.0}}),
    "yi": Family("LlamaConfig", {"rope_parameters": {"rope_type": "default", "rope_theta": 5_000_000.0}}),
    "mistral": Family("MistralConfig", {"sliding_window": 8}),
    "mixtral": Family("MixtralConfig", {"num_local_experts": 4, "num_experts_per_tok": 2}),
    "qwen1.5": Family("Qwen2Config", {"num_key_value_heads": 4}),
    "qwen2": Family("Qwen2Config", {"tie_word_embeddings": True}),
    "qwen2-moe": Family("Qwen2MoeConfig", {**_EXPERTS, "shared_expert_intermediate_size": 48, "norm_topk_prob": False}),
    "qwen3": Family("Qwen3Config", {"head_dim": 32}),
    "qwen3-moe": Family("Qwen3MoeConfig", {**_EXPERTS, "head_dim": 32, "norm_topk_prob": True}),
    "deepseek-llm": Family("LlamaConfig", {"num_key_value_heads": 4}),
    "deepseek-v2": Family("DeepseekV2Config", {**_LATENT, "q_lora_rank": None, "topk_method": "greedy"}),
    "deepseek-v3": Family("DeepseekV3Config", {**_LATENT, "q_lora_rank": 24, "n_group": 2, "topk_group": 1}),
}


def family_folder(
    name: str,
    folder: Path,
    tokenizer: "PreTrainedTokenizerBase",
    seed: int = 0,
    sizes: Mapping[str, Any] | None = None,
    **others: Any,
) -> Path:
    """Write a tiny model of the family with `tokenizer`, fp32; returns `folder`.

    `sizes` replaces those of the family that it states (such as WIDE); `others` are added to its configuration.

    Raises:
        UsageError: no family of that name.
    """
    import torch
    import transformers
    from transformers.utils.logging import disable_progress_bar

    if name not in FAMILIES:
        raise UsageError(f"Unknown family {name!r}.", did_you_mean(name, list(FAMILIES)))
    disable_progress_bar()  # type: ignore[no-untyped-call]
    family = FAMILIES[name]
    ids = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    own = {**_DENSE, **family.traits}
    own |= {key: value for key, value in (sizes or {}).items() if own.get(key) is not None}
    torch.manual_seed(seed)
    own |= {**ids, "vocab_size": len(tokenizer), "dtype": "float32", **others}
    config = getattr(transformers, family.config)(**own)
    model = transformers.AutoModelForCausalLM.from_config(config)  # type: ignore[no-untyped-call]
    with torch.no_grad():
        for weight in model.parameters():
            if weight.dim() >= 2:  # the usual init (std 0.02) hides wrong attention below rounding
                weight.normal_(0.0, 1.5 / weight.shape[-1] ** 0.5)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
