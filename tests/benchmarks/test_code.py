"""Benchmarks of code: reference solutions pass, recorded verdicts are reproduced, defects are named, forms are read."""

import gzip
import json
import re
import tarfile

import pytest

from benchmarks.code_data import HUMAN_EVAL, MBPP, PLUS, rows_of, write_lines
from parity.benchmarks import cruxeval, humaneval, mbpp
from parity.benchmarks.catalog import open_benchmark
from parity.core.outputs import Generation
from parity.core.scores import Score
from parity.errors import DataError
from parity.marking.sandbox import Case, Sandbox
from shared import needs_shared


@pytest.fixture(scope="module")
def sandbox():
    with Sandbox() as opened:
        yield opened


def failed(sandbox, cases):
    """{id: reason} of the cases that did not pass."""
    verdicts = dict(zip(cases, sandbox.check_all(cases.values()), strict=True))
    return {key: verdict.reason for key, verdict in verdicts.items() if not verdict.passed}


@pytest.mark.slow
def test_every_reference_solution_of_humaneval_passes(sandbox):
    problems = humaneval.problems(needs_shared("code_benchmarks"))
    rows = rows_of("code_benchmarks", "HumanEval.jsonl.gz")
    assert len(problems) == 164
    assert (
        failed(sandbox, {r["task_id"]: problems[r["task_id"]].completed(r["canonical_solution"]) for r in rows}) == {}
    )


@pytest.mark.slow
def test_every_reference_solution_of_mbpp_passes(sandbox):
    problems = mbpp.problems(needs_shared("code_benchmarks"))
    rows = rows_of("code_benchmarks", "mbpp.jsonl")
    assert len(problems) == 974
    assert failed(sandbox, {r["task_id"]: problems[str(r["task_id"])].completed(r["code"]) for r in rows}) == {}


@pytest.mark.slow
def test_sanitized_mbpp_passes_once_its_own_indentation_is_mended(sandbox):
    """Defect of the file: 244 solutions are indented otherwise than the docstring before them, and do not compile."""
    problems = mbpp.sanitized_problems(needs_shared("code_benchmarks"))
    rows = rows_of("code_benchmarks", "mbpp_sanitized_for_code_generation.jsonl.gz")
    as_it_is = {r["task_id"]: problems[r["task_id"]].completed(r["canonical_solution"]) for r in rows}
    broken = failed(sandbox, as_it_is)
    assert all(re.match(r"does not load: (Indentation|Tab)Error", reason) for reason in broken.values())
    assert len(broken) == 243
    bare = {r["task_id"]: re.sub(r"\s*('''|\"\"\").*", "\n", r["prompt"], flags=re.S) for r in rows}
    mended = {r["task_id"]: problems[r["task_id"]].case(bare[r["task_id"]] + r["canonical_solution"]) for r in rows}
    assert failed(sandbox, mended) == {}


RECORDED = (
    "reflexion_gpt-4",
    "simple_gpt-3.5-turbo",
    "simple_gpt-4",
    "simple_gpt-4_logging",
    "simple_text-davinci-003",
)
# The recorder kept one namespace for all problems: these used math or is_prime of an earlier problem.
LEAKED = {
    ("simple_gpt-4_logging", "HumanEval/133"), ("simple_text-davinci-003", "HumanEval/133"),
    ("simple_text-davinci-003", "HumanEval/143"), ("simple_text-davinci-003", "HumanEval/150"),
}  # fmt: skip


@pytest.mark.slow
def test_recorded_verdicts_of_humaneval_are_reproduced(sandbox):
    problems = humaneval.problems(needs_shared("code_benchmarks"))
    names = (
        "reflexion_gpt-4",
        "simple_gpt-3.5-turbo",
        "simple_gpt-4",
        "simple_gpt-4_logging",
        "simple_text-davinci-003",
    )
    different = {}
    for name in names:
        for row in rows_of("code_completions_pass_fail", "humaneval_reflexion", f"{name}.jsonl.gz"):
            problem, solution = problems[row["task_id"]], row["solution"]
            whole = re.search(rf"^def {row['entry_point']}\b", solution, re.M)
            case = problem.case(solution) if whole else problem.completed(solution)
            different[name, row["task_id"]] = (case, row["is_solved"])
    assert len(different) == 820
    verdicts = zip(different.items(), sandbox.check_all([case for case, _ in different.values()]), strict=True)
    found = {key: verdict.reason for (key, (_, recorded)), verdict in verdicts if verdict.passed != recorded}
    assert set(found) == LEAKED
    assert all("NameError: name" in reason for reason in found.values())


@pytest.mark.slow
@pytest.mark.parametrize("form", ["input", "output"])
def test_recorded_verdicts_of_cruxeval_are_reproduced(sandbox, form):
    functions = cruxeval.functions(needs_shared("code_benchmarks"))
    path = needs_shared("code_completions_pass_fail", "cruxeval", f"scored_codellama-7b_temp0.2_{form}.json.gz")
    record = json.loads(gzip.decompress(path.read_bytes()))
    recorded = {
        (key, written): mark
        for key, draws in sorted(record["raw_generations"].items())[::4]  # all of them: benchmarks_perf/sandbox.py
        for written, mark in zip(draws, record["raw_scored_generations"][key], strict=True)
    }
    make = cruxeval.Function.input_case if form == "input" else cruxeval.Function.output_case
    cases = {(key, written): make(functions[key], written) for key, written in recorded}
    assert not any(recorded[key] for key, case in cases.items() if case is None)
    asked = {key: case for key, case in cases.items() if case is not None}
    verdicts = zip(asked, sandbox.check_all(asked.values()), strict=True)
    assert {key: verdict.reason for key, verdict in verdicts if verdict.passed != recorded[key]} == {}


@pytest.mark.slow
def test_recorded_checks_of_can_ai_code_are_reproduced(sandbox):
    recorded = dict(list(can_ai_code_checks().items())[::4])
    assert len(recorded) > 1000
    verdicts = zip(recorded.items(), sandbox.check_all(recorded), strict=True)
    assert [case.program for (case, mark), verdict in verdicts if verdict.passed != mark] == []


def can_ai_code_checks():
    """{case: whether it was recorded as passed} of every check of Python that calls the function."""
    path = needs_shared("code_completions_pass_fail", "can_ai_code")
    found = {}
    with tarfile.open(path / "raw_closed_codellama_qwen25_deepseek_llama31.tar.gz") as archive:
        for member in filter(tarfile.TarInfo.isfile, archive):
            for row in map(json.loads, archive.extractfile(member).read().decode().splitlines()):
                name = re.search(r"^def (\w+)", row.get("code") or "", re.M)
                if row["language"] != "python" or row["status"] == "NO_FUNCTION" or name is None:
                    continue
                for check in row["checks"]:
                    if "f.call" in check["assert"]:
                        right = f"== {check['eq']!r}" if "eq" in check else f"in {check['eq-any']!r}"
                        test = f"assert ({check['assert'].replace('f.call(', name[1] + '(')}) {right}"
                        found[Case(row["code"], test, name[1])] = check["status"] == check.get("weight", 1)
    return found


def test_calling_the_function_is_no_prediction_of_its_output(sandbox):
    function = cruxeval.Function("a", "def f(x):\n    return x * 2", "[1]", "[1, 1]")
    assert sandbox.check(function.output_case("[1] + [1]")).passed
    assert not sandbox.check(function.output_case("f([1])")).passed
    assert function.output_case("f([1])\nx = 1") is None


def test_an_input_cannot_change_what_the_function_does(sandbox):
    function = cruxeval.Function("a", "def f(x):\n    return sorted(x)", "[2, 1]", "[1, 2]")
    assert sandbox.check(function.input_case("f([1, 2])")).passed
    hack = "f((__import__('builtins').__dict__.update(sorted=lambda x: [1, 2]), [9])[1])"
    assert not sandbox.check(function.input_case(hack)).passed
    assert function.input_case("f([1, 2]) or 1") is None


def test_another_version_of_humaneval_is_refused(tmp_path):
    write_lines(tmp_path / "HumanEval.jsonl", HUMAN_EVAL)
    with pytest.raises(DataError, match="not the published HumanEval"):
        humaneval.problems(tmp_path)
    with pytest.raises(DataError, match="--data"):
        humaneval.problems(None)


def test_defects_are_a_slice_of_their_own():
    found = open_benchmark("humaneval", needs_shared("code_benchmarks"))
    assert found.groupings == ("known_defect",)
    assert sum(item.tags[0].value == "yes" for item in found.items) == 12


def test_humaneval_plus_compares_with_a_reference_that_stays_here(sandbox, tmp_path):
    write_lines(tmp_path / "HumanEvalPlus.jsonl", [PLUS])
    (problem,) = humaneval.plus_problems(tmp_path).values()
    assert sandbox.check(problem.completed("    return x * 0.5\n")).passed
    assert not sandbox.check(problem.completed("    return x // 2\n")).passed
    cheating = "    return reference(x)\n"
    assert not sandbox.check(problem.completed(cheating)).passed


ANSWERS = {
    "```python\ndef total(xs: List[int]) -> int:\n    return sum(xs)\n```": 1.0,
    "Sure! Here:\n\n```py\ndef total(xs):\n    return sum(xs)\n```\nUse:\n```python\nprint(total([1]))\n```": 1.0,
    "```\ndef helper(xs):\n    return sum(xs)\n```\nthen\n```\ndef total(xs):\n    return helper(xs)\n```": 1.0,
    "A:\n```python\ndef total(xs):\n    return 0\n```\nB:\n```python\ndef total(xs):\n    return sum(xs)\n```": 1.0,
    "def total(xs):\n    return sum(xs)": 1.0,
    "```python\ndef total(xs):\n    return sum(xs)": 1.0,
    "```python\ndef total(xs):\n    return 1\n```": 0.0,
    "```python\ndef summe(xs):\n    return sum(xs)\n```": 0.0,
    "I cannot do that.": 0.0,
    "": 0.0,
}


@pytest.mark.parametrize("answer", ANSWERS)
def test_a_chat_answer_is_read(answer, tmp_path, monkeypatch):
    write_lines(tmp_path / "HumanEval.jsonl", HUMAN_EVAL)
    monkeypatch.setattr(humaneval, "PINNED", _digest_of(tmp_path))
    found = open_benchmark("humaneval", tmp_path)
    mark = found.protocol("chat").mark(found.items[1], Generation(answer, "stop"))
    assert isinstance(mark, Score)
    assert mark.value == ANSWERS[answer], mark


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("    return 2 * x\n", 1.0),
        ("    return 2 * x\n\ndef other():\n    syntax error", 1.0),
        ("    return 2 * x\n\nprint(double(3))\n```", 1.0),
        ("    # twice\n    return 2 * x\n# done\n", 1.0),
        ("    return 2 + x\n", 0.0),
        ("return 2 * x\n", 0.0),
    ],
)
def test_a_completion_ends_where_the_function_does(text, value, tmp_path, monkeypatch):
    write_lines(tmp_path / "HumanEval.jsonl", HUMAN_EVAL)
    monkeypatch.setattr(humaneval, "PINNED", _digest_of(tmp_path))
    found = open_benchmark("humaneval", tmp_path)
    mark = found.protocol("completion").mark(found.items[0], Generation(text, "stop"))
    assert mark.value == value, mark
    assert len(found.protocol("completion").sampling.stop) <= 4


def test_mbpp_asks_after_three_worked_examples(tmp_path):
    write_lines(tmp_path / "mbpp.jsonl", MBPP)
    found = open_benchmark("mbpp", tmp_path)
    assert [item.id for item in found.items] == ["11", "12"]
    prompt = found.protocol("completion").prompt(found.items[0])
    assert len(prompt.shots) == 3
    assert prompt.text.endswith("[BEGIN]\n")
    assert "\r" not in prompt.text
    mark = found.protocol("completion").mark(
        found.items[0], Generation("def add(a, b):\n    return b + a\n[DONE]", "stop")
    )
    assert mark.value == 1.0


def _digest_of(folder):
    try:
        humaneval.problems(folder)
    except DataError as error:
        return re.search(r"digest (\w+)", error.what)[1]
    raise AssertionError("the pin did not refuse other problems")
