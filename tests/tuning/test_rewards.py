"""GRPO and RLOO: rewards rise on a task that can be checked, KL is reported, and rewards are what they say."""

import pytest

from parity.errors import UsageError
from parity.tuning.rewards import find_reward, from_function, marker
from parity.tuning.tune import tune
from tuning.conftest import sums, write_rows


@pytest.fixture
def tasks(tmp_path):
    rows = [{"id": row["id"], "prompt": row["prompt"], "target": row["completion"]} for row in sums(16)]
    return write_rows(tmp_path / "tasks.jsonl", rows)


def digits(answer, _):
    """Share of the answer's characters that are digits: easy to raise, easy to check."""
    return sum(character.isdigit() for character in answer) / len(answer) if answer else 0.0


@pytest.mark.parametrize("method", ["grpo", "rloo"])
def test_rewards_rise_and_kl_is_reported(planned, tasks, method):
    recipe = {"method": method, "reward": "exact", "weights": "full", "learning_rate": 2e-2, "epochs": 24}
    plan = planned(**recipe, length_tokens=12, batch_tokens=800, plan={"data": tasks})
    done = tune(plan, reward=from_function(digits))
    seen = [dict(point.metrics) for point in done.points]
    first, last = (sum(point["reward"] for point in part) / len(part) for part in (seen[:4], seen[-4:]))
    assert last > first + 0.2
    assert seen[-1]["kl"] > seen[0]["kl"] == pytest.approx(0.0, abs=1e-5)


def test_rewards_are_markers_of_parity():
    targets = [["7"], ["7"], ["7"]]
    answers = [" 7 ", "so 7.0", "none"]
    assert marker("exact")(completions=answers, targets=targets) == [1.0, 0.0, 0.0]
    assert marker("numeric")(completions=answers, targets=targets) == [1.0, 1.0, 0.0]
    assert marker(r"pattern:so (\d)")(completions=answers, targets=targets) == [0.0, 1.0, 0.0]


@pytest.mark.parametrize(
    ("name", "message"), [("numerc", "Did you mean 'numeric'"), ("pattern:(", "no regular expression")]
)
def test_unknown_rewards_are_refused(name, message):
    with pytest.raises(UsageError, match=message.replace("(", r"\(")):
        find_reward(name, {})


def test_a_reward_model_scores_the_very_tokens(planned, tokenizer, tmp_path, tasks):
    pairs = [{"prompt": row["prompt"], "chosen": row["completion"], "rejected": "zero zero"} for row in sums(24)]
    data = write_rows(tmp_path / "pairs.jsonl", pairs)
    model = tune(planned("reward", method="reward", weights="full", learning_rate=1e-3, epochs=3, plan={"data": data}))
    prompt = tokenizer("3 plus 4 is ", add_special_tokens=False)["input_ids"]
    ends = [
        [*tokenizer(text, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id] for text in ("7", "zero zero")
    ]
    good, bad = find_reward(str(model.out), {"p": prompt})(prompts=["p", "p"], completion_ids=ends)
    assert good > bad
    done = tune(
        planned(
            "policy",
            method="grpo",
            reward=str(model.out),
            batch_tokens=300,
            length_tokens=12,
            epochs=0.5,
            plan={"data": tasks},
        )
    )
    assert all("reward" in dict(point.metrics) for point in done.points)
