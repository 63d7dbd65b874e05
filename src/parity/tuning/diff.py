"""What a training changed: which tensors moved and how far, which answers changed, which refusals came or went.

Compares files tensor by tensor, one in memory at a time; an adapter is merged into a scratch folder first, so that what
is compared is what would be served. Answers are greedy, by the engine that `measure` uses.
"""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open

from parity.core.outputs import Generation
from parity.core.prompts import ChatPrompt, Generate, Message, Prompt, RequestId, Sampling, TextPrompt
from parity.core.refs import ModelRef, Scheme
from parity.engines.open import EngineOptions, open_engine
from parity.errors import DataError, EngineError, ModelError
from parity.files import json_lines, read_text
from parity.marking.refusals import is_refusal
from parity.models.safetensors import check_safetensors
from parity.tuning.loading import base_folder
from parity.tuning.merging import merge_folders
from parity.tuning.quiet import quiet

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Moved:
    """One tensor. `relative`: Frobenius norm of the change over that of the tensor; `largest`: of one element."""

    name: str
    relative: float
    largest: float
    elements: int


@dataclass(frozen=True, slots=True)
class Changed:
    """One prompt whose answer changed; `refused` says of base and tuned whether they declined."""

    id: str
    base: str
    tuned: str
    refused: tuple[bool, bool]


@dataclass(frozen=True, slots=True)
class Difference:
    """Everything that differs. `moved`: most first; `only_base`, `only_tuned`: tensors that one side lacks."""

    base: str
    tuned: str
    tensors: int
    moved: tuple[Moved, ...]
    only_base: tuple[str, ...]
    only_tuned: tuple[str, ...]
    asked: int
    changed: tuple[Changed, ...]
    refusals_base: int
    refusals_tuned: int
    failed: int

    @property
    def new_refusals(self) -> tuple[str, ...]:
        return tuple(row.id for row in self.changed if row.refused == (False, True))

    @property
    def lost_refusals(self) -> tuple[str, ...]:
        return tuple(row.id for row in self.changed if row.refused == (True, False))


def diff(
    base: str, tuned: str, prompts: Path | None = None, max_tokens: int = 128, on_progress: Progress | None = None
) -> Difference:
    """Compare a base with what was trained from it (a model's folder, or an adapter's).

    Raises:
        ModelError: one of them is missing or broken, or they share no tensor.
        DataError: `prompts` holds none that can be asked.
        EngineError: a prompt needs a chat template that a model does not have.
    """
    first = base_folder(base)
    asked = read_prompts(prompts) if prompts else ()
    with quiet(), _whole(first, tuned) as second:
        moved, only_base, only_tuned, tensors = _tensors(first, second, on_progress)
        before, after = (_answers(folder, asked, max_tokens, on_progress) for folder in (first, second))
    pairs = [(name, before[name], after[name]) for name, _ in asked if name in before and name in after]
    rows = [Changed(name, one, two, (is_refusal(one), is_refusal(two))) for name, one, two in pairs]
    return Difference(
        base,
        tuned,
        tensors,
        moved,
        only_base,
        only_tuned,
        len(pairs),
        tuple(row for row in rows if row.base != row.tuned),
        sum(row.refused[0] for row in rows),
        sum(row.refused[1] for row in rows),
        len(asked) - len(pairs),
    )


def read_prompts(path: Path) -> tuple[tuple[str, Prompt], ...]:
    """Prompts of a JSONL file, each with its name: `prompt` as text or as messages, or `messages` up to the answer.

    Raises:
        DataError: a line is no prompt.
    """
    found: list[tuple[str, Prompt]] = []
    for number, row in json_lines(path, read_text(path, "file of prompts", DataError)):
        try:
            found.append((str(row.get("id") or f"line {number}"), _prompt(row)))
        except (KeyError, TypeError, AttributeError) as error:
            why = f"{path}, line {number}, holds no prompt ({error})."
            raise DataError(why, 'Write {"prompt": "..."} a line.') from error
    if not found:
        raise DataError(f"{path} holds no prompts.", "Check the file.")
    return tuple(found)


def _prompt(row: dict[str, object]) -> Prompt:
    asked = row["prompt"] if "prompt" in row else row["messages"]
    if isinstance(asked, str):
        return TextPrompt(asked)
    if not isinstance(asked, list) or not asked:
        raise TypeError("neither text nor messages")
    turns = asked[:-1] if asked[-1]["role"] == "assistant" else asked
    return ChatPrompt(tuple(Message(turn["role"], turn["content"]) for turn in turns))


@contextmanager
def _whole(base: Path, tuned: str) -> Iterator[Path]:
    """The folder of the tuned model; of an adapter, a merge that is removed afterwards."""
    ref = ModelRef.parse(tuned)
    folder = Path(ref.name).expanduser()
    if ref.scheme is Scheme.FOLDER and (folder / "adapter_config.json").is_file():
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".diff.") as scratch:
            merged = Path(scratch) / "merged"
            merge_folders(base, folder, merged)
            yield merged
    else:
        yield base_folder(tuned)


def _tensors(
    base: Path, tuned: Path, on_progress: Progress | None
) -> tuple[tuple[Moved, ...], tuple[str, ...], tuple[str, ...], int]:
    one, other = _places(base), _places(tuned)
    shared = sorted(one.keys() & other.keys())
    if not shared:
        raise ModelError(f"{base} and {tuned} share no tensor.", "Name a base and what was trained from it.")
    moved = []
    for at, name in enumerate(shared, 1):
        found = _compared(name, one[name], other[name])
        if found is not None:
            moved.append(found)
        if on_progress:
            on_progress("tensors", at, len(shared))
    ordered = sorted(moved, key=lambda row: (-row.relative, row.name))
    return tuple(ordered), tuple(sorted(one.keys() - other)), tuple(sorted(other.keys() - one)), len(shared)


def _places(folder: Path) -> dict[str, Path]:
    files = sorted(folder.glob("*.safetensors"))
    return {entry.name: path for path in files for entry in check_safetensors(path)}


def _compared(name: str, one: Path, other: Path) -> Moved | None:
    with safe_open(one, framework="pt") as first, safe_open(other, framework="pt") as second:
        before, after = first.get_tensor(name), second.get_tensor(name)
    if before.shape != after.shape:
        raise ModelError(
            f"{name} has shape {list(before.shape)} in {one.parent} and {list(after.shape)} in {other.parent}.",
            "Name a base and what was trained from it.",
        )
    if before.dtype == after.dtype and torch.equal(before, after):
        return None
    change = after.float() - before.float()
    size = float(before.float().norm())
    return Moved(name, float(change.norm()) / size if size else float("inf"), float(change.abs().max()), change.numel())


def _answers(
    folder: Path, asked: tuple[tuple[str, Prompt], ...], max_tokens: int, on_progress: Progress | None
) -> dict[str, str]:
    """Greedy answers by prompt; a prompt that fails is absent, and counted by the caller."""
    if not asked:
        return {}
    engine = open_engine(ModelRef(Scheme.FOLDER, str(folder)), EngineOptions())
    try:
        if not engine.capabilities.chat and any(isinstance(prompt, ChatPrompt) for _, prompt in asked):
            raise EngineError(f"{folder} has no chat template.", "Give prompts as text.")
        requests = [Generate(RequestId(name), prompt, Sampling(max_tokens)) for name, prompt in asked]
        found = {}
        for at, (request, output) in enumerate(engine.answer(requests), 1):
            if isinstance(output, Generation):
                found[request.item] = output.text
            if on_progress:
                on_progress(f"answers of {folder.name}", at, len(requests))
        return found
    finally:
        engine.close()
