"""Log-likelihoods of 5-shot MMLU: Parity against lm-evaluation-harness, same folder and items, each in its own process.

Knows the arithmetic of a Llama: how many operations each side's way of scoring needs at least. The ideal speed-up is
the ratio of the two, for the very shape and items used; what is reached is measured, interleaved, medians. Ends with
one JSON line. Not measured here: generation (null), ARC and HellaSwag, a GPU.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from parity.benchmarks import mmlu
from parity.errors import EngineError, ParityError
from parity.testing.folders import qwen_tokenizer, random_llama_folder
from peers import DEFAULT_FOLDER, python_of

ROOT = Path(__file__).resolve().parents[1]
DEFAULT_DATA = Path(os.environ.get("PARITY_SHARED") or ROOT.parent / "shared" / "data")
CONTEXT_TOKENS = 4096


@dataclass(frozen=True, slots=True)
class Shape:
    """A Llama's sizes, and the subjects it answers."""

    hidden: int
    layers: int
    heads: int
    kv_heads: int
    ffn: int
    subjects: tuple[str, ...]
    rounds: int

    def body_flops(self) -> int:
        """Operations of the layers for one token, attention's sums apart."""
        kv = self.hidden * self.kv_heads // self.heads
        return 2 * self.layers * (2 * self.hidden**2 + 2 * self.hidden * kv + 3 * self.hidden * self.ffn)

    def attention_flops(self, seen: int) -> int:
        """Operations of attention for one token that sees `seen` tokens, itself included."""
        return 4 * self.layers * self.hidden * seen


FULL = Shape(640, 12, 10, 5, 1728, ("abstract_algebra", "anatomy", "astronomy", "business_ethics", "clinical_knowledge",
             "college_biology", "college_medicine", "computer_security", "econometrics"), 1)  # fmt: skip
QUICK = Shape(256, 6, 8, 4, 688, ("abstract_algebra", "computer_security", "econometrics"), 3)


@dataclass(frozen=True, slots=True)
class Took:
    """One side's run: seconds without loading, and the process's peak memory."""

    seconds: float
    peak_bytes: int
    found: dict[str, Any]


def main() -> int:
    arguments = parse()
    if arguments.ours:
        ours(arguments)
        return 0
    try:
        report(arguments.quick, arguments.data)
    except ParityError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Score MMLU with Parity and lm-evaluation-harness, side by side.")
    parser.add_argument("--quick", action="store_true", help="a small model, 300 items: a few minutes on 2 cores")
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA, help="shared data; default: %(default)s")
    parser.add_argument("--ours", help=argparse.SUPPRESS)  # the process that is measured: folder, subjects, out
    return parser.parse_args()


def report(quick: bool, data: Path) -> None:
    """Measure, print a table and the JSON line."""
    if not python_of(DEFAULT_FOLDER).exists():
        raise EngineError(f"lm-evaluation-harness is not in {DEFAULT_FOLDER}.", "Build it with: make peers")
    shape = QUICK if quick else FULL
    with tempfile.TemporaryDirectory() as scratch:
        folder, tokenizer = Path(scratch, "model"), qwen_tokenizer(data / "tokenizers" / "qwen2.5")
        sizes = {name: getattr(shape, name) for name in ("hidden", "layers", "heads", "kv_heads", "ffn")}
        random_llama_folder(folder, tokenizer, **sizes, context_tokens=CONTEXT_TOKENS)
        batch = best_batch(folder, data, Path(scratch))
        mine, theirs = [], []
        for _ in range(shape.rounds):
            mine.append(run_ours(folder, data, shape.subjects, Path(scratch, "ours.json")))
            theirs.append(run_theirs(folder, data, shape.subjects, Path(scratch, "theirs.jsonl"), batch))
    show(shape, len(tokenizer), mine, theirs, batch)


def ours(arguments: argparse.Namespace) -> None:
    """Score with the torch engine; writes seconds, choices and what was computed."""
    from parity.core.refs import ModelRef, Scheme
    from parity.engines.open import EngineOptions, open_engine

    folder, subjects, out = arguments.ours.split("|")
    engine = open_engine(ModelRef(Scheme.FOLDER, folder), EngineOptions(device="cpu", dtype="float32"))
    started = time.perf_counter()
    benchmark = mmlu.load(arguments.data / "mmlu", tuple(subjects.split(",")))
    protocol = benchmark.protocol("lm-eval")
    requests = [protocol.request(item) for item in benchmark.items]
    values = {request_id.item: output.values for request_id, output in engine.answer(requests)}
    seconds = time.perf_counter() - started
    contexts = [engine._encoder.likelihood(request) for request in requests]
    rows = {entry.context + rest[:-1] for entry in contexts for rest in entry.continuations}
    work = engine.work
    Path(out).write_text(json.dumps({
        "seconds": seconds, "seconds_scoring": work.seconds, "computed": work.computed, "requested": work.requested,
        "choices": {item: int(np.argmax(found)) for item, found in values.items()},
        "rows": [len(row) for row in rows], "floor": floor(rows), "seen": seen(rows),
        "gemm_flops_per_s": gemm_rate(),
    }))  # fmt: skip


def floor(rows: set[tuple[int, ...]]) -> int:
    """Distinct beginnings of all rows, counted one by one: the least number of tokens that can be computed."""
    beginnings = set()
    for row in rows:
        digest = 0
        for token in row:
            digest = hash((digest, token))
            beginnings.add(digest)
    return len(beginnings)


def seen(rows: set[tuple[int, ...]]) -> int:
    """Sum over the distinct beginnings of their lengths: what attention has to look at, at least."""
    beginnings = {}
    for row in rows:
        digest = 0
        for depth, token in enumerate(row, start=1):
            digest = hash((digest, token))
            beginnings[digest] = depth
    return sum(beginnings.values())


def gemm_rate() -> float:
    """Operations a second of a large fp32 product on this machine, now; median of several."""
    left, right = torch.randn(2048, 640), torch.randn(640, 1728)
    rates = []
    for _ in range(15):
        begun = time.perf_counter()
        torch.mm(left, right)
        rates.append(2 * left.shape[0] * left.shape[1] * right.shape[1] / (time.perf_counter() - begun))
    return statistics.median(rates)


def best_batch(folder: Path, data: Path, scratch: Path) -> int:
    """The batch size at which the harness is fastest, on a few items."""
    seconds = {
        batch: run_theirs(folder, data, ("computer_security",), scratch / "probe.jsonl", batch, limit=24).seconds
        for batch in (1, 4, 8)
    }
    return min(seconds, key=lambda batch: seconds[batch])


def run_ours(folder: Path, data: Path, subjects: tuple[str, ...], out: Path) -> Took:
    command = [sys.executable, str(Path(__file__)), "--data", str(data)]
    peak = measured([*command, "--ours", f"{folder}|{','.join(subjects)}|{out}"], out.with_suffix(".log"))
    found = json.loads(out.read_text())
    return Took(found["seconds"], peak, found)


def run_theirs(
    folder: Path, data: Path, subjects: tuple[str, ...], out: Path, batch: int, limit: int | None = None
) -> Took:
    peer = Path(__file__).parent / "lm_eval_peer" / "run.py"
    command = [str(python_of(DEFAULT_FOLDER)), str(peer), "--model", str(folder), "--data", str(data)]
    command += ["--subjects", ",".join(subjects), "--batch-size", str(batch), "--max-length", str(CONTEXT_TOKENS)]
    command += ["--out", str(out), *(["--limit", str(limit)] if limit else [])]
    log = out.with_suffix(".log")
    peak = measured(command, log)
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    summary = json.loads(log.read_text().splitlines()[-1])
    return Took(summary["seconds"], peak, {"choices": {row["item"]: row["choice"] for row in rows}})


def measured(command: list[str], log: Path) -> int:
    """Run a command to its end, its output in `log`; returns its peak memory in bytes.

    Raises:
        EngineError: it failed.
    """
    environment = os.environ | {"OMP_NUM_THREADS": str(torch.get_num_threads()), "HF_HUB_OFFLINE": "1"}
    with log.open("w") as stream:
        child = os.posix_spawn(command[0], command, environment, file_actions=[
            (os.POSIX_SPAWN_DUP2, stream.fileno(), 1), (os.POSIX_SPAWN_DUP2, stream.fileno(), 2)])  # fmt: skip
        _, status, usage = os.wait4(child, 0)
    if status:
        tail = "\n".join(log.read_text().splitlines()[-15:])
        raise EngineError(f"{Path(command[1]).name} failed:\n{tail}", "Read the lines above.")
    return usage.ru_maxrss * 1024


def flops(shape: Shape, vocabulary: int, found: dict[str, Any]) -> tuple[float, float]:
    """Operations the harness's way needs, and the least that can do: (theirs, least)."""
    rows, head = found["rows"], 2 * shape.hidden * vocabulary
    theirs = sum(rows) * (shape.body_flops() + head)
    theirs += sum(shape.attention_flops(length) * (length + 1) / 2 for length in rows)
    least = found["floor"] * shape.body_flops() + shape.attention_flops(found["seen"]) + len(rows) * head
    return float(theirs), float(least)


def show(shape: Shape, vocabulary: int, mine: list[Took], theirs: list[Took], batch: int) -> None:
    """The table for people and the line for machines."""
    first, also = mine[0].found, theirs[0].found["choices"]
    agree = sum(choice == also[item] for item, choice in first["choices"].items()) / len(first["choices"])
    ratios = [their.seconds / our.seconds for our, their in zip(mine, theirs, strict=True)]
    needed, least = flops(shape, vocabulary, first)
    scoring = statistics.median(took.found["seconds_scoring"] for took in mine)
    rate = statistics.median(took.found["gemm_flops_per_s"] for took in mine)
    peaks = [statistics.median(took.peak_bytes for took in side) for side in (mine, theirs)]
    print(f"{shape}, vocabulary {vocabulary:,}")
    print(f"operations: {least / 1e12:.2f} T at the least, {needed / 1e12:.2f} T the harness's way")
    print(
        f"Parity   s {[round(took.seconds, 1) for took in mine]}, scoring {scoring:.1f}, peak {peaks[0] / 1e9:.2f} GB"
    )
    print(f"harness  s {[round(took.seconds, 1) for took in theirs]}, batch {batch}, peak {peaks[1] / 1e9:.2f} GB")
    print(f"tokens: {first['requested']:,} asked, {first['computed']:,} computed, {first['floor']:,} distinct")
    summary = {
        "items": len(first["choices"]),
        "computed_over_floor": first["computed"] / first["floor"],
        "speedup_vs_lm_eval": round(statistics.median(ratios), 3),
        "flop_ideal_speedup": round(needed / least, 3),
        "gemm_share": round(least / scoring / rate, 3),
        "choices_agree": agree,
        "peak_memory_ratio": round(peaks[0] / peaks[1], 3),
        "generation_speedup": None,
    }
    print(json.dumps(summary))


if __name__ == "__main__":
    sys.exit(main())
