"""What benchmarks of code have in common: their two protocols, and reading rows of JSON.

The program under test is the model's; test, setup and reference are the benchmark's and run in another process
(`parity.marking.sandbox`). Refuses to know any one benchmark.
"""

import ast
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from parity.benchmarks.base import Benchmark, Protocol
from parity.core.items import Item
from parity.core.prompts import Sampling, TextPrompt
from parity.errors import DataError
from parity.files.tables import Table, read_table
from parity.marking.checks import Reading, shared_sandbox
from parity.marking.problems import Problem, read_answer, read_completion

# Servers take at most four stop strings; the rest of the rule is applied to what comes back.
SERVER_STOPS = 4
MAX_TOKENS = 1024


def benchmark(
    name: str, version: str, problems: Mapping[str, Problem], groupings: tuple[str, ...], prompt: "Asking"
) -> Benchmark:
    """The benchmark over some problems, with the protocols `completion` and `chat`.

    Raises:
        SandboxError: model-written code cannot be run safely here; better said before a model is asked.
    """
    shared_sandbox()
    items = tuple(
        Item(key, problem.asks or problem.prompt, (problem.test,), (), problem.tags)
        for key, problem in problems.items()
    )
    stops = next(iter(problems.values())).stops
    writing = Sampling(MAX_TOKENS, stop=stops[:SERVER_STOPS])
    protocols = {
        "completion": Protocol(
            "completion", "1/function", prompt.completion, sampling=writing,
            read=partial(_read_completion, problems),
        ),
        "chat": Protocol(
            "chat", "1", prompt.chat, sampling=Sampling(MAX_TOKENS), read=partial(_read_answer, problems),
        ),
    }  # fmt: skip
    return Benchmark(name, version, items, protocols, "completion", groupings)


@dataclass(frozen=True, slots=True)
class Asking:
    """The prompts of the two protocols."""

    completion: Callable[[Item], TextPrompt]
    chat: Callable[[Item], TextPrompt]


def _read_completion(problems: Mapping[str, Problem], text: str, item: Item) -> Reading:
    return read_completion(text, problems[item.id])


def _read_answer(problems: Mapping[str, Problem], text: str, item: Item) -> Reading:
    return read_answer(text, problems[item.id])


def find_table(folder: Path | None, names: tuple[str, ...], what: str) -> Table:
    """The rows of the first of `names` that is in a folder, or of the file that was named itself.

    Raises:
        DataError: none is there.
    """
    if folder is None:
        raise DataError(f"{what} is read from a file.", f"Name the folder that holds {' or '.join(names)} with --data.")
    if folder.is_file():
        return read_table(folder)
    found = next((folder / name for name in names if (folder / name).is_file()), None)
    if found is None:
        raise DataError(f"{folder} holds no {' or '.join(names)}.", f"Name the folder that holds {what} with --data.")
    return read_table(found)


def texts_of(cell: str | None) -> list[str]:
    """A list of texts from a cell that holds it as JSON."""
    found = json.loads(cell or "[]")
    return [str(entry) for entry in found]


def before_entry(prompt: str, entry: str) -> str:
    """What a prompt defines and imports before the function it asks for."""
    marker = f"def {entry}("
    at = prompt.find("\n" + marker)
    return prompt[: at + 1] if at >= 0 else "" if prompt.startswith(marker) else prompt


def defined_names(code: str) -> set[str]:
    """Functions and classes that code defines at its top level."""
    try:
        body = ast.parse(code).body
    except SyntaxError:
        return set()
    return {node.name for node in body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)}


def called_names(code: str) -> list[str]:
    """Names that code calls, in order, each once."""
    calls = (node.func for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Call))
    return list(dict.fromkeys(function.id for function in calls if isinstance(function, ast.Name)))
