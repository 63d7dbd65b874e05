"""Log-likelihoods of multiple choice: Parity against lm-evaluation-harness, same folder, same pairs, own processes.

Knows the arithmetic of a Llama: how many operations each side's way of scoring needs at least. The ideal speed-up is
the ratio of the two, for the very shape and items used; what is reached is measured, interleaved, medians. Ends with
one JSON line. Not measured here: a GPU, and in `--quick` the other tasks, the large vocabulary and generation (null).
"""

import argparse
import gzip
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from parity.benchmarks import mmlu
from parity.errors import EngineError, ParityError
from parity.testing.folders import qwen_tokenizer, random_llama_folder
from peers import DEFAULT_FOLDER, python_of

ROOT = Path(__file__).resolve().parents[1]
DEFAULT_DATA = Path(os.environ.get("PARITY_SHARED") or ROOT.parent / "shared" / "data")
CONTEXT_TOKENS = 4096
NEAR_TIE_NATS = 1e-4
# Prompts a batch whose tokens are about those of one of our passes (2,048): memory is compared at this one.
LIKE_OURS = 4
Pair = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Shape:
    """A Llama's sizes. Ours and theirs are computed in fp32."""

    hidden: int
    layers: int
    heads: int
    kv_heads: int
    ffn: int

    def body_flops(self) -> int:
        """Operations of the layers for one token, attention's sums apart."""
        kv = self.hidden * self.kv_heads // self.heads
        return 2 * self.layers * (2 * self.hidden**2 + 2 * self.hidden * kv + 3 * self.hidden * self.ffn)

    def attention_flops(self, seen: float) -> float:
        """Operations of attention for tokens that see `seen` tokens in all, themselves included."""
        return 4 * self.layers * self.hidden * seen


@dataclass(frozen=True, slots=True)
class Work:
    """What is scored, by which model, how often."""

    name: str
    shape: Shape
    vocabulary: str
    pairs: Callable[[Path], Iterator[Pair]]
    rounds: int


@dataclass(frozen=True, slots=True)
class Result:
    """One work: both sides' seconds by round, peak bytes, and what the operations were."""

    name: str
    items: int
    ours_s: list[float]
    theirs_s: list[float]
    scoring_s: float
    peaks: tuple[float, float]
    flops: tuple[float, float]
    found: dict[str, Any]
    differing: list[str]


def works(quick: bool) -> list[Work]:
    small, wide, deep = Shape(160, 8, 5, 5, 432), Shape(320, 10, 5, 5, 864), Shape(512, 10, 8, 4, 1376)
    few = ("abstract_algebra", "computer_security", "econometrics")
    more = (*few, "anatomy", "astronomy", "business_ethics", "clinical_knowledge", "college_medicine", "virology")
    if quick:
        return [Work("MMLU, NeoX vocabulary", small, "pythia", lambda data: mmlu_pairs(data, few), 3)]
    return [
        Work("MMLU, NeoX vocabulary", deep, "pythia", lambda data: mmlu_pairs(data, more), 1),
        Work("MMLU, Qwen vocabulary", wide, "qwen2.5", lambda data: mmlu_pairs(data, more), 1),
        Work("ARC, 25 shots", deep, "pythia", arc_pairs, 1),
        Work("HellaSwag", deep, "pythia", hellaswag_pairs, 1),
    ]


def main() -> int:
    arguments = parse()
    if arguments.ours:
        ours(*map(Path, arguments.ours.split("|")))
        return 0
    try:
        if not python_of(DEFAULT_FOLDER).exists():
            raise EngineError(f"lm-evaluation-harness is not in {DEFAULT_FOLDER}.", "Build it with: make peers")
        results = [compared(work, arguments.data) for work in works(arguments.quick)]
        writing = writing_speedup(arguments.data, arguments.quick)
    except ParityError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    show(results, writing)
    return 0


def writing_speedup(data: Path, quick: bool) -> float | None:
    """How much faster answers are written; None in the quick form."""
    from generation import generation_speedup  # that script measures with the tools of this one

    return generation_speedup(data, quick)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Score with Parity and lm-evaluation-harness, side by side.")
    parser.add_argument("--quick", action="store_true", help="10 M parameters, 311 items: a few minutes on 2 cores")
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA, help="shared data; default: %(default)s")
    parser.add_argument("--ours", help=argparse.SUPPRESS)  # the process that is measured: folder|pairs|out
    return parser.parse_args()


def compared(work: Work, data: Path) -> Result:
    """Both sides score the pairs in turn, each in a fresh process with all cores."""
    with tempfile.TemporaryDirectory() as scratch:
        folder, pairs = Path(scratch, "model"), Path(scratch, "pairs.jsonl")
        tokenizer = tokenizer_of(work.vocabulary, data)
        sizes = {name: getattr(work.shape, name) for name in work.shape.__slots__}
        random_llama_folder(folder, tokenizer, **sizes, context_tokens=CONTEXT_TOKENS)
        pairs.write_text("".join(json.dumps(pair) + "\n" for pair in work.pairs(data)))
        batch, peak = best_batch(folder, pairs)
        print(f"{work.name}: {work.shape}, {len(tokenizer):,} ids; the harness takes batches of {batch}", flush=True)
        mine, theirs = [], []
        for _ in range(work.rounds):
            mine.append(run_ours(folder, pairs))
            theirs.append(run_theirs(folder, pairs, batch))
    (found, _), (other, _) = mine[0], theirs[0]
    return Result(
        work.name,
        len(found["logliks"]),
        [each["seconds"] for each, _ in mine],
        [each["seconds"] for each, _ in theirs],
        statistics.median(each["seconds_scoring"] for each, _ in mine),
        (statistics.median(peak for _, peak in mine), peak),
        flops(work.shape, len(tokenizer), found),
        found,
        differing(found["logliks"], other["logliks"]),
    )


def mmlu_pairs(data: Path, subjects: tuple[str, ...]) -> Iterator[Pair]:
    """5-shot MMLU by the protocol whose prompts are the harness's own."""
    benchmark = mmlu.load(data / "mmlu", subjects)
    protocol = benchmark.protocol("lm-eval")
    for item in benchmark.items:
        prompt, letters = protocol.prompt(item), [f" {letter}" for letter in item.letters]
        yield {"item": item.id, "head": prompt.head, "question": prompt.question, "continuations": letters}


def arc_pairs(data: Path) -> Iterator[Pair]:
    """200 questions of ARC-Challenge behind 25 answered ones, options as texts."""
    shots = list(_rows(data / "mc_benchmarks" / "arc_challenge_train.jsonl.gz"))[:25]
    head = "".join(f"{shot['query'].strip()} {shot['choices'][shot['gold']].strip()}\n\n" for shot in shots)
    yield from _questions(data / "mc_benchmarks" / "arc_challenge_test.jsonl.gz", head, 200)


def hellaswag_pairs(data: Path) -> Iterator[Pair]:
    """500 beginnings of HellaSwag with four endings each."""
    yield from _questions(data / "mc_benchmarks" / "hellaswag_validation.jsonl.gz", "", 500)


def _questions(path: Path, head: str, count: int) -> Iterator[Pair]:
    for row in list(_rows(path))[:count]:
        options = [f" {option.strip()}" for option in row["choices"]]
        yield {"item": str(row["doc_id"]), "head": head, "question": row["query"].strip(), "continuations": options}


def _rows(path: Path) -> Iterator[Pair]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def tokenizer_of(name: str, data: Path) -> Any:
    """A real tokenizer of the data folder."""
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

    if name == "qwen2.5":
        return qwen_tokenizer(data / "tokenizers" / name)
    text = gzip.decompress((data / "tokenizers" / "pythia" / "20B_tokenizer.json.gz").read_bytes()).decode()
    end = "<|endoftext|>"
    return PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(text), eos_token=end, pad_token=end)


def ours(folder: Path, pairs: Path, out: Path) -> None:
    """Score with the torch engine; writes what it found, how long it took, and what there was to compute."""
    from parity.core.prompts import Loglikelihood, RequestId, TextPrompt
    from parity.core.refs import ModelRef, Scheme
    from parity.engines.open import EngineOptions
    from parity.engines.torch import TorchEngine

    engine = TorchEngine(ModelRef(Scheme.FOLDER, str(folder)), EngineOptions(device="cpu", dtype="float32"))
    rows = [json.loads(line) for line in pairs.read_text().splitlines()]
    requests = [
        Loglikelihood(RequestId(row["item"]), TextPrompt(row["question"], row["head"]), tuple(row["continuations"]))
        for row in rows
    ]
    started = time.perf_counter()
    logliks = {request_id.item: output.values for request_id, output in engine.answer(requests)}  # type: ignore[union-attr]
    seconds = time.perf_counter() - started
    work = engine.work
    if work is None:
        raise EngineError("The model was scored row by row.", "Report this: a Llama follows a walk.")
    encoded: list[Any] = [engine._encoder.likelihood(request) for request in requests]
    pairs_of = [(entry.context, rest) for entry in encoded for rest in entry.continuations]
    sequences = {context + rest[:-1] for context, rest in pairs_of}
    positions = {context + rest[:at] for context, rest in pairs_of for at in range(len(rest))}
    depths = beginnings(sequences)
    found = {
        "seconds": seconds,
        "seconds_scoring": work.seconds,
        "requested": work.requested,
        "computed": work.computed,
        "logliks": logliks,
        "rows": [len(sequence) for sequence in sequences],
        "positions": len(positions),
        "floor": len(depths),
        "seen": sum(depths.values()),
        "gemm_flops_per_s": gemm_rate(),
    }
    out.write_text(json.dumps(found))


def beginnings(sequences: set[tuple[int, ...]]) -> dict[int, int]:
    """Every distinct beginning of the sequences, counted one by one, with its length: the least there is to compute."""
    found = {}
    for sequence in sequences:
        digest = 0
        for depth, token in enumerate(sequence, start=1):
            digest = hash((digest, token))
            found[digest] = depth
    return found


def gemm_rate() -> float:
    """Operations a second of a large fp32 product on this machine, now; median of several."""
    left, right = torch.randn(2048, 512), torch.randn(512, 2048)
    rates = []
    for _ in range(25):
        begun = time.perf_counter()
        torch.mm(left, right)
        rates.append(2 * left.shape[0] * left.shape[1] * right.shape[1] / (time.perf_counter() - begun))
    return statistics.median(rates)


def best_batch(folder: Path, pairs: Path) -> tuple[int, int]:
    """The batch size at which the harness is fastest on the first items, and its peak memory at LIKE_OURS."""
    tried = {batch: run_theirs(folder, pairs, batch, limit=16) for batch in (1, LIKE_OURS, 8)}
    return min(tried, key=lambda batch: tried[batch][0]["seconds"]), tried[LIKE_OURS][1]


def run_ours(folder: Path, pairs: Path) -> tuple[dict[str, Any], int]:
    out = pairs.with_suffix(".ours")
    peak = measured([sys.executable, str(Path(__file__)), "--ours", f"{folder}|{pairs}|{out}"], out)
    return json.loads(out.read_text()), peak


def run_theirs(folder: Path, pairs: Path, batch: int, limit: int | None = None) -> tuple[dict[str, Any], int]:
    out = pairs.with_suffix(".theirs")
    command = [str(python_of(DEFAULT_FOLDER)), str(Path(__file__).parent / "lm_eval_peer" / "pairs.py")]
    command += ["--model", str(folder), "--pairs", str(pairs), "--out", str(out), "--batch-size", str(batch)]
    command += ["--max-length", str(CONTEXT_TOKENS), *(["--limit", str(limit)] if limit else [])]
    peak = measured(command, out)
    return json.loads(out.read_text()), peak


def measured(command: list[str], out: Path) -> int:
    """Run a command to its end; returns its peak memory in bytes.

    Raises:
        EngineError: it failed.
    """
    environment = os.environ | {"OMP_NUM_THREADS": str(torch.get_num_threads()), "HF_HUB_OFFLINE": "1"}
    log = out.with_suffix(".log")
    with log.open("w") as stream:
        both = [(os.POSIX_SPAWN_DUP2, stream.fileno(), at) for at in (1, 2)]
        child = os.posix_spawn(command[0], command, environment, file_actions=both)
        _, status, usage = os.wait4(child, 0)
    if status:
        tail = "\n".join(log.read_text().splitlines()[-15:])
        raise EngineError(f"{Path(command[1]).name} failed:\n{tail}", "Read the lines above.")
    return usage.ru_maxrss * 1024


def flops(shape: Shape, vocabulary: int, found: dict[str, Any]) -> tuple[float, float]:
    """Operations the harness's way needs, and the least that can do: (theirs, least)."""
    rows, head = found["rows"], 2 * shape.hidden * vocabulary
    theirs = sum(rows) * (shape.body_flops() + head) + shape.attention_flops(sum(n * (n + 1) / 2 for n in rows))
    least = found["floor"] * shape.body_flops() + shape.attention_flops(found["seen"]) + found["positions"] * head
    return float(theirs), float(least)


def differing(ours: dict[str, list[float]], theirs: dict[str, list[float]]) -> list[str]:
    """Items whose best option differs by more than a near-tie."""
    found = []
    for item, values in ours.items():
        mine, other = values.index(max(values)), theirs[item].index(max(theirs[item]))
        if mine != other and values[mine] - values[other] > NEAR_TIE_NATS:
            found.append(item)
    return found


def show(results: list[Result], writing: float | None) -> None:
    """A table for people and the line for machines."""
    print(f"\n{'':<24}{'items':>6}{'ours s':>9}{'theirs s':>10}{'faster':>9}{'ideal':>8}{'memory':>8}  choices differ")
    for each in results:
        speed = statistics.median(b / a for a, b in zip(each.ours_s, each.theirs_s, strict=True))
        print(
            f"{each.name:<24}{each.items:>6}{statistics.median(each.ours_s):>9.1f}"
            f"{statistics.median(each.theirs_s):>10.1f}{speed:>8.1f}x{each.flops[0] / each.flops[1]:>7.1f}x"
            f"{each.peaks[0] / each.peaks[1]:>8.2f}  {', '.join(each.differing) or 'none'}"
        )
    items, first = sum(each.items for each in results), results[0]
    rates = [each.flops[1] / each.scoring_s / each.found["gemm_flops_per_s"] for each in results]
    speeds = [statistics.median(b / a for a, b in zip(each.ours_s, each.theirs_s, strict=True)) for each in results]
    summary = {
        "items": items,
        "computed_over_floor": max(each.found["computed"] / each.found["floor"] for each in results),
        "speedup_vs_lm_eval": round(speeds[0], 3),
        "flop_ideal_speedup": round(first.flops[0] / first.flops[1], 3),
        "gemm_share": round(min(rates), 3),
        "choices_agree": 1 - sum(len(each.differing) for each in results) / items,
        "peak_memory_ratio": round(max(each.peaks[0] / each.peaks[1] for each in results), 3),
        "generation_speedup": writing,
    }
    print(json.dumps(summary))


if __name__ == "__main__":
    sys.exit(main())
