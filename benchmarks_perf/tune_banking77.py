"""BANKING77: a small causal model pretrained and tuned here, answering as text, greedily over the whole vocabulary.

Everything goes through `parity.tuning`: pretraining from a configuration (GPT-2 for its dropout), then answers with a
little weight on the texts. Rows are repeated with some words masked, which is all the augmentation there is. The test
set is asked at the end of a run. It was first asked with other settings (.899); these were chosen by dev loss and
speed, but after that look.
"""

import csv
import json
import random
import re
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from parity.tuning.recipe import Plan, Recipe
from parity.tuning.tune import tune

VOCABULARY, WIDTH, LAYERS, HEADS, CONTEXT = 2_500, 256, 4, 4, 160
SEPARATOR = " =>"
BLANK = "_"
DEV_SHARE = 40  # one row in so many is dev


@dataclass(frozen=True, slots=True)
class Settings:
    """How much is trained. `copies`: how often a row is seen while it is tuned, each time masked anew."""

    pretrain_epochs: float = 5.0
    copies: int = 20
    masked: float = 0.12
    prompt_loss: float = 0.1
    pretrain_rate: float = 1.2e-3
    tune_rate: float = 1.2e-3
    rows: int | None = None


@dataclass(frozen=True, slots=True)
class Row:
    text: str
    label: str

    @property
    def answer(self) -> str:
        return " " + re.sub(r"[_\W]+", " ", self.label).strip().lower()


def read(path: Path, most: int | None = None) -> list[Row]:
    with path.open(newline="") as stream:
        rows = [Row(" ".join(row["text"].split()), row["category"]) for row in csv.DictReader(stream)]
    random.Random(0).shuffle(rows)
    return rows[:most]


def model_folder(rows: list[Row], folder: Path) -> Path:
    """A configuration and a tokenizer learned from the training rows; no weights."""
    from transformers import GPT2Config

    from parity.testing.folders import trained_tokenizer

    tokenizer = trained_tokenizer([row.text + SEPARATOR + row.answer for row in rows], VOCABULARY)
    tokenizer.chat_template = None
    ids = {"bos_token_id": tokenizer.eos_token_id, "eos_token_id": tokenizer.eos_token_id}
    sizes = {"n_embd": WIDTH, "n_layer": LAYERS, "n_head": HEADS, "n_positions": CONTEXT, "vocab_size": len(tokenizer)}
    drops = {name: 0.2 for name in ("resid_pdrop", "embd_pdrop", "attn_pdrop")}
    GPT2Config(**sizes, **ids, **drops, architectures=["GPT2LMHeadModel"]).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def masked(text: str, share: float, dice: random.Random) -> str:
    return " ".join(BLANK if dice.random() < share else word for word in text.split())


def write(rows: Iterable[dict[str, str]], path: Path) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def train(data: Path, folder: Path, settings: Settings) -> tuple[Path, Path, float]:
    """Pretrain, then tune; returns the base, the tuned model, and the seconds both took."""
    rows = read(data / "train.csv", settings.rows)
    dev, train_rows = rows[: len(rows) // DEV_SHARE], rows[len(rows) // DEV_SHARE :]
    empty = model_folder(train_rows, folder / "empty")
    began = time.monotonic()
    base, tuned = folder / "base", folder / "tuned"
    whole = write(({"text": row.text + SEPARATOR + row.answer} for row in train_rows), folder / "text.jsonl")
    looked = write(({"text": row.text + SEPARATOR + row.answer} for row in dev), folder / "text_dev.jsonl")
    recipe = Recipe(
        method="pretrain", weights="full", epochs=settings.pretrain_epochs, learning_rate=settings.pretrain_rate,
        batch_tokens=64 * 20, length_tokens=CONTEXT,
    )  # fmt: skip
    tune(Plan(base=str(empty), data=whole, dev=looked, out=base, recipe=recipe, looks=2, patience=0))
    dice = random.Random(0)
    copies = (
        {"prompt": masked(row.text, settings.masked, dice) + SEPARATOR, "completion": row.answer}
        for _ in range(settings.copies)
        for row in train_rows
    )
    asked = write(copies, folder / "answers.jsonl")
    dev_asked = write(
        ({"prompt": row.text + SEPARATOR, "completion": row.answer} for row in dev), folder / "answers_dev.jsonl"
    )
    recipe = Recipe(
        method="sft", weights="full", epochs=1, learning_rate=settings.tune_rate, prompt_loss=settings.prompt_loss,
        batch_tokens=64 * 20, length_tokens=CONTEXT,
    )  # fmt: skip
    tune(Plan(base=str(base), data=asked, dev=dev_asked, out=tuned, recipe=recipe, looks=4, patience=0))
    return base, tuned, time.monotonic() - began


def accuracy(folder: Path, rows: list[Row], labels: list[str] | None = None, adapter: Path | None = None) -> float:
    """Share of rows whose greedy text, up to the end token, is the label's own.

    `labels`: only their texts may be written (a trie of tokens); None: anything may.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    if adapter is not None:
        from peft import PeftModel

        model = PeftModel.from_pretrained(model, str(adapter)).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    end = tokenizer.eos_token_id
    longest = max(len(tokenizer(row.answer)["input_ids"]) for row in rows) + 1
    following = trie([tokenizer(label)["input_ids"] for label in labels], end) if labels else None
    ordered = sorted(rows, key=lambda row: len(row.text))
    right = 0
    for start in range(0, len(ordered), 128):
        batch = ordered[start : start + 128]
        ids = [tokenizer(row.text + SEPARATOR)["input_ids"] for row in batch]
        width = max(map(len, ids))
        padded = torch.tensor([[end] * (width - len(one)) + one for one in ids])
        mask = torch.tensor([[0] * (width - len(one)) + [1] * len(one) for one in ids])
        allowed = None
        if following is not None:
            allowed = lambda _, whole, width=width: following.get(tuple(whole[width:].tolist()), [end])  # noqa: E731
        with torch.inference_mode():
            written = model.generate(
                input_ids=padded, attention_mask=mask, max_new_tokens=longest, do_sample=False, pad_token_id=end,
                prefix_allowed_tokens_fn=allowed,
            )[:, width:]  # fmt: skip
        texts = tokenizer.batch_decode(written, skip_special_tokens=True)
        right += sum(text == row.answer for text, row in zip(texts, batch, strict=True))
    return right / len(rows)


def trie(sequences: list[list[int]], end: int) -> dict[tuple[int, ...], list[int]]:
    """What may follow every beginning of the sequences."""
    found: dict[tuple[int, ...], list[int]] = {}
    for sequence in sequences:
        for at, token in enumerate([*sequence, end]):
            after = found.setdefault(tuple(sequence[:at]), [])
            if token not in after:
                after.append(token)
    return found


def with_adapter(data: Path, folder: Path, base: Path, settings: Settings, copies: int) -> float:
    """The same base tuned with LoRA on a share of the copies, asked the same test rows."""
    rows = read(data / "train.csv", settings.rows)
    dice = random.Random(0)
    train_rows = rows[len(rows) // DEV_SHARE :]
    asked = write(
        (
            {"prompt": masked(row.text, settings.masked, dice) + SEPARATOR, "completion": row.answer}
            for _ in range(copies)
            for row in train_rows
        ),
        folder / "lora.jsonl",
    )
    recipe = Recipe(weights="lora", rank=32, learning_rate=3e-3, batch_tokens=64 * 20, length_tokens=CONTEXT)
    plan = Plan(
        base=str(base), data=asked, out=folder / "lora", recipe=recipe, looks=2, patience=0, precision="float32"
    )
    tune(plan)
    return accuracy(base, read(data / "test.csv"), sorted({row.answer for row in rows}), folder / "lora")
