"""Tuning beside plain TRL, QLoRA's bytes, GRPO, a reward model, BANKING77. Ends with one JSON line.

    python benchmarks_perf/tune.py [--quick] [--part speed|memory|qlora|rewards|banking77|data]

Speed and memory: the same rows, model, adapter and rate through Parity and through TRL 1.16, each in a process of its
own. The keys of the data (`mis_masked_tokens`, ...) come from tune_data.py beside this file, which --part data runs.
What was not asked for is null.
"""

import argparse
import gzip
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from tune_trl import Job

ROOT = Path(__file__).resolve().parents[1]
DEFAULT_DATA = Path(os.environ.get("PARITY_SHARED") or ROOT.parent / "shared" / "data")
KEYS = (
    "tokens_per_s_vs_trl", "tokens_per_s_vs_trl_packed", "peak_memory_vs_trl", "dev_loss_difference",
    "mis_masked_tokens", "templates_checked", "qlora_bytes_ratio", "near_duplicate_recall", "decontaminated_exact",
    "grpo_reward_gain", "reward_model_accuracy", "banking77_accuracy",
)  # fmt: skip
Found = dict[str, object]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="small models; rewards and BANKING77 are left out")
    parser.add_argument("--part", choices=[*PARTS], action="append", help="only this part; may be repeated")
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA, help="the shared data (default: %(default)s)")
    arguments = parser.parse_args()
    os.environ["HF_HUB_OFFLINE"] = "1"
    asked = arguments.part or (["speed", "memory", "qlora", "data"] if arguments.quick else list(PARTS))
    found: Found = dict.fromkeys(KEYS)
    for name in asked:
        with tempfile.TemporaryDirectory() as folder:
            found |= PARTS[name](arguments.data, Path(folder), arguments.quick)
    print(json.dumps(found))
    return 0


def speed(data: Path, folder: Path, quick: bool) -> Found:
    """Tokens a second and the loss on unseen answers after the same rows, beside TRL's defaults and its packing."""
    sizes = {"hidden": 256, "layers": 4, "ffn": 768} if quick else {"hidden": 768, "layers": 12, "ffn": 2_304}
    rows = chats(data)
    base = model(folder, rows, vocabulary=8_000, **sizes)
    count = 64 if quick else 48
    train, dev = rows[:count], rows[count : count + 24]
    tokens = [length(base, row) for row in train]
    job = Job(str(base), str(write(train, folder / "rows.jsonl")), "", 8, round(8 * sum(tokens) / count), 1_024)
    results = {name: run(name, job, folder / name) for name in ("ours", "trl", "trl_packed")}
    rates = {name: row["tokens"] / row["seconds"] for name, row in results.items()}
    print(json.dumps({"tokens_per_s": {name: round(rate, 1) for name, rate in rates.items()}}))
    losses = {name: answer_loss(base, folder / name, dev) for name in ("ours", "trl")}
    return {
        "tokens_per_s_vs_trl": round(rates["ours"] / rates["trl"], 2),
        "tokens_per_s_vs_trl_packed": round(rates["ours"] / rates["trl_packed"], 2),
        "dev_loss_difference": round(losses["ours"] - losses["trl"], 4),
        "dev_loss": {name: round(loss, 4) for name, loss in losses.items()},
    }


def memory(data: Path, folder: Path, quick: bool) -> Found:
    """Growth of resident memory with a vocabulary of 150 thousand and rows of 2,048 tokens, checkpointing on both."""
    rows = chats(data)
    vocabulary, length_tokens = (150_000, 2_048)
    base = model(folder, rows, vocabulary=vocabulary, hidden=256 if quick else 512, layers=4, ffn=1_024)
    long = [long_row(base, rows, length_tokens, at) for at in range(2)]
    job = Job(str(base), str(write(long, folder / "rows.jsonl")), "", 1, length_tokens, length_tokens, memory=True)
    growth = {name: run(name, job, folder / name)["growth_bytes"] for name in ("ours", "trl")}
    print(json.dumps({"growth_mb": {name: round(size / 1e6) for name, size in growth.items()}}))
    return {"peak_memory_vs_trl": round(growth["ours"] / growth["trl"], 3)}


def qlora(data: Path, folder: Path, quick: bool) -> Found:
    """Bytes of linear layers in NF4 against bf16, of the whole model, and what it costs in loss and time."""
    import torch

    from parity.tuning.loading import load
    from parity.tuning.recipe import Plan, Recipe
    from parity.tuning.tune import tune

    rows = chats(data)
    base = model(folder, rows, vocabulary=8_000, hidden=512, layers=4, ffn=1_536)
    path, dev = write(rows[:32], folder / "rows.jsonl"), write(rows[32:48], folder / "dev.jsonl")
    sizes, losses, seconds = {}, {}, {}
    for weights in ("lora", "qlora"):
        loaded = load(base, "sft", weights, 16, "train", torch.bfloat16, 0).model
        linear = [module for name, module in loaded.named_modules() if name.endswith("base_layer")]
        rest = sum(weight.nbytes for name, weight in loaded.named_parameters() if ".layers." not in name)
        sizes[weights] = (sum(map(stored_bytes, linear)), rest)
        recipe = Recipe(weights=weights, rank=16, learning_rate=1e-3, epochs=1 if quick else 3, batch_tokens=1_000)
        plan = Plan(base=str(base), data=path, dev=dev, out=folder / weights, recipe=recipe, precision="bfloat16")
        done = tune(plan)
        losses[weights], seconds[weights] = done.dev_loss or 0.0, done.seconds / len(done.points)
    linear, whole = (sum(sizes["qlora"][:n]) / sum(sizes["lora"][:n]) for n in (1, 2))
    return {
        "qlora_bytes_ratio": round(linear, 3),
        "qlora_whole_model_ratio": round(whole, 3),
        "qlora_dev_loss_ratio": round(losses["qlora"] / losses["lora"], 4),
        "qlora_step_time_ratio": round(seconds["qlora"] / seconds["lora"], 2),
    }


def stored_bytes(module: object) -> int:
    state = getattr(module.weight, "quant_state", None)  # type: ignore[attr-defined]
    scales = state.absmax.nbytes + state.state2.absmax.nbytes if state else 0
    return int(module.weight.nbytes + scales)  # type: ignore[attr-defined]


def rewards(data: Path, folder: Path, quick: bool) -> Found:
    from tune_rewards import grpo, reward_model

    learned, judged = grpo(folder), reward_model(data, folder)
    return {
        "grpo_reward_gain": round(learned["last"] - learned["first"], 3),
        "grpo": {name: round(value, 4) for name, value in learned.items()},
        "reward_model_accuracy": round(judged.value, 3),
        "reward_model_interval": [round(judged.low, 3), round(judged.high, 3)],
        "reward_model_pairs": judged.pairs,
    }


def banking77(data: Path, folder: Path, quick: bool) -> Found:
    from tune_banking77 import Settings, accuracy, read, train, with_adapter

    place = data / "domain_intent/banking77"
    settings = Settings(pretrain_epochs=0.5, copies=1, rows=1_000) if quick else Settings()
    base, tuned, seconds = train(place, folder, settings)
    test = read(place / "test.csv")
    labels = sorted({row.answer for row in read(place / "train.csv")})
    return {
        "banking77_accuracy": round(accuracy(tuned, test, labels), 4),
        "banking77_any_text": round(accuracy(tuned, test), 4),
        "banking77_untuned": round(accuracy(base, test, labels), 4),
        "banking77_lora": round(with_adapter(place, folder, base, settings, 1 if quick else 3), 4),
        "banking77_seconds": round(seconds),
    }


def prepared(data: Path, folder: Path, quick: bool) -> Found:
    """The keys of the data, from the script beside this one."""
    script = Path(__file__).with_name("tune_data.py")
    if not script.exists():
        print("tune_data.py is not here: its keys stay null", file=sys.stderr)
        return {}
    command = [sys.executable, str(script), *(["--quick"] if quick else [])]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    row: Found = json.loads(done.stdout.strip().rsplit("\n", 1)[-1])
    return row


PARTS: dict[str, Callable[[Path, Path, bool], Found]] = {
    "speed": speed,
    "memory": memory,
    "qlora": qlora,
    "rewards": rewards,
    "banking77": banking77,
    "data": prepared,
}


def chats(data: Path) -> list[dict[str, object]]:
    """Real questions and answers, in a fixed mixed order: alpaca, code-alpaca, and preference demos' chosen answers."""
    rows: list[tuple[str, str]] = []
    folder = data / "instruction_data"
    for name in ("llama_factory/alpaca_en_demo.json.gz", "code_alpaca/code_alpaca_2k.json.gz"):
        found = json.loads(gzip.decompress((folder / name).read_bytes()))
        rows += [(f"{row['instruction']}\n{row['input']}".strip(), row["output"]) for row in found if row["output"]]
    demo = json.loads(gzip.decompress((folder / "llama_factory/dpo_en_demo.json.gz").read_bytes()))
    rows += [(row["conversations"][-1]["value"], row["chosen"]["value"]) for row in demo]
    ordered = sorted(set(rows), key=lambda row: hash_of(row[0] + row[1]))
    return [
        {"messages": [{"role": "user", "content": asked}, {"role": "assistant", "content": said}]}
        for asked, said in ordered
    ]


def hash_of(text: str) -> str:
    import hashlib

    return hashlib.sha256(text.encode()).hexdigest()


def model(folder: Path, rows: list[dict[str, object]], vocabulary: int, hidden: int, layers: int, ffn: int) -> Path:
    """A random Llama with a tokenizer learned from the rows; the embedding has `vocabulary` rows."""
    from parity.testing.folders import random_llama_folder, trained_tokenizer

    texts = [turn["content"] for row in rows for turn in row["messages"]]  # type: ignore[attr-defined]
    tokenizer = trained_tokenizer(texts, min(vocabulary, 8_000))
    tokenizer.eos_token = "<|im_end|>"
    return random_llama_folder(
        folder / "model", tokenizer, hidden=hidden, layers=layers, heads=hidden // 64, kv_heads=hidden // 64, ffn=ffn,
        context_tokens=2_048, vocabulary=max(vocabulary, len(tokenizer)),
    )  # fmt: skip


def length(base: Path, row: dict[str, object]) -> int:
    return len(tokenizer_of(base).apply_chat_template(row["messages"], tokenize=True, return_dict=True)["input_ids"])


def tokenizer_of(base: Path):  # type: ignore[no-untyped-def]
    from functools import cache

    from transformers import AutoTokenizer

    if base not in _TOKENIZERS:
        _TOKENIZERS[base] = cache(lambda: AutoTokenizer.from_pretrained(base))()
    return _TOKENIZERS[base]


_TOKENIZERS: dict[Path, object] = {}


def long_row(base: Path, rows: list[dict[str, object]], tokens: int, seed: int) -> dict[str, object]:
    """A question and an answer of as nearly `tokens` tokens as whole words allow, never more."""
    words = " ".join(row["messages"][1]["content"] for row in rows[seed * 200 : seed * 200 + 100]).split()  # type: ignore[index]
    low, high = 1, len(words)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if length(base, question(words[:middle])) <= tokens - 2 else (low, middle - 1)
    return question(words[:low])


def question(words: list[str]) -> dict[str, object]:
    return {"messages": [{"role": "user", "content": "Go on."}, {"role": "assistant", "content": " ".join(words)}]}


def write(rows: list[dict[str, object]], path: Path) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def run(side: str, job: Job, out: Path) -> dict[str, float]:
    """One side's training in a process of its own."""
    fields = {name: getattr(job, name) for name in Job.__dataclass_fields__} | {"out": str(out)}
    path = out.with_suffix(".job.json")
    path.write_text(json.dumps(fields))
    command = [sys.executable, str(Path(__file__).with_name("tune_trl.py")), side, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{side} failed:\n{done.stderr[-3000:]}")
    row: dict[str, float] = json.loads(done.stdout.strip().rsplit("\n", 1)[-1])
    print(json.dumps({side: row}))
    return row


def answer_loss(base: Path, adapter: Path, rows: list[dict[str, object]]) -> float:
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


if __name__ == "__main__":
    sys.exit(main())
