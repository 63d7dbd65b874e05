"""MultiPL-E: HumanEval and MBPP translated into other languages (Cassano et al. 2023, arXiv 2208.08227; BSD-3 style).

Read from its published form, JSON lines with name, language, prompt, tests and stop_tokens. As in Python the program
and its test run in two processes, so the languages are those that `parity.marking.sandbox.interpreters` can speak to;
every other one is refused with what would be needed. The problems themselves are never shipped.
"""

import json
import re
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from parity.benchmarks.base import Benchmark
from parity.benchmarks.code import Asking, benchmark, find_table
from parity.core.digests import digest
from parity.core.items import Item
from parity.core.prompts import TextPrompt
from parity.errors import DataError, UsageError
from parity.marking.checks import shared_sandbox
from parity.marking.problems import Problem

Row = Mapping[str, str | None]
# What MultiPL-E is published in and Parity does not run: each needs a compiler, or an examiner of its own.
OTHERS = (
    "adb", "clj", "cpp", "cs", "d", "dart", "elixir", "go", "hs", "java", "jl", "lua", "ml", "php", "pl", "r", "rb",
    "rkt", "rs", "scala", "swift", "ts",
)  # fmt: skip
_COLUMNS = ("name", "language", "prompt", "tests", "stop_tokens")
_WORDS = {"js": ("JavaScript", "javascript"), "sh": ("bash", "bash")}


def load(language: str, folder: Path | None, _: tuple[str, ...] = ()) -> Benchmark:
    """The problems of one language from the folder that holds its file.

    Raises:
        UsageError: a language that is not run.
        DataError: the file is missing or malformed.
        SandboxError: the language has no interpreter here, or model-written code cannot be run safely.
    """
    found = problems(language, folder)
    shared_sandbox().require(language)
    version = digest([(problem.id, problem.prompt, problem.test) for problem in found.values()])[:12]
    asking = Asking(lambda item: TextPrompt(item.question), partial(_chat, language))
    return benchmark(f"multipl-e-{language}", version, found, (), asking)


def problems(language: str, folder: Path | None) -> dict[str, Problem]:
    """Problems by name.

    Raises:
        UsageError, DataError: see `load`.
    """
    if language not in _SPLIT:
        raise UsageError(
            f"MultiPL-E in {language!r} is not run: it needs a compiler, a module that its interpreter comes without "
            "(such as Perl's Test::Deep), or an examiner that Parity does not have.",
            f"Run are {' and '.join(_SPLIT)}; HumanEval itself is the Python of it (-b humaneval).",
        )
    names = [f"{part}-{language}{end}" for part in ("humaneval", "mbpp") for end in (".jsonl.gz", ".jsonl")]
    table = find_table(folder, tuple(names), f"MultiPL-E in {language}")
    for column in _COLUMNS:
        table.require(column)
    found = [_problem(language, table.path, row) for row in table.rows]
    return {problem.id: problem for problem in found}


def _problem(language: str, path: Path, row: Row) -> Problem:
    name, prompt, tests = (row[key] or "" for key in ("name", "prompt", "tests"))
    if row["language"] != language:
        raise DataError(
            f"{path}: {name} is in {row['language']!r}, not {language!r}.", "Name the file of the language."
        )
    try:
        entry, closing, test = _SPLIT[language](tests)
        stops = tuple(str(stop) for stop in json.loads(row["stop_tokens"] or "[]"))
    except ValueError as error:
        raise DataError(f"{path}: {name} has other tests than MultiPL-E's: {error}.", "Download it again.") from error
    return Problem(name, prompt, entry, test, closing=closing, stops=stops, language=language)


def _split_js(tests: str) -> tuple[str, str, str]:
    """The name under test, what the tests add to the program, and the tests."""
    return _named(r"^\s*let candidate = (\w+);", tests), "", tests


def _split_sh(tests: str) -> tuple[str, str, str]:
    """In bash the tests begin with the bracket that ends the program's function."""
    if not tests.startswith("}"):
        raise ValueError("they do not end the program's function")
    return _named(r"^candidate\(\) \{\s*(\w+) ", tests), "\n}", tests.removeprefix("}")


def _named(pattern: str, tests: str) -> str:
    found = re.search(pattern, tests, re.M)
    if found is None:
        raise ValueError("they name no candidate")
    return found[1]


_SPLIT: Mapping[str, Callable[[str], tuple[str, str, str]]] = {"js": _split_js, "sh": _split_sh}
RUN = tuple(_SPLIT)
load_js, load_sh = partial(load, "js"), partial(load, "sh")


def _chat(language: str, item: Item) -> TextPrompt:
    word, fence = _WORDS[language]
    asks = f"Complete this {word} function. Answer with the whole function in one block of code.\n\n"
    return TextPrompt(f"{item.question.rstrip()}\n```", f"{asks}```{fence}\n")
