"""GRPO on sums that a marker checks, with a small policy made here.

The policy is first taught to answer with numbers (some right), then rewarded where they are right.
"""

import json
import random
from pathlib import Path

from steps import Steps

from parity.testing.folders import random_llama_folder, trained_tokenizer
from parity.tuning.recipe import Plan, Recipe
from parity.tuning.tune import tune


def write(rows: list[dict[str, str]], path: Path) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def grpo(data: Path, steps: Steps, quick: bool) -> dict[str, object]:
    """What GRPO gains on sums, with its KL."""
    learned = steps.result("grpo", lambda: rewarded(steps.folder))
    return {
        "grpo_reward_gain": round(learned["last"] - learned["first"], 3),
        "grpo": {name: round(value, 4) for name, value in learned.items()},
    }


def rewarded(folder: Path) -> dict[str, float]:
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
