"""MMLU-Pro: 12,032 questions with up to ten options in 14 categories (Wang et al. 2024, arXiv 2406.01574; MIT).

- `lm-eval`: five worked examples of the validation split, by category; the model reasons, then "the answer is (X)".
  Needs the validation split (the hub has it).
- `letter`: no shots, the letter alone. `chat`: no shots, reasoning first, read by the authors' rules in their order.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from parity.benchmarks.base import Benchmark, Protocol
from parity.benchmarks.choices import HARNESS, letter_protocol, lettered_options, version_of
from parity.benchmarks.hub import HubFile
from parity.benchmarks.rows import Row, Source, optional_rows, read_all, rows_of, texts
from parity.core.digests import digest
from parity.core.items import Item, Tag
from parity.core.prompts import Sampling, TextPrompt
from parity.core.scores import Mark, Score
from parity.marking.extraction import Extraction

_COMMIT = "b189ec765aa7ed75c8acfea42df31fdae71f97be"
TEST = Source(
    ("mmlu_pro_test", "questions", "test"),
    HubFile("TIGER-Lab/MMLU-Pro", _COMMIT, "data/test-00000-of-00001.parquet",
            "0e24a191921c2f453518a537a8b2117bd137e7714d4ef1565e9ba06c1ecb9ad8"),
)  # fmt: skip
VALIDATION = Source(
    ("mmlu_pro_validation", "validation"),
    HubFile("TIGER-Lab/MMLU-Pro", _COMMIT, "data/validation-00000-of-00001.parquet"),
)
SHOTS = 5
HARNESS_RULE = Extraction(r"answer is \(?([ABCDEFGHIJ])\)?")
_AUTHORS = (r"answer is \(?([A-J])\)?", r".*[aA]nswer:\s*([A-J])", r"\b[A-J]\b(?!.*\b[A-J]\b)")
_TELLS = (
    "The following are multiple choice questions (with answers) about {category}. Think step by step and then finish "
    'your answer with "the answer is (X)" where X is the correct letter choice.\n'
)
_CHAT = 'Think step by step and then finish your answer with "the answer is (X)" where X is the correct letter.'


@dataclass(frozen=True, slots=True)
class Worked:
    """A worked example: its category, and the text that stands before a question."""

    category: str
    text: str


def load(folder: Path | None, wanted: tuple[str, ...] = ()) -> Benchmark:
    """MMLU-Pro, test split. Raises DataError: the data is missing or malformed."""
    rows = rows_of(TEST, folder, "MMLU-Pro")
    validation = optional_rows(VALIDATION, folder)
    return assemble(rows, read_all(validation, _worked, "validation split") if validation else [])


def assemble(rows: Sequence[Row], worked: Sequence[Worked] = ()) -> Benchmark:
    """The benchmark over some rows; `lm-eval` is left out without worked examples."""
    items = read_all(rows, _item, "mmlu-pro")
    version = f"1/{digest(_CHAT)[:8]}"
    protocols = {
        "chat": Protocol("chat", version, _chat, sampling=Sampling(2048), read=_read_authors),
        "letter": letter_protocol("Answer with the letter of the right option alone."),
    }
    if worked:
        by_category: dict[str, tuple[str, ...]] = {}
        for shot in worked:
            by_category[shot.category] = (*by_category.get(shot.category, ()), shot.text)[:SHOTS]
        sampling = Sampling(2048, stop=("Question:",))
        protocols["lm-eval"] = Protocol(
            "lm-eval", f"{HARNESS}/5-shot", partial(_prompt, by_category), sampling=sampling, read=_read_harness
        )
    default = "lm-eval" if worked else "chat"
    return Benchmark("mmlu-pro", version_of(items), tuple(items), protocols, default, ("category",))


def authors_letter(text: str) -> str | None:
    """The letter of an answer by the authors' rules: "answer is (X)", else "Answer: X", else the last letter alone.

    >>> authors_letter("so it is B. Answer: C")
    'C'
    """
    for expression in _AUTHORS:
        found = re.search(expression, text, re.S if expression.startswith(r"\b") else 0)
        if found:
            return found.group(found.lastindex or 0)
    return None


def _item(at: int, row: Row) -> Item:
    options = tuple(option for option in texts(row["options"]) if option != "N/A")
    tags = (Tag("category", str(row["category"])),)
    return Item(f"mmlu_pro/{row.get('question_id', at)}", str(row["question"]), (str(row["answer"]),), options, tags)


def _worked(_: int, row: Row) -> Worked:
    item = _item(0, row)
    answer = str(row["cot_content"]).replace("A: Let's think step by step. ", "")
    return Worked(str(row["category"]), f"{_asked(item)} {answer}\n\n")


def _asked(item: Item) -> str:
    options = "".join(
        f"{letter}. {option.strip()}\n" for letter, option in zip(item.letters, item.options, strict=True)
    )
    return f"Question:\n{item.question}\nOptions:\n{options}Answer: Let's think step by step."


def _prompt(shots: dict[str, tuple[str, ...]], item: Item) -> TextPrompt:
    (category,) = (tag.value for tag in item.tags if tag.kind == "category")
    return TextPrompt(_asked(item), _TELLS.format(category=category), shots.get(category, ()))


def _chat(item: Item) -> TextPrompt:
    return TextPrompt(f"{item.question}\n\n{lettered_options(item)}\n\n{_CHAT}")


def _read_harness(text: str, item: Item) -> Mark:
    return HARNESS_RULE.mark(text, item.targets)


def _read_authors(text: str, item: Item) -> Mark:
    letter = authors_letter(text)
    if letter is None or letter not in item.letters:
        return Score(0.0, text.strip()[-80:], outside=True)
    return Score(float(letter in item.targets), letter)
