"""A reward model from nothing on recorded human preferences, and how often it prefers as people did.

    python benchmarks_perf/tune_preferences.py     (the accuracy on dev; the test is asked by tune.py --part reward)

Harmlessness comparisons of hh-rlhf, parted by the conversation's first question into train, dev and test. A small Llama
reads the texts of the training conversations, then learns their pairs and keeps the step with the best loss on dev. All
settings were chosen on dev. Beside it stands the rule that needs no model: the shorter answer is the less harmful one.
"""

import argparse
import gzip
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from steps import Steps

from parity.core.digests import digest
from parity.stats.intervals import wilson
from parity.testing.folders import trained_tokenizer
from parity.tuning.recipe import Plan, Recipe
from parity.tuning.scoring import Accuracy, load_reward_model, preference_accuracy
from parity.tuning.tokens import Pair
from parity.tuning.tune import tune

MARK, ASKED = "\n\nAssistant:", "\n\nHuman:"
TEST_SHARE, DEV_SHARE = 0.30, 0.15
LONGEST = 600  # characters of an answer; a pair with a longer one is left out
PROMPT = 200  # characters of the prompt that the reward model sees: its end


@dataclass(frozen=True, slots=True)
class Settings:
    """Sizes, passes and rates of both trainings."""

    vocabulary: int = 2_000
    hidden: int = 192
    layers: int = 3
    text_epochs: float = 4.0
    text_rate: float = 2e-3
    text_tokens: int = 1_500
    pair_epochs: float = 1.5
    pair_rate: float = 3e-4
    pair_tokens: int = 8_000


@dataclass(frozen=True, slots=True)
class Choice:
    """One comparison; its first question decides its part."""

    prompt: str
    chosen: str
    rejected: str

    @property
    def part(self) -> str:
        at = int(digest(("part", self.prompt.split(MARK)[0]))[:8], 16) / 2**32
        return "test" if at < TEST_SHARE else "dev" if at < TEST_SHARE + DEV_SHARE else "train"


def reward(data: Path, steps: Steps, quick: bool) -> dict[str, object]:
    """Accuracy on the locked pairs with its interval, and that of the shorter answer (quick: on dev pairs)."""
    settings = Settings(hidden=64, layers=1, text_epochs=1, pair_epochs=0.5) if quick else Settings()
    rows = choices(data)
    steps.result("read", lambda: read(rows, steps.folder, settings))
    dev = steps.result("learned", lambda: learned(rows, steps.folder, settings))
    asked = part(rows, "dev" if quick else "test")
    found = steps.result("judged", lambda: asdict(judged(steps.folder / "reward", asked)))
    judge, rule = Accuracy(**found), shorter(asked)
    return {
        "reward_model_accuracy": round(judge.value, 3),
        "reward_model_interval": [round(judge.low, 3), round(judge.high, 3)],
        "reward_model_pairs": judge.pairs,
        "reward_model_dev": round(dev["accuracy"], 3),
        "shorter_answer_accuracy": round(rule.value, 3),
        "shorter_answer_interval": [round(rule.low, 3), round(rule.high, 3)],
    }


def choices(data: Path) -> list[Choice]:
    """All comparisons with two different answers of bounded length; what both conversations share is the prompt."""
    path = data / "judge_and_preference/hh_rlhf/harmless-base_test.jsonl.gz"
    rows = []
    for line in gzip.decompress(path.read_bytes()).decode().splitlines():
        found = json.loads(line)
        prompt = found["chosen"][: found["chosen"].rindex(MARK) + len(MARK)]
        if not found["rejected"].startswith(prompt) or found["chosen"] == found["rejected"]:
            continue
        answers = [found[key][len(prompt) :] for key in ("chosen", "rejected")]
        if all(answer.strip() and len(answer) <= LONGEST for answer in answers):
            rows.append(Choice(prompt, *answers))
    return sorted(rows, key=lambda row: digest((row.prompt, row.chosen, row.rejected)))


def part(rows: Sequence[Choice], name: str) -> list[Choice]:
    return [row for row in rows if row.part == name]


def read(rows: Sequence[Choice], folder: Path, settings: Settings) -> dict[str, float | None]:
    """Pretraining on the training conversations; the rejected answer follows its last question only."""
    from transformers import LlamaConfig

    train = part(rows, "train")
    texts = [row.prompt[-LONGEST:] + row.chosen for row in train]
    texts += [row.prompt[row.prompt.rfind(ASKED) :] + row.rejected for row in train]
    tokenizer = trained_tokenizer(texts, settings.vocabulary)
    tokenizer.chat_template = None
    heads = settings.hidden // 32
    LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=settings.hidden, intermediate_size=8 * settings.hidden // 3,
        num_hidden_layers=settings.layers, num_attention_heads=heads, num_key_value_heads=heads,
        max_position_embeddings=1_024, tie_word_embeddings=True, bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id, architectures=["LlamaForCausalLM"],
    ).save_pretrained(folder / "empty")  # fmt: skip
    tokenizer.save_pretrained(folder / "empty")
    recipe = Recipe(
        method="pretrain", weights="full", learning_rate=settings.text_rate, epochs=settings.text_epochs,
        batch_tokens=settings.text_tokens,
    )  # fmt: skip
    data = write([{"text": text} for text in texts], folder / "texts.jsonl")
    plan = Plan(base=str(folder / "empty"), data=data, out=folder / "read", recipe=recipe, looks=4, patience=0)
    return {"dev_loss": tune(plan).dev_loss}


def learned(rows: Sequence[Choice], folder: Path, settings: Settings) -> dict[str, object]:
    """The reward model; its loss at every look at dev, and its accuracy there."""
    files = [
        write([{**asdict(row), "prompt": row.prompt[-PROMPT:]} for row in part(rows, name)], folder / f"{name}.jsonl")
        for name in ("train", "dev")
    ]
    recipe = Recipe(
        method="reward", weights="full", learning_rate=settings.pair_rate, epochs=settings.pair_epochs,
        batch_tokens=settings.pair_tokens,
    )  # fmt: skip
    plan = Plan(
        base=str(folder / "read"), data=files[0], dev=files[1], out=folder / "reward", recipe=recipe, looks=6,
        patience=0,
    )  # fmt: skip
    done = tune(plan)
    looks = [round(point.dev, 4) for point in done.points if point.dev is not None]
    return {"looks": looks, "accuracy": judged(done.out, part(rows, "dev")).value}


def judged(model: Path, rows: Sequence[Choice]) -> Accuracy:
    """How often the model prefers as people did."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model)

    def ids(text: str) -> tuple[int, ...]:
        return tuple(tokenizer(text, add_special_tokens=False)["input_ids"])

    end = (tokenizer.eos_token_id,)
    pairs = [Pair("", ids(row.prompt[-PROMPT:]), ids(row.chosen) + end, ids(row.rejected) + end) for row in rows]
    return preference_accuracy(load_reward_model(model), pairs)


def shorter(rows: Sequence[Choice]) -> Accuracy:
    """The rule without a model."""
    right = sum(len(row.chosen) < len(row.rejected) for row in rows)
    interval = wilson(right, len(rows))
    return Accuracy(right, len(rows), interval.low, interval.high)


def write(rows: Sequence[dict[str, str]], path: Path) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def main() -> int:
    """Both trainings with any settings, judged on dev."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    shared = os.environ.get("PARITY_SHARED") or Path(__file__).resolve().parents[2] / "shared" / "data"
    parser.add_argument("--data", type=Path, default=shared, help="the shared data (default: %(default)s)")
    parser.add_argument("--keep", type=Path, help="a folder in which the pretrained model stays for another try")
    for name, value in asdict(Settings()).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value)
    arguments = parser.parse_args()
    settings = Settings(**{name: getattr(arguments, name) for name in Settings.__dataclass_fields__})
    rows = choices(arguments.data)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        text = Steps(arguments.keep or folder, repr(settings).split("pair_")[0])
        text.result("read", lambda: read(rows, text.folder, settings))
        (folder / "read").exists() or (folder / "read").symlink_to(text.folder / "read")
        print(
            json.dumps(
                {**asdict(settings), **learned(rows, folder, settings), "rule": shorter(part(rows, "dev")).value}
            )
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
