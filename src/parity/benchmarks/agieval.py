"""AGIEval: 20 exams of admission and qualification in English and Chinese (Zhong et al. 2023, arXiv 2304.06364; MIT).

`lm-eval` scores the options behind the authors' zero-shot prompt, `lm-eval-norm` by characters; where several options
are right, any of them counts, as the harness does. The two cloze tasks (`math`, `gaokao-mathcloze`) are written, and
marked by equivalence with math-verify (the authors' string rules are not reproduced). `letter` works with anything.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from parity.benchmarks.base import Benchmark, Protocol, read_letter
from parity.benchmarks.choices import HARNESS, named, spaced_options, version_of, weigh_by_length
from parity.benchmarks.rows import Row, Source, read_all, rows_of
from parity.core.items import Item, Tag
from parity.core.prompts import Sampling, TextPrompt
from parity.core.scores import Mark
from parity.marking.mathematics import check_available, equivalent

# Task: its language.
CHOICES = {
    "aqua-rat": "en", "gaokao-biology": "zh", "gaokao-chemistry": "zh", "gaokao-chinese": "zh", "gaokao-english": "en",
    "gaokao-geography": "zh", "gaokao-history": "zh", "gaokao-mathqa": "zh", "gaokao-physics": "zh", "jec-qa-ca": "zh",
    "jec-qa-kd": "zh", "logiqa-en": "en", "logiqa-zh": "zh", "lsat-ar": "en", "lsat-lr": "en", "lsat-rc": "en",
    "sat-en": "en", "sat-en-without-passage": "en", "sat-math": "en",
}  # fmt: skip
CLOZES = {"gaokao-mathcloze": "zh", "math": "en"}
_LETTERS = "ABCDEFG"
_ASKS = {"en": "Answer with the letter alone.", "zh": "请只回答选项的字母。"}


def load(folder: Path | None, wanted: tuple[str, ...] = ()) -> Benchmark:
    """The choices of AGIEval from a folder of `<task>.jsonl`; `wanted` are tasks, all 19 when empty.

    Raises:
        DataError: a file is missing or malformed.
        UsageError: there is no such task.
    """
    items = _items(folder, named(CHOICES, wanted, "agieval"))
    version = f"{HARNESS}/0-shot"
    letter = Sampling(8, stop=("\n",))
    protocols = {
        "lm-eval": Protocol("lm-eval", version, prompt, spaced_options),
        "lm-eval-norm": Protocol("lm-eval-norm", version, prompt, spaced_options, weigh=weigh_by_length),
        "letter": Protocol("letter", "1/0-shot", _letter_prompt, sampling=letter, read=read_letter),
    }
    return Benchmark("agieval", version_of(items), tuple(items), protocols, "lm-eval", ("language", "subject"))


def load_cloze(folder: Path | None, wanted: tuple[str, ...] = ()) -> Benchmark:
    """The two cloze tasks, from a folder.

    Raises:
        DataError: a file is missing or malformed, or math-verify is not installed.
        UsageError: there is no such task.
    """
    check_available()
    items = _items(folder, named(CLOZES, wanted, "agieval-cloze"))
    sampling = Sampling(32, stop=("Q:",))
    protocols = {"lm-eval": Protocol("lm-eval", f"{HARNESS}/0-shot", prompt, sampling=sampling, read=_read)}
    return Benchmark("agieval-cloze", version_of(items), tuple(items), protocols, "lm-eval", ("language", "subject"))


def prompt(item: Item) -> TextPrompt:
    """The authors' zero-shot prompt, as `hails/agieval-*` has it in `query`."""
    return TextPrompt(item.question)


def query(task: str, passage: str, question: str, options: Sequence[str]) -> str:
    """The query of a row: passage, question, options as they are, and where the answer begins."""
    last = _LETTERS[max(len(options) - 1, 0)]
    if task in CLOZES:
        return f"{passage}Q: {question}\nA: The answer is" if task == "math" else f"{passage}问题：{question}\n答案："
    shown = " ".join(options)
    if CHOICES[task] == "en":
        return f"{passage}Q: {question} Answer Choices: {shown}\nA: Among A through {last}, the answer is"
    return f"{passage}问题：{question} 选项：{shown}\n答案：从A到{last}, 我们应选择"


def _items(folder: Path | None, tasks: Sequence[str]) -> list[Item]:
    items: list[Item] = []
    for task in tasks:
        source = Source((task,), get_it="The authors' repository has it in data/v1/.")
        found = read_all(rows_of(source, folder, f"AGIEval {task}"), partial(_item, task), task)
        items += [item for item in found if item is not None]
    return items


def _item(task: str, at: int, row: Row) -> Item | None:
    """The item of a row; None for one without a right answer, which nothing could be marked by (jec-qa-kd has one)."""
    options = tuple(str(option) for option in (row.get("options") or ()))  # type: ignore[attr-defined]
    asked = query(task, str(row.get("passage") or ""), str(row["question"]), options)
    label = row.get("label") or row.get("answer")
    if label is None:
        return None
    targets = _right(label, len(options)) if options else (str(label),)
    language = (CHOICES | CLOZES)[task]
    name = f"agieval_{task.replace('-', '_')}/{at}"
    return Item(name, asked, targets, options, (Tag("language", language), Tag("subject", task)))


def _right(label: object, count: int) -> tuple[str, ...]:
    """The letters in a label: one, a list, or a text such as "A B D"; one row has a full stop among them."""
    named_letters = [sign for sign in (label if isinstance(label, list) else str(label)) if sign not in (" ", "。")]
    if not named_letters or not set(named_letters) <= set(_LETTERS[:count]):
        raise ValueError(f"the answer {label!r} is no letter of {count} options")
    return tuple(map(str, named_letters))


def _letter_prompt(item: Item) -> TextPrompt:
    language = next(tag.value for tag in item.tags if tag.kind == "language")
    return TextPrompt(f"{item.question}", f"{_ASKS[language]}\n\n")


def _read(text: str, item: Item) -> Mark:
    return equivalent(text, item.targets)
