"""A reward model learns what there is to learn, no more, and is asked where it was taught."""

import math
import random

import pytest

from parity.tuning.scoring import load_reward_model, preference_accuracy
from parity.tuning.tokens import Pair
from parity.tuning.trainers import part_padding
from parity.tuning.tune import tune
from tuning.conftest import WORDS, write_rows


def as_pairs(rows, tokenizer):
    def ids(text):
        return tuple(tokenizer(text, add_special_tokens=False)["input_ids"])

    end = (tokenizer.eos_token_id,)
    return [Pair("", ids(row["prompt"]), ids(row["chosen"]) + end, ids(row["rejected"]) + end) for row in rows]


def test_it_can_learn_64_pairs_by_heart(planned, tokenizer, tmp_path):
    dice = random.Random(0)
    said = [" ".join(dice.choices(WORDS.split(), k=4)) for _ in range(128)]
    rows = [{"prompt": "two is ", "chosen": said[at], "rejected": said[at + 64]} for at in range(64)]
    data = write_rows(tmp_path / "pairs.jsonl", rows)
    recipe = {"method": "reward", "weights": "full", "learning_rate": 3e-3, "epochs": 12, "batch_tokens": 600}
    done = tune(planned(**recipe, plan={"data": data, "dev": data, "patience": 0}))
    assert done.dev_loss < 0.05
    assert preference_accuracy(load_reward_model(done.out), as_pairs(rows, tokenizer)).value == 1.0


def noisy(count, dice):
    """Answers are digits; of two the larger wins with the chance of a logistic in their difference."""
    rows = []
    while len(rows) < count:
        one, other = dice.sample(range(10), 2)
        better, worse = (one, other) if dice.random() < 1 / (1 + math.exp(-(one - other) / 2)) else (other, one)
        rows.append({"prompt": "the sum is ", "chosen": f"{better}", "rejected": f"{worse}"})
    return rows


def test_it_reaches_what_noisy_preferences_allow_and_no_more(planned, tokenizer, tmp_path):
    dice = random.Random(1)
    train, unseen = noisy(400, dice), noisy(400, dice)
    best = sum(row["chosen"] > row["rejected"] for row in unseen) / len(unseen)  # who knows the rule is right so often
    data = write_rows(tmp_path / "pairs.jsonl", train)
    recipe = {"method": "reward", "weights": "full", "learning_rate": 1e-3, "epochs": 2, "batch_tokens": 900}
    done = tune(planned(**recipe, plan={"data": data, "patience": 0}))
    found = preference_accuracy(load_reward_model(done.out), as_pairs(unseen, tokenizer))
    assert 0.75 < best < 0.9
    assert found.value == pytest.approx(best, abs=0.02)


@pytest.mark.parametrize("weights", ["lora", "full"])
def test_it_is_asked_where_it_was_taught_at_the_end_of_the_answer(planned, base, tokenizer, tmp_path, weights):
    rows = noisy(12, random.Random(2))
    rows += [{"prompt": "one two three is ", "chosen": "four five six", "rejected": "9"}]
    data = write_rows(tmp_path / "pairs.jsonl", rows)  # of unequal length, so that some are padded
    done = tune(planned(method="reward", weights=weights, batch_tokens=9_000, plan={"data": data, "dev": data}))
    model = load_reward_model(done.out)
    assert model.model.config.get_text_config().pad_token_id != tokenizer.eos_token_id
    losses = [
        math.log1p(math.exp(model.score((*pair.prompt, *pair.rejected)) - model.score((*pair.prompt, *pair.chosen))))
        for pair in as_pairs(rows, tokenizer)
    ]
    assert done.dev_loss == pytest.approx(sum(losses) / len(losses), rel=1e-4)
    ended, open_ = as_pairs(rows, tokenizer)[0], as_pairs(rows, tokenizer)[0].chosen[:-1]
    assert model.score((*ended.prompt, *ended.chosen)) != model.score((*ended.prompt, *open_))


def test_padding_is_never_what_a_row_ends_with(tokenizer):
    from copy import deepcopy

    own = deepcopy(tokenizer)
    before = own("one two", add_special_tokens=False)["input_ids"]
    part_padding(own, {own.eos_token_id})
    assert own.pad_token_id != own.eos_token_id
    assert own("one two", add_special_tokens=False)["input_ids"] == before
    kept = own.pad_token_id
    part_padding(own, {own.eos_token_id})
    assert own.pad_token_id == kept
