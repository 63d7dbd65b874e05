"""Rows of a file as token ids for each method: text, answers, pairs, thumbs, prompts with a target.

Reads rows that are tokenized already (`input_ids`, `labels`), and plain ones (`text`; `prompt` and `completion`);
conversations are labelled by `curation`. Nothing is cut: what is too long is left out by name.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from parity.errors import DataError, listed
from parity.files import digest_file, read_text
from parity.tuning.recipe import RL_METHODS, Method
from parity.tuning.tokens import IGNORED, Row

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_MOST_SHOWN = 20
# Rows that may be left out for their length before a run is refused: what lies beyond the 99.9th percentile.
TOO_LONG_SHARE = 0.001


@dataclass(frozen=True, slots=True)
class Pair:
    """One prompt, the better answer and the worse, as token ids."""

    id: str
    prompt: tuple[int, ...]
    chosen: tuple[int, ...]
    rejected: tuple[int, ...]

    @property
    def tokens(self) -> int:
        return len(self.prompt) + max(len(self.chosen), len(self.rejected))


@dataclass(frozen=True, slots=True)
class Thumb:
    """One answer and whether people liked it."""

    id: str
    prompt: tuple[int, ...]
    completion: tuple[int, ...]
    label: bool

    @property
    def tokens(self) -> int:
        return len(self.prompt) + len(self.completion)


@dataclass(frozen=True, slots=True)
class Task:
    """A prompt whose answers are rewarded; `targets` is what a marker compares with."""

    id: str
    prompt: tuple[int, ...]
    text: str
    targets: tuple[str, ...]

    @property
    def tokens(self) -> int:
        return len(self.prompt)


Any_ = TypeVar("Any_", Pair, Thumb, Task)


def source_files(data: Path, dev: Path | None) -> tuple[Path, Path | None]:
    """The files of training and dev rows; a folder holds train.jsonl (or .txt) and perhaps dev.jsonl.

    Raises:
        DataError: there is no such file.
    """
    if data.is_dir():
        train = next((data / f"train{end}" for end in (".jsonl", ".txt") if (data / f"train{end}").is_file()), None)
        if train is None:
            raise DataError(
                f"{data} holds no train.jsonl.", "Split the data first (parity data split), or name a file."
            )
        beside = data / f"dev{train.suffix}"
        return train, dev or (beside if beside.is_file() else None)
    for path in (data, dev):
        if path is not None and not path.is_file():
            raise DataError(f"There is no file at {path}.", "Check the path of the data.")
    return data, dev


def data_digest(path: Path) -> str:
    """SHA-256 of the file as it is."""
    return digest_file(path)


def read_rows(path: Path, method: Method, tokenizer: "PreTrainedTokenizerBase", block_tokens: int) -> list[Row]:
    """Rows for pretrain, continue or sft. Plain text is cut into blocks that follow each other, losing nothing.

    Raises:
        DataError: a row is broken, or of no form that this method reads; all are named.
    """
    if method == "sft":
        return _each(path, lambda name, row: _answer(name, row, tokenizer))
    if path.suffix == ".txt":
        texts: Iterable[tuple[str, str]] = [(path.name, read_text(path, "text", DataError))]
    else:
        texts = ((name, _text_of(row)) for name, row in _rows(path))
    rows: list[Row] = []
    for name, text in texts:
        ids = [*_ids(tokenizer, text), tokenizer.eos_token_id]
        blocks = [tuple(ids[start : start + block_tokens]) for start in range(0, len(ids), block_tokens)]
        # A block of one token predicts nothing.
        rows += [Row(f"{name}+{at}", block, block) for at, block in enumerate(blocks) if len(block) > 1]
    return rows


def read_pairs(path: Path, tokenizer: "PreTrainedTokenizerBase") -> list[Pair]:
    """Rows with prompt, chosen and rejected.

    Raises:
        DataError: a row is broken or lacks one of them; all are named.
    """
    return _each(path, lambda name, row: _pair(name, row, tokenizer))


def read_thumbs(path: Path, tokenizer: "PreTrainedTokenizerBase") -> list[Thumb]:
    """Rows with prompt, completion and label.

    Raises:
        DataError: as `read_pairs`.
    """
    return _each(path, lambda name, row: _thumb(name, row, tokenizer))


def read_tasks(path: Path, tokenizer: "PreTrainedTokenizerBase") -> list[Task]:
    """Rows with a prompt and the target of its answer.

    Raises:
        DataError: as `read_pairs`.
    """
    return _each(path, lambda name, row: _task(name, row, tokenizer))


def within(rows: list[Any_] | list[Row], length: int, what: Path, given: bool) -> tuple[list[Any], tuple[str, ...]]:
    """Rows that fit, and the names of those left out as too long.

    Raises:
        DataError: more are too long than a thousandth (of a length that was given: one row is too many).
    """
    kept, left = [], []
    for row in rows:
        tokens = len(row.ids) if isinstance(row, Row) else row.tokens
        (kept if tokens <= length else left).append(row)
    allowed = 0 if given else TOO_LONG_SHARE * len(rows)
    if len(left) > allowed:
        names = ", ".join(row.id for row in left[:_MOST_SHOWN])
        raise DataError(
            f"{len(left)} of {len(rows)} rows of {what} are longer than {length:,} tokens: {names}.",
            "Raise length_tokens, shorten these rows, or remove them; rows are never cut.",
        )
    return kept, tuple(row.id for row in left)


def _each(path: Path, make: Callable[[str, dict[str, Any]], Any]) -> list[Any]:
    made, problems = [], []
    for name, row in _rows(path):
        try:
            made.append(make(name, row))
        except ValueError as error:
            problems.append(f"{name}: {error}")
    if problems:
        more = f"\n  and {len(problems) - _MOST_SHOWN} more" if len(problems) > _MOST_SHOWN else ""
        raise DataError(
            f"{len(problems)} rows of {path} cannot be read:\n{listed(problems[:_MOST_SHOWN])}{more}",
            "Mend or remove them; see docs/tune.md for the forms of rows.",
        )
    if not made:
        raise DataError(f"{path} holds no rows.", "Check the file.")
    return made


def _rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """(name, object) of every line of a JSONL file."""
    for number, line in enumerate(read_text(path, "training data", DataError).split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{path}:{number} is not JSON ({error}).", "One JSON object a line.") from error
        if not isinstance(row, dict):
            raise DataError(f"{path}:{number} is no JSON object.", "One JSON object a line.")
        yield str(row.get("id") or f"{path.name}:{number}"), row


def _answer(name: str, row: dict[str, Any], tokenizer: "PreTrainedTokenizerBase") -> Row:
    if "input_ids" in row:
        return Row(name, _numbers(row, "input_ids"), _numbers(row, "labels"))
    prompt, completion = _ids(tokenizer, _text(row, "prompt")), _ids(tokenizer, _text(row, "completion"))
    if not completion:
        raise ValueError("its completion is empty")
    answer = (*completion, tokenizer.eos_token_id)
    return Row(name, (*prompt, *answer), (*[IGNORED] * len(prompt), *answer))


def _pair(name: str, row: dict[str, Any], tokenizer: "PreTrainedTokenizerBase") -> Pair:
    if "prompt_ids" in row:
        return Pair(name, *(_numbers(row, key) for key in ("prompt_ids", "chosen_ids", "rejected_ids")))
    prompt, chosen, rejected = (_ids(tokenizer, _text(row, key)) for key in ("prompt", "chosen", "rejected"))
    if chosen == rejected:
        raise ValueError("chosen and rejected are the same")
    end = tokenizer.eos_token_id
    return Pair(name, tuple(prompt), (*chosen, end), (*rejected, end))


def _thumb(name: str, row: dict[str, Any], tokenizer: "PreTrainedTokenizerBase") -> Thumb:
    label = row.get("label")
    if not isinstance(label, bool):
        raise ValueError(f"label is {label!r}, not true or false")
    prompt, completion = _ids(tokenizer, _text(row, "prompt")), _ids(tokenizer, _text(row, "completion"))
    return Thumb(name, tuple(prompt), (*completion, tokenizer.eos_token_id), label)


def _task(name: str, row: dict[str, Any], tokenizer: "PreTrainedTokenizerBase") -> Task:
    text = _text(row, "prompt")
    found = row.get("target", row.get("targets", []))
    targets = tuple(map(str, found)) if isinstance(found, list) else (str(found),)
    prompt = tuple(_ids(tokenizer, text))
    if not prompt:
        raise ValueError("its prompt is empty")
    return Task(name, prompt, text, targets)


def _text(row: dict[str, Any], key: str) -> str:
    found = row.get(key)
    if not isinstance(found, str):
        raise ValueError(f"{key} is missing" if key not in row else f"{key} is no text")
    return found


def _text_of(row: dict[str, Any]) -> str:
    return _text(row, "text")


def _numbers(row: dict[str, Any], key: str) -> tuple[int, ...]:
    found = row.get(key)
    if not isinstance(found, list) or not all(isinstance(number, int) for number in found):
        raise ValueError(f"{key} is no list of token ids")
    return tuple(found)


def _ids(tokenizer: "PreTrainedTokenizerBase", text: str) -> list[int]:
    found: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    return found


__all__ = ["RL_METHODS", "Pair", "Task", "Thumb", "data_digest", "read_pairs", "read_rows", "read_tasks", "read_thumbs"]
