"""Log-likelihoods of multiple choice: Parity against lm-evaluation-harness, same folder, same pairs, own processes.

Knows the arithmetic of a Llama: how many operations each side's way of scoring needs at least. The ideal speed-up is
the ratio of the two, for the very shape and items used; what is reached is measured, both sides in turn, medians. The
full form takes the harness an hour or two: it is cut into steps of a few minutes whose results are kept in --results.
Each step of the harness scores a part of the items, whole, with our whole run before it; its seconds are added up, none
is extrapolated. `--minutes 4` begins no step later than that; the same command goes on. Ends with one JSON line. Not
measured here: a GPU, and in `--quick` the other tasks, the large vocabulary and generation (null).
"""

import argparse
import json
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from choices import (
    CONTEXT_TOKENS,
    DEFAULT_DATA,
    ROOT,
    Pair,
    Shape,
    arc_pairs,
    beginnings,
    flops,
    hellaswag_pairs,
    mmlu_pairs,
    request_of,
    tokenizer_of,
)
from steps import OutOfTime, Steps, measured

from parity.errors import EngineError, ParityError
from parity.testing.folders import random_llama_folder
from peers import DEFAULT_FOLDER, python_of

NEAR_TIE_NATS = 1e-4
# Prompts a batch whose tokens are about those of one of our passes (2,048): memory is compared at this one.
LIKE_OURS = 4
TRIED = (1, LIKE_OURS, 8)
FEW = ("abstract_algebra", "computer_security", "econometrics")
MORE = (*FEW, "astronomy", "business_ethics", "clinical_knowledge", "college_medicine")


@dataclass(frozen=True, slots=True)
class Work:
    """What is scored, by which model; the harness's side in `parts` of the items, all of that `rounds` times."""

    name: str
    title: str
    shape: Shape
    vocabulary: str
    pairs: Callable[[Path], Iterator[Pair]]
    parts: int = 1
    rounds: int = 1


@dataclass(frozen=True, slots=True)
class Result:
    """One work: our seconds of every run, theirs of every round, peak bytes, and what the operations were."""

    title: str
    items: int
    ours_s: list[float]
    theirs_s: list[float]
    scoring_s: float
    peaks: tuple[float, float]
    flops: tuple[float, float]
    found: dict[str, Any]
    differing: list[str]

    @property
    def speedup(self) -> float:
        return statistics.median(self.theirs_s) / statistics.median(self.ours_s)

    @property
    def gemm_share(self) -> float:
        return self.flops[1] / self.scoring_s / float(self.found["gemm_flops_per_s"])


def works(quick: bool) -> list[Work]:
    small, wide, deep = Shape(160, 8, 5, 5, 432), Shape(320, 10, 5, 5, 864), Shape(512, 10, 8, 4, 1376)
    if quick:
        title = "MMLU, NeoX vocabulary"
        return [Work("mmlu-neox", title, small, "pythia", lambda data: mmlu_pairs(data, FEW), rounds=2)]
    return [
        Work("mmlu-neox", "MMLU, NeoX vocabulary", deep, "pythia", lambda data: mmlu_pairs(data, MORE), 6),
        Work("mmlu-qwen", "MMLU, Qwen vocabulary", wide, "qwen2.5", lambda data: mmlu_pairs(data, MORE), 6),
        Work("arc", "ARC, 25 shots", deep, "pythia", arc_pairs, 6),
        Work("hellaswag", "HellaSwag", deep, "pythia", hellaswag_pairs, 2),
    ]


def main() -> int:
    arguments = parse()
    if arguments.ours:
        ours(*map(Path, arguments.ours.split("|")))
        return 0
    try:
        if not python_of(DEFAULT_FOLDER).exists():
            raise EngineError(f"lm-evaluation-harness is not in {DEFAULT_FOLDER}.", "Build it with: make peers")
        summary = measure(arguments)
    except OutOfTime:
        print(f"Time is up; what is measured lies in {arguments.results}. Run the same command to go on.", flush=True)
        return 1
    except ParityError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    if summary:
        print(json.dumps(summary))
    return 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Score with Parity and lm-evaluation-harness, side by side.")
    parser.add_argument("--quick", action="store_true", help="10 M parameters, 314 items: under 5 minutes on 2 cores")
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA, help="shared data; default: %(default)s")
    parser.add_argument("--part", help="only this: mmlu-neox, mmlu-qwen, arc, hellaswag or generation")
    parser.add_argument("--minutes", type=float, help="begin no step of the full form later than this")
    parser.add_argument("--limit", type=int, help="first items of every part only, to try the script")
    parser.add_argument("--results", type=Path, default=ROOT / "build" / "scoring", help="default: %(default)s")
    parser.add_argument("--ours", help=argparse.SUPPRESS)  # the process that is measured: folder|pairs|out
    return parser.parse_args()


def measure(arguments: argparse.Namespace) -> dict[str, Any] | None:
    """All that is asked for; None where it is a part of the whole.

    Raises:
        OutOfTime: the minutes are used up.
        EngineError: a side failed.
    """
    begun = time.monotonic()

    def left() -> float | None:
        return arguments.minutes - (time.monotonic() - begun) / 60 if arguments.minutes is not None else None

    with tempfile.TemporaryDirectory() as scratch:
        home = Path(scratch) if arguments.quick else arguments.results
        chosen = [work for work in works(arguments.quick) if arguments.part in (None, work.name)]
        results = [compared(work, arguments, home / work.name, left()) for work in chosen]
        writing = None
        if not arguments.quick and arguments.part in (None, "generation"):
            from generation import compared_in_steps  # that script measures with the tools of this one

            writing = compared_in_steps(arguments.data, home / "generation", left(), arguments.limit)
    if results:
        table(results)
    if arguments.part and not arguments.quick:
        return None
    return summary_of(results, writing)


def compared(work: Work, arguments: argparse.Namespace, home: Path, minutes: float | None) -> Result:
    """Both sides score the pairs in turn, each in a fresh process with all cores."""
    home.mkdir(parents=True, exist_ok=True)
    rows = list(work.pairs(arguments.data))[: arguments.limit]
    lines = [json.dumps(pair) + "\n" for pair in rows]
    steps = Steps(home, sha256(f"{work.shape}{work.vocabulary}{''.join(lines)}".encode()).hexdigest(), minutes)
    tokenizer, model, pairs = tokenizer_of(work.vocabulary, arguments.data), home / "model", home / "pairs.jsonl"
    sizes = {name: getattr(work.shape, name) for name in work.shape.__slots__}
    random_llama_folder(model, tokenizer, **sizes, context_tokens=CONTEXT_TOKENS)
    pairs.write_text("".join(lines))
    parts = [home / f"part{at}.jsonl" for at in range(work.parts)]
    for at, part in enumerate(parts):
        part.write_text("".join(lines[at :: work.parts]))
    tried = {at: steps.result(f"batch{at}", lambda at=at: run_theirs(model, pairs, at, limit=16)) for at in TRIED}
    batch = min(TRIED, key=lambda at: float(tried[at]["seconds"]))
    count = work.shape.parameters(len(tokenizer)) / 1e6
    print(
        f"{work.title}: {work.shape}, {count:.0f} M parameters, {len(tokenizer):,} ids; batches of {batch}", flush=True
    )
    mine, theirs = [], []
    for number in range(work.rounds):
        sides = []
        for at, part in enumerate(parts):
            mine.append(steps.result(f"ours{number}-{at}", lambda: run_ours(model, pairs)))
            sides.append(steps.result(f"theirs{number}-{at}", lambda part=part: run_theirs(model, part, batch)))
        theirs.append(sides)
    shutil.rmtree(model)
    return result_of(work, len(tokenizer), mine, theirs, int(tried[LIKE_OURS]["peak_bytes"]))


def result_of(work: Work, vocabulary: int, mine: list[Any], theirs: list[list[Any]], their_peak: int) -> Result:
    found = mine[0]
    other = {item: values for part in theirs[0] for item, values in part["logliks"].items()}
    return Result(
        work.title,
        len(found["logliks"]),
        [each["seconds"] for each in mine],
        [sum(part["seconds"] for part in sides) for sides in theirs],
        statistics.median(each["seconds_scoring"] for each in mine),
        (statistics.median(each["peak_bytes"] for each in mine), their_peak),
        flops(work.shape, vocabulary, found),
        found | {"gemm_flops_per_s": statistics.median(each["gemm_flops_per_s"] for each in mine)},
        differing(found["logliks"], other),
    )


def ours(folder: Path, pairs: Path, out: Path) -> None:
    """Score with the torch engine; writes what it found, how long it took, and what there was to compute."""
    from parity.core.refs import ModelRef, Scheme
    from parity.engines.open import EngineOptions
    from parity.engines.torch import TorchEngine

    engine = TorchEngine(ModelRef(Scheme.FOLDER, str(folder)), EngineOptions(device="cpu", dtype="float32"))
    rows = [json.loads(line) for line in pairs.read_text().splitlines()]
    requests = list(map(request_of, rows))
    started = time.perf_counter()
    logliks = {request_id.item: output.values for request_id, output in engine.answer(requests)}  # type: ignore[union-attr]
    seconds = time.perf_counter() - started
    work = engine.work
    if work is None:
        raise EngineError("The model was scored row by row.", "Report this: a Llama follows a walk.")
    encoded: list[Any] = [engine._encoder.likelihood(request) for request in requests]
    few = [entry for entry in encoded if entry.needs_few_logits]
    pairs_of = [(entry.context, rest) for entry in encoded for rest in entry.continuations]
    sequences = {context + rest[:-1] for context, rest in pairs_of}
    whole = [(entry.context, rest) for entry in encoded if entry not in few for rest in entry.continuations]
    positions = {context + rest[:at] for context, rest in whole for at in range(len(rest))}
    depths = beginnings(sequences)
    found = {
        "seconds": seconds,
        "seconds_scoring": work.seconds,
        "requested": work.requested,
        "computed": work.computed,
        "logliks": logliks,
        "rows": [len(sequence) for sequence in sequences],
        "positions": len(positions),
        "letters": len({(entry.context, rest) for entry in few for rest in entry.continuations}),
        "floor": len(depths),
        "seen": sum(depths.values()),
        "gemm_flops_per_s": gemm_rate(),
    }
    out.write_text(json.dumps(found))


def gemm_rate() -> float:
    """Operations a second of a large fp32 product on this machine, now; median of several."""
    left, right = torch.randn(2048, 512), torch.randn(512, 2048)
    rates = []
    for _ in range(25):
        begun = time.perf_counter()
        torch.mm(left, right)
        rates.append(2 * left.shape[0] * left.shape[1] * right.shape[1] / (time.perf_counter() - begun))
    return statistics.median(rates)


def run_ours(folder: Path, pairs: Path) -> dict[str, Any]:
    out = pairs.with_suffix(".ours")
    peak = measured([sys.executable, str(Path(__file__)), "--ours", f"{folder}|{pairs}|{out}"], out)
    return {**json.loads(out.read_text()), "peak_bytes": peak}


def run_theirs(folder: Path, pairs: Path, batch: int, limit: int | None = None) -> dict[str, Any]:
    out = pairs.with_suffix(".theirs")
    command = [str(python_of(DEFAULT_FOLDER)), str(Path(__file__).parent / "lm_eval_peer" / "pairs.py")]
    command += ["--model", str(folder), "--pairs", str(pairs), "--out", str(out), "--batch-size", str(batch)]
    command += ["--max-length", str(CONTEXT_TOKENS), *(["--limit", str(limit)] if limit else [])]
    peak = measured(command, out)
    return {**json.loads(out.read_text()), "peak_bytes": peak}


def differing(ours: dict[str, list[float]], theirs: dict[str, list[float]]) -> list[str]:
    """Items whose best option differs by more than a near-tie."""
    found = []
    for item, values in ours.items():
        mine, other = values.index(max(values)), theirs[item].index(max(theirs[item]))
        if mine != other and values[mine] - values[other] > NEAR_TIE_NATS:
            found.append(item)
    return found


def table(results: list[Result]) -> None:
    """The figures of every work, for people."""
    columns = f"{'items':>6}{'ours s':>9}{'theirs s':>10}{'faster':>9}{'ideal':>8}{'gemm':>7}{'memory':>8}"
    print(f"\n{'':<24}{columns}  choices differ")
    for each in results:
        print(
            f"{each.title:<24}{each.items:>6}{statistics.median(each.ours_s):>9.1f}"
            f"{statistics.median(each.theirs_s):>10.1f}{each.speedup:>8.1f}x{each.flops[0] / each.flops[1]:>7.1f}x"
            f"{each.gemm_share:>7.2f}{each.peaks[0] / each.peaks[1]:>8.2f}  {', '.join(each.differing) or 'none'}",
            flush=True,
        )


def summary_of(results: list[Result], writing: float | None) -> dict[str, Any]:
    """The line for machines: the first work's speed, and the worst of all else."""
    items, first = sum(each.items for each in results), results[0]
    return {
        "items": items,
        "computed_over_floor": max(each.found["computed"] / each.found["floor"] for each in results),
        "speedup_vs_lm_eval": round(first.speedup, 3),
        "flop_ideal_speedup": round(first.flops[0] / first.flops[1], 3),
        "gemm_share": round(min(each.gemm_share for each in results), 3),
        "choices_agree": 1 - sum(len(each.differing) for each in results) / items,
        "peak_memory_ratio": round(max(each.peaks[0] / each.peaks[1] for each in results), 3),
        "generation_speedup": writing,
    }


if __name__ == "__main__":
    sys.exit(main())
