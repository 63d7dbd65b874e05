"""Ten planted faults, each found and named by its first failing hop; a faithful file has none."""

from pathlib import Path

import pytest
import torch

from parity.core.gaps import Verdict
from parity.quantization.check import CheckSpec, check
from parity.testing.gguf_faults import FAULTS, altered_folder, plant, random_adapter
from quantization.conftest import TEXTS
from quantization.making import to_gguf


def checked(base: Path, file: Path, **options):
    return check(CheckSpec(base, file, TEXTS, **options))


def first_of(base: Path, wrong: Path, tmp_path: Path, to: str = "F32", **options) -> tuple[str, str, str]:
    file = to_gguf(wrong, tmp_path / "wrong.gguf", to).files[0]
    found = checked(base, file, **options).first
    assert found is not None
    return found.hop, found.aspect, found.cause


@pytest.mark.parametrize(("name", "to"), [("qwen2", "F32"), ("mixtral", "Q8_0"), ("llama-3", "Q4_K_M")])
def test_a_faithful_file_has_no_problem(name, to, family, tmp_path):
    found = checked(family(name), to_gguf(family(name), tmp_path / "right.gguf", to).files[0])
    assert found.problems == ()
    hops = {hop.name: hop for hop in found.hops}
    assert list(hops) == (["gguf", "chat"] if to == "F32" else ["gguf", "quantized", "chat"])
    exact = hops["gguf"]
    assert exact.outputs.logprob_error_max < 1e-4
    assert (exact.outputs.flips, exact.outputs.greedy_equal) == (0, 1)
    assert exact.continued.equal == exact.continued.prompts == len(TEXTS)
    if to != "F32":
        assert 0 < hops["quantized"].outputs.kl_mean < 1
    talks = found.conversations
    assert talks.count == talks.equal > 5
    assert talks.answers == talks.answers_equal > 5
    assert not list(tmp_path.glob(".*.check"))


@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_is_named_where_it_happened(name, family, tmp_path):
    planted = plant(name, family, tmp_path)
    found = checked(planted.base, planted.file, adapter=planted.adapter).first
    assert (found.hop, found.aspect, found.cause) == (planted.hop, planted.aspect, name)


def test_there_are_ten_faults():
    assert len(FAULTS) == 10


@pytest.fixture(scope="module")
def adapted(family, tmp_path_factory):
    """(base, adapter, both merged): an adapter that moves every query and value weight."""
    from parity.models.merge import merge_adapter

    base, folder = family("qwen2"), tmp_path_factory.mktemp("adapted")
    adapter = random_adapter(base, folder / "adapter")
    return base, adapter, merge_adapter(base, adapter, folder / "merged").folder


def test_a_merge_that_did_nothing_is_lost_at_the_merge(adapted, tmp_path):
    base, adapter, _ = adapted
    found = first_of(base, base, tmp_path, adapter=adapter, merged=altered_folder(base, tmp_path / "merged"))
    assert found == ("merged", "outputs", "stale adapter")


def test_a_wrong_merge_is_lost_at_the_merge(adapted, tmp_path):
    base, adapter, merged = adapted

    def spoil(held):
        for name in [name for name in held if name.endswith("o_proj.weight")]:
            held[name] = held[name] * -1

    wrong = altered_folder(merged, tmp_path / "merged", spoil)
    assert first_of(base, wrong, tmp_path, adapter=adapter, merged=wrong) == ("merged", "outputs", "wrong merge")


def test_a_right_merge_has_no_problem(adapted, tmp_path):
    base, adapter, merged = adapted
    found = checked(base, to_gguf(merged, tmp_path / "right.gguf", "Q4_K_M").files[0], adapter=adapter)
    assert found.problems == ()
    assert [hop.name for hop in found.hops] == ["merged", "gguf", "quantized", "chat"]
    assert found.hops[0].outputs.kl_mean < 1e-6


def test_a_fault_of_the_quantizer_is_not_blamed_on_the_conversion(family, f32, tmp_path):
    wrong = altered_folder(family("llama-2"), tmp_path / "model", rms_norm_eps=0.01)
    for exact, hop in ((f32("llama-2"), "quantized"), (to_gguf(wrong, tmp_path / "e.gguf", "F32").files[0], "gguf")):
        folder = tmp_path / hop
        folder.mkdir()
        found = first_of(family("llama-2"), wrong, folder, "Q8_0", exact=exact)
        assert found == (hop, "configuration", "wrong epsilon")


def test_spoiled_values_of_a_quantized_file_are_lost_at_quantizing(family, tmp_path):
    def spoil(held):
        held["model.layers.0.mlp.down_proj.weight"] = torch.randn_like(held["model.layers.0.mlp.down_proj.weight"])

    wrong = altered_folder(family("llama-2"), tmp_path / "model", spoil)
    found = first_of(family("llama-2"), wrong, tmp_path, "Q8_0")
    assert found == ("quantized", "tensors", "more lost than the type loses")


def test_a_template_that_writes_a_bos_beside_the_tokenizers(family, tmp_path):
    """Served by llama.cpp such a file reads two; here the template's is the only one."""
    base = altered_folder(family("llama-2"), tmp_path / "base")
    (base / "chat_template.jinja").write_text("{{ bos_token + ' ' }}{{ messages[-1].content }}")
    found = checked(base, to_gguf(base, tmp_path / "right.gguf", "F32").files[0])
    assert all(problem.hop == "chat" for problem in found.problems)
    assert found.conversations.answers == found.conversations.answers_equal


def test_the_gap_on_a_task_is_a_fault_only_when_it_is_proved(family, f32):
    from parity.measurement.comparison import compare
    from parity.measurement.pairing import Pairs
    from parity.stats.paired import PairedCounts

    base, file = family("qwen2"), f32("qwen2")
    asked = []

    def task_with(lost):
        def task(before, after):
            asked.append((str(before), str(after)))
            return "made up", compare(Pairs(PairedCounts(200, 200 - lost, 0, lost)), 0.05)

        return task

    worse = checked(base, file, task=task_with(60))
    assert worse.task.gap.verdict is Verdict.INFERIOR
    assert (worse.first.hop, worse.first.aspect) == ("chat", "task")
    assert "95 % interval" in worse.first.seen
    assert checked(base, file, task=task_with(0)).problems == ()
    assert asked[0] == (str(base), f"gguf:{file}")


def test_a_model_whose_context_is_shorter_than_a_pass_writes(family, f32):
    from parity.core.outputs import Generation
    from parity.core.prompts import Generate, RequestId, Sampling, TextPrompt
    from parity.core.refs import ModelRef
    from parity.engines.llamacpp import LlamaCppEngine

    engine = LlamaCppEngine(ModelRef.parse(f"gguf:{f32('llama-2')}"))
    asked = Generate(RequestId("short"), TextPrompt(TEXTS[0]), Sampling(8))
    assert isinstance(dict(engine.answer([asked]))[asked.id], Generation)
    engine.close()
