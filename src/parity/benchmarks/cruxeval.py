"""CRUXEval: 800 short Python functions whose output, or an input, is to be told (Gu et al. 2024, 2401.03065; MIT).

What a model writes is an expression. It is worked out in the sandbox without the function, and only its value comes
back; the benchmark's own function is then applied, or compared with, in our process. So neither calling the function
in place of its output, nor changing what it calls, gets anywhere.
"""

import ast
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from parity.benchmarks.base import Benchmark, Protocol
from parity.benchmarks.code import find_table
from parity.core.digests import digest
from parity.core.items import Item
from parity.core.prompts import Sampling, TextPrompt
from parity.core.scores import Score
from parity.marking.checks import Check, Reading, shared_sandbox
from parity.marking.code import fenced_blocks
from parity.marking.sandbox import Case

FILES = ("cruxeval.jsonl.gz", "cruxeval.jsonl")
MAX_TOKENS = 512
_VALUE = "source = {source!r}\ndef answer():\n    return eval(source)\n"
# The call is made with a stand-in that notes its arguments.
_ARGUMENTS = (
    "source = {source!r}\ndef answer():\n    noted = []\n"
    "    eval(source, {{'f': lambda *a, **k: noted.append((a, k))}})\n    return noted[-1]\n"
)


@dataclass(frozen=True, slots=True)
class Function:
    """One function with an input and the output it gives, all as source text."""

    id: str
    code: str
    input: str
    output: str

    def output_case(self, written: str) -> Case | None:
        """The check of a predicted output; None when it is no expression."""
        source = written.strip()
        if _expression(source) is None:
            return None
        return Case(_VALUE.format(source=source), f"assert ({self.output}) == answer()", "answer")

    def input_case(self, written: str) -> Case | None:
        """The check of a predicted input, a call of f; None when it is none."""
        source = written.strip()
        found = _expression(source)
        if not (isinstance(found, ast.Call) and isinstance(found.func, ast.Name) and found.func.id == "f"):
            return None
        test = f"arguments, named = answer()\nassert f(*arguments, **named) == ({self.output})"
        return Case(_ARGUMENTS.format(source=source), test, "answer", self.code)


def functions(folder: Path | None) -> dict[str, Function]:
    """The functions by id.

    Raises:
        DataError: the file is missing or malformed.
    """
    table = find_table(folder, FILES, "CRUXEval")
    for column in ("id", "code", "input", "output"):
        table.require(column)
    return {
        row["id"] or "": Function(row["id"] or "", row["code"] or "", row["input"] or "", row["output"] or "")
        for row in table.rows
    }


def load_output(folder: Path | None, _: tuple[str, ...] = ()) -> Benchmark:
    """CRUXEval-O: tell what a call returns.

    Raises:
        DataError: the file is missing or malformed.
        SandboxError: model-written code cannot be run safely here.
    """
    return _benchmark("cruxeval-output", functions(folder), _output_prompt, Function.output_case)


def load_input(folder: Path | None, _: tuple[str, ...] = ()) -> Benchmark:
    """CRUXEval-I: tell a call that returns a value.

    Raises:
        DataError: the file is missing or malformed.
        SandboxError: model-written code cannot be run safely here.
    """
    return _benchmark("cruxeval-input", functions(folder), _input_prompt, Function.input_case)


Making = Callable[[Function, str], Case | None]


def _benchmark(name: str, found: Mapping[str, Function], prompt: Callable[[Function], str], make: Making) -> Benchmark:
    shared_sandbox()
    items = tuple(Item(key, prompt(function), (function.output,)) for key, function in found.items())

    def completion(item: Item) -> TextPrompt:
        return TextPrompt(item.question)

    def chat(item: Item) -> TextPrompt:
        return TextPrompt(
            f"{item.question}\n```\n\nAnswer with what stands for ??, alone in one block of code.", "```\n"
        )

    protocols = {
        "completion": Protocol(
            "completion", "1", completion, sampling=Sampling(MAX_TOKENS, stop=("\n",)),
            read=partial(_read, found, make, _first_line),
        ),
        "chat": Protocol(
            "chat", "1", chat, sampling=Sampling(MAX_TOKENS), read=partial(_read, found, make, _block_or_line),
        ),
    }  # fmt: skip
    version = digest([(function.code, function.input, function.output) for function in found.values()])[:12]
    return Benchmark(name, version, items, protocols, "completion")


def _read(found: Mapping[str, Function], make: Making, pick: Callable[[str], str], text: str, item: Item) -> Reading:
    case = make(found[item.id], pick(text))
    return Score(0.0, text.strip()[:80], outside=True) if case is None else Check((case,))


def _output_prompt(function: Function) -> str:
    return f"{function.code}\n\n# f({function.input}) == ??\n??:"


def _input_prompt(function: Function) -> str:
    return f"{function.code}\n\n# ?? == {function.output}, where ?? is a call of f\n??:"


def _first_line(text: str) -> str:
    return text.strip().partition("\n")[0]


def _block_or_line(text: str) -> str:
    blocks = fenced_blocks(text)
    return blocks[-1][1] if blocks else _first_line(text)


def _expression(source: str) -> ast.expr | None:
    try:
        return ast.parse(source, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
