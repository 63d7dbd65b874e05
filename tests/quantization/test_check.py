"""Ten planted faults, each found and named by its first failing hop; a faithful file has none."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from parity.quantization.check import check
from quantization.conftest import TEXTS
from quantization.making import to_gguf


def altered(folder: Path, target: Path, tensors=None, **config) -> Path:
    """A copy of a folder with other tensors or another configuration."""
    shutil.copytree(folder, target)
    if tensors:
        held = load_file(target / "model.safetensors")
        tensors(held)
        save_file({name: value.contiguous() for name, value in held.items()}, target / "model.safetensors")
    if config:
        found = json.loads((target / "config.json").read_text())
        (target / "config.json").write_text(json.dumps({**found, **config}))
    return target


def first_of(base: Path, wrong: Path, tmp_path: Path, to: str = "F32", unmerged: Path | None = None) -> tuple[str, str]:
    file = to_gguf(wrong, tmp_path / "wrong.gguf", to).files[0]
    found = check(base, file, TEXTS, unmerged).first
    assert found is not None
    return found.hop, found.cause


@pytest.mark.parametrize(("name", "to"), [("qwen2", "F32"), ("mixtral", "Q8_0"), ("llama-3", "Q4_K_M")])
def test_a_faithful_file_has_no_problem(name, to, family, tmp_path):
    found = check(family(name), to_gguf(family(name), tmp_path / "right.gguf", to).files[0], TEXTS)
    assert found.problems == ()
    assert found.outputs is not None
    assert found.outputs.positions > 20
    if to == "F32":
        assert found.outputs.logprob_error_max < 1e-4
        assert (found.outputs.flips, found.outputs.greedy_equal) == (0, 1)


def interleave(held):
    for name in [name for name in held if name.endswith("q_proj.weight")]:
        held[name] = (
            held[name].reshape(-1, 2, held[name].shape[0] // 8, held[name].shape[1]).swapaxes(1, 2).flatten(0, 2)
        )


def test_wrong_permutation(family, tmp_path):
    base = family("llama-2")
    wrong = altered(base, tmp_path / "model", interleave)
    assert first_of(base, wrong, tmp_path, "Q8_0") == ("tensors", "wrong permutation")


def test_lost_bias(family, tmp_path):
    base = family("codellama")

    def lose(held):
        for name in [name for name in held if name.endswith(".bias")]:
            del held[name]

    wrong = altered(base, tmp_path / "model", lose, attention_bias=False)
    assert first_of(base, wrong, tmp_path) == ("tensors", "lost bias")


def test_swapped_experts(family, tmp_path):
    base = family("mixtral")

    def swap(held):
        for name in [name for name in held if ".experts.0." in name]:
            other = name.replace(".experts.0.", ".experts.1.")
            held[name], held[other] = held[other], held[name]

    assert first_of(base, altered(base, tmp_path / "model", swap), tmp_path, "Q8_0") == ("tensors", "swapped experts")


def test_wrong_rope_base(family, tmp_path):
    base = family("llama-2")
    config = json.loads((base / "config.json").read_text())
    rope = {**config.get("rope_parameters", {"rope_type": "default"}), "rope_theta": 123456.0}
    wrong = altered(base, tmp_path / "model", rope_parameters=rope, rope_theta=123456.0)
    assert first_of(base, wrong, tmp_path) == ("configuration", "wrong rope base")


def test_wrong_epsilon(family, tmp_path):
    base = family("llama-2")
    wrong = altered(base, tmp_path / "model", rms_norm_eps=0.01)
    assert first_of(base, wrong, tmp_path) == ("configuration", "wrong epsilon")


def test_wrong_template(family, tmp_path):
    base = family("llama-2")
    wrong = altered(base, tmp_path / "model")
    (wrong / "chat_template.jinja").write_text("{{ messages[0].content }}")
    assert first_of(base, wrong, tmp_path) == ("template", "wrong template")


def edited(file: Path, target: Path, drop: tuple[str, ...] = (), add: tuple[tuple[str, object], ...] = ()) -> Path:
    """A GGUF file with some entries of its head left out or added."""
    from parity.models.ggml_types import BY_NAME
    from parity.quantization.gguf_source import open_gguf
    from parity.quantization.layout import entries, lay_out
    from parity.quantization.writing import Importance, finish, write

    model = open_gguf(file)

    def fill(writer) -> None:
        for method, value in add:
            getattr(writer, method)(value)

    metadata = {key: value for key, value in model.metadata.items() if key not in drop}
    metadata |= {key: value for key, value in entries("llama", fill).items() if key != "general.architecture" and add}
    layout = lay_out(metadata, [(tensor, BY_NAME[tensor.type]) for tensor in model.tensors])
    write(layout, target, "edited", Importance({}), 1, lambda _: None)
    if not target.exists():
        finish(target)
    return target


def test_missing_eos(family, f32, tmp_path):
    wrong = edited(f32("llama-2"), tmp_path / "wrong.gguf", ("tokenizer.ggml.eos_token_id",))
    found = check(family("llama-2"), wrong, TEXTS).first
    assert (found.hop, found.cause) == ("tokenizer", "missing EOS")


def test_doubled_bos(family, f32, tmp_path):
    wrong = edited(
        f32("llama-2"), tmp_path / "wrong.gguf", ("tokenizer.ggml.add_bos_token",), (("add_add_bos_token", True),)
    )
    found = check(family("llama-2"), wrong, TEXTS).first
    assert (found.hop, found.cause) == ("tokenizer", "doubled BOS")


def test_truncated_vocabulary(family, tmp_path):
    base = family("qwen3")
    vocabulary = json.loads((base / "config.json").read_text())["vocab_size"]

    def cut(held):
        for name in [name for name in held if "embed_tokens" in name or "lm_head" in name]:
            held[name] = held[name][: vocabulary - 64]

    wrong = altered(base, tmp_path / "model", cut, vocab_size=vocabulary - 64)
    tokenizer = json.loads((wrong / "tokenizer.json").read_text())
    model = tokenizer["model"]
    gone = {token for token, at in model["vocab"].items() if at >= vocabulary - 64}
    model["vocab"] = {token: at for token, at in model["vocab"].items() if token not in gone}
    model["merges"] = [
        pair
        for pair in model["merges"]
        if not {*(pair if isinstance(pair, list) else pair.split()), "".join(pair).replace(" ", "")} & gone
    ]
    tokenizer["added_tokens"] = [token for token in tokenizer["added_tokens"] if token["id"] < vocabulary - 64]
    (wrong / "tokenizer.json").write_text(json.dumps(tokenizer))
    assert first_of(base, wrong, tmp_path) == ("tokenizer", "truncated vocabulary")


def test_stale_adapter(family, tmp_path):
    unmerged = family("qwen2")

    def merge(held):
        for name in [name for name in held if name.endswith("v_proj.weight")]:
            rows, columns = held[name].shape
            source = torch.Generator().manual_seed(1)
            low = torch.randn(rows, 2, generator=source) @ torch.randn(2, columns, generator=source)
            held[name] = held[name] + 0.05 * held[name].norm() / low.norm() * low

    merged = altered(unmerged, tmp_path / "merged", merge)
    for to in ("F32", "Q4_K_M"):
        folder = tmp_path / to
        folder.mkdir()
        assert first_of(merged, unmerged, folder, to, unmerged) == ("tensors", "stale adapter")


def test_a_model_whose_context_is_shorter_than_a_pass_writes(family, f32):
    from parity.core.outputs import Generation
    from parity.core.prompts import Generate, RequestId, Sampling, TextPrompt
    from parity.core.refs import ModelRef
    from parity.engines.llamacpp import LlamaCppEngine

    engine = LlamaCppEngine(ModelRef.parse(f"gguf:{f32('llama-2')}"))
    asked = Generate(RequestId("short"), TextPrompt(TEXTS[0]), Sampling(8))
    assert isinstance(dict(engine.answer([asked]))[asked.id], Generation)
    engine.close()
