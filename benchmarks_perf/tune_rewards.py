"""GRPO on sums that a marker checks, and a reward model on recorded preferences; both small, both from nothing.

The policy is first taught to answer with numbers (some right), then rewarded where they are right. The reward model is
pretrained on the answers' text and asked about pairs it has not seen.
"""

import gzip
import json
import random
from pathlib import Path

from parity.core.digests import digest
from parity.testing.folders import random_llama_folder, trained_tokenizer
from parity.tuning.recipe import Plan, Recipe
from parity.tuning.scoring import Accuracy, load_reward_model, preference_accuracy
from parity.tuning.tokens import Pair
from parity.tuning.tune import tune

LONGEST_CHARACTERS = 600


def write(rows: list[dict[str, str]], path: Path) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def grpo(folder: Path) -> dict[str, float]:
    """Mean reward over the first and last tenth of the steps, and the KL to the start at the end, in nats a token."""
    tokenizer = trained_tokenizer(["0 1 2 3 4 5 6 7 8 9 plus is "] * 8, 280)
    base = random_llama_folder(
        folder / "base", tokenizer, hidden=64, layers=2, heads=4, kv_heads=2, ffn=128, context_tokens=64
    )
    dice = random.Random(0)
    sums = [(dice.randint(0, 9), dice.randint(0, 9)) for _ in range(400)]
    taught = [{"prompt": f"{a} plus {b} is ", "completion": str(dice.choice([a, b, a + b]))} for a, b in sums]
    recipe = Recipe(weights="full", learning_rate=3e-3, epochs=6, batch_tokens=400)
    tune(Plan(base=str(base), data=write(taught, folder / "taught.jsonl"), out=folder / "taught", recipe=recipe))
    asked = [{"prompt": f"{a} plus {b} is ", "target": str(a + b)} for a, b in sums]
    recipe = Recipe(
        method="grpo", reward="exact", weights="full", learning_rate=1e-3, epochs=6, batch_tokens=8 * 16 * 14,
        length_tokens=14,
    )  # fmt: skip
    plan = Plan(
        base=str(folder / "taught"), data=write(asked, folder / "asked.jsonl"), out=folder / "rl", recipe=recipe
    )
    seen = [dict(point.metrics) for point in tune(plan).points]
    part = max(1, len(seen) // 10)
    first, last = (sum(row["reward"] for row in rows) / len(rows) for rows in (seen[:part], seen[-part:]))
    return {"first": first, "last": last, "kl": seen[-1]["kl"], "steps": len(seen)}


def pairs_of(data: Path) -> list[dict[str, str]]:
    """Harmlessness comparisons of hh-rlhf: what both conversations share is the prompt."""
    rows = []
    path = data / "judge_and_preference/hh_rlhf/harmless-base_test.jsonl.gz"
    for line in gzip.decompress(path.read_bytes()).decode().splitlines():
        found = json.loads(line)
        mark = "\n\nAssistant:"
        prompt = found["chosen"][: found["chosen"].rindex(mark) + len(mark)]
        if not found["rejected"].startswith(prompt) or found["chosen"] == found["rejected"]:
            continue
        chosen, rejected = (found[key][len(prompt) :] for key in ("chosen", "rejected"))
        if chosen.strip() and rejected.strip() and max(len(chosen), len(rejected)) < LONGEST_CHARACTERS:
            rows.append({"prompt": prompt[-LONGEST_CHARACTERS:], "chosen": chosen, "rejected": rejected})
    return sorted(rows, key=digest)


def reward_model(data: Path, folder: Path) -> Accuracy:
    """Accuracy on a fifth of the pairs, held out by conversation."""
    rows = pairs_of(data)
    held = {row["prompt"] for row in rows[: len(rows) // 5]}
    train = [row for row in rows if row["prompt"] not in held]
    test = [row for row in rows if row["prompt"] in held]
    texts = [{"text": row["prompt"] + row[key]} for row in train for key in ("chosen", "rejected")]
    tokenizer = trained_tokenizer([row["text"] for row in texts], 2_000)
    tokenizer.chat_template = None
    base = random_llama_folder(
        folder / "rm_base", tokenizer, hidden=128, layers=2, heads=4, kv_heads=4, ffn=256, context_tokens=512
    )
    recipe = Recipe(method="continue", weights="full", learning_rate=2e-3, epochs=1, batch_tokens=4_000)
    text = write(texts, folder / "texts.jsonl")
    tune(Plan(base=str(base), data=text, out=folder / "rm_text", recipe=recipe, looks=2))
    recipe = Recipe(method="reward", weights="full", learning_rate=3e-4, epochs=2, batch_tokens=16_000)
    plan = Plan(
        base=str(folder / "rm_text"), data=write(train, folder / "pairs.jsonl"), out=folder / "rm", recipe=recipe
    )
    tune(plan)

    def ids(text: str) -> tuple[int, ...]:
        return tuple(tokenizer(text)["input_ids"])

    end = (tokenizer.eos_token_id,)
    pairs = [Pair("", ids(row["prompt"]), ids(row["chosen"]) + end, ids(row["rejected"]) + end) for row in test]
    return preference_accuracy(load_reward_model(folder / "rm"), pairs)
