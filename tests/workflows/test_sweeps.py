"""A sweep chooses by the task's score, gives the better half more, and ends with the plan's own run."""

import json

import pytest

from parity.benchmarks.catalog import open_benchmark
from parity.errors import UsageError
from parity.store import Workspace
from parity.testing.families import family_folder
from parity.testing.folders import trained_tokenizer
from parity.tuning.recipe import Plan, Recipe
from parity.workflows.sweeps import sweep, task_score


@pytest.fixture
def plan(tmp_path):
    rows = [{"prompt": f"{n} is ", "completion": "odd" if n % 2 else "even"} for n in range(10)] * 3
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    tokenizer = trained_tokenizer(["0 1 2 3 4 5 6 7 8 9 is odd even"] * 4, 290)
    base = family_folder("llama-2", tmp_path / "base", tokenizer)
    recipe = Recipe(rank=4, learning_rate=1e-2, epochs=4, batch_tokens=80)
    return Plan(base=str(base), data=tmp_path / "rows.jsonl", out=tmp_path / "out", precision="float32", recipe=recipe)


def test_the_better_half_goes_on_and_ties_go_to_the_smaller_rate(plan):
    asked = []

    def evaluate(ref):
        asked.append(ref)
        return 0.0 if "0.005" in ref.name else 0.5

    found = sweep(plan, evaluate)
    assert [(round(trial.learning_rate, 4), trial.share) for trial in found.trials] == [
        (0.005, 0.25), (0.01, 0.25), (0.02, 0.25), (0.01, 0.5), (0.02, 0.5), (0.01, 1.0),
    ]  # fmt: skip
    assert found.learning_rate == pytest.approx(0.01)
    assert found.tuned.out == plan.out
    assert len(asked) == 6
    assert not list(plan.out.with_name("out.sweep").glob("*-merged"))


def test_the_score_is_the_benchmarks(plan, tmp_path):
    items = [{"question": f"{n} is ", "answer": "even" if n % 2 == 0 else "odd"} for n in range(10)]
    (tmp_path / "items.jsonl").write_text("".join(json.dumps(item) + "\n" for item in items))
    (tmp_path / "even.toml").write_text('name = "even"\nitems = "items.jsonl"\nmark = "exact"\nprompt = "{question}"\n')
    workspace = Workspace(tmp_path / ".parity")
    try:
        found = sweep(plan, task_score(open_benchmark(str(tmp_path / "even.toml")), workspace), factors=(1.0,))
    finally:
        workspace.close()
    assert [trial.share for trial in found.trials] == [1.0]
    assert 0.0 <= found.trials[0].score <= 1.0


def test_a_reward_model_has_no_task_to_sweep(plan):
    from dataclasses import replace

    with pytest.raises(UsageError, match="not offered"):
        sweep(replace(plan, recipe=replace(plan.recipe, method="reward")), lambda ref: 0.0)
