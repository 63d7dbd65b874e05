"""A converted model is the model: the same next tokens as transformers for every family; and faults are named."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

from parity.errors import ModelError
from parity.models.gguf import check_gguf
from parity.models.gguf_shapes import shape_of_gguf
from parity.models.shapes import shape_of
from parity.quantization.convert import open_folder
from parity.quantization.pretokenizers import pre_tokenizer_name
from parity.testing.families import FAMILIES
from parity.testing.gguf_logits import GgufLogits, first_difference
from parity.testing.llama2c import llama2c_folder
from quantization.conftest import TEXTS
from quantization.making import to_gguf
from shared import needs_shared


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_goes_on_as_in_transformers(name, family, f32, tokenizer):
    model = AutoModelForCausalLM.from_pretrained(family(name), dtype=torch.float32).eval()
    running = GgufLogits([f32(name)])
    for text in TEXTS:
        ids = tokenizer.encode(text)
        assert running.tokens(text, special=True) == ids
        with torch.inference_mode():
            whole = model.generate(
                torch.tensor([ids]), max_new_tokens=64, min_new_tokens=64, do_sample=False, pad_token_id=0
            )[0].tolist()
            expected = torch.log_softmax(model(torch.tensor([whole])).logits[0].double(), -1).numpy()
        logits = running.logits(whole)
        # min_new_tokens keeps the end token from being chosen; so must we.
        logits[:, tokenizer.eos_token_id] = -np.inf
        assert first_difference(whole[len(ids) :], logits[len(ids) - 1 : -1]) == (True, 0)
        found = torch.log_softmax(torch.from_numpy(running.logits(whole)).double(), -1).numpy()
        assert np.abs(found - expected).max() < 1e-4
    running.close()


@pytest.mark.parametrize("name", FAMILIES)
def test_the_header_says_what_the_configuration_says(name, family, f32):
    header = check_gguf(f32(name))
    read, source = shape_of_gguf(header), shape_of(json.loads((family(name) / "config.json").read_text()))
    for size in ("layers", "hidden", "heads", "kv_heads", "head_dim", "ffn", "vocabulary", "context_tokens", "tied"):
        assert getattr(read, size) == getattr(source, size), size
    assert read.latent == source.latent
    assert read.experts is None or (read.experts.count, read.experts.per_token, read.experts.ffn) == (
        source.experts.count, source.experts.per_token, source.experts.ffn,
    )  # fmt: skip
    assert read.rope.base == pytest.approx(source.rope.base)
    assert header.text("tokenizer.chat_template") == (family(name) / "chat_template.jinja").read_text()
    assert header.metadata["tokenizer.ggml.tokens"].length == source.vocabulary


def test_documented_text_of_real_weights(tmp_path):
    source = needs_shared("weights_small", "stories260K")
    folder = llama2c_folder(source / "stories260K.bin", source / "tok512.bin", tmp_path / "model")
    running = GgufLogits(to_gguf(folder, tmp_path / "stories.gguf", "F32").files)
    ids = [1]
    while len(ids) < 220:
        ids.append(int(running.logits(ids)[-1].argmax()))
    text = PreTrainedTokenizerFast.from_pretrained(folder).decode(ids, skip_special_tokens=True)
    documented = (source / "stories260K.md").read_text().split("-t 0.0\n")[1].split("```")[0]
    assert len(text) > 400
    assert documented.startswith(text.strip())
    running.close()


def test_shards_and_number_types_make_no_difference(family, tmp_path):
    model = AutoModelForCausalLM.from_pretrained(family("mixtral"), dtype=torch.bfloat16)
    model.save_pretrained(tmp_path / "one")
    model.save_pretrained(tmp_path / "many", max_shard_size="300KB")
    for folder in ("one", "many"):
        for file in family("mixtral").glob("*token*"):
            (tmp_path / folder / file.name).write_bytes(file.read_bytes())
    found = [to_gguf(tmp_path / name, tmp_path / f"{name}.gguf", "BF16").files[0] for name in ("one", "many")]
    assert len(list((tmp_path / "many").glob("*.safetensors"))) > 3
    headers = [check_gguf(path) for path in found]
    data = [path.read_bytes()[header.data_start :] for path, header in zip(found, headers, strict=True)]
    assert data[0] == data[1]
    assert headers[0].tensors == headers[1].tensors


def test_the_header_of_a_windowed_model_comes_with_a_caveat(family, tokenizer, tmp_path):
    config = json.loads((family("mistral") / "config.json").read_text())
    folder = copied(family("mistral"), tmp_path / "model", config={**config, "sliding_window": 8})
    (caveat,) = open_folder(folder).caveats
    assert caveat.from_tokens == 8
    assert "sliding window" in caveat.what


def copied(source, target, config=None, without=()):
    target.mkdir()
    for path in source.iterdir():
        if path.name not in without:
            (target / path.name).write_bytes(path.read_bytes())
    if config is not None:
        (target / "config.json").write_text(json.dumps(config))
    return target


def with_tensors(folder, change):
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})


def configured(folder, **changes):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **changes}))


def tokenized(folder, change):
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    change(tokenizer)
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))


FAULTS = {
    "an unknown architecture": (lambda f: configured(f, model_type="mamba"), "not one Parity converts"),
    "an architecture whose code comes with it": (
        lambda f: configured(f, model_type="deepseek"),
        r"first DeepSeek-MoE.* llama.cpp's script converts it(.|\n)*--converter",
    ),
    "one that llama.cpp has": (
        lambda f: configured(f, model_type="gpt2"), "llama.cpp has an architecture of that name",
    ),
    "one that nobody knows": (lambda f: configured(f, model_type="gemma9"), "none of that name, but may"),
    "Mistral's own tokenizer": (
        lambda f: (f / "tokenizer.json").rename(f / "tekken.json"), "Mistral's own format(.|\\n)*'tekken'",
    ),
    "another activation": (lambda f: configured(f, hidden_act="gelu"), "gelu"),
    "quantized weights": (lambda f: configured(f, quantization_config={"quant_method": "gptq"}), "gptq"),
    "a missing layer": (lambda f: configured(f, num_hidden_layers=3), "blk.2.attn_norm"),
    "a wrong vocabulary": (lambda f: configured(f, vocab_size=999), "999"),
    "an untied head that is not there": (
        lambda f: with_tensors(f, lambda t: t.pop("lm_head.weight")), "output.weight",
    ),
    "a missing expert": (
        lambda f: with_tensors(f, lambda t: t.pop("model.layers.1.mlp.experts.2.up_proj.weight")), "3 of 4 experts",
    ),
    "a tensor with no place": (
        lambda f: with_tensors(f, lambda t: t.update({"model.surprise.weight": torch.ones(2)})), "surprise",
    ),
    "integers for weights": (
        lambda f: with_tensors(f, lambda t: t.update({"model.norm.weight": torch.ones(256, dtype=torch.int8)})), "I8",
    ),
    "a truncated file": (
        lambda f: (f / "model.safetensors").write_bytes((f / "model.safetensors").read_bytes()[:-9]), "not a whole",
    ),
    "no tokenizer": (lambda f: (f / "tokenizer.json").unlink(), "no tokenizer"),
    "an unknown cut of text": (
        lambda f: tokenized(f, lambda t: t.update(pre_tokenizer={"type": "Whitespace"})), "Whitespace",
    ),
    "a normalizer": (lambda f: tokenized(f, lambda t: t.update(normalizer={"type": "Lowercase"})), "Lowercase"),
    "another kind of tokenizer": (lambda f: tokenized(f, lambda t: t["model"].update(type="WordPiece")), "WordPiece"),
    "a token beyond the rows": (lambda f: tokenized(f, lambda t: t["model"]["vocab"].update(far=70_000)), "70000"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_are_named_and_nothing_is_written(fault, family, tmp_path):
    folder = copied(family("qwen3-moe"), tmp_path / "model")
    spoil, message = FAULTS[fault]
    spoil(folder)
    with pytest.raises(ModelError, match=message):
        to_gguf(folder, tmp_path / "out.gguf", "F32")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_pickled_weights_are_never_opened(family, tmp_path):
    folder = copied(family("llama-2"), tmp_path / "model", without=("model.safetensors",))
    (folder / "pytorch_model.bin").write_bytes(b"cos\nsystem\n")
    with pytest.raises(ModelError, match="pickled"):
        open_folder(folder)


def split(pattern, **others):
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False, **others}


BYTES = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False}
WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}%s| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


@pytest.mark.parametrize(
    ("steps", "whole_words", "name"),
    [
        ([split(WORDS % "{1,3}"), BYTES], True, "llama-bpe"),
        ([split(WORDS % "{1,3}"), BYTES], False, "smaug-bpe"),
        ([split(WORDS % ""), BYTES], False, "qwen2"),
        ([split(WORDS % "", behavior="Removed", invert=True), BYTES], False, "qwen2"),
        ([{"type": "Digits", "individual_digits": True}, {**BYTES, "use_regex": True}], False, "smollm"),
        ([split(WORDS % ""), BYTES], True, None),
        ([split(WORDS % "", behavior="MergedWithNext"), BYTES], False, None),
        ([{**BYTES, "use_regex": True, "add_prefix_space": True}], False, None),
    ],
)
def test_a_cut_of_text_is_known_by_what_it_does(steps, whole_words, name):
    tokenizer = {"pre_tokenizer": {"type": "Sequence", "pretokenizers": steps}, "model": {"ignore_merges": whole_words}}
    if name:
        assert pre_tokenizer_name(tokenizer) == name
    else:
        with pytest.raises(ModelError, match="does not know"):
            pre_tokenizer_name(tokenizer)
