"""QLoRA, DoRA, pretraining, text, chat rows, merged outputs, several processes; nothing reaches the network."""

import json
import socket

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from parity.errors import DataError
from parity.testing.families import family_folder
from parity.tuning.diff import diff
from parity.tuning.loading import load
from parity.tuning.loss import next_token_loss
from parity.tuning.merging import merge
from parity.tuning.recipe import Recipe, read_plan
from parity.tuning.tune import tune
from tuning.conftest import sums, write_rows


@pytest.mark.parametrize("weights", ["rslora", "dora", "qlora"])
def test_every_kind_of_adapter_learns_and_merges(planned, base, tmp_path, weights):
    before = (base / "model.safetensors").read_bytes()
    done = tune(planned(weights=weights))
    assert (base / "model.safetensors").read_bytes() == before
    assert done.points[-1].loss < done.points[0].loss
    assert all(row.adapted == row.present for row in done.adapters)
    report = merge(str(base), done.out, tmp_path / "merged")
    assert report.apart < 1e-3 < report.moved
    assert report.changed == 14


def test_qlora_keeps_linear_layers_in_four_bits(tmp_path, tokenizer):
    folder = family_folder("llama-2", tmp_path / "model", tokenizer)
    plain = load(folder, "sft", "lora", 4, "train", torch.bfloat16, 0).model
    packed = load(folder, "sft", "qlora", 4, "train", torch.bfloat16, 0).model
    found = {name: module for name, module in packed.named_modules() if name.endswith("base_layer")}
    assert len(found) == 14
    assert {type(module).__name__ for module in found.values()} == {"Linear4bit"}

    def stored(module):
        state = getattr(module.weight, "quant_state", None)
        scales = state.absmax.nbytes + state.state2.absmax.nbytes if state else 0
        return module.weight.nbytes + scales

    sixteen = sum(stored(dict(plain.named_modules())[name]) for name in found)
    assert sum(map(stored, found.values())) < 0.3 * sixteen


def test_pretraining_makes_weights_from_a_configuration(planned, base, tmp_path):
    folder = tmp_path / "empty"
    folder.mkdir()
    for path in base.iterdir():
        if path.suffix != ".safetensors":
            (folder / path.name).write_bytes(path.read_bytes())
    text = tmp_path / "text.txt"
    text.write_text("two plus two is four and three plus one is four\n" * 60)
    recipe = {"method": "pretrain", "weights": "full", "length_tokens": 64, "batch_tokens": 512, "epochs": 6}
    done = tune(planned(**recipe, plan={"base": str(folder), "data": text}))
    assert done.points[-1].loss < done.points[0].loss - 1
    assert "base_model" not in (done.out / "README.md").read_text()
    assert torch.isfinite(AutoModelForCausalLM.from_pretrained(done.out)(torch.tensor([[3]])).logits).all()


def test_plain_text_loses_nothing_when_it_is_cut_into_blocks(planned, tmp_path, tokenizer):
    text = "one plus two is three " * 50
    data = write_rows(tmp_path / "text.jsonl", [{"id": "a", "text": text}, {"id": "b", "text": "two is two"}])
    plan = {"data": data, "dev": data, "patience": 0}
    done = tune(planned(method="continue", length_tokens=32, epochs=1, plan=plan))
    whole = sum(len(tokenizer(part)["input_ids"]) + 1 for part in (text, "two is two"))
    assert json.loads((done.out / "manifest.json").read_text())["data"]["tokens"] == whole


def chat(count=24):
    return [
        {"messages": [{"role": "user", "content": row["prompt"]}, {"role": "assistant", "content": row["completion"]}]}
        for row in sums(count)
    ]


def test_conversations_are_labelled_by_curation(planned, tmp_path, tokenizer):
    done = tune(planned(plan={"data": write_rows(tmp_path / "chat.jsonl", chat())}))
    manifest = json.loads((done.out / "manifest.json").read_text())["data"]
    answers = 2 * manifest["rows"]  # a digit, and the end of the turn; no header, no line break
    assert manifest["learned_tokens"] == answers


def test_a_row_without_an_answer_stops_everything_by_name(planned, tmp_path):
    rows = [*chat(3), {"id": "mute", "messages": [{"role": "user", "content": "one"}]}]
    with pytest.raises(DataError, match="mute"):
        tune(planned(plan={"data": write_rows(tmp_path / "chat.jsonl", rows)}))


def test_the_merged_model_can_be_what_is_kept(planned, base):
    done = tune(planned(plan={"keep": "merged"}))
    after, before = load_file(done.out / "model.safetensors"), load_file(base / "model.safetensors")
    assert sum(not torch.equal(before[name], after[name]) for name in before) == 14
    assert "base_model_relation: finetune" in (done.out / "README.md").read_text()
    found = diff(str(base), str(done.out))
    assert len(found.moved) == 14
    assert not found.only_base + found.only_tuned


def test_diff_tells_what_moved_and_what_is_said(planned, base, tmp_path):
    done = tune(planned(learning_rate=3e-2, epochs=4))
    prompts = write_rows(tmp_path / "prompts.jsonl", [{"id": row["id"], "prompt": row["prompt"]} for row in sums(4)])
    found = diff(str(base), str(done.out), prompts, max_tokens=4)
    assert {row.name.rsplit(".", 2)[-2] for row in found.moved} == {
        "q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj",
    }  # fmt: skip
    assert all(row.relative > 0 and row.largest > 0 for row in found.moved)
    assert found.asked == 4
    assert found.changed
    assert not list(done.out.parent.glob(".diff.*"))


@pytest.mark.slow
def test_two_processes_have_the_curve_of_one(planned):
    recipe = {"epochs": 1, "batch_tokens": 200}
    one = tune(planned("one", **recipe))
    two = tune(planned("two", **recipe, plan={"devices": 2}))
    assert [point.step for point in one.points] == [point.step for point in two.points]
    for first, second in zip(one.points, two.points, strict=True):
        assert first.loss == pytest.approx(second.loss, rel=2e-4)
    assert one.dev_loss == pytest.approx(two.dev_loss, rel=2e-4)


def test_prompts_may_count_a_little(planned):
    plain, some = tune(planned("a")), tune(planned("b", prompt_loss=0.1))
    manifests = [json.loads((done.out / "manifest.json").read_text()) for done in (plain, some)]
    assert manifests[0]["data"]["learned_tokens"] == manifests[1]["data"]["learned_tokens"]
    assert plain.points[0].loss != some.points[0].loss


def test_the_chunked_loss_is_cross_entropy_with_its_gradients():
    torch.manual_seed(0)
    head = torch.nn.Linear(16, 700, bias=True)
    hidden = torch.randn(2, 9, 16, requires_grad=True)
    labels = torch.randint(0, 700, (2, 9))
    labels[0, :4] = -100
    weights = torch.rand(2, 9)
    wanted = torch.nn.functional.cross_entropy(
        head(hidden[:, :-1]).flatten(0, 1), labels[:, 1:].flatten(), ignore_index=-100, reduction="none"
    )
    expected = (wanted * weights[:, 1:].flatten()).sum()
    leaves = (hidden, head.weight, head.bias)
    gradients = torch.autograd.grad(expected, leaves)
    found = next_token_loss(hidden, head, labels, weights)
    torch.testing.assert_close(found, expected)
    for one, other in zip(torch.autograd.grad(found, leaves), gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_nothing_reaches_for_the_network(planned, monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("a training reached for the network")

    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    for name in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, name, refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    tune(planned())


def test_plans_are_read_whole_and_unknown_keys_corrected(tmp_path):
    path = tmp_path / "plan.toml"
    path.write_text('base = "b"\ndata = "d"\nout = "o"\n[recipe]\nmethod = "dpo"\nbeta = 0.2\n')
    assert read_plan(path).recipe == Recipe(method="dpo", beta=0.2)
    path.write_text('base = "b"\ndata = "d"\n[recipe]\nlearning_rat = 1\nmethod = "sftt"\n')
    with pytest.raises(DataError) as found:
        read_plan(path)
    for said in ("'out' is missing", "Did you mean 'learning_rate'", "recipe.method"):
        assert said in str(found.value)
