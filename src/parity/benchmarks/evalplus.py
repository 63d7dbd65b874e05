"""HumanEval+ and MBPP+ in EvalPlus's published form: inputs, and a reference that says what is right for each.

(Liu et al. 2023, arXiv 2305.01210; v0.3.1.) JSON has no tuples, sets or complex numbers: which arguments of which task
were such is a table here, as it is in EvalPlus, and so are the tasks whose answers are compared in another way. The
reference never leaves the examiner's process. The problems are never shipped.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

from parity.benchmarks.base import Benchmark
from parity.benchmarks.code import Asking, benchmark, find_table
from parity.core.digests import digest
from parity.core.items import Item
from parity.core.prompts import TextPrompt
from parity.errors import DataError
from parity.marking.problems import Problem

MBPP_FILES = ("MbppPlus.jsonl.gz", "MbppPlus.jsonl", "MbppPlus-v0.2.0.jsonl", "mbppplus.jsonl")
Row = Mapping[str, str | None]
Typed = Callable[[object], object]
_ASKS = "Write a self-contained Python program that solves this problem, in one block of code.\n\n"


def _entries(typed: Typed) -> Typed:
    return lambda value: [typed(entry) for entry in value] if isinstance(value, list) else value


def _tuple(typed: Typed = lambda value: value) -> Typed:
    return lambda value: tuple(typed(entry) for entry in value) if isinstance(value, list) else value


def _deep(value: object) -> object:
    return tuple(map(_deep, value)) if isinstance(value, list) else value


def _set(value: object) -> object:
    """A set; an empty one is written {} in the tests, which is a dictionary."""
    return (set(value) or {}) if isinstance(value, list) else value


def _same(value: object) -> object:
    return value


def _of_values(typed: Typed) -> Typed:
    return lambda value: {key: typed(entry) for key, entry in value.items()} if isinstance(value, dict) else value


# The types of a task's arguments, the last one's for all that follow.
_TUPLES, _LISTS_OF_TUPLES = (_tuple(),), (_entries(_tuple()),)
_SHAPES: tuple[tuple[tuple[Typed, ...], str], ...] = (
    (_TUPLES, "2 116 132 143 222 261 273 394 399 421 424 429 470 560 579 596 616 630 726 740 744 809"),
    (_LISTS_OF_TUPLES, "63 64 70 94 120 237 272 299 400 409 417 438 473 614 780"),
    ((_entries(_tuple()), _same), "75 413 444 753"),
    ((_same, _tuple()), "106 750"),
    ((_entries(_set),), "115"),
    ((lambda value: float(str(value)), lambda value: complex(str(value))), "124"),
    ((lambda value: complex(str(value)),), "252"),
    ((_tuple(), _same), "250 307 405 446 617 720 763 808"),
    ((_tuple(_tuple()),), "259 278 401 445"),
    ((_of_values(_tuple()), _same), "722"),
    ((_deep,), "580 615 791"),
)
_TYPES: dict[str, tuple[Typed, ...]] = {task: shape for shape, tasks in _SHAPES for task in tasks.split()}
# How an answer is compared, by the function asked for; everything else by value.
_SETS = (
    "similar_elements", "find_char_long", "common_in_nested_lists", "extract_singly", "larg_nnum",
    "intersection_array", "find_dissimilar", "Diff",
)  # fmt: skip
_COMPARISONS = {
    **dict.fromkeys(_SETS, "set(got) == set(right)"),
    **dict.fromkeys(
        ("check_str", "text_match_three", "text_starta_endb"),
        "got == right if type(got) is bool else (got is not None) == right",
    ),
    "are_equivalent": "True",
    "sum_div": "same(got, right) or got == 0",
    "surface_Area": "same(got, right) or close(got, _slant(*arguments))",
    "digit_distance_nums": "same(got, right) or got == _digits(*arguments)",
    "find_zero": "abs(_polynomial(*arguments, got)) <= TOLERANCE",
}
_TEST = """
import copy, math
inf, nan = math.inf, math.nan
TOLERANCE = {tolerance!r}
def close(got, right):
    return type(got) in (int, float) and math.isclose(got, right, rel_tol=1e-7, abs_tol=TOLERANCE)
def same(got, right):
    if type(right) is float:
        return got == right or close(got, right)
    if type(right) in (list, tuple) and right and all(type(entry) is float for entry in right):
        return got == right or (
            type(got) is type(right) and len(got) == len(right) and all(map(close, got, right))
        )
    return got == right
def _slant(edge, height):
    return edge * edge + 2 * edge * math.sqrt((edge / 2) ** 2 + height * height)
def _digits(one, other):
    return sum(map(int, str(abs(one - other))))
def _polynomial(factors, x):
    return sum(factor * x ** power for power, factor in enumerate(factors))
for arguments in {inputs!r}:
    right = reference(*copy.deepcopy(arguments))
    got = candidate(*copy.deepcopy(arguments))
    assert {comparison}
"""


def against_reference(row: Row) -> tuple[str, str]:
    """The test of a row, and the setup it runs in.

    Raises:
        DataError: the row's inputs or reference are malformed.
    """
    key, entry = row["task_id"] or "", row["entry_point"] or ""
    types = _TYPES.get(key.rsplit("/", 1)[-1], (_same,)) if key.startswith("Mbpp/") else (_same,)
    try:
        given = json.loads(row["base_input"] or "[]") + json.loads(row.get("plus_input") or "[]")
        inputs = [_typed(arguments, types) for arguments in given]
        tolerance = float(row.get("atol") or 0) or 1e-6
    except (ValueError, TypeError) as error:
        raise DataError(f"{key}: its inputs cannot be read ({error}).", "Download the file again.") from error
    setup = f"{row['prompt']}{row['canonical_solution']}\nreference = {entry}\n"
    comparison = _COMPARISONS.get(entry, "same(got, right)")
    return _TEST.format(inputs=inputs, tolerance=tolerance, comparison=comparison), setup


def _typed(arguments: list[object], types: tuple[Typed, ...]) -> tuple[object, ...]:
    return tuple(types[min(at, len(types) - 1)](argument) for at, argument in enumerate(arguments))


def load_mbpp_plus(folder: Path | None, _: tuple[str, ...] = ()) -> Benchmark:
    """MBPP+ from the folder that holds EvalPlus's file.

    Raises:
        DataError: the file is missing or malformed.
        SandboxError: model-written code cannot be run safely here.
    """
    found = mbpp_plus_problems(folder)
    version = digest([(problem.id, problem.test, problem.setup) for problem in found.values()])[:12]
    asking = Asking(lambda item: TextPrompt(item.question), _chat)
    return benchmark("mbpp+", version, found, (), asking)


def mbpp_plus_problems(folder: Path | None) -> dict[str, Problem]:
    """Problems of MBPP+ by id; a completion is the whole program.

    Raises:
        DataError: see `load_mbpp_plus`.
    """
    table = find_table(folder, MBPP_FILES, "MBPP+")
    for column in ("task_id", "prompt", "entry_point", "canonical_solution", "base_input", "plus_input"):
        table.require(column)
    found = {}
    for row in table.rows:
        test, setup = against_reference(row)
        key, entry, asks = row["task_id"] or "", row["entry_point"] or "", (row["prompt"] or "").strip() + "\n"
        found[key] = Problem(key, "", entry, test, setup, asks=asks)
    return found


def _chat(item: Item) -> TextPrompt:
    return TextPrompt(f"```python\n{item.question.rstrip()}\n```", _ASKS)
