"""Speed and memory of fine-tuning beside plain TRL: the same rows, model, adapter and rate, each in its own process.

Knows how both sides are asked (`tune_trl.py`) and what is compared; every run is a step that is kept.
"""

import gzip
import json
import shutil
import sys
from dataclasses import fields, replace
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from steps import Steps, measured
from tune_trl import Job

Chat = dict[str, list[dict[str, str]]]
PRECISIONS = ("float32", "bfloat16")
DEV_ROWS, LONGEST = 100, 1_024
SMALL = {"hidden": 256, "layers": 4, "ffn": 768}
TINY = {"hidden": 128, "layers": 2, "ffn": 384}


def speed(data: Path, steps: Steps, quick: bool) -> dict[str, object]:
    """Tokens a second beside TRL's defaults and its packing.

    Both sides as they come: TRL keeps the base in fp32 and computes in bf16, Parity keeps it in bf16 where the
    processor multiplies that. `ours_float32` is Parity with the base in fp32.
    """
    sizes = SMALL if quick else {"hidden": 768, "layers": 12, "ffn": 2_304}
    job, _ = chat_job(data, steps, sizes, 48)
    sides = {"ours": job, "trl": job, "trl_packed": job}
    if not quick:
        sides["ours_float32"] = replace(job, precision="float32")
    rates = {}
    for name, asked in sides.items():
        found = run(steps, name, name.removesuffix("_float32"), asked)
        rates[name] = found["tokens"] / found["seconds"]
    return {
        "tokens_per_s_vs_trl": round(rates["ours"] / rates["trl"], 2),
        "tokens_per_s_vs_trl_packed": round(rates["ours"] / rates["trl_packed"], 2),
        **({} if quick else {"tokens_per_s_vs_trl_float32": round(rates["ours_float32"] / rates["trl"], 2)}),
        "tokens_per_s": {name: round(rate, 1) for name, rate in rates.items()},
    }


def loss(data: Path, steps: Steps, quick: bool) -> dict[str, object]:
    """Nats a token of unseen answers after the same rows, ours less TRL's defaults; its packing is reported beside.

    A model of a size that learns something in the time there is: a few steps of a large one from random weights say
    how many steps they were cut into, and nothing else.
    """
    job, dev = chat_job(data, steps, *((TINY, 400, 256) if quick else (SMALL, 480)))
    sides = ("ours", "trl") if quick else ("ours", "trl", "trl_packed")
    losses = {}
    for name in sides:
        run(steps, name, name, job)
        out = steps.folder / f"out_{name}"
        losses[name] = steps.result(f"loss_{name}", lambda out=out: answer_loss(Path(job.base), out, dev))
    return {
        "dev_loss_difference": round(losses["ours"] - losses["trl"], 4),
        "dev_loss": {name: round(nats, 4) for name, nats in losses.items()},
    }


def chat_job(
    data: Path, steps: Steps, sizes: dict[str, int], count: int, longest: int = LONGEST
) -> tuple[Job, list[Chat]]:
    """One epoch over `count` real chats of at most `longest` tokens, on a random model of these sizes; and dev rows."""
    rows = chats(data)
    base = model(steps.folder, rows, vocabulary=8_000, **sizes)
    lengths = [length(base, row) for row in rows[: 2 * count + DEV_ROWS]]
    fitting = [(row, tokens) for row, tokens in zip(rows, lengths, strict=False) if tokens <= longest]
    train, dev = fitting[:count], fitting[count : count + DEV_ROWS]
    path = write([row for row, _ in train], steps.folder / "rows.jsonl")
    batch_tokens = round(8 * sum(tokens for _, tokens in train) / count)
    return Job(str(base), str(path), "", 8, batch_tokens, longest), [row for row, _ in dev]


def memory(data: Path, steps: Steps, quick: bool) -> dict[str, object]:
    """Growth of resident memory with a vocabulary of 150 thousand and rows of 2,048 tokens, checkpointing on both.

    Once with the base in fp32 on both sides and, unless quick, once in bf16 on both; the key is the worse of the two.
    """
    rows = chats(data)
    tokens = 2_048
    base = model(steps.folder, rows, vocabulary=150_000, hidden=256 if quick else 512, layers=4, ffn=1_024)
    long = [long_row(base, rows, tokens, at) for at in range(2)]
    job = Job(str(base), str(write(long, steps.folder / "rows.jsonl")), "", 1, tokens, tokens, memory=True)
    growth = {
        precision: [
            run(steps, f"{side}_{precision}", side, replace(job, precision=precision))["growth_bytes"]
            for side in ("ours", "trl")
        ]
        for precision in PRECISIONS[: 1 if quick else None]
    }
    ratios = {precision: round(ours / theirs, 3) for precision, (ours, theirs) in growth.items()}
    return {
        "peak_memory_vs_trl": max(ratios.values()),
        "peak_memory_vs_trl_by_precision": ratios,
        "growth_mb": {precision: [round(size / 1e6) for size in sizes] for precision, sizes in growth.items()},
    }


def run(steps: Steps, name: str, side: str, job: Job) -> dict[str, float]:
    """One side's training in a process of its own, from the beginning."""
    out = steps.folder / f"out_{name}"

    def once() -> dict[str, float]:
        shutil.rmtree(out, ignore_errors=True)
        path, said = (steps.folder / f"{name}.{end}" for end in ("job", "said"))
        asked = {field.name: getattr(job, field.name) for field in fields(job)} | {"out": str(out)}
        path.write_text(json.dumps(asked))
        script = str(Path(__file__).with_name("tune_trl.py"))
        measured([sys.executable, script, side, str(path), str(said)], said)
        row: dict[str, float] = json.loads(said.read_text())
        return row

    found: dict[str, float] = steps.result(name, once)
    print(json.dumps({name: found}), flush=True)
    return found


def chats(data: Path) -> list[Chat]:
    """Real questions and answers, in a fixed mixed order: alpaca, code-alpaca, and preference demos' chosen answers."""
    rows: list[tuple[str, str]] = []
    folder = data / "instruction_data"
    for name in ("llama_factory/alpaca_en_demo.json.gz", "code_alpaca/code_alpaca_2k.json.gz"):
        found = json.loads(gzip.decompress((folder / name).read_bytes()))
        rows += [(f"{row['instruction']}\n{row['input']}".strip(), row["output"]) for row in found if row["output"]]
    demo = json.loads(gzip.decompress((folder / "llama_factory/dpo_en_demo.json.gz").read_bytes()))
    rows += [(row["conversations"][-1]["value"], row["chosen"]["value"]) for row in demo]
    ordered = sorted(set(rows), key=lambda row: sha256((row[0] + row[1]).encode()).hexdigest())
    return [
        {"messages": [{"role": "user", "content": asked}, {"role": "assistant", "content": said}]}
        for asked, said in ordered
    ]


def model(folder: Path, rows: list[Chat], vocabulary: int, hidden: int, layers: int, ffn: int) -> Path:
    """A random Llama with a tokenizer learned from the rows; the embedding has `vocabulary` rows."""
    from parity.testing.folders import random_llama_folder, trained_tokenizer

    texts = [turn["content"] for row in rows for turn in row["messages"]]
    tokenizer = trained_tokenizer(texts, min(vocabulary, 8_000))
    tokenizer.eos_token = "<|im_end|>"
    return random_llama_folder(
        folder / "model", tokenizer, hidden=hidden, layers=layers, heads=hidden // 64, kv_heads=hidden // 64, ffn=ffn,
        context_tokens=2_048, vocabulary=max(vocabulary, len(tokenizer)),
    )  # fmt: skip


def length(base: Path, row: Chat) -> int:
    return len(tokenizer_of(base).apply_chat_template(row["messages"], tokenize=True, return_dict=True)["input_ids"])


@cache
def tokenizer_of(base: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(base)


def long_row(base: Path, rows: list[Chat], tokens: int, seed: int) -> Chat:
    """A question and an answer of as nearly `tokens` tokens as whole words allow, never more."""
    words = " ".join(row["messages"][1]["content"] for row in rows[seed * 200 : seed * 200 + 100]).split()
    low, high = 1, len(words)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if length(base, question(words[:middle])) <= tokens - 2 else (low, middle - 1)
    return question(words[:low])


def question(words: list[str]) -> Chat:
    return {"messages": [{"role": "user", "content": "Go on."}, {"role": "assistant", "content": " ".join(words)}]}


def write(rows: list[Chat], path: Path) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def answer_loss(base: Path, adapter: Path, rows: list[Chat]) -> float:
    """Mean nats of the answers' tokens under base and adapter, in fp32; labels by `curation`."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    from parity.tuning.collating import PackedCollator
    from parity.tuning.loss import next_token_loss
    from parity.tuning.reading import Source
    from parity.tuning.tokens import gather

    path = write(rows, adapter / "dev.jsonl")
    tokens = gather(Source(tokenizer_of(base), base).rows(path, "sft", 1_024), "dev rows")
    tuned = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32), str(adapter))
    total = 0.0
    with torch.no_grad():
        for row in range(len(tokens)):
            found = PackedCollator(tokens, 0).tensors(((row,),))
            outputs = tuned(input_ids=found["input_ids"], use_cache=False, output_hidden_states=True, logits_to_keep=1)
            total += float(next_token_loss(outputs.hidden_states[-1], tuned.get_output_embeddings(), found["labels"]))
    return total / tokens.learned
