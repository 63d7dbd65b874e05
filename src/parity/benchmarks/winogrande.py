"""WinoGrande: which of two names fills the blank, 1,267 in the validation split (Sakaguchi et al. 2019, 1907.10641).

The harness scores what comes after the blank, behind each of the two fillings: the options are in the prompt, and the
continuation is the same (partial scoring, Trinh & Le 2018). Data CC-BY.
"""

from pathlib import Path

from parity.benchmarks.base import Benchmark
from parity.benchmarks.choices import Choice, ChoiceForm, load_choices
from parity.benchmarks.hub import HubFile
from parity.benchmarks.rows import Row, Source
from parity.core.items import Item
from parity.core.prompts import TextPrompt

_HUB = HubFile(
    "allenai/winogrande",
    "01e74176c63542e6b0bcb004dcdea22d94fb67b5",
    "winogrande_xl/validation-00000-of-00001.parquet",
)


def read(row: Row) -> Choice:
    sentence = str(row["sentence"])
    if "_" not in sentence:
        raise ValueError("a sentence without a blank")
    return Choice(sentence, (str(row["option1"]), str(row["option2"])), int(str(row["answer"])) - 1)


def prompt(item: Item) -> TextPrompt:
    return TextPrompt("")


def contexts(item: Item) -> tuple[str, ...]:
    """The sentence up to the blank, filled."""
    before = item.question.partition("_")[0]
    return tuple(before + option for option in item.options)


def continuations(item: Item) -> tuple[str, ...]:
    """What comes after the blank, once for each filling."""
    after = item.question.partition("_")[2].strip()
    return (f" {after}",) * len(item.options)


FORM = ChoiceForm(
    "winogrande",
    Source(("winogrande_validation", "winogrande_xl_validation"), _HUB),
    read,
    prompt,
    norm=False,
    asks="Answer with the letter of what fills the blank (_) alone.",
    contexts=contexts,
    continuations=continuations,
)


def load(folder: Path | None, _: tuple[str, ...] = ()) -> Benchmark:
    """WinoGrande, validation split of winogrande_xl. Raises DataError: see `load_choices`."""
    return load_choices(FORM, folder)
