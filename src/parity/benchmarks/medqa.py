"""MedQA: 1,273 questions of the US medical licensing exam, four options (Jin et al. 2020, arXiv 2009.13081; MIT).

Item ids follow the file's order. Reads the authors' rows and those of the hub's `-hf` edition.
"""

from collections.abc import Mapping
from pathlib import Path

from parity.benchmarks.base import Benchmark
from parity.benchmarks.choices import Choice, ChoiceForm, lettered_options, load_choices
from parity.benchmarks.rows import Row, Source
from parity.core.items import Item
from parity.core.prompts import TextPrompt

SOURCE = Source(
    ("medqa_us_4options_test", "phrases_no_exclude_test", "medqa_test"),
    get_it="MIRAGE's repository has it in rawdata/medqa/.",
)


def read(row: Row) -> Choice:
    if isinstance(options := row.get("options"), Mapping):
        letters = sorted(map(str, options))
        return Choice(
            str(row["question"]), tuple(str(options[key]) for key in letters), letters.index(str(row["answer_idx"]))
        )
    return Choice(str(row["sent1"]), tuple(str(row[f"ending{at}"]) for at in range(4)), int(str(row["label"])))


def prompt(item: Item) -> TextPrompt:
    return TextPrompt(f"Question: {item.question}\n{lettered_options(item)}\nAnswer:")


FORM = ChoiceForm("medqa_4options", SOURCE, read, prompt, letters=True, norm=False)


def load(folder: Path | None, _: tuple[str, ...] = ()) -> Benchmark:
    """MedQA, US test split. Raises DataError: see `load_choices`."""
    return load_choices(FORM, folder)
