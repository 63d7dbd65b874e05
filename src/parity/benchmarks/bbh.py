"""BIG-Bench Hard: 6,511 questions in 27 tasks (Suzgun et al. 2022, arXiv 2210.09261; MIT).

- `3-shot` (the default): lm-evaluation-harness `bbh_fewshot`, the answer alone.
- `3-shot-cot`: `bbh_cot_fewshot`, reasoning first, "the answer is X.".
- `chat`: no shots, reasoning first, told how to end.

Shots and task descriptions are read from the authors' `cot-prompts/<task>.txt`, which the folder holds beside
`<task>.json`; without them only `chat` is offered. Spaces around a short answer do not count.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from parity.benchmarks.base import Benchmark, Protocol
from parity.benchmarks.choices import HARNESS, named, version_of
from parity.benchmarks.rows import Row, Source, read_all, rows_of
from parity.core.digests import digest
from parity.core.items import Item, Tag
from parity.core.prompts import Sampling, TextPrompt
from parity.core.scores import Mark, Score
from parity.errors import DataError
from parity.files import read_text
from parity.marking import exact
from parity.marking.extraction import Extraction

TASKS = (
    "boolean_expressions", "causal_judgement", "date_understanding", "disambiguation_qa", "dyck_languages",
    "formal_fallacies", "geometric_shapes", "hyperbaton", "logical_deduction_five_objects",
    "logical_deduction_seven_objects", "logical_deduction_three_objects", "movie_recommendation",
    "multistep_arithmetic_two", "navigate", "object_counting", "penguins_in_a_table", "reasoning_about_colored_objects",
    "ruin_names", "salient_translation_error_detection", "snarks", "sports_understanding", "temporal_sequences",
    "tracking_shuffled_objects_five_objects", "tracking_shuffled_objects_seven_objects",
    "tracking_shuffled_objects_three_objects", "web_of_lies", "word_sorting",
)  # fmt: skip
HARNESS_RULE = Extraction(r"(?<=the answer is )(.*)(?=.)")
_STEP = "Let's think step by step."
_STOPS = ("</s>", "Q", "\n\n")
_CHAT = 'Think step by step and end with: "So the answer is X.", where X is the answer alone.'


@dataclass(frozen=True, slots=True)
class Examples:
    """What stands before a task's questions: its description, and examples with and without reasoning."""

    description: str
    direct: tuple[str, ...]
    reasoned: tuple[str, ...]


def load(folder: Path | None, wanted: tuple[str, ...] = ()) -> Benchmark:
    """BIG-Bench Hard from a folder; `wanted` are tasks (`--only subject=navigate`), all of them when empty.

    Raises:
        DataError: a file is missing or malformed.
        UsageError: there is no such task.
    """
    items: list[Item] = []
    examples: dict[str, Examples] = {}
    for task in named(dict.fromkeys(TASKS, ""), wanted, "bbh"):
        source = Source((task,), get_it="The authors' repository has it in bbh/.")
        items += read_all(rows_of(source, folder, f"BBH {task}"), partial(_item, task), task)
        found = _examples(folder, task)
        if found is not None:
            examples[task] = found
    return Benchmark(
        "bbh", version_of(items), tuple(items), protocols(items, examples), _default(examples), ("subject",)
    )


def protocols(items: list[Item], examples: Mapping[str, Examples]) -> dict[str, Protocol]:
    chat = Protocol("chat", f"1/{digest(_CHAT)[:8]}", _chat, sampling=Sampling(1024), read=_read_last)
    if not examples or {_task(item) for item in items} - examples.keys():
        return {"chat": chat}
    return {
        "3-shot": Protocol(
            "3-shot", f"{HARNESS}/3-shot", partial(_direct, examples), sampling=Sampling(256, stop=_STOPS), read=_read
        ),
        "3-shot-cot": Protocol(
            "3-shot-cot", f"{HARNESS}/3-shot-cot", partial(_reasoned, examples),
            sampling=Sampling(1024, stop=_STOPS), read=_read_harness,
        ),
        "chat": chat,
    }  # fmt: skip


def read_examples(text: str) -> Examples:
    """The description and the worked examples of a file of the authors."""
    body = text.partition("-----\n")[2]
    description, *found = body.split("\n\nQ: ")
    pairs = [_pair(part.strip("\n")) for part in found]
    reasoned = tuple(f"Q: {question}\nA: {_STEP}\n{reasoning}\n\n" for question, reasoning in pairs)
    direct = tuple(f"Q: {question}\nA: {_told(reasoning)}\n\n" for question, reasoning in pairs)
    return Examples(f"{description.strip()}\n\n", direct, reasoned)


def _pair(example: str) -> tuple[str, str]:
    """Question and reasoning; one file goes on behind the first sentence where the others begin a line."""
    question, _, reasoning = example.partition(f"\nA: {_STEP}")
    return question, reasoning.lstrip()


def _default(examples: Mapping[str, Examples]) -> str:
    return "3-shot" if examples else "chat"


def _examples(folder: Path | None, task: str) -> Examples | None:
    if folder is None or not folder.is_dir():
        return None
    path = folder / "cot-prompts" / f"{task}.txt"
    return read_examples(read_text(path, "file of worked examples", DataError)) if path.is_file() else None


def _told(reasoning: str) -> str:
    """The answer that an example ends with."""
    return reasoning.rsplit("the answer is ", 1)[-1].removesuffix(".")


def _item(task: str, at: int, row: Row) -> Item:
    return Item(f"bbh_{task}/{at}", str(row["input"]), (str(row["target"]),), (), (Tag("subject", task),))


def _task(item: Item) -> str:
    return next(tag.value for tag in item.tags if tag.kind == "subject")


def _direct(examples: Mapping[str, Examples], item: Item) -> TextPrompt:
    known = examples[_task(item)]
    return TextPrompt(f"Q: {item.question}\nA:", known.description, known.direct)


def _reasoned(examples: Mapping[str, Examples], item: Item) -> TextPrompt:
    known = examples[_task(item)]
    return TextPrompt(f"Q: {item.question}\nA: {_STEP}\n", known.description, known.reasoned)


def _chat(item: Item) -> TextPrompt:
    return TextPrompt(f"{item.question}\n\n{_CHAT}")


def _read(text: str, item: Item) -> Mark:
    return exact(text, item.targets)


def _read_harness(text: str, item: Item) -> Mark:
    return HARNESS_RULE.mark(text, item.targets)


def _read_last(text: str, item: Item) -> Mark:
    found = re.findall(r"answer is:?\s*(.+)", text.replace("**", ""))
    if not found:
        return Score(0.0, text.strip()[-80:], outside=True)
    return exact(found[-1].strip().removesuffix('"').removesuffix("."), item.targets)
