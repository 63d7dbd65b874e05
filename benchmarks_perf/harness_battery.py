"""The benchmarks that are held against lm-evaluation-harness: ours, the harness's task of each, and both sides'
answers.

Knows which task renders which benchmark from which raw fields. What both ask must be equal to the byte; what a model
answers may differ by rounding, and then only where two options are as good as equal.
"""

import gzip
import json
import math
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import harness_rows as rows_of

from parity.benchmarks import (
    agieval,
    arc,
    bbh,
    boolq,
    gsm8k,
    hellaswag,
    hendrycks_math,
    ifeval,
    medmcqa,
    medqa,
    openbookqa,
    piqa,
    pubmedqa,
    truthfulqa,
    winogrande,
)
from parity.benchmarks.base import Benchmark, Protocol
from parity.benchmarks.rows import entries
from parity.core.items import Item
from parity.core.outputs import Loglikelihoods
from parity.core.prompts import Loglikelihood, Request, RequestId
from parity.core.refs import ModelRef, Scheme
from parity.core.scores import Score
from parity.engines.open import EngineOptions, open_engine
from parity.engines.tokens.ledger import among_themselves
from parity.errors import EngineError
from parity.runs.runner import ask
from parity.store import Workspace
from peers import DEFAULT_FOLDER, python_of

PEER = Path(__file__).resolve().parent / "lm_eval_peer" / "battery.py"
CONTEXT_TOKENS, BATCH_SIZE = 4096, 8
NEAR_TIE_NATS = 1e-4


@dataclass(frozen=True, slots=True)
class Task:
    """One task of the harness: our items and protocol for it, the rows it renders from, and rows to draw shots from.

    `norm` is our protocol for its `acc_norm`; `scored` tasks are asked of a model too.
    """

    name: str
    items: tuple[Item, ...]
    protocol: Protocol
    row: rows_of.Rows
    train: tuple[dict[str, Any], ...] = ()
    norm: Protocol | None = None
    scored: bool = False


@dataclass(frozen=True, slots=True)
class Compared:
    """What one task came to. `apart` are items whose choices differ though no near-tie explains it."""

    task: str
    items: int
    prompts_equal: int
    scored: int = 0
    agree: int = 0
    near_ties: tuple[str, ...] = ()
    apart: tuple[str, ...] = ()
    largest_difference: float = 0.0


def tasks(data: Path, limit: int | None, shots: Path) -> list[Task]:
    """Every comparison that the shared data allow; `limit` items of each task, the first ones.

    `shots` is a folder for the worked examples that stand in no data set: they are taken from the harness.
    """
    _take_shots(shots)
    choices = data / "mc_benchmarks"
    reasoning = data / "reasoning_benchmarks"
    found = [
        *(_choice(load(choices), row, limit) for load, row in (
            (arc.load_challenge, rows_of.arc), (arc.load_easy, rows_of.arc), (hellaswag.load, rows_of.hellaswag),
            (winogrande.load, rows_of.winogrande), (piqa.load, rows_of.piqa), (boolq.load, rows_of.boolq),
            (openbookqa.load, rows_of.openbookqa),
        )),
        _choice(truthfulqa.load_mc1(reasoning / "truthfulqa"), rows_of.truthfulqa("mc1"), limit),
        _choice(truthfulqa.load_mc2(reasoning / "truthfulqa"), rows_of.truthfulqa("mc2"), limit),
        *(_choice(load(data / "domain_medical"), row, limit) for load, row in (
            (medqa.load, rows_of.medqa), (medmcqa.load, rows_of.medmcqa), (pubmedqa.load, rows_of.pubmedqa),
        )),
    ]  # fmt: skip
    return [*found, *_written(reasoning, limit, shots)]


def _choice(benchmark: Benchmark, row: rows_of.Rows, limit: int | None) -> Task:
    norm = benchmark.protocols.get("lm-eval-norm")
    return Task(benchmark.name, benchmark.items[:limit], benchmark.protocols["lm-eval"], row, norm=norm, scored=True)


def _take_shots(folder: Path) -> None:
    """Raises EngineError: the harness does not have them."""
    command = [str(python_of(DEFAULT_FOLDER)), str(PEER.with_name("shots.py")), "--out", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise EngineError(f"The harness's worked examples cannot be read:\n{done.stderr[-2000:]}", "Try: make peers")


def _written(reasoning: Path, limit: int | None, shots: Path) -> Iterator[Task]:
    yield from _mathematics(reasoning, limit, shots)
    maths = gsm8k.load(reasoning / "gsm8k")
    lines = gzip.decompress((reasoning / "gsm8k" / "train.jsonl.gz").read_bytes()).decode().split("\n")
    train = tuple(json.loads(line) for line in lines if line)
    yield Task("gsm8k", maths.items[:limit], maths.protocols["5-shot"], rows_of.gsm8k, train)
    told = ifeval.load(reasoning / "ifeval")
    yield Task("ifeval", told.items[:limit], told.protocols["strict"], rows_of.ifeval)
    hard = bbh.load(reasoning / "bbh")
    for name in bbh.TASKS:
        items = tuple(item for item in hard.items if item.id.startswith(f"bbh_{name}/"))[:limit]
        yield Task(f"bbh_fewshot_{name}", items, hard.protocols["3-shot"], rows_of.bbh)
        yield Task(f"bbh_cot_fewshot_{name}", items, hard.protocols["3-shot-cot"], rows_of.bbh)
    exams = agieval.load(reasoning / "agieval" / "v1")
    for name in agieval.CHOICES:
        prefix = f"agieval_{name.replace('-', '_')}"
        items = tuple(item for item in exams.items if item.id.startswith(f"{prefix}/"))[:limit]
        yield Task(prefix, items, exams.protocols["lm-eval"], rows_of.agieval)


def _mathematics(reasoning: Path, limit: int | None, shots: Path) -> Iterator[Task]:
    """Tasks with examples of their own: gsm8k_cot, and minerva_math_algebra for the problems of algebra."""
    problems = gsm8k.load(reasoning / "gsm8k")
    eight = gsm8k.cot_shots(shots)
    asked = [gsm8k.Problem(item.question, item.targets[0]) for item in problems.items]
    chained = gsm8k.assemble(asked, (), eight)
    yield Task("gsm8k_cot", chained.items[:limit], chained.protocols["8-shot-cot"], rows_of.gsm8k)
    rows = entries(reasoning / "math" / "test.jsonl.gz")
    maths = hendrycks_math.assemble("math", rows, hendrycks_math.minerva_shots(shots))
    algebra = tuple(item for item in maths.items if ("subject", "Algebra") in item.tags)
    yield Task("minerva_math_algebra", algebra[:limit], maths.protocols["minerva"], rows_of.mathematics)


def compare_prompts(chosen: list[Task], scratch: Path) -> list[Compared]:
    """What both sides ask, byte by byte."""
    answers = _theirs(chosen, scratch)
    found = []
    for task in chosen:
        equal = 0
        for at, item in enumerate(task.items):
            theirs = answers[task.name, at]
            equal += asked(task.protocol.request(item)) == (theirs["contexts"], theirs["continuations"])
        found.append(Compared(task.name, len(task.items), equal))
    return found


def compare_choices(chosen: list[Task], model: Path, scratch: Path) -> list[Compared]:
    """What both sides make of a model's log-likelihoods: prompts, choices by `acc` and `acc_norm`, differences."""
    theirs = _theirs(chosen, scratch, model)
    engine = open_engine(ModelRef(Scheme.FOLDER, str(model)), EngineOptions(device="cpu", dtype="float32"))
    workspace = Workspace(scratch / "workspace")
    try:
        requests: list[Request] = [task.protocol.request(item) for task in chosen for item in task.items]
        outputs = ask(engine, requests, workspace).outputs
    finally:
        workspace.close()
        engine.close()
    return [_compared(task, outputs, theirs) for task in chosen]


def _compared(task: Task, outputs: Any, theirs: dict[tuple[str, int], dict[str, Any]]) -> Compared:
    equal, agree, ties, apart, largest = 0, 0, [], [], 0.0
    for at, item in enumerate(task.items):
        other, output = theirs[task.name, at], outputs[RequestId(item.id)]
        if not isinstance(output, Loglikelihoods):
            raise EngineError(f"{item.id} was not answered: {output}.", "Report this.")
        equal += asked(task.protocol.request(item)) == (other["contexts"], other["continuations"])
        values = tuple(map(float, other["logliks"]))
        values = among_themselves(values) if output.relative else values
        largest = max(largest, max(abs(a - b) for a, b in zip(output.values, values, strict=True)))
        marks = [(task.protocol, other["acc"]), *([(task.norm, other["acc_norm"])] if task.norm else [])]
        if all(_same(protocol, item, output, float(value)) for protocol, value in marks):
            agree += 1
        else:
            (ties if _near_tie(task, item, output) else apart).append(item.id)
    return Compared(task.name, len(task.items), equal, len(task.items), agree, tuple(ties), tuple(apart), largest)


def _same(protocol: Protocol, item: Item, output: Loglikelihoods, value: float) -> bool:
    """Equal marks; a graded one to what rounding of log-likelihoods can change."""
    mark = protocol.mark(item, output)
    return isinstance(mark, Score) and math.isclose(mark.value, value, abs_tol=1e-4)


def _near_tie(task: Task, item: Item, output: Loglikelihoods) -> bool:
    """Whether the two likeliest options, by either rule, are closer than rounding of two engines."""
    plain = sorted(output.values)[-2:]
    by_length = sorted(value / max(1, len(option)) for value, option in zip(output.values, item.options, strict=True))
    closest = min(plain[1] - plain[0], *([by_length[-1] - by_length[-2]] if task.norm else []), math.inf)
    return closest <= NEAR_TIE_NATS


def asked(request: Request) -> tuple[list[str], list[str]]:
    """(contexts, continuations) of a request as the harness lists them; a written answer has one empty continuation."""
    text = request.prompt.text  # type: ignore[union-attr]
    if not isinstance(request, Loglikelihood):
        return [text], [""]
    contexts = request.contexts or ("",) * len(request.continuations)
    return [text + context for context in contexts], list(request.continuations)


def _theirs(chosen: list[Task], scratch: Path, model: Path | None = None) -> dict[tuple[str, int], dict[str, Any]]:
    """The harness's side, in its own environment.

    Raises:
        EngineError: it failed.
    """
    folder, answers = scratch / "rows", scratch / "answers.jsonl"
    folder.mkdir(parents=True, exist_ok=True)
    for task in chosen:
        _write(folder / f"{task.name}.jsonl", rows_of.listed(task.items, task.row))
        if task.train:
            _write(folder / f"{task.name}.train.jsonl", task.train)
    command = [str(python_of(DEFAULT_FOLDER)), str(PEER), "--rows", str(folder), "--out", str(answers)]
    command += ["--model", str(model or "none"), "--batch-size", str(BATCH_SIZE), "--max-length", str(CONTEXT_TOKENS)]
    offline = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HF_DATASETS_CACHE": str(scratch / "cache")}
    done = subprocess.run(
        [*command, *(["--score"] if model else [])],
        env=os.environ | offline,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        tail = "\n".join(done.stderr.splitlines()[-15:])
        raise EngineError(f"lm-evaluation-harness failed (exit {done.returncode}):\n{tail}", "Try: make peers")
    found = (json.loads(line) for line in answers.read_text("utf-8").split("\n") if line)
    return {(row["task"], row["doc_id"]): row for row in found}


def _write(path: Path, rows: Any) -> None:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")
