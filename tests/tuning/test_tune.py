"""Only what should move moves, the loss falls, and a run that was killed ends with the same bytes."""

import json
import os
import signal
import subprocess
import sys

import pytest
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from parity.errors import DataError, ModelError, StoreError, UsageError
from parity.tuning.adapters import find_targets
from parity.tuning.tune import tune
from tuning.conftest import sums, write_rows

KILLED = """
import os, signal, sys
from pathlib import Path
from parity.tuning.recipe import Plan, Recipe
from parity.tuning.tune import tune

def on_step(seen):
    if seen.step == 4:
        os.kill(os.getpid(), signal.SIGKILL)

base, data, out = sys.argv[1:]
recipe = Recipe(rank=4, learning_rate=5e-3, epochs=2, batch_tokens=120)
tune(Plan(base=base, data=Path(data), out=Path(out), precision="float32", looks=4, recipe=recipe), on_step)
"""


def bytes_of(folder, name="adapter_model.safetensors"):
    return (folder / name).read_bytes()


def test_only_adapters_move_and_the_base_is_as_it_was(planned, base):
    before = bytes_of(base, "model.safetensors")
    done = tune(planned())
    assert bytes_of(base, "model.safetensors") == before
    found = load_file(done.out / "adapter_model.safetensors")
    assert all("lora_" in name for name in found)
    changed = [name for name, weight in found.items() if "lora_B" in name and weight.abs().max() > 0]
    assert len(changed) == sum(row.adapted for row in done.adapters) == 14  # gradients flowed into every layer
    assert done.points[-1].loss < 0.95 * done.points[0].loss
    assert done.trained_parameters == sum(weight.numel() for weight in found.values())


def test_seeds_reproduce_and_differ(planned):
    first, again, other = (tune(planned(out, seed=seed)) for out, seed in (("a", 1), ("b", 1), ("c", 2)))
    assert bytes_of(first.out) == bytes_of(again.out) != bytes_of(other.out)
    assert [point.loss for point in first.points] == [point.loss for point in again.points]


def test_a_killed_run_goes_on_and_ends_with_the_same_bytes(planned, base, rows):
    whole = tune(planned("whole"))
    plan = planned("killed")
    command = [sys.executable, "-W", "ignore", "-c", KILLED, str(base), str(rows), str(plan.out)]
    assert subprocess.run(command, capture_output=True, check=False).returncode == -signal.SIGKILL
    assert not (plan.out / "adapter_model.safetensors").exists()
    seen = []
    resumed = tune(plan, lambda step: seen.append(step.step))
    assert 0 < resumed.resumed_from < 5
    assert seen[0] == resumed.resumed_from + 1
    assert bytes_of(resumed.out) == bytes_of(whole.out)
    assert [point.step for point in resumed.points] == [point.step for point in whole.points]
    assert [point.loss for point in resumed.points] == [point.loss for point in whole.points]


def test_ctrl_c_saves_and_the_next_call_goes_on(planned):
    whole = tune(planned("whole"))
    plan = planned("stopped")
    stopped = tune(plan, lambda seen: os.kill(os.getpid(), signal.SIGINT) if seen.step == 4 else None)
    assert stopped.stopped_at in (4, 5)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    done = tune(plan)
    assert done.stopped_at is None
    assert bytes_of(done.out) == bytes_of(whole.out)


def test_a_finished_run_is_not_run_again_and_another_is_refused(planned):
    done = tune(planned())
    again = tune(planned(), lambda seen: pytest.fail("it trained again"))
    assert again.dev_loss == done.dev_loss
    with pytest.raises(StoreError, match="another recipe"):
        tune(planned(rank=2))


def test_all_weights_and_the_loss_of_one_batch_falls_to_nothing(planned, tmp_path):
    rows = write_rows(tmp_path / "four.jsonl", sums(4))
    one = {"data": rows, "dev": rows, "patience": 0}
    done = tune(planned(weights="full", epochs=60, batch_tokens=100_000, plan=one))
    assert done.steps == 60
    assert done.points[-1].loss < 0.02
    assert done.dev_loss < 0.02
    model = AutoModelForCausalLM.from_pretrained(done.out)
    assert sum(weight.numel() for weight in model.parameters()) == done.trained_parameters


def test_early_stopping_keeps_the_best_step(planned, tmp_path):
    noise = [{"prompt": f"{row['prompt']}", "completion": "nine nine nine"} for row in sums(6, seed=5)]
    dev = write_rows(tmp_path / "dev.jsonl", noise)
    done = tune(planned(epochs=8, learning_rate=2e-2, plan={"dev": dev, "patience": 1, "looks": 12}))
    looks = {point.step: point.dev for point in done.points if point.dev is not None}
    assert done.points[-1].step < done.steps
    assert min(looks.values()) == pytest.approx(done.dev_loss)


def test_outputs_say_how_they_were_made(planned, rows):
    done = tune(planned())
    manifest = json.loads((done.out / "manifest.json").read_text())
    assert manifest["data"]["rows"] + manifest["data"]["dev_rows"] == 48
    assert manifest["libraries"]["trl"].startswith("1.16")
    assert manifest["recipe"]["seed"] == 0
    card = (done.out / "README.md").read_text()
    for line in ("base_model: model", "base_model_relation: adapter", "library_name: peft", "license: unknown"):
        assert f"\n{line}\n" in card
    assert not (done.out / "checkpoints").exists()


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"id": "bad", "prompt": "a"}], "bad: completion is missing"),
        ([{"id": "bad", "prompt": "a", "completion": ""}], "bad: its completion is empty"),
        ([{"id": "bad", "input_ids": [1, 2], "labels": [-100, -100]}], "bad: nothing in it is learned"),
        ([{"id": "bad", "input_ids": [1, 2], "labels": [-100, 3]}], "bad: a label is not the token"),
        ([{"id": "bad", "input_ids": [1, 2], "labels": [2]}], "bad: 2 tokens but 1 labels"),
        ([{"id": "bad", "input_ids": ["x"], "labels": [2]}], "bad: input_ids is no list of token ids"),
    ],
)
def test_rows_that_teach_nothing_are_named(planned, tmp_path, rows, message):
    with pytest.raises(DataError, match=message):
        tune(planned(plan={"data": write_rows(tmp_path / "rows.jsonl", [*sums(3), *rows])}))


def test_long_rows_are_refused_not_cut(planned, tmp_path):
    rows = [*sums(8), {"id": "long", "prompt": "one " * 60, "completion": "two"}]
    with pytest.raises(DataError, match=r"1 of 9 rows .* longer than 20 tokens: long"):
        tune(planned(length_tokens=20, plan={"data": write_rows(tmp_path / "rows.jsonl", rows)}))


def test_a_plan_that_contradicts_itself_is_refused_at_once(planned):
    with pytest.raises(UsageError) as found:
        tune(planned(method="pretrain", epochs=-1, reward="exact", plan={"devices": 0}))
    for said in ("epochs = -1", "devices = 0", 'weights = "full"', "reward is for grpo"):
        assert said in str(found.value)


def test_what_does_not_fit_names_the_fields(planned, monkeypatch):
    from parity.models.hardware import Machine
    from parity.tuning import memory

    small = Machine(2, 10_000_000, 10_000_000, None, ())
    whole = memory.fit
    monkeypatch.setattr(memory, "fit", lambda ref, spec, machine: whole(ref, spec, small))
    with pytest.raises(ModelError, match="qlora"):
        tune(planned())


def test_adapters_reach_what_is_asked(base):
    model = AutoModelForCausalLM.from_pretrained(base)
    assert len(find_targets(model).linear) == 14
    assert not any("lm_head" in name for name in find_targets(model).linear)
