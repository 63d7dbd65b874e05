"""Sizes against what really is: tensors of built models, caches of transformers, published files."""

import json

import pytest

from parity.core.refs import ModelRef
from parity.errors import ModelError, UsageError
from parity.models.fit import FitSpec, fit
from parity.models.gpus import GPUS, Gpu, bandwidth_of, find_gpu
from parity.models.hardware import Machine, this_machine
from parity.models.memory import adapter_parameters, kv_bytes, kv_elements, training_memory
from parity.models.mixtures import MIXTURES
from parity.models.shapes import shape_of
from parity.models.weight_sizes import weights_in, weights_of_shape
from shared import needs_shared

SMALL = {
    "hidden_size": 64, "num_hidden_layers": 4, "num_attention_heads": 8, "num_key_value_heads": 2,
    "intermediate_size": 96, "vocab_size": 128, "max_position_embeddings": 2048, "head_dim": 16,
    "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip
SPARSE = {"moe_intermediate_size": 32, "num_experts": 6, "num_local_experts": 6, "num_experts_per_tok": 2}
MLA = {
    "n_routed_experts": 4, "num_experts_per_tok": 2, "n_shared_experts": 1, "moe_intermediate_size": 32,
    "first_k_dense_replace": 1, "n_group": 1, "topk_group": 1, "kv_lora_rank": 16, "q_lora_rank": 24,
    "qk_rope_head_dim": 8, "qk_nope_head_dim": 16, "v_head_dim": 12,
}  # fmt: skip
MODELS = {
    "grouped heads": {"model_type": "llama", **SMALL},
    "every head": {"model_type": "llama", **SMALL, "num_key_value_heads": 8, "tie_word_embeddings": True},
    "a window": {"model_type": "mistral", **SMALL, "sliding_window": 256},
    "a window in some layers": {
        "model_type": "qwen2", **SMALL, "use_sliding_window": True, "sliding_window": 256, "max_window_layers": 2
    },
    "every other layer": {"model_type": "gemma2", **SMALL, "sliding_window": 256},
    "experts": {"model_type": "qwen3_moe", **SMALL, **SPARSE},
    "mixtral": {"model_type": "mixtral", **SMALL, **SPARSE},
    "latent V2": {"model_type": "deepseek_v2", **SMALL, **MLA, "num_key_value_heads": 8, "head_dim": 8},
    "latent V3": {"model_type": "deepseek_v3", **SMALL, **MLA, "num_key_value_heads": 8, "head_dim": 8},
}  # fmt: skip


@pytest.fixture(scope="module")
def built():
    torch = pytest.importorskip("torch")
    from transformers import AutoConfig, AutoModelForCausalLM

    def build(name):
        torch.manual_seed(0)
        config = {key: value for key, value in MODELS[name].items() if key != "model_type"}
        return AutoModelForCausalLM.from_config(AutoConfig.for_model(MODELS[name]["model_type"], **config)).eval()

    return build


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.filterwarnings("ignore")
def test_weights_are_the_sum_of_the_saved_tensors(built, name, tmp_path):
    from parity.models.safetensors import check_safetensors

    built(name).float().save_pretrained(tmp_path)
    held = sum(tensor.end - tensor.begin for tensor in check_safetensors(tmp_path / "model.safetensors"))
    config = json.loads((tmp_path / "config.json").read_text())
    shape = shape_of(config)
    assert weights_in(shape, weights_of_shape(shape), "F32").total == pytest.approx(held, rel=0.01)
    found = fit(ModelRef.parse(str(tmp_path)), FitSpec(), MACHINE)
    assert found.choices[0].type == "as stored (F32)"
    assert found.choices[0].memory.weights_bytes == held


@pytest.mark.parametrize("tokens", [20, 600])
@pytest.mark.parametrize("name", MODELS)
@pytest.mark.filterwarnings("ignore")
def test_the_cache_is_as_large_as_that_of_transformers(built, name, tokens):
    import torch

    model = built(name).float()
    with torch.no_grad():
        ids = torch.randint(3, 128, (2, tokens))
        cache = model(ids, use_cache=True).past_key_values
        # One more token: a layer with a window then holds what it will hold for good.
        cache = model(torch.randint(3, 128, (2, 1)), past_key_values=cache, use_cache=True).past_key_values
    held = sum(layer.keys.nbytes + layer.values.nbytes for layer in cache.layers)
    shape = shape_of(MODELS[name])
    # With a window transformers keeps one token less than it, to which the token being computed is added.
    assert kv_bytes(shape, tokens + 1, parallel=2, kind="F32") == pytest.approx(held, rel=0.01)


def test_latent_rows_are_what_they_are_for():
    shape = shape_of(MODELS["latent V2"])
    assert kv_elements(shape, 10) == 10 * 4 * (16 + 8)
    v3 = {"model_type": "deepseek_v3", **SMALL, **MLA, "num_hidden_layers": 61, "num_key_value_heads": 8}
    v3 |= {"kv_lora_rank": 512, "qk_rope_head_dim": 64}
    assert kv_bytes(shape_of(v3), 1) / 1024 == pytest.approx(68.6, abs=0.05)


@pytest.mark.parametrize(
    ("preset", "kib"), [("llama3_1_8b", 128), ("llama3_1_70b", 320), ("llama2_7b", 512), ("Mixtral-8x7B-v0.1", 128)]
)
def test_published_cache_sizes(preset, kib):
    shape = shape_of(presets()[preset])
    assert kv_bytes(shape, 1) == kib * 1024


def presets():
    return json.loads(needs_shared("model_configs", "mlc_full_configs.json").read_text())


# Bits a weight of Llama-2-7B files as published (notes of llama.cpp's quantize tool).
PUBLISHED_BITS = {"Q3_K_M": 3.91, "Q4_K_S": 4.58, "Q4_K_M": 4.84, "Q5_K_M": 5.68, "Q6_K": 6.56}


@pytest.mark.parametrize("name", PUBLISHED_BITS)
def test_mixtures_average_to_the_published_bits(name):
    shape = shape_of(presets()["llama2_7b"])
    total = weights_in(shape, weights_of_shape(shape), name).total
    assert 8 * total / 6_738_415_616 == pytest.approx(PUBLISHED_BITS[name], rel=0.01)


@pytest.mark.parametrize(
    ("preset", "mixture", "gigabytes"),
    [("llama3_1_8b", "Q4_K_M", 4.92), ("llama3_1_8b", "Q8_0", 8.54), ("llama3_1_8b", "Q6_K", 6.60),
     ("llama3_1_70b", "Q4_K_M", 42.52), ("deepseek_v2_lite", "Q4_K_M", 10.36), ("qwen2_7b", "Q4_K_M", 4.68)],
)  # fmt: skip
def test_sizes_of_published_files(preset, mixture, gigabytes):
    shape = shape_of(presets()[preset])
    total = weights_in(shape, weights_of_shape(shape), mixture).total
    assert total / 1e9 == pytest.approx(gigabytes, rel=0.01)


def test_rows_that_are_no_whole_blocks_fall_back_and_never_shrink_below_their_type():
    shape = shape_of(MODELS["grouped heads"])
    plain = sum(weight.elements for weight in weights_of_shape(shape))
    sizes = [weights_in(shape, weights_of_shape(shape), name).total for name in MIXTURES]
    assert all(size > plain * 2 / 8 for size in sizes)


def test_an_adapter_has_rank_times_columns_and_rows_of_every_linear_layer():
    shape = shape_of({**MODELS["grouped heads"]})
    layer = (64 + 128) + 2 * (64 + 32) + (128 + 64) + 3 * (64 + 96)
    assert adapter_parameters(shape, 8) == 4 * 8 * layer


def test_full_training_takes_18_bytes_a_parameter_and_qlora_about_half_a_byte():
    shape = shape_of(presets()["llama3_1_8b"])
    full = training_memory(shape, "full", 1, 1, 16, 0)
    assert (full.weights_bytes + full.optimizer_bytes) / 8.03e9 == pytest.approx(18, rel=0.001)
    assert training_memory(shape, "qlora", 1, 1, 16, 0).weights_bytes == pytest.approx(
        6.98e9 * 4.127 / 8 + 2 * 1.05e9, rel=0.01
    )
    assert training_memory(shape, "lora", 4096, 2, 16, 0).logits_bytes == 4096 * 2 * 128_256 * 10


MACHINE = Machine(8, 32 * 10**9, 30 * 10**9, 60e9, ())


@pytest.fixture
def llama(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(presets()["llama3_1_8b"]))
    return ModelRef.parse(str(tmp_path))


def test_the_best_type_that_fits_and_the_longest_context(llama):
    found = fit(llama, FitSpec(on="RTX 3080"))
    assert found.best.type == "Q6_K"
    at = found.longest_context_tokens
    assert fit(llama, FitSpec(at, type="Q6_K", on="RTX 3080")).best
    assert not fit(llama, FitSpec(at + 256, type="Q6_K", on="RTX 3080")).best


def test_speed_is_bandwidth_over_what_a_token_reads(llama):
    found = fit(llama, FitSpec(2, type="Q4_K_M"), MACHINE)
    assert found.choices[0].tokens_per_s_at_most == pytest.approx(60e9 / 4.617e9, rel=0.01)
    unknown = fit(llama, FitSpec(), Machine(8, 32 * 10**9, None, None, ()))
    assert unknown.choices[0].tokens_per_s is None


def test_knobs_name_what_would_help(llama):
    found = fit(llama, FitSpec(131_072, parallel=4, type="Q8_0", on="RTX 4090"))
    assert found.best is None
    assert any("--context 65536" in knob for knob in found.knobs)
    assert any("--parallel 2" in knob for knob in found.knobs)
    assert any("Q8_0" in knob for knob in found.knobs)
    trained = fit(llama, FitSpec(train="full", on="RTX 4090"))
    assert any("--train qlora" in knob and "and fits" in knob for knob in trained.knobs)


def test_a_gpu_of_this_machine_comes_first(llama):
    gpu = Gpu("NVIDIA H100 80GB HBM3", 85 * 10**9, 3.35e12)
    assert fit(llama, FitSpec(), Machine(8, 32 * 10**9, None, 60e9, (gpu,))).device.name == gpu.name


def test_gguf_files_are_sized_as_they_are(tmp_path):
    gguf = pytest.importorskip("gguf")
    import numpy

    path = tmp_path / "a.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    for key, value in {
        "block_count": 1,
        "embedding_length": 256,
        "attention.head_count": 4,
        "context_length": 64,
    }.items():
        writer.add_uint32(f"llama.{key}", value)
    embedding = numpy.ones((40, 256), numpy.float32)
    writer.add_tensor("token_embd.weight", embedding)
    blocks = gguf.quantize(embedding, gguf.GGMLQuantizationType.Q8_0)
    writer.add_tensor("blk.0.ffn_down.weight", blocks, raw_dtype=gguf.GGMLQuantizationType.Q8_0)
    writer.add_tensor("output.weight", blocks, raw_dtype=gguf.GGMLQuantizationType.Q8_0)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    found = fit(ModelRef.parse(f"gguf:{path}"), FitSpec(), MACHINE)
    assert [choice.type for choice in found.choices] == ["as stored (F32)"]
    assert found.choices[0].memory.weights_bytes == 40 * 256 * 4 + 2 * 40 * 8 * 34
    read = 2 * 40 * 8 * 34 + kv_bytes(found.shape, 32)
    assert found.choices[0].tokens_per_s_at_most == pytest.approx(60e9 / read)


def test_refusals(llama, tmp_path_factory):
    with pytest.raises(UsageError, match="A100 80GB, A100 40GB"):
        fit(llama, FitSpec(on="A100"))
    with pytest.raises(UsageError, match="Did you mean 'Q4_K_M'"):
        fit(llama, FitSpec(type="Q4_KM"), MACHINE)
    with pytest.raises(UsageError, match=r"--context 0 is not at least 1\n.*--parallel -1"):
        fit(llama, FitSpec(0, -1), MACHINE)
    with pytest.raises(UsageError, match="--train decides"):
        fit(llama, FitSpec(type="Q8_0", train="lora"), MACHINE)
    with pytest.raises(ModelError, match="cannot be found out"):
        fit(llama, FitSpec(), Machine(1, None, None, None, ()))
    vocabulary = needs_shared("tokenizers", "llama_cpp_vocab", "ggml-vocab-llama-spm.gguf")
    with pytest.raises(ModelError, match="only a vocabulary"):
        fit(ModelRef.parse(f"gguf:{vocabulary}"), FitSpec(), MACHINE)


def test_gpus_are_found_by_any_spelling():
    assert find_gpu("nvidia-rtx-4090") is GPUS["RTX 4090"]
    assert find_gpu("GeForce RTX 3090 Ti") is GPUS["RTX 3090 Ti"]
    assert find_gpu("h200") is GPUS["H200 SXM"]
    assert bandwidth_of("NVIDIA H100 80GB HBM3") == GPUS["H100 SXM"].bandwidth_bytes_s
    assert bandwidth_of("NVIDIA GeForce RTX 4090") == GPUS["RTX 4090"].bandwidth_bytes_s
    assert bandwidth_of("Riva 128") is None


def test_this_machine_says_what_it_knows():
    found = this_machine()
    assert found.cores >= 1
    assert found.memory_bytes is None or found.memory_bytes > 2**28
    assert found.bandwidth_bytes_s is None or 1e8 < found.bandwidth_bytes_s < 1e13


def test_the_gpu_table_is_the_published_one():
    import csv

    path = needs_shared("prices_hardware_openness", "hardware", "epoch_ml_hardware_2026-04.csv")
    with path.open(newline="", encoding="utf-8") as file:
        pairs = {(row["Memory (bytes)"], row["Memory bandwidth (byte/s)"]) for row in csv.DictReader(file)}
    published = {(float(memory), float(speed)) for memory, speed in pairs if memory and speed}
    assert {(float(gpu.memory_bytes), gpu.bandwidth_bytes_s) for gpu in GPUS.values()} <= published
