"""MBPP: 974 short Python problems with three asserts each (Austin et al. 2021, arXiv 2108.07732; CC-BY-4.0).

Two forms: `mbpp` reads mbpp.jsonl and asks tasks 11 to 510, the test split, after tasks 2 to 4 as worked examples;
`mbpp-sanitized` reads the 427 problems that people checked, as functions to complete. Their text is never shipped.
"""

import builtins
import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from parity.benchmarks.base import Benchmark
from parity.benchmarks.code import (
    Asking,
    before_entry,
    benchmark,
    called_names,
    defined_names,
    find_table,
    texts_of,
)
from parity.core.digests import digest
from parity.core.items import Item
from parity.core.prompts import TextPrompt
from parity.errors import DataError
from parity.marking.problems import Problem
from parity.marking.sandbox import Limits

FILES = ("mbpp.jsonl", "mbpp.jsonl.gz")
# The reference solution of task 123 works 2 to 3 s.
_LIMITS = Limits(cpu_s=8)
SANITIZED_FILES = (
    "mbpp_sanitized_for_code_generation.jsonl.gz", "mbpp_sanitized_for_code_generation.jsonl",
)  # fmt: skip
TEST_SPLIT = range(11, 511)
SHOTS = (2, 3, 4)
_TASK = (
    "You are an expert Python programmer, and here is your task: {text} Your code should pass these tests:\n\n{tests}\n"
)
_CHAT = "Answer with the code in one block.\n"
Row = Mapping[str, str | None]


def load(folder: Path | None, _: tuple[str, ...] = ()) -> Benchmark:
    """MBPP's 500 test problems from the folder that holds mbpp.jsonl.

    Raises:
        DataError: the file is missing or malformed.
        SandboxError: model-written code cannot be run safely here.
    """
    found, rows = problems(folder), _rows(folder)
    if missing := [number for number in SHOTS if str(number) not in rows]:
        raise DataError(
            f"These rows lack task {missing[0]}, one of MBPP's worked examples.", "Use the whole file, tasks 1 to 974."
        )
    shots = tuple(f"{_task(rows[str(number)])}[BEGIN]\n{_code(rows[str(number)])}\n[DONE]\n\n" for number in SHOTS)
    asked = {key: problem for key, problem in found.items() if int(key) in TEST_SPLIT}

    def completion(item: Item) -> TextPrompt:
        return TextPrompt(f"{_task(rows[item.id])}[BEGIN]\n", shots=shots)

    def chat(item: Item) -> TextPrompt:
        return TextPrompt(_task(rows[item.id]) + "\n" + _CHAT)

    return benchmark("mbpp", _version(found), asked, (), Asking(completion, chat))


def load_sanitized(folder: Path | None, _: tuple[str, ...] = ()) -> Benchmark:
    """The sanitized problems from the folder that holds their file.

    Raises:
        DataError: the file is missing or malformed.
        SandboxError: model-written code cannot be run safely here.
    """
    found = sanitized_problems(folder)
    asking = Asking(lambda item: TextPrompt(item.question), partial(_chat, found))
    return benchmark("mbpp-sanitized", _version(found), found, (), asking)


def problems(folder: Path | None) -> dict[str, Problem]:
    """All 974 problems by id; a completion is a whole program.

    Raises:
        DataError: see `load`.
    """
    return {key: _problem(key, row) for key, row in _rows(folder).items()}


def sanitized_problems(folder: Path | None) -> dict[str, Problem]:
    """The 427 sanitized problems by id; a completion goes on where the prompt ends.

    Raises:
        DataError: see `load_sanitized`.
    """
    table = find_table(folder, SANITIZED_FILES, "sanitized MBPP")
    for column in ("task_id", "prompt", "entry_point", "test"):
        table.require(column)
    found = {}
    for row in table.rows:
        key, prompt, entry, test = (row[column] or "" for column in ("task_id", "prompt", "entry_point", "test"))
        # One of the functions asked for is itself called check.
        called = re.sub(r"^def check\(", "def check_candidate(", test, count=1) + f"\ncheck_candidate({entry})\n"
        found[key] = Problem(key, prompt, entry, called, preamble=before_entry(prompt, entry), limits=_LIMITS)
    return found


def _problem(key: str, row: Row) -> Problem:
    tests = "\n".join(texts_of(row["test_list"]) + texts_of(row.get("challenge_test_list")))
    try:
        called = called_names(tests)
    except SyntaxError as error:
        raise DataError(f"MBPP {key}: its tests do not compile ({error}).", "Download the file again.") from error
    own = [name for name in called if name in defined_names(_code(row))]
    # A function may be called like a built-in one; then the test means the program's.
    entry = next((name for name in own if hasattr(builtins, name)), own[0] if own else "")
    test = f"{row.get('test_setup_code') or ''}\n{tests}".replace("\r\n", "\n")
    return Problem(key, "", entry, test, asks=_task(row), limits=_LIMITS)


def _rows(folder: Path | None) -> dict[str, Row]:
    table = find_table(folder, FILES, "MBPP")
    for column in ("task_id", "text", "code", "test_list"):
        table.require(column)
    return {row["task_id"] or "": row for row in table.rows}


def _task(row: Row) -> str:
    return _TASK.format(text=row["text"], tests="\n".join(texts_of(row["test_list"])))


def _code(row: Row) -> str:
    return (row["code"] or "").replace("\r\n", "\n")


def _chat(found: Mapping[str, Problem], item: Item) -> TextPrompt:
    return TextPrompt(f"Complete this Python function. {_CHAT}\n```python\n{found[item.id].prompt.rstrip()}\n```")


def _version(found: Mapping[str, Problem]) -> str:
    return digest([(problem.id, problem.prompt, problem.test) for problem in found.values()])[:12]
