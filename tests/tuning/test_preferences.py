"""DPO, KTO and reward models: the losses are the papers', computed by hand, and training moves what it should."""

import math

import pytest
import torch
from transformers import AutoModelForCausalLM

from parity.tuning.scoring import load_reward_model, preference_accuracy
from parity.tuning.tokens import Pair
from parity.tuning.tune import tune
from tuning.conftest import sums, write_rows


def pairs(count=24):
    return [
        {"id": row["id"], "prompt": row["prompt"], "chosen": row["completion"], "rejected": f"{row['completion']}9"}
        for row in sums(count)
    ]


def thumbs(count=24):
    rows = sums(count)
    good = [{"id": row["id"], "prompt": row["prompt"], "completion": row["completion"], "label": True} for row in rows]
    bad = [{**row, "id": f"{row['id']}-bad", "completion": "zero zero", "label": False} for row in good]
    return [row for both in zip(good, bad, strict=True) for row in both]


def log_probability(model, tokenizer, prompt, answer):
    """Sum of log p of the answer's tokens and its end, the plain way."""
    before = tokenizer(prompt, add_special_tokens=False)["input_ids"]
    after = [*tokenizer(answer, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
    with torch.no_grad():
        logits = model(torch.tensor([[*before, *after]])).logits[0].log_softmax(-1)
    return sum(float(logits[len(before) + at - 1, token]) for at, token in enumerate(after))


@pytest.fixture
def nudged(base, tmp_path):
    """The base with other weights: a policy that has moved away from its reference."""
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    torch.manual_seed(7)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.02 * torch.randn_like(weight))
    return model.eval()


def trainer_of(plan):
    """TRL's trainer as `tune` makes it, before its first step."""
    from parity.tuning import tune as verb
    from parity.tuning.loading import load
    from parity.tuning.planned import decide
    from parity.tuning.watching import Curve, Watcher

    run, recipe = decide(plan), plan.recipe
    loaded = load(run.folder, recipe.method, recipe.weights, recipe.rank, recipe.experts, torch.float32, recipe.seed)
    watcher = Watcher(Curve(plan.out / "curve.jsonl"), run.prepared.step_tokens, None, None)
    return verb.trainer_of(run, loaded, watcher)


def test_the_dpo_loss_is_the_papers(planned, base, tokenizer, nudged, tmp_path):
    data = write_rows(tmp_path / "pairs.jsonl", pairs(4))
    plan = planned(method="dpo", weights="full", beta=0.3, batch_tokens=10_000, plan={"data": data, "dev": data})
    trainer = trainer_of(plan)
    trainer.model.load_state_dict(nudged.state_dict())
    batch = next(iter(trainer.get_train_dataloader()))
    found = float(trainer.compute_loss(trainer.model.eval(), batch).detach())
    reference = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32).eval()
    losses = []
    for row in pairs(4):
        margin = 0.0
        for sign, answer in ((1, row["chosen"]), (-1, row["rejected"])):
            policy = log_probability(nudged, tokenizer, row["prompt"], answer)
            margin += sign * (policy - log_probability(reference, tokenizer, row["prompt"], answer))
        losses.append(math.log1p(math.exp(-0.3 * margin)))  # -log sigmoid(beta * margin), DPO eq. 7
    assert found == pytest.approx(sum(losses) / len(losses), rel=1e-4)


def test_the_kto_loss_is_the_papers(planned, base, tokenizer, nudged, tmp_path):
    rows = thumbs(2)
    data = write_rows(tmp_path / "thumbs.jsonl", rows)
    plan = planned(method="kto", weights="full", beta=0.3, batch_tokens=10_000, plan={"data": data, "dev": data})
    trainer = trainer_of(plan)
    trainer.model.load_state_dict(nudged.state_dict())
    batch = next(iter(trainer.get_train_dataloader()))
    found = float(trainer.compute_loss(trainer.model.eval(), batch).detach())
    reference = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32).eval()

    def ratio(prompt, answer):
        policy, start = (log_probability(model, tokenizer, prompt, answer) for model in (nudged, reference))
        return policy - start

    order = trainer.train_dataset["prompt_ids"][: len(rows)]
    by_ids = {tuple(tokenizer(row["prompt"], add_special_tokens=False)["input_ids"]): row["prompt"] for row in rows}
    prompts = [by_ids[tuple(ids)] for ids in order]
    answers = [tokenizer.decode(ids[:-1]) for ids in trainer.train_dataset["completion_ids"][: len(rows)]]
    labels = trainer.train_dataset["label"][: len(rows)]
    mismatched = [answers[-1], *answers[:-1]]
    kl = max(0.0, sum(map(ratio, prompts, mismatched)) / len(rows))
    losses = []
    for prompt, answer, liked in zip(prompts, answers, labels, strict=True):
        sign = 1 if liked else -1
        losses.append(1 - 1 / (1 + math.exp(-sign * 0.3 * (ratio(prompt, answer) - kl))))  # KTO eq. 8
    assert found == pytest.approx(sum(losses) / len(losses), rel=1e-4)


@pytest.mark.parametrize("weights", ["lora", "full"])
def test_dpo_parts_the_better_from_the_worse(planned, tmp_path, weights):
    data = write_rows(tmp_path / "pairs.jsonl", pairs())
    done = tune(planned(method="dpo", weights=weights, learning_rate=2e-3, plan={"data": data}))
    assert done.points[0].loss == pytest.approx(math.log(2), rel=1e-4)  # policy and reference are still one
    assert done.points[-1].loss < 0.65
    assert done.dev_loss < 0.67


def test_a_row_may_be_as_long_as_the_context(planned, tmp_path):
    rows = [*pairs(6), {"id": "long", "prompt": "one " * 120, "chosen": "two", "rejected": "six"}]
    data = write_rows(tmp_path / "pairs.jsonl", rows)
    assert not tune(planned(method="dpo", epochs=1, plan={"data": data, "dev": data})).rows_left_out


def test_kto_learns_from_thumbs(planned, tmp_path):
    data = write_rows(tmp_path / "thumbs.jsonl", thumbs())
    done = tune(planned(method="kto", learning_rate=2e-3, batch_tokens=400, plan={"data": data}))
    assert done.points[0].loss == pytest.approx(0.5, abs=1e-4)
    assert done.points[-1].loss < 0.49


def test_a_reward_model_prefers_what_it_was_taught(planned, tokenizer, tmp_path):
    data = write_rows(tmp_path / "pairs.jsonl", pairs(40))
    done = tune(planned(method="reward", learning_rate=5e-3, epochs=3, plan={"data": data}))
    assert done.points[-1].loss < done.points[0].loss
    ids = [tuple(tokenizer(text, add_special_tokens=False)["input_ids"]) for text in ("3 plus 4 is ", "7", "79")]
    end = (tokenizer.eos_token_id,)
    found = preference_accuracy(load_reward_model(done.out), [Pair("new", ids[0], ids[1] + end, ids[2] + end)])
    assert found.value == 1.0
    assert found.low < 1.0 == found.high
