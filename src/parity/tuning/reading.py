"""Rows of a file as token ids for each method: text, answers, pairs, thumbs, prompts with a target.

Conversations are labelled by `curation`, which proves every mask or refuses the row; rows that are tokenized already
(`input_ids`, `labels`) and plain ones (`prompt` and `completion` as text, for models without a chat template) are read
here. One row that cannot be trusted stops everything, by name: nothing is cut, dropped or guessed.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from parity.core.examples import Example, Passage, PreferencePair, RatedAnswer, row_from_object
from parity.curation.labels import Labelled, Labeller
from parity.curation.readings import Refused
from parity.errors import DataError, listed
from parity.files import json_lines, read_text
from parity.tuning.recipe import Method
from parity.tuning.tokens import IGNORED, Pair, Row, Task, Thumb

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_MOST_SHOWN = 20
NO_LIMIT = 1 << 40  # tokens of a row, where the model names no context
# Rows that may be left out for their length before a run is refused: what lies beyond the 99.9th percentile.
TOO_LONG_SHARE = 0.001


def source_files(data: Path, dev: Path | None) -> tuple[Path, Path | None]:
    """The files of training and dev rows; a folder holds train.jsonl (or .txt) and perhaps dev.jsonl.

    Raises:
        DataError: there is no such file.
    """
    if data.is_dir():
        train = next((data / f"train{end}" for end in (".jsonl", ".txt") if (data / f"train{end}").is_file()), None)
        if train is None:
            raise DataError(f"{data} holds no train.jsonl.", "Split the data first (parity data split).")
        beside = data / f"dev{train.suffix}"
        return train, dev or (beside if beside.is_file() else None)
    for path in (data, dev):
        if path is not None and not path.is_file():
            raise DataError(f"There is no file at {path}.", "Check the path of the data.")
    return data, dev


def within(rows: list[Any], length: int, what: Path, given: bool) -> tuple[list[Any], tuple[str, ...]]:
    """Rows that fit, and the names of those left out as too long.

    Raises:
        DataError: more are too long than a thousandth (of a length that was given: one row is too many).
    """
    kept = [row for row in rows if row.tokens <= length]
    left = [row for row in rows if row.tokens > length]
    if len(left) > (0 if given else TOO_LONG_SHARE * len(rows)):
        names = ", ".join(row.id for row in left[:_MOST_SHOWN])
        raise DataError(
            f"{len(left)} of {len(rows)} rows of {what} are longer than {length:,} tokens: {names}.",
            "Raise length_tokens, shorten these rows, or remove them; rows are never cut.",
        )
    return kept, tuple(row.id for row in left)


@dataclass(frozen=True, slots=True)
class Source:
    """Reads rows for one model: its tokenizer, and the chat template of its folder."""

    tokenizer: "PreTrainedTokenizerBase"
    folder: Path

    def rows(self, path: Path, method: Method, block_tokens: int) -> list[Row]:
        """Rows for pretrain, continue or sft. Long texts are cut into blocks that follow each other, losing nothing.

        Raises:
            DataError: a row is broken, cannot be labelled, or of no form that this method reads; all are named.
        """
        with closing(Labeller.of_folder(self.folder, self.tokenizer)) as labeller:
            if method == "sft":
                return _each(path, lambda name, row: self._answers(name, row, labeller))
            if path.suffix == ".txt":
                whole = {"text": read_text(path, "text", DataError)}
                return self._blocks(path.name, whole, labeller, block_tokens)
            return _each(path, lambda name, row: self._blocks(name, row, labeller, block_tokens))

    def pairs(self, path: Path) -> list[Pair]:
        """Rows with prompt, chosen and rejected.

        Raises:
            DataError: as `rows`.
        """
        with closing(Labeller.of_folder(self.folder, self.tokenizer)) as labeller:
            return _each(path, lambda name, row: [self._pair(name, row, labeller)])

    def thumbs(self, path: Path) -> list[Thumb]:
        """Rows with prompt, completion and label.

        Raises:
            DataError: as `rows`.
        """
        with closing(Labeller.of_folder(self.folder, self.tokenizer)) as labeller:
            return _each(path, lambda name, row: [self._thumb(name, row, labeller)])

    def tasks(self, path: Path) -> list[Task]:
        """Rows with a prompt and the target of its answer.

        Raises:
            DataError: as `rows`.
        """
        with closing(Labeller.of_folder(self.folder, self.tokenizer)) as labeller:
            return _each(path, lambda name, row: [self._task(name, row, labeller)])

    def _blocks(self, name: str, row: dict[str, Any], labeller: Labeller, block_tokens: int) -> list[Row]:
        labelled = _proved(labeller.label(Passage(_text(row, "text"))))
        rows = []
        for one in labelled:
            parts = [slice(start, start + block_tokens) for start in range(0, len(one.ids), block_tokens)]
            rows += [Row(f"{name}+{at}", one.ids[part], tuple(one.labels[part])) for at, part in enumerate(parts)]
        # A block of one token predicts nothing.
        return [row for row in rows if len(row.ids) > 1]

    def _answers(self, name: str, row: dict[str, Any], labeller: Labeller) -> list[Row]:
        if "input_ids" in row:
            return [Row(name, _numbers(row, "input_ids"), _numbers(row, "labels"))]
        if "messages" in row:
            example = row_from_object(row)
            assert isinstance(example, Example)
            return [Row(name, one.ids, tuple(one.labels)) for one in _proved(labeller.label(example))]
        prompt, answer = self._ids(_text(row, "prompt")), self._ending(row, "completion")
        return [Row(name, (*prompt, *answer), (*[IGNORED] * len(prompt), *answer))]

    def _pair(self, name: str, row: dict[str, Any], labeller: Labeller) -> Pair:
        if "prompt_ids" in row:
            return Pair(name, *(_numbers(row, key) for key in ("prompt_ids", "chosen_ids", "rejected_ids")))
        if isinstance(row.get("prompt"), list):
            found = row_from_object(row)
            assert isinstance(found, PreferencePair)
            pair = labeller.pair(found)
            if isinstance(pair, Refused):
                raise ValueError(f"{pair.fault}: {pair.reason}")
            _proved((pair.chosen, pair.rejected))
            at = pair.prompt_tokens
            return Pair(name, pair.chosen.ids[:at], pair.chosen.ids[at:], pair.rejected.ids[at:])
        chosen, rejected = self._ending(row, "chosen"), self._ending(row, "rejected")
        if chosen == rejected:
            raise ValueError("chosen and rejected are the same")
        return Pair(name, self._ids(_text(row, "prompt")), chosen, rejected)

    def _thumb(self, name: str, row: dict[str, Any], labeller: Labeller) -> Thumb:
        label = row.get("label")
        if not isinstance(label, bool):
            raise ValueError(f"label is {label!r}, not true or false")
        if isinstance(row.get("prompt"), list):
            rated = row_from_object(row)
            assert isinstance(rated, RatedAnswer)
            (one,) = _proved(labeller.label(rated))
            at = one.trained[0].start
            return Thumb(name, one.ids[:at], one.ids[at:], label)
        return Thumb(name, self._ids(_text(row, "prompt")), self._ending(row, "completion"), label)

    def _task(self, name: str, row: dict[str, Any], labeller: Labeller) -> Task:
        found = row.get("target", row.get("targets", []))
        targets = tuple(map(str, found)) if isinstance(found, list) else (str(found),)
        if isinstance(row.get("prompt"), list):
            turns = row_from_object({**row, "completion": [], "label": True})
            assert isinstance(turns, RatedAnswer)
            ids = labeller.prompt_ids(turns.prompt, turns.tools)
            if isinstance(ids, Refused):
                raise ValueError(f"{ids.fault}: {ids.reason}")
            return Task(name, ids, json.dumps(row["prompt"], sort_keys=True), targets)
        text = _text(row, "prompt")
        if not text:
            raise ValueError("its prompt is empty")
        return Task(name, self._ids(text), text, targets)

    def _ids(self, text: str) -> tuple[int, ...]:
        return tuple(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def _ending(self, row: dict[str, Any], key: str) -> tuple[int, ...]:
        text = _text(row, key)
        if not text:
            raise ValueError(f"its {key} is empty")
        return (*self._ids(text), int(self.tokenizer.eos_token_id))


def _proved(found: tuple[Labelled, ...] | Refused) -> tuple[Labelled, ...]:
    """Sequences without doubt.

    Raises:
        ValueError: the row was refused, or something about it is doubtful.
    """
    if isinstance(found, Refused):
        raise ValueError(f"{found.fault}: {found.reason}")
    doubts = sorted({str(fault) for one in found for fault in one.faults})
    if doubts:
        raise ValueError(", ".join(doubts))
    return found


def _each(path: Path, make: Callable[[str, dict[str, Any]], list[Any]]) -> list[Any]:
    made, problems = [], []
    for name, row in _rows(path):
        try:
            made += make(name, row)
        except (ValueError, KeyError, TypeError) as error:
            missing = f"{error} is missing" if isinstance(error, KeyError) else str(error)
            problems.append(f"{name}: {missing}")
    if problems:
        more = f"\n  and {len(problems) - _MOST_SHOWN} more" if len(problems) > _MOST_SHOWN else ""
        raise DataError(
            f"{len(problems)} rows of {path} cannot be trained on:\n{listed(problems[:_MOST_SHOWN])}{more}",
            "Mend or remove them (parity data audit shows each); see docs/tune.md for the forms of rows.",
        )
    if not made:
        raise DataError(f"{path} holds no rows.", "Check the file.")
    return made


def _rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """(name, object) of every line of a JSONL file."""
    for number, row in json_lines(path, read_text(path, "training data", DataError)):
        yield str(row.get("id") or f"{path.name}:{number}"), row


def _text(row: dict[str, Any], key: str) -> str:
    found = row.get(key)
    if not isinstance(found, str):
        raise ValueError(f"{key} is missing" if key not in row else f"{key} is no text")
    return found


def _numbers(row: dict[str, Any], key: str) -> tuple[int, ...]:
    found = row.get(key)
    if not isinstance(found, list) or not all(isinstance(number, int) for number in found):
        raise ValueError(f"{key} is no list of token ids")
    return tuple(found)
