"""Real configurations of the shared data, as `config.json` would hold them, one of each shape."""

import gzip
import json

from parity.models.families import FAMILIES
from shared import needs_shared

_TYPES = {name: kind for kind, row in FAMILIES.items() for name in row.classes}
_WITH_FFN = {"llama", "mistral", "gpt_neox"}
# Classes whose configurations in gpu_poor's table carry every size that decides the count.
_SIZES = {"n_embd", "n_layer", "n_head", "vocab_size", "intermediate_size"}
_COMPLETE = {"llama", "mistral", "gpt2", "gpt_neox", "bloom"}
_NEEDED = (("hidden_size", "n_embd"), ("num_hidden_layers", "n_layer"), ("num_attention_heads", "n_head"))
# The one size its rows leave out: how many positions GPT-2 learns (1,024 in its configuration class).
_ADDED = {"gpt2": {"n_positions": 1024}}


def real_configs():
    """(name, config) pairs without repeats of a shape."""
    seen = set()
    for name, config in (*_mlc(), *_litgpt(), *_gpu_poor()):
        if (key := json.dumps(config, sort_keys=True)) not in seen:
            seen.add(key)
            yield name, config


def _mlc():
    table = json.loads(needs_shared("model_configs", "mlc_full_configs.json").read_text())
    for name, config in table.items():
        # The preset of DeepSeek-V2-Lite lost the null of its configuration, which the class would fill with 1,536.
        said = {"q_lora_rank": None} if config.get("model_type") == "deepseek_v2" else {}
        yield f"mlc {name}", {**said, **{key: value for key, value in config.items() if key != "auto_map"}}


def _gpu_poor():
    text = gzip.decompress(needs_shared("model_configs", "gpu_poor_all_configs.json.gz").read_bytes())
    for name, config in json.loads(text).items():
        kind = _TYPES.get((config.get("architectures") or [""])[0])
        whole = all(any(config.get(key) for key in keys) for keys in (*_NEEDED, ("vocab_size",)))
        if kind in _COMPLETE and whole and (kind not in _WITH_FFN or config.get("intermediate_size")):
            yield f"gpu_poor {name}", {**config, "model_type": kind, **_ADDED.get(kind, {})}


def _litgpt():
    for row in json.loads(needs_shared("model_configs", "litgpt_configs.json").read_text()):
        if (
            row.get("norm_class_name") == "RMSNorm"
            and row.get("mlp_class_name") in ("LLaMAMLP", "LLaMAMoE")
            and set(row) >= _SIZES
        ):
            yield f"litgpt {row['name']}", _from_litgpt(row)


def _from_litgpt(row):
    name, experts = row["name"], row.get("n_expert", 0)
    kind = "llama"
    if name.startswith(("Qwen2.5", "QwQ")):
        kind = "qwen2"
    elif name.startswith("Qwen3"):
        kind = "qwen3_moe" if experts else "qwen3"
    elif name.startswith(("Mistral", "Mathstral", "Mixtral")):
        kind = "mixtral" if experts else "mistral"
    elif name.startswith("OLMo-2"):
        kind = "olmo2"
    config = {
        "model_type": kind,
        "hidden_size": row["n_embd"],
        "num_hidden_layers": row["n_layer"],
        "num_attention_heads": row["n_head"],
        "num_key_value_heads": row.get("n_query_groups", row["n_head"]),
        "intermediate_size": row["intermediate_size"],
        "vocab_size": row.get("padded_vocab_size") or row["vocab_size"],
        "max_position_embeddings": row.get("block_size", 4096),
        "tie_word_embeddings": False,
    }
    if "head_size" in row:
        config["head_dim"] = row["head_size"]
    if experts:
        config |= {"num_experts_per_tok": row["n_expert_per_token"]}
        config |= {"num_local_experts" if kind == "mixtral" else "num_experts": experts}
        if kind == "qwen3_moe":
            config["moe_intermediate_size"] = row["moe_intermediate_size"]
    return config
