"""Are our 5-shot MMLU choices lm-evaluation-harness's own? Both tools, item by item, in one run. Ends with a JSON line.

Knows two small models, the subjects each answers, and when two right answers may differ: near-ties only. Knows nothing
of how either side scores: ours is asked as `measure` asks (`open_engine`, the benchmark's requests, the runner, the
marks), theirs is `lm_eval_peer/run.py` in `.venv-peers`. Seconds are of one run without loading the model, so they
say which is faster, not by how much to the digit. The full form is cut into steps that are kept in --results;
`--minutes 3` begins none later than that, and the same command goes on. Exit code 1 when a difference is left
unexplained.
"""

import argparse
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from steps import OutOfTime, Steps

from parity.benchmarks import mmlu
from parity.benchmarks.base import Protocol
from parity.core.digests import digest
from parity.core.items import Item
from parity.core.outputs import Loglikelihoods, Output
from parity.core.prompts import RequestId
from parity.core.refs import ModelRef, Scheme
from parity.core.scores import Score, Unscored, UnscoredReason
from parity.engines.open import EngineOptions, open_engine
from parity.engines.tokens.ledger import among_themselves
from parity.errors import DataError, EngineError, ParityError, listed
from parity.measurement.asking import chosen
from parity.runs.runner import ask as answered
from parity.store import Workspace
from parity.testing.folders import qwen_tokenizer, random_llama_folder
from parity.testing.llama2c import llama2c_folder
from peers import DEFAULT_FOLDER, python_of

ROOT = Path(__file__).resolve().parents[1]
PEER = ROOT / "benchmarks_perf" / "lm_eval_peer" / "run.py"
DEFAULT_DATA = Path(os.environ.get("PARITY_SHARED") or ROOT.parent / "shared" / "data")
CONTEXT_TOKENS = 4096
BATCH_SIZE = 4  # the harness holds two copies of every logit: 8 prompts of 1,800 tokens and 152,000 ids are 18 GB
STEP_ITEMS = 60  # two minutes of the harness, where prompts are long
NEAR_TIE_NATS = 1e-4  # above this no two options count as a near-tie, however far apart the engines are
STORIES = Path("weights_small", "stories260K")
QWEN = Path("tokenizers", "qwen2.5")


@dataclass(frozen=True, slots=True)
class Work:
    """A model and the whole subjects it answers; every prompt of them fits its context."""

    folder: str
    name: str
    build: Callable[[Path, Path], Path]
    subjects: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Side:
    """What one tool made of the work: by item its choice (None: unscored), and its log-likelihoods in nats.

    They are those of each letter given that it is one of the four, on both sides: of more ours is not asked.
    """

    logliks: dict[str, tuple[float, ...]]
    choices: dict[str, str | None]
    seconds: float


@dataclass(frozen=True, slots=True)
class Agreement:
    """Both sides of one work. `explained` and `unexplained` are the items whose choices differ."""

    name: str
    ours: Side
    theirs: Side
    max_difference: float
    tolerance: float
    explained: tuple[str, ...]
    unexplained: tuple[str, ...]

    @property
    def items(self) -> int:
        return len(self.ours.choices)

    @property
    def agreeing(self) -> int:
        return self.items - len(self.explained) - len(self.unexplained)


def main() -> int:
    arguments = parse()
    try:
        check(arguments.data)
        found = measure(arguments)
    except OutOfTime:
        print(f"Time is up; what is compared lies in {arguments.results}. Run the same command to go on.", flush=True)
        return 1
    except ParityError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    show(found)
    return 1 if any(agreement.unexplained for agreement in found) else 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Compare MMLU choices with lm-evaluation-harness, item by item.")
    parser.add_argument("--quick", action="store_true", help="fewer subjects: a few minutes on 2 cores")
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA, help="shared data; default: %(default)s")
    parser.add_argument("--batch-size", type=int, default=BATCH_SIZE, help="prompts a batch, on both sides")
    parser.add_argument("--minutes", type=float, help="begin no step of the full form later than this")
    parser.add_argument("--results", type=Path, default=ROOT / "build" / "agreement", help="default: %(default)s")
    return parser.parse_args()


def measure(arguments: argparse.Namespace) -> list[Agreement]:
    """All works; the full form keeps each step.

    Raises:
        OutOfTime: the minutes are used up.
        EngineError: a side failed.
    """
    begun, found = time.monotonic(), []
    with tempfile.TemporaryDirectory() as scratch:
        home = Path(scratch) if arguments.quick else arguments.results
        for work in works(arguments.quick):
            left = arguments.minutes and arguments.minutes - (time.monotonic() - begun) / 60
            found.append(compared(work, arguments.data, arguments.batch_size, home / work.folder, left))
    return found


def works(quick: bool) -> tuple[Work, ...]:
    """The random model reads prompts of 250 to 1,800 tokens, stories260K of 700 to 2,600 (its pieces are short)."""
    few = ("abstract_algebra", "management")
    more = (*few, "college_computer_science", "college_medicine", "econometrics", "virology", "world_religions")
    short, long = ("abstract_algebra", "medical_genetics"), ("abstract_algebra", "college_computer_science")
    return (
        Work("random", "random Llama, Qwen ids", _random, few if quick else (*more, "high_school_world_history")),
        Work("stories", "stories260K", _stories, short if quick else long),
    )


def check(data: Path) -> None:
    """Everything is there before minutes are spent.

    Raises:
        EngineError: the peers are not built. DataError: a part of the shared data is missing.
    """
    if not (DEFAULT_FOLDER / "peers.json").exists() or not python_of(DEFAULT_FOLDER).exists():
        raise EngineError(f"lm-evaluation-harness is not in {DEFAULT_FOLDER}.", "Build it with: make peers")
    missing = [str(data / part) for part in (Path("mmlu"), STORIES, QWEN) if not (data / part).is_dir()]
    if missing:
        raise DataError(f"Data is missing:\n{listed(missing)}", "Pass --data FOLDER or set PARITY_SHARED.")


def compared(work: Work, data: Path, batch_size: int, home: Path, minutes: float | None) -> Agreement:
    """Both sides answer the same work, ours first, one after the other: each has all cores.

    A step is our whole side, or some rows of a subject of theirs.
    """
    benchmark = mmlu.load(data / "mmlu", work.subjects)
    steps = Steps(home, digest((work.name, work.subjects, batch_size, STEP_ITEMS, benchmark.digest)), minutes)
    rows = Counter(item.id.rpartition("/")[0] for item in benchmark.items)
    shutil.rmtree(home / "model", ignore_errors=True)
    model = work.build(data, home / "model")
    with tempfile.TemporaryDirectory() as scratch:
        store, answers = Path(scratch, "workspace"), Path(scratch, "answers.jsonl")
        found = steps.result("ours", lambda: asdict(ask_ours(model, data, work.subjects, batch_size, store)))
        others = []
        parts = [(subject, first) for subject in work.subjects for first in range(0, rows[subject], STEP_ITEMS)]
        for subject, first in parts:
            part = range(first, min(rows[subject], first + STEP_ITEMS))
            ask = partial(ask_theirs, model, data, subject, part, batch_size, answers)
            others.append(steps.result(f"theirs-{subject}-{first}", lambda ask=ask: asdict(ask())))
    shutil.rmtree(model)
    return judged(work.name, joined([found]), joined(others))


def joined(parts: list[dict[str, Any]]) -> Side:
    """One side from its kept steps."""
    logliks = {item: tuple(values) for part in parts for item, values in part["logliks"].items()}
    choices = {item: choice for part in parts for item, choice in part["choices"].items()}
    return Side(logliks, choices, sum(part["seconds"] for part in parts))


def ask_ours(model: Path, data: Path, subjects: tuple[str, ...], batch_size: int, scratch: Path) -> Side:
    """Reads, asks, stores and marks as `measure` does; it stops at many ties, which here are shown one by one."""
    options = EngineOptions(device="cpu", dtype="float32", batch_size=batch_size)
    engine = open_engine(ModelRef(Scheme.FOLDER, str(model)), options)
    started = time.perf_counter()
    benchmark = mmlu.load(data / "mmlu", subjects)
    protocol = benchmark.protocol("lm-eval")
    items = chosen(benchmark.items, None)
    workspace = Workspace(scratch)
    outputs = answered(engine, [protocol.request(item) for item in items], workspace).outputs
    choices = {item.id: _choice(protocol, item, outputs[RequestId(item.id)]) for item in items}
    seconds = time.perf_counter() - started
    workspace.close()
    engine.close()
    return Side({item.id: _values(item, outputs[RequestId(item.id)]) for item in items}, choices, seconds)


def ask_theirs(model: Path, data: Path, subject: str, part: range, batch_size: int, answers: Path) -> Side:
    """The harness in its own environment, on as many threads as we had, over some rows of a subject.

    Raises:
        EngineError: it failed, or cut a prompt.
    """
    command = [str(python_of(DEFAULT_FOLDER)), str(PEER), "--model", str(model), "--data", str(data)]
    command += ["--subjects", subject, "--rows", f"{part.start}:{part.stop}", "--batch-size", str(batch_size)]
    command += ["--max-length", str(CONTEXT_TOKENS), "--out", str(answers)]
    threads = {"OMP_NUM_THREADS": str(torch.get_num_threads()), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, env=os.environ | threads, capture_output=True, text=True, check=False)
    if done.returncode:
        tail = "\n".join(done.stderr.splitlines()[-15:])
        raise EngineError(f"lm-evaluation-harness failed (exit {done.returncode}):\n{tail}", "Try: make peers")
    summary = json.loads(done.stdout.splitlines()[-1])
    if summary["prompts_truncated"]:
        raise EngineError(f"The harness cut {summary['prompts_truncated']} prompts.", "Choose shorter subjects.")
    rows = [json.loads(line) for line in answers.read_text("utf-8").splitlines()]
    choices: dict[str, str | None] = {row["item"]: mmlu.LETTERS[row["choice"]] for row in rows}
    return Side({row["item"]: among_themselves(tuple(row["logliks"])) for row in rows}, choices, summary["seconds"])


def judged(name: str, ours: Side, theirs: Side) -> Agreement:
    """Compare choices, and hold every difference against what rounding alone can do.

    Where two engines' values are at most d apart, rounding can swap only options less than 2 d apart. So d is
    measured on all items, and the cap keeps an engine that is far off from excusing itself.
    """
    if ours.choices.keys() != theirs.choices.keys():
        odd = sorted(ours.choices.keys() ^ theirs.choices.keys())
        raise DataError(f"{len(odd)} items were answered by one side only: {', '.join(odd[:4])}.", "Report this.")
    apart = {item: _difference(values, theirs.logliks[item]) for item, values in ours.logliks.items()}
    largest = max(apart.values())
    tolerance = min(2 * largest, NEAR_TIE_NATS)
    differing = [item for item, choice in sorted(ours.choices.items()) if choice != theirs.choices[item]]
    explained = [item for item in differing if near_tie_nats(ours, theirs, item) <= tolerance]
    unexplained = [item for item in differing if item not in explained]
    return Agreement(name, ours, theirs, largest, tolerance, tuple(explained), tuple(unexplained))


def near_tie_nats(ours: Side, theirs: Side, item: str) -> float:
    """How far each side sets the other's choice below its own, the larger of both; infinite where a value is not.

    Our tie names no choice: then theirs must be among the tied, up to rounding, and the tied alike to them.
    """
    mine, other = ours.logliks[item], theirs.logliks[item]
    if not all(map(math.isfinite, (*mine, *other))):
        return math.inf
    rival = mmlu.LETTERS.index(str(theirs.choices[item]))
    best = [option for option, value in enumerate(mine) if value == max(mine)]
    return max(max(mine) - mine[rival], other[rival] - min(other[option] for option in best))


def show(found: list[Agreement]) -> None:
    """Differences one by one, the table, and the line for machines."""
    print()
    for agreement in found:
        for label, items in (("near-tie", agreement.explained), ("UNEXPLAINED", agreement.unexplained)):
            for item in items:
                print(f"{label}: {agreement.name}, {item} (tolerance {agreement.tolerance:.1e} nats)")
                print(f"  Parity   {_shown(agreement.ours, item)}\n  harness  {_shown(agreement.theirs, item)}")
    print(
        f"{'model':<24}{'items':>6}{'agree':>7}{'near-tie':>10}{'unexplained':>13}{'max |diff| nats':>17}"
        f"{'Parity s':>10}{'harness s':>11}   Parity chose"
    )
    for each in found:
        counts = Counter(choice or "unscored" for choice in each.ours.choices.values())
        print(
            f"{each.name:<24}{each.items:>6}{each.agreeing:>7}{len(each.explained):>10}{len(each.unexplained):>13}"
            f"{each.max_difference:>17.1e}{each.ours.seconds:>10.1f}{each.theirs.seconds:>11.1f}   "
            + ", ".join(f"{choice} {count}" for choice, count in sorted(counts.items()))
        )
    total, largest = sum(each.items for each in found), max(each.max_difference for each in found)
    summary = {
        "items": total,
        "choices_agree": sum(each.agreeing for each in found) / total,
        "unexplained": sum(len(each.unexplained) for each in found),
        "seconds_ours": round(sum(each.ours.seconds for each in found), 3),
        "seconds_lm_eval": round(sum(each.theirs.seconds for each in found), 3),
        "max_difference": largest if math.isfinite(largest) else None,
    }
    print(json.dumps(summary))


def _random(data: Path, folder: Path) -> Path:
    sizes = {"hidden": 256, "layers": 4, "heads": 4, "kv_heads": 2, "ffn": 1024, "context_tokens": CONTEXT_TOKENS}
    return random_llama_folder(folder, qwen_tokenizer(data / QWEN), **sizes)


def _stories(data: Path, folder: Path) -> Path:
    source = data / STORIES
    return llama2c_folder(source / "stories260K.bin", source / "tok512.bin", folder, CONTEXT_TOKENS)


def _choice(protocol: Protocol, item: Item, output: Output) -> str | None:
    """The letter our mark read; None for a tie or NaN.

    Raises:
        EngineError: the item was not answered, so there is nothing to compare.
    """
    mark = protocol.mark(item, output)
    if isinstance(mark, Unscored) and mark.reason not in (UnscoredReason.TIE, UnscoredReason.NOT_A_NUMBER):
        raise EngineError(f"{item.id} was not answered: {mark.detail}.", "Choose subjects that fit the context.")
    return mark.answer if isinstance(mark, Score) else None


def _values(item: Item, output: Output) -> tuple[float, ...]:
    """Our log-likelihoods of an uncut prompt."""
    assert isinstance(output, Loglikelihoods), f"{item.id}: {output}"
    assert (output.usage.truncated_tokens, output.usage.dropped_shots) == (0, 0), f"{item.id} was cut"
    return output.values if output.relative else among_themselves(output.values)


def _difference(ours: tuple[float, ...], theirs: tuple[float, ...]) -> float:
    """The largest distance between both sides' values of one item; infinite where one is NaN or infinite."""
    distances = [abs(mine - other) for mine, other in zip(ours, theirs, strict=True)]
    return max(distances) if all(map(math.isfinite, distances)) else math.inf


def _shown(side: Side, item: str) -> str:
    values = zip(mmlu.LETTERS, side.logliks[item], strict=True)
    return f"{side.choices[item] or 'unscored'}: " + "  ".join(f"{letter} {value:.7f}" for letter, value in values)


if __name__ == "__main__":
    sys.exit(main())
