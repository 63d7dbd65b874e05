"""LawBench: knowledge of Chinese law, zero-shot (Fei et al. 2023, arXiv 2309.16289; Apache-2.0).

Tasks that the authors score by options: 3-6, a letter; by F1 over what is named: 2-3, kinds of marital dispute, and
3-3, charges, whose options are all that occur among the answers; and by overlap of characters: 2-6, entities by type.
1-1, an article of law recited, they score by overlap of words, which needs their splitter of Chinese words, and no
recorded answer is there to hold a score against: it has a protocol of another name, `characters`. All but the first are
graded.
"""

import re
from collections import Counter
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
TASKS = {
    "3-6": ("正确答案:", ""),
    "2-3": ("类别:", "、"),
    "3-3": ("罪名:", ";"),
    "2-6": ("", ";"),
    "1-1": ("答案:", ""),
}
# The types of entity of 2-6, and what an answer says where there is none.
ENTITIES = (
    "犯罪嫌疑人",
    "受害人",
    "被盗货币",
    "物品价值",
    "盗窃获利",
    "被盗物品",
    "作案工具",
    "时间",
    "地点",
    "组织机构",
)
_NOTHING = ("无", "未提及")
_LETTERS = ("A", "B", "C", "D")


def load_task(task: str, folder: Path | None, _: tuple[str, ...] = ()) -> Benchmark:
    """One task, zero-shot: rows of instruction, question and answer. Raises DataError: missing or malformed."""
    source = Source((task,), get_it="The authors' repository has it in data/zero_shot/.")
    items = read_all(rows_of(source, folder, f"LawBench {task}"), partial(_item, task), f"lawbench-{task}")
    occurring = tuple(sorted({target for item in items for target in item.targets}))
    options = {"3-6": _LETTERS, "2-6": ENTITIES, "1-1": ()}.get(task, occurring)
    reads = {"3-6": _read_letter, "2-6": _read_entities, "1-1": _read_recited}
    read = reads.get(task, partial(_read_named, options))
    name = "characters" if task == "1-1" else "zero-shot"
    protocol = Protocol(name, f"1/{digest(options)[:8]}", _prompt, sampling=Sampling(1024), read=read)
    return Benchmark(f"lawbench-{task}", version_of(items), tuple(items), {name: protocol}, name)


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


def entity_score(text: str, targets: Sequence[str]) -> Score:
    """F1 between the entities an answer names by type and the right ones (`type:text`), each pair by its characters.

    A type counts with what stands behind its last mention, up to a space or the end of the line; the authors' rule.
    """
    named = _entities(text)
    right = dict(target.split(":")[:2] for target in targets if target)
    if not right:
        return Score(float(not named), str(named)[:200])
    hits = sum(_overlap(right[kind], found) for kind, found in named.items() if kind in right)
    value = 2 * hits / (len(named) + len(right)) if hits else 0.0
    return Score(value, ";".join(f"{kind}:{found}" for kind, found in named.items())[:200], outside=not named)


def recited_score(text: str, target: str) -> Score:
    """F1 of the longest common subsequence of characters (ROUGE-L without words), white space left out."""
    one, other = ("".join(side.split()) for side in (target, text))
    common = _common(one, other)
    value = 2 * common / (len(one) + len(other)) if common else 0.0
    return Score(value, text.strip()[:80], outside=not other)


def _common(one: str, other: str) -> int:
    """Length of the longest common subsequence, a row of the table in the bits of one number (Hyyro 2004)."""
    places: dict[str, int] = {}
    for at, sign in enumerate(one):
        places[sign] = places.get(sign, 0) | 1 << at
    full = row = (1 << len(one)) - 1
    for sign in other:
        met = row & places.get(sign, 0)
        row = ((row + met) | (row - met)) & full
    return len(one) - row.bit_count()


def _entities(text: str) -> dict[str, str]:
    found = {}
    for kind in ENTITIES:
        for match in re.finditer(kind, text):
            end = match.end()
            if end < len(text) - 2 and text[end] in ":：":
                told = re.split("\n| ", text[end + 1 :].strip())[0].strip()
                if told not in _NOTHING:
                    found[kind] = told
    return found


def _overlap(gold: str, answer: str) -> float:
    """F1 over letters and digits, each as often as it occurs (CJRC's measure)."""
    one, other = (Counter(sign for sign in text.lower() if sign.isalpha() or sign.isdigit()) for text in (gold, answer))
    if not one or not other:
        return float(one == other)
    return 2 * (one & other).total() / (one.total() + other.total())


def _item(task: str, at: int, row: Row) -> Item:
    prefix, between = TASKS[task]
    answer = str(row["answer"])
    if task != "2-6":  # entities are compared by their characters, whatever they end with
        answer = answer.replace("：", ":").removeprefix(prefix).strip().rstrip("。")
    targets = tuple(answer.split(between)) if between else (answer if task == "1-1" else answer[:1],)
    return Item(
        f"lawbench_{task}/{at}", f"{row['instruction']}\n{row['question']}", targets, (), (Tag("subject", task),)
    )


def _prompt(item: Item) -> TextPrompt:
    return TextPrompt(item.question)


def _read_letter(text: str, item: Item) -> Mark:
    return letter_score(text, item.targets[0])


def _read_named(options: Sequence[str], text: str, item: Item) -> Mark:
    return named_score(text, item.targets, options)


def _read_entities(text: str, item: Item) -> Mark:
    return entity_score(text, item.targets)


def _read_recited(text: str, item: Item) -> Mark:
    return recited_score(text, item.targets[0])


load_letters, load_charges, load_disputes = (partial(load_task, task) for task in ("3-6", "3-3", "2-3"))
load_entities, load_recited = (partial(load_task, task) for task in ("2-6", "1-1"))
