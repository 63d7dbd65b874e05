"""LawBench: knowledge of Chinese law, zero-shot (Fei et al. 2023, arXiv 2309.16289; Apache-2.0).

Tasks that the authors score by options: 3-6, a letter; and by F1 over what is named: 2-3, kinds of marital dispute, and
3-3, charges. The last two are graded; their options are all that occur among the answers. Tasks scored by overlap of
words (1-1, 2-6) need a Chinese word splitter and are not offered.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from parity.benchmarks.base import Benchmark, Protocol
from parity.benchmarks.choices import version_of
from parity.benchmarks.rows import Row, Source, read_all, rows_of
from parity.core.digests import digest
from parity.core.items import Item, Tag
from parity.core.prompts import Sampling, TextPrompt
from parity.core.scores import Mark, Score

# Task: what its answers begin with, and what stands between several.
TASKS = {"3-6": ("正确答案:", ""), "2-3": ("类别:", "、"), "3-3": ("罪名:", ";")}
_LETTERS = ("A", "B", "C", "D")


def load_task(task: str, folder: Path | None, _: tuple[str, ...] = ()) -> Benchmark:
    """One task, zero-shot: rows of instruction, question and answer. Raises DataError: missing or malformed."""
    source = Source((task,), get_it="The authors' repository has it in data/zero_shot/.")
    items = read_all(rows_of(source, folder, f"LawBench {task}"), partial(_item, task), f"lawbench-{task}")
    options = _LETTERS if task == "3-6" else tuple(sorted({target for item in items for target in item.targets}))
    read = _read_letter if task == "3-6" else partial(_read_named, options)
    protocol = Protocol("zero-shot", f"1/{digest(options)[:8]}", _prompt, sampling=Sampling(1024), read=read)
    return Benchmark(f"lawbench-{task}", version_of(items), tuple(items), {"zero-shot": protocol}, "zero-shot")


def letter_score(text: str, target: str) -> Score:
    """Score 1 when the right letter is the only one of A to D in the answer, however often; the authors' rule."""
    named = [letter for letter in _LETTERS if letter in text]
    return Score(float(named == [target]), "".join(named), outside=not named)


def named_score(text: str, targets: Sequence[str], options: Sequence[str]) -> Score:
    """F1 between the options that an answer contains and the right ones; the authors' rule."""
    named, right = {option for option in options if option in text}, set(targets)
    hits = len(named & right)
    value = 2 * hits / (len(named) + len(right)) if hits else 0.0
    return Score(value, "、".join(sorted(named))[:200], outside=not named)


def _item(task: str, at: int, row: Row) -> Item:
    prefix, between = TASKS[task]
    answer = str(row["answer"]).replace("：", ":").removeprefix(prefix).strip().rstrip("。")
    targets = tuple(answer.split(between)) if between else (answer[:1],)
    return Item(
        f"lawbench_{task}/{at}", f"{row['instruction']}\n{row['question']}", targets, (), (Tag("subject", task),)
    )


def _prompt(item: Item) -> TextPrompt:
    return TextPrompt(item.question)


def _read_letter(text: str, item: Item) -> Mark:
    return letter_score(text, item.targets[0])


def _read_named(options: Sequence[str], text: str, item: Item) -> Mark:
    return named_score(text, item.targets, options)


load_letters, load_charges, load_disputes = (partial(load_task, task) for task in ("3-6", "3-3", "2-3"))
