"""An adapter merged file by file equals PEFT's own merge, and only what was adapted moved."""

import json

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from parity.errors import ModelError
from parity.models.merge import merge_adapter
from parity.testing.families import family_folder
from parity.testing.folders import trained_tokenizer

LINEAR = ["q_proj", "v_proj", "down_proj"]


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    tokenizer = trained_tokenizer(["one two three four five"] * 3, vocabulary=320)
    return family_folder("llama-2", tmp_path_factory.mktemp("base") / "model", tokenizer)


def adapted(base, folder, **settings):
    """A LoRA of random weights, saved by PEFT; returns PEFT's own merge of it."""
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    model = get_peft_model(model, LoraConfig(**{"r": 4, "lora_alpha": 8, "target_modules": LINEAR, **settings}))
    torch.manual_seed(1)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.requires_grad and "magnitude" not in name:
                weight.normal_(0.0, 0.1)
            elif weight.requires_grad:
                weight.mul_(1.3)
    model.save_pretrained(folder)
    return model.merge_and_unload().state_dict()


SETTINGS = {
    "lora": {},
    "rslora": {"use_rslora": True},
    "dora": {"use_dora": True},
    "patterns": {"rank_pattern": {"layers.0.self_attn.q_proj": 2}, "alpha_pattern": {"down_proj": 3}},
    "embedding": {"target_modules": ["embed_tokens", "q_proj"]},
    "whole modules": {"modules_to_save": ["lm_head"]},
}


@pytest.mark.filterwarnings("ignore:Setting `save_embedding_layers`:UserWarning")
@pytest.mark.parametrize("name", SETTINGS)
def test_the_merge_is_pefts(base, tmp_path, name):
    expected = adapted(base, tmp_path / "adapter", **SETTINGS[name])
    seen = []
    found = merge_adapter(base, tmp_path / "adapter", tmp_path / "merged", lambda *at: seen.append(at[1:]))
    before, after = load_file(base / "model.safetensors"), load_file(tmp_path / "merged" / "model.safetensors")
    assert before.keys() == after.keys()
    for key, weight in after.items():
        torch.testing.assert_close(weight, expected[key], atol=2e-6, rtol=1e-5)
    moved = sum(not torch.equal(before[key], after[key]) for key in after)
    assert moved == found.changed > 0
    assert moved < found.tensors
    assert seen[-1] == (found.tensors, found.tensors)
    logits = AutoModelForCausalLM.from_pretrained(tmp_path / "merged")(torch.tensor([[3, 4, 5]])).logits
    assert torch.isfinite(logits).all()


def test_shards_are_merged_in_their_own_number_type(base, tmp_path):
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.bfloat16)
    model.save_pretrained(tmp_path / "sharded", max_shard_size="60KB")
    expected = adapted(base, tmp_path / "adapter")
    merge_adapter(tmp_path / "sharded", tmp_path / "adapter", tmp_path / "merged")
    shards = sorted((tmp_path / "merged").glob("*.safetensors"))
    assert len(shards) > 2
    for shard in shards:
        for key, weight in load_file(shard).items():
            assert weight.dtype == torch.bfloat16
            torch.testing.assert_close(weight.float(), expected[key], atol=2e-2, rtol=2e-2)


def spoil(adapter, **changes):
    config = json.loads((adapter / "adapter_config.json").read_text())
    (adapter / "adapter_config.json").write_text(json.dumps({**config, **changes}))


def without_half(adapter):
    tensors = load_file(adapter / "adapter_model.safetensors")
    tensors.pop(next(name for name in tensors if "lora_B" in name))
    save_file(tensors, adapter / "adapter_model.safetensors")


def foreign(adapter):
    path = adapter / "adapter_model.safetensors"
    save_file({name.replace("layers.1", "layers.7"): value for name, value in load_file(path).items()}, path)


def infinite(adapter):
    tensors = load_file(adapter / "adapter_model.safetensors")
    save_file({name: value * float("inf") for name, value in tensors.items()}, adapter / "adapter_model.safetensors")


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (lambda adapter: spoil(adapter, peft_type="IA3"), "only LoRA"),
        (lambda adapter: spoil(adapter, target_parameters=["mlp.experts.down_proj"]), "fused experts"),
        (lambda adapter: spoil(adapter, r=None), "r or lora_alpha"),
        (without_half, "only half"),
        (foreign, "layers.7"),
        (infinite, "NaN"),
        (lambda adapter: (adapter / "adapter_model.safetensors").rename(adapter / "adapter_model.bin"), "pickled"),
        (lambda adapter: (adapter / "adapter_config.json").write_text("{"), "not JSON"),
    ],
)
def test_what_cannot_be_merged_is_refused_and_nothing_is_left(base, tmp_path, fault, message):
    adapted(base, tmp_path / "adapter")
    fault(tmp_path / "adapter")
    with pytest.raises(ModelError, match=message):
        merge_adapter(base, tmp_path / "adapter", tmp_path / "merged")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["adapter"]


def test_nothing_is_overwritten(base, tmp_path):
    adapted(base, tmp_path / "adapter")
    with pytest.raises(ModelError, match="not empty"):
        merge_adapter(base, tmp_path / "adapter", tmp_path / "adapter")


def test_a_quantized_base_is_refused(base, tmp_path):
    adapted(base, tmp_path / "adapter")
    (tmp_path / "base").mkdir()
    config = json.loads((base / "config.json").read_text())
    (tmp_path / "base" / "config.json").write_text(json.dumps({**config, "quantization_config": {"bits": 4}}))
    with pytest.raises(ModelError, match="quantized"):
        merge_adapter(tmp_path / "base", tmp_path / "adapter", tmp_path / "merged")
