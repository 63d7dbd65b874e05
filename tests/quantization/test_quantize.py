"""Fewer bits: what is lost is bounded, types follow the rules, and no half file is ever left or taken for whole."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import gguf
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from parity.cli.app import main
from parity.errors import EngineError, ModelError, StoreError, UsageError
from parity.models.counts import Weight
from parity.models.ggml_types import BY_NAME
from parity.models.gguf import check_gguf
from parity.models.mixtures import MIXTURES, Traits, find_mixture, needs_importance, tensor_types
from parity.quantization.kernels import quantized
from parity.testing.gguf_logits import GgufLogits
from quantization.making import to_gguf

# Largest root mean square error a type may leave on normal values of unit size, without an importance matrix.
ERRORS = {
    "F32": 0, "F16": 3e-4, "BF16": 3e-3, "Q8_0": 0.008, "Q6_K": 0.025, "Q5_1": 0.05, "Q5_0": 0.05, "Q5_K": 0.05,
    "Q4_1": 0.1, "Q4_0": 0.11, "Q4_K": 0.1, "IQ4_NL": 0.1, "IQ4_XS": 0.11, "Q3_K": 0.2, "Q2_K": 0.4,
}  # fmt: skip


@pytest.mark.parametrize("name", ERRORS)
def test_values_come_back_within_the_error_of_their_type(name):
    values = np.random.default_rng(0).normal(size=(8, 512)).astype(np.float32)
    raw = np.frombuffer(quantized(values, BY_NAME[name]), np.uint8)
    assert len(raw) == BY_NAME[name].bytes_of((8, 512))
    back = gguf.quants.dequantize(raw.reshape(8, -1), gguf.GGMLQuantizationType[name]).reshape(8, 512)
    assert np.sqrt(np.mean((back - values) ** 2)) <= ERRORS[name]


def test_importance_moves_the_error_to_what_matters_less():
    values = np.random.default_rng(0).normal(size=(64, 256)).astype(np.float32)
    weights = np.where(np.arange(256) % 2 == 0, 100.0, 0.01).astype(np.float32)

    def errors(importance):
        raw = np.frombuffer(quantized(values, BY_NAME["Q3_K"], importance), np.uint8).reshape(64, -1)
        return ((gguf.quants.dequantize(raw, gguf.GGMLQuantizationType.Q3_K) - values) ** 2).mean(0)

    assert errors(weights)[::2].mean() < 0.9 * errors(None)[::2].mean()


@pytest.mark.parametrize("fault", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused(fault):
    values = np.zeros((1, 256), np.float32)
    values[0, 3] = fault
    with pytest.raises(ModelError, match="not finite"):
        quantized(values, BY_NAME["Q8_0"])
    with pytest.raises(ModelError, match="whole blocks"):
        quantized(np.zeros((1, 200), np.float32), BY_NAME["Q4_K"])


def layers(count, columns=4096, expert=False):
    yield Weight("token_embd", (32000, columns))
    yield Weight("output", (32000, columns))
    for layer in range(count):
        for role in ("attn_q", "attn_k", "attn_v", "attn_output"):
            yield Weight(role, (columns, columns), layer)
        for role in ("ffn_gate", "ffn_up", "ffn_down"):
            shape = (8, columns, columns) if expert else (11008, columns)
            yield Weight(f"{role}_exps" if expert else role, shape, layer)
        yield Weight("attn_norm", (columns,), layer)


def chosen(name, traits, importance=False, **options):
    weights = list(layers(traits.layers, expert=traits.experts > 0, **options))
    types = tensor_types(weights, find_mixture(name), traits, importance)
    return {(weight.role, weight.layer): kind for weight, kind in zip(weights, types, strict=True)}


SEVEN_B = Traits(32, 32, 32)
EIGHT_B = Traits(32, 32, 8)
MIXTRAL = Traits(32, 32, 8, 8)
MORE_BITS = {0, 1, 2, 3, 6, 9, 12, 15, 18, 21, 24, 27, 28, 29, 30, 31}  # of 32 layers, as llama.cpp's lambda has them


def test_half_of_the_layers_get_more_bits_in_the_medium_mixtures():
    for name, plain in (("Q4_K_M", "Q4_K"), ("Q5_K_M", "Q5_K")):
        found = chosen(name, SEVEN_B)
        for role in ("attn_v", "ffn_down"):
            assert {layer for layer in range(32) if found[role, layer] == "Q6_K"} == MORE_BITS
            assert {found[role, layer] for layer in set(range(32)) - MORE_BITS} == {plain}
        assert found["output", None] == "Q6_K"
        assert found["token_embd", None] == plain
        assert found["attn_norm", 3] is None


@pytest.mark.parametrize(
    ("name", "traits", "importance", "expected"),
    [
        ("Q2_K", SEVEN_B, False, {"attn_v": "Q3_K", "ffn_down": "Q3_K", "attn_output": "Q3_K", "attn_q": "Q2_K"}),
        ("Q2_K", EIGHT_B, False, {"attn_v": "Q4_K"}),
        ("Q3_K_M", SEVEN_B, False, {"attn_v": "Q5_K", "ffn_down": "Q5_K", "attn_output": "Q4_K"}),
        ("Q3_K_L", SEVEN_B, False, {"attn_v": "Q5_K", "ffn_down": "Q5_K", "attn_output": "Q5_K"}),
        ("Q4_K_S", SEVEN_B, False, {"attn_v": "Q5_K", "ffn_down": "Q5_K", "attn_k": "Q4_K"}),
        ("IQ4_XS", SEVEN_B, False, {"ffn_down": "Q5_K", "attn_v": "IQ4_XS"}),
        ("IQ4_XS", EIGHT_B, True, {"ffn_down": "IQ4_XS", "attn_v": "Q5_K"}),
        ("Q4_0", SEVEN_B, True, {"ffn_down": "Q4_1"}),
        ("Q4_0", SEVEN_B, False, {"ffn_down": "Q4_0"}),
        ("IQ2_XS", SEVEN_B, True, {"attn_v": "Q2_K", "ffn_down": "Q2_K", "ffn_up": "IQ2_XS"}),
        ("IQ1_S", EIGHT_B, True, {"attn_v": "Q4_K", "attn_output": "IQ2_XXS"}),
        ("Q4_K_M", MIXTRAL, False, {"attn_v": "Q8_0", "attn_k": "Q8_0", "attn_output": "Q5_K"}),
    ],
)
def test_the_first_layer_follows_the_documented_rules(name, traits, importance, expected):
    found = chosen(name, traits, importance)
    assert {role: found[role, 0] for role in expected} == expected


def test_a_70b_model_gives_its_few_value_heads_more():
    found = chosen("Q3_K_S", Traits(80, 64, 8))
    assert found["attn_v", 40] == "Q5_K"
    assert chosen("Q3_K_S", Traits(80, 64, 64))["attn_v", 40] == "Q3_K"


def test_rows_that_are_no_whole_blocks_fall_back():
    found = chosen("Q4_K_M", SEVEN_B, columns=96)
    assert found["attn_q", 0] == "Q5_0"
    assert found["output", None] == "Q8_0"
    assert chosen("IQ2_XS", SEVEN_B, columns=96)["ffn_up", 9] == "IQ4_NL"
    assert chosen("Q2_K", SEVEN_B, columns=100)["attn_q", 0] == "F16"


def test_what_needs_importance():
    assert needs_importance("ffn_up", "IQ2_XS", MIXTURES["IQ2_XS"])
    assert not needs_importance("token_embd", "IQ2_XS", MIXTURES["IQ2_XS"])
    assert needs_importance("ffn_up", "Q2_K", MIXTURES["Q2_K_S"])
    assert not needs_importance("ffn_up", "Q2_K", MIXTURES["Q2_K"])


@pytest.mark.parametrize("name", ["llama-3", "mixtral", "qwen2", "deepseek-v3"])
def test_a_file_of_many_types_runs_and_is_close(name, family, f32, tmp_path):
    found = to_gguf(family(name), tmp_path / "out.gguf", "q5_k_m", threads=2)
    assert found.mixture == "Q5_K_M"
    assert {share.type for share in found.types} >= {"Q5_K", "Q6_K", "F32"}
    assert found.size_bytes == (tmp_path / "out.gguf").stat().st_size
    whole, small = GgufLogits([f32(name)]), GgufLogits(found.files)
    ids = [5, 9, 30, 4, 8, 100, 23, 7]
    exact, near = (np.exp(each.logits(ids) - each.logits(ids).max(-1, keepdims=True)) for each in (whole, small))
    exact, near = exact / exact.sum(-1, keepdims=True), near / near.sum(-1, keepdims=True)
    assert 0 < (exact * np.log(exact / near)).sum(-1).mean() < 0.3
    whole.close()
    small.close()


def test_from_the_folder_or_its_file_the_result_is_the_same(family, f32, tmp_path):
    direct = to_gguf(family("mixtral"), tmp_path / "direct.gguf", "Q4_K_M", threads=2).files[0]
    over = to_gguf(f32("mixtral"), tmp_path / "over.gguf", "Q4_K_M", threads=1).files[0]
    assert direct.read_bytes() == over.read_bytes()


def test_a_split_model_is_written_and_read(family, f32, tmp_path):
    whole = to_gguf(family("qwen3-moe"), tmp_path / "whole.gguf", "Q8_0").files[0]
    parts = to_gguf(family("qwen3-moe"), tmp_path / "parts.gguf", "Q8_0", split_bytes=500_000).files
    assert len(parts) > 2
    assert parts[0].name == f"parts-00001-of-{len(parts):05d}.gguf"
    assert sum(len(check_gguf(part).tensors) for part in parts) == len(check_gguf(whole).tensors)
    assert GgufLogits(parts).logits([3, 4]).tolist() == GgufLogits([whole]).logits([3, 4]).tolist()
    again = to_gguf(parts[1], tmp_path / "again.gguf", "Q8_0").files[0]
    assert again.read_bytes() == whole.read_bytes()
    parts[2].unlink()
    with pytest.raises(ModelError, match="files are missing"):
        to_gguf(parts[0], tmp_path / "less.gguf", "Q8_0")
    shutil.copy(whole, parts[2])
    with pytest.raises(ModelError, match="one of 1 files"):
        to_gguf(parts[0], tmp_path / "less.gguf", "Q8_0")


SLOWLY = """
import sys, time
from parity.core.refs import ModelRef
from parity.quantization import writing
from parity.quantization.quantize import QuantizeSpec, quantize
writing.SAVE_EVERY_BYTES = 1
real = writing.quantized
def slow(*arguments):
    time.sleep(0.05)
    return real(*arguments)
writing.quantized = slow
quantize(QuantizeSpec(ModelRef.parse(sys.argv[1]), "Q4_K_M", __import__("pathlib").Path(sys.argv[2]), threads=2))
"""


def test_a_killed_run_is_taken_up_where_it_was(family, tmp_path):
    whole = to_gguf(family("mixtral"), tmp_path / "whole.gguf", "Q4_K_M").files[0]
    target = tmp_path / "out.gguf"
    child = subprocess.Popen([sys.executable, "-c", SLOWLY, str(family("mixtral")), str(target)])
    notes = tmp_path / ".out.gguf.partial.json"
    deadline = time.monotonic() + 60
    while not (notes.exists() and json.loads(notes.read_text())["tensors"] >= 6) and time.monotonic() < deadline:
        time.sleep(0.01)
    with pytest.raises(StoreError, match="Another process"):
        to_gguf(family("mixtral"), target, "Q4_K_M")
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert not target.exists()
    done = json.loads(notes.read_text())["tensors"]
    assert 6 <= done < len(check_gguf(whole).tensors)
    before = (tmp_path / ".out.gguf.partial").stat().st_ino
    to_gguf(family("mixtral"), target, "Q4_K_M")
    assert target.stat().st_ino == before
    assert target.read_bytes() == whole.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.gguf", "whole.gguf"]


def test_another_plan_begins_again(family, tmp_path):
    whole = to_gguf(family("llama-2"), tmp_path / "whole.gguf", "Q6_K").files[0]
    (tmp_path / ".out.gguf.partial").write_bytes(os.urandom(200_000))
    (tmp_path / ".out.gguf.partial.json").write_text(json.dumps({"plan": "another", "tensors": 5}))
    assert to_gguf(family("llama-2"), tmp_path / "out.gguf", "Q6_K").files[0].read_bytes() == whole.read_bytes()


def test_broken_weights_leave_nothing(family, tmp_path):
    folder = shutil.copytree(family("llama-2"), tmp_path / "model")
    tensors = load_file(folder / "model.safetensors")
    tensors["model.layers.1.mlp.up_proj.weight"][5, 5] = np.nan
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(ModelError, match=r"blk\.1\.ffn_up\.weight: it holds values that are not finite"):
        to_gguf(folder, tmp_path / "out.gguf", "Q4_K_M")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_what_is_refused(family, f32, tmp_path):
    small = to_gguf(f32("llama-2"), tmp_path / "small.gguf", "Q4_K_M").files[0]
    with pytest.raises(StoreError, match="exists"):
        to_gguf(f32("llama-2"), small, "Q4_K_M")
    with pytest.raises(ModelError, match="quantized already"):
        to_gguf(small, tmp_path / "out.gguf", "Q8_0")
    with pytest.raises(UsageError, match="needs an importance matrix"):
        to_gguf(f32("llama-2"), tmp_path / "out.gguf", "IQ2_XS")
    with pytest.raises(UsageError, match="Did you mean 'Q4_K_M'"):
        to_gguf(f32("llama-2"), tmp_path / "out.gguf", "Q4_KM")
    with pytest.raises(UsageError, match="go with a transformers folder"):
        to_gguf(f32("llama-2"), tmp_path / "out.gguf", "Q8_0", adapter=tmp_path)
    with pytest.raises(ModelError, match="no model folder"):
        to_gguf(tmp_path / "nowhere", tmp_path / "out.gguf", "Q8_0")
    (tmp_path / "cut.gguf").write_bytes(small.read_bytes()[:-100])
    with pytest.raises(ModelError, match="not a whole GGUF"):
        to_gguf(tmp_path / "cut.gguf", tmp_path / "out.gguf", "Q8_0")
    assert not (tmp_path / "out.gguf").exists()


def test_another_wheel_is_refused(monkeypatch, family, tmp_path):
    from parity.engines.llamacpp import library

    monkeypatch.setattr(library, "version", lambda name: "1.2.3")
    library.library.cache_clear()
    with pytest.raises(EngineError, match=r"1\.2\.3"):
        to_gguf(family("llama-2"), tmp_path / "out.gguf", "Q8_0")
    monkeypatch.undo()
    library.library.cache_clear()


def test_a_script_of_llama_cpp_converts_what_we_do_not(family, f32, tmp_path):
    folder = shutil.copytree(family("llama-2"), tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "model_type": "gemma9"}))
    script = tmp_path / "convert_hf_to_gguf.py"
    copying = "shutil.copy({!r}, sys.argv[sys.argv.index('--outfile') + 1])"
    script.write_text("import shutil, sys; " + copying.format(str(f32("llama-2"))))
    found = to_gguf(folder, tmp_path / "out.gguf", "Q8_0", converter=script).files[0]
    assert found.read_bytes() == to_gguf(f32("llama-2"), tmp_path / "same.gguf", "Q8_0").files[0].read_bytes()
    script.write_text("import sys; sys.exit('gemma9 is not supported')")
    with pytest.raises(ModelError, match="gemma9 is not supported"):
        to_gguf(folder, tmp_path / "other.gguf", "Q8_0", converter=script)
    assert not list(tmp_path.glob(".other*"))


def test_the_command_tells_what_it_made(family, tmp_path, capsys):
    arguments = ["quantize", str(family("llama-2")), "--to", "q4_k_m", "-o", str(tmp_path / "out.gguf"), "--json"]
    assert main(arguments) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["type"] == "Q4_K_M"
    assert found["size_bytes"] == (tmp_path / "out.gguf").stat().st_size
    assert sum(share["elements"] for share in found["types"]) == found["elements"]
    assert main(arguments) == 1
    assert main(["quantize", str(family("llama-2")), "--to", "Q8_0", "-o", "x.bin", "--threads", "0"]) == 2
    said = capsys.readouterr().err
    assert "does not end in .gguf" in said
    assert "--threads 0" in said
