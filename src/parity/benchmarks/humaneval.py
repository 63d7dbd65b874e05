"""HumanEval: 164 Python functions to write from signature and docstring (Chen et al. 2021, arXiv 2107.03374; MIT).

Read from the published file, HumanEval.jsonl.gz, whose rows are pinned; HumanEval+ (EvalPlus) from its own, by what its
rows hold. Some problems have defects that were reported publicly; they count in the raw score, and are tagged so that
the score without them stands beside it. The problems themselves are never shipped.
"""

import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from parity.benchmarks.base import Benchmark
from parity.benchmarks.code import Asking, before_entry, benchmark, find_table
from parity.benchmarks.evalplus import against_reference
from parity.core.digests import digest
from parity.core.items import Item, Tag
from parity.core.prompts import TextPrompt
from parity.errors import DataError
from parity.marking.problems import Problem

FILES = ("HumanEval.jsonl.gz", "HumanEval.jsonl")
PLUS_FILES = ("HumanEvalPlus.jsonl.gz", "HumanEvalPlus.jsonl", "humanevalplus.jsonl")
PINNED = "8aa547038f85b32e"
# Issues 23 and 60 of openai/human-eval and 12 of evalplus: wrong docstrings, or tests that a right answer fails.
DEFECTS = frozenset(
    f"HumanEval/{number}" for number in (32, 38, 41, 47, 50, 57, 64, 67, 75, 83, 116, 161)
)  # fmt: skip
_FIELDS = ("task_id", "prompt", "entry_point")
_INSTRUCTION = "Complete this Python function. Answer with the whole function in one block of code.\n\n```python\n"


def load(folder: Path | None, _: tuple[str, ...] = ()) -> Benchmark:
    """HumanEval from the folder that holds its file.

    Raises:
        DataError: the file is missing, malformed, or another version.
        SandboxError: model-written code cannot be run safely here.
    """
    return assemble("humaneval", "openai-2021", problems(folder))


def load_plus(folder: Path | None, _: tuple[str, ...] = ()) -> Benchmark:
    """HumanEval+ from the folder that holds EvalPlus's file.

    Raises:
        DataError: the file is missing or malformed.
        SandboxError: model-written code cannot be run safely here.
    """
    found = plus_problems(folder)
    version = digest([(problem.id, problem.test, problem.setup) for problem in found.values()])[:12]
    return assemble("humaneval+", version, found)


def assemble(name: str, version: str, found: Mapping[str, Problem]) -> Benchmark:
    asking = Asking(_completion, partial(_chat, found))
    return benchmark(name, version, found, ("known_defect",), asking)


def problems(folder: Path | None) -> dict[str, Problem]:
    """Problems by id, verified against the pinned rows.

    Raises:
        DataError: see `load`.
    """
    found = _rows(folder, FILES, "HumanEval", "test")
    seen = digest([(problem.id, problem.prompt, problem.entry, problem.test) for problem in found.values()])[:16]
    if seen != PINNED:
        raise DataError(
            f"These {len(found)} problems are not the published HumanEval (digest {seen}, not {PINNED}).",
            "Use the file of openai/human-eval, or describe your own problems as a custom benchmark.",
        )
    return found


def plus_problems(folder: Path | None) -> dict[str, Problem]:
    """Problems of HumanEval+ by id.

    Raises:
        DataError: see `load_plus`.
    """
    return _rows(folder, PLUS_FILES, "HumanEval+", None)


def _rows(folder: Path | None, names: tuple[str, ...], what: str, needed: str | None) -> dict[str, Problem]:
    table = find_table(folder, names, what)
    for column in (*_FIELDS, *([needed] if needed else [])):
        table.require(column)
    found = {}
    for row in table.rows:
        key, prompt, entry = (row[column] or "" for column in _FIELDS)
        if row.get("base_input"):
            test, setup = against_reference(row)
        else:
            test, setup = _called(row.get("test") or "", entry), prompt
        tags = (Tag("known_defect", "yes" if key in DEFECTS else "no"),)
        found[key] = Problem(key, prompt, entry, test, setup, before_entry(prompt, entry), tags=tags)
    return found


def _called(test: str, entry: str) -> str:
    """The test with its call. `check` is renamed: a problem's own function may be called so."""
    renamed = re.sub(r"^def check\(", "def check_candidate(", test, count=1, flags=re.M)
    return f"{renamed}\ncheck_candidate({entry})\n"


def _completion(item: Item) -> TextPrompt:
    return TextPrompt(item.question)


def _chat(found: Mapping[str, Problem], item: Item) -> TextPrompt:
    return TextPrompt(f"{found[item.id].prompt.rstrip()}\n```", _INSTRUCTION)
