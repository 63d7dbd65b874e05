"""Whatever the method, a run that was killed ends with the bytes of one that was not."""

import random

import pytest

from parity.errors import DataError, StoreError, UsageError
from parity.tuning.planned import decide
from parity.tuning.resuming import claimed
from parity.tuning.tune import tune
from tuning.conftest import sums, write_rows


class Killed(BaseException):
    """What no handler catches: the run ends where it is, and what is on disk is all there is."""


def killed_at(step):
    def on_step(seen):
        if seen.step >= step:
            raise Killed

    return on_step


def pairs(count=24):
    rows = sums(count)
    return [{**row, "chosen": row["completion"], "rejected": f"{row['completion']}9 two"} for row in rows]


def thumbs(count=24):
    return [{**row, "label": at % 3 > 0} for at, row in enumerate(sums(count))]


def tasks(count=16):
    return [{"id": row["id"], "prompt": row["prompt"], "target": row["completion"]} for row in sums(count)]


RL = {"reward": r"pattern:(\d)", "length_tokens": 12, "batch_tokens": 400, "epochs": 2}
RUNS = {
    "packed": ({"method": "sft", "batch_tokens": 90}, sums(48)),
    "qlora": ({"method": "sft", "weights": "qlora"}, sums(48)),
    "full": ({"method": "sft", "weights": "full"}, sums(48)),
    "dpo": ({"method": "dpo", "batch_tokens": 150}, pairs()),
    "kto": ({"method": "kto", "batch_tokens": 90}, thumbs()),
    "reward": ({"method": "reward", "batch_tokens": 150}, pairs()),
    "grpo": ({"method": "grpo", **RL}, tasks()),
    "rloo": ({"method": "rloo", **RL, "batch_tokens": 200}, tasks()),
}


def weights_of(folder):
    return {path.name: path.read_bytes() for path in folder.glob("*.safetensors")}


@pytest.mark.parametrize("name", RUNS)
def test_a_killed_run_ends_with_the_same_bytes(planned, tmp_path, name):
    recipe, rows = RUNS[name]
    plan = {"data": write_rows(tmp_path / "rows.jsonl", rows), "looks": 5}
    whole = tune(planned("whole", **recipe, plan=plan))
    assert len(whole.points) > 4
    saved = -(-len(whole.points) // plan["looks"])
    at = random.Random(name).randint(saved + 1, len(whole.points) - 1)
    again = planned("killed", **recipe, plan=plan)
    with pytest.raises(Killed):
        tune(again, killed_at(at))
    assert not weights_of(again.out)
    seen = []
    resumed = tune(again, lambda step: seen.append(step.step))
    assert [point.loss for point in resumed.points] == [point.loss for point in whole.points], f"killed at {at}"
    assert weights_of(resumed.out) == weights_of(whole.out)
    assert seen[0] == resumed.resumed_from + 1 > 1


@pytest.mark.slow
@pytest.mark.parametrize("name", ["dpo", "kto", "reward"])
def test_two_processes_have_the_curve_of_one(planned, tmp_path, name):
    recipe, rows = RUNS[name]
    plan = {"data": write_rows(tmp_path / "rows.jsonl", rows)}
    one, two = (tune(planned(str(devices), **recipe, plan={**plan, "devices": devices})) for devices in (1, 2))
    # The last step of two is filled up with the first rows, where that of one is shorter.
    expected = [point.loss for point in one.points[:-1]]
    assert [point.loss for point in two.points[:-1]] == pytest.approx(expected, rel=2e-4)
    assert len(one.points) == len(two.points) > 4


def test_patience_remembers_the_looks_before_a_stop(planned, tmp_path):
    noise = [{**row, "completion": "nine nine nine"} for row in sums(6, seed=5)]
    plan = {"dev": write_rows(tmp_path / "dev.jsonl", noise), "patience": 3, "looks": 12}
    recipe = {"epochs": 8, "learning_rate": 2e-2}
    whole = tune(planned("whole", **recipe, plan=plan))
    assert len(whole.points) < whole.steps
    looks = [point.step for point in whole.points if point.dev is not None]
    again = planned("killed", **recipe, plan=plan)
    with pytest.raises(Killed):
        tune(again, killed_at(looks[-1]))  # two of three worse looks are behind it
    resumed = tune(again)
    assert [point.step for point in resumed.points] == [point.step for point in whole.points]
    assert weights_of(resumed.out) == weights_of(whole.out)


@pytest.mark.slow
def test_two_processes_go_on_to_the_same_bytes(planned, tmp_path):
    recipe, rows = RUNS["grpo"]  # each process draws answers of its own, so its random numbers must come back too
    plan = {"data": write_rows(tmp_path / "rows.jsonl", rows), "devices": 2, "looks": 8}
    recipe = {**recipe, "epochs": 4}
    whole = tune(planned("whole", **recipe, plan=plan))
    again = planned("killed", **recipe, plan=plan)
    with pytest.raises(Killed):
        tune(again, killed_at(2))
    assert not weights_of(again.out)
    resumed = tune(again)
    assert [point.loss for point in resumed.points] == [point.loss for point in whole.points]
    assert weights_of(resumed.out) == weights_of(whole.out)
    assert all("kl" in dict(point.metrics) for point in resumed.points)


def test_two_runs_do_not_share_a_folder(tmp_path):
    with (
        claimed(tmp_path / "out", "key"),
        pytest.raises(StoreError, match="Another process"),
        claimed(tmp_path / "out", "key"),
    ):
        pass
    with claimed(tmp_path / "out", "key"):
        pass
    with pytest.raises(StoreError, match="another recipe"), claimed(tmp_path / "out", "other"):
        pass


def test_processes_are_asked_for_what_they_can_do(planned, tmp_path):
    plan = {"data": write_rows(tmp_path / "rows.jsonl", tasks(2)), "devices": 3}
    with pytest.raises(DataError, match="3 processes share the answers to 3 prompts"):
        decide(planned(**RUNS["grpo"][0], plan=plan))
    with pytest.raises(UsageError, match="function cannot go to other processes"):
        tune(planned(**RUNS["grpo"][0], plan={**plan, "devices": 2}), reward=lambda **_: [])


@pytest.mark.parametrize("method", ["dpo", "kto", "reward"])
def test_processes_share_the_same_steps(planned, tmp_path, method):
    recipe, rows = RUNS[method]
    data = {"data": write_rows(tmp_path / "rows.jsonl", rows)}
    one, two = (decide(planned(**recipe, plan={**data, "devices": devices})).prepared for devices in (1, 2))
    assert abs(one.rows_at_once * one.per_step - two.rows_at_once * two.per_step) < 2  # a multiple of the processes
    for column in set(one.train.column_names) - {"KL_completion_ids"}:  # which are of the step's own rows
        assert two.train[column][: len(one.train)] == one.train[column][:]
    assert len(two.train) % (2 * two.rows_at_once) == 0
