"""Chinese exams in MMLU's manner: CMMLU (67 subjects; Li et al. 2023, 2306.09212) and C-Eval (52; Huang et al. 2023,
2305.08322; both CC-BY-NC-SA-4.0). Read from their own layout: `dev/` with the worked examples, `test/` (CMMLU) or
`val/` (C-Eval, whose test answers are not public), a CSV a subject.

`5-shot` scores letters behind the examples of the subject, `letter` reads a written one. The sentence that names the
subject uses the file's name: subject titles in Chinese are in no data file.
"""

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from parity.benchmarks.base import Benchmark, Protocol, read_letter, spaced_letters
from parity.benchmarks.choices import lettered_options, named, version_of
from parity.benchmarks.rows import Row, entries, read_all
from parity.core.items import Item, Tag
from parity.core.prompts import Sampling, TextPrompt
from parity.errors import DataError

SHOTS = 5
_LETTERS = ("A", "B", "C", "D")


def load_cmmlu(folder: Path | None, wanted: tuple[str, ...] = ()) -> Benchmark:
    """CMMLU: `test/<subject>.csv`, `dev/<subject>.csv`. Raises DataError, UsageError: see `_load`."""
    return _load("cmmlu", "test", folder, wanted)


def load_ceval(folder: Path | None, wanted: tuple[str, ...] = ()) -> Benchmark:
    """C-Eval: `val/<subject>_val.csv`, `dev/<subject>_dev.csv`. Raises DataError, UsageError: see `_load`."""
    return _load("ceval", "val", folder, wanted)


def _load(name: str, split: str, folder: Path | None, wanted: tuple[str, ...]) -> Benchmark:
    """Raises DataError: files are missing or malformed. UsageError: there is no such subject."""
    found = sorted((folder / split).glob("*.csv")) if folder else []
    if folder is None or not found:
        raise DataError(
            f"{name} is read from {split}/<subject>.csv.", f"Name the folder that holds {split}/ with --data."
        )
    files = {path.stem.removesuffix(f"_{split}"): path for path in found}
    items: list[Item] = []
    shots: dict[str, tuple[str, ...]] = {}
    for subject in named(dict.fromkeys(files, ""), wanted, name):
        items += read_all(entries(files[subject]), partial(_item, name, subject), subject)
        shots[subject] = _shots(name, subject, folder / "dev")
    asked = partial(_prompt, shots)
    letter = Sampling(8, stop=("\n",))
    protocols = {
        "5-shot": Protocol("5-shot", "1/5-shot", asked, spaced_letters),
        "letter": Protocol("letter", "1/5-shot", asked, sampling=letter, read=read_letter),
    }
    return Benchmark(name, version_of(items), tuple(items), protocols, "5-shot", ("subject",))


def _shots(name: str, subject: str, folder: Path) -> tuple[str, ...]:
    path = next((way for way in (folder / f"{subject}.csv", folder / f"{subject}_dev.csv") if way.is_file()), None)
    if path is None:
        raise DataError(
            f"{folder} holds no worked examples of {subject}.", "Name the folder that holds dev/ with --data."
        )
    shown = read_all(entries(path), partial(_item, name, subject), f"{subject}, worked examples")[:SHOTS]
    return tuple(f"{_asked(item)} {item.targets[0]}\n\n" for item in shown)


def _item(name: str, subject: str, at: int, row: Row) -> Item:
    low = {key.lower(): str(value) for key, value in row.items()}
    answer = low["answer"].strip()
    if answer not in _LETTERS:
        raise ValueError(f"the answer {answer!r} is no letter")
    options = tuple(low[letter.lower()] for letter in _LETTERS)
    return Item(f"{name}_{subject}/{at}", low["question"].strip(), (answer,), options, (Tag("subject", subject),))


def _asked(item: Item) -> str:
    return f"{item.question}\n{lettered_options(item)}\n答案："


def _prompt(shots: Mapping[str, tuple[str, ...]], item: Item) -> TextPrompt:
    subject = item.tags[0].value
    return TextPrompt(_asked(item), f"以下是关于{subject}的单项选择题，请直接给出正确答案的选项。\n\n", shots[subject])
