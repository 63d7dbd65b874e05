"""MedMCQA: 4,183 questions of Indian medical entrance exams, validation split (Pal et al. 2022, 2203.14371; MIT).

The authors count the right option (`cop`) from 1, the hub's edition from 0; a file says by itself which it does.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from parity.benchmarks.base import Benchmark
from parity.benchmarks.choices import Choice, ChoiceForm, choices_benchmark, lettered_options
from parity.benchmarks.rows import Row, Source, rows_of
from parity.core.items import Item, Tag
from parity.core.prompts import TextPrompt
from parity.errors import DataError

SOURCE = Source(("medmcqa_dev", "dev", "validation"), get_it="MIRAGE's repository has it in rawdata/medmcqa/data/.")
_OPTIONS = ("opa", "opb", "opc", "opd")


def load(folder: Path | None, _: tuple[str, ...] = ()) -> Benchmark:
    """MedMCQA, validation split. Raises DataError: the data is missing or malformed."""
    rows = rows_of(SOURCE, folder, "MedMCQA")
    form = ChoiceForm(
        "medmcqa", SOURCE, partial(_read, _first(rows)), prompt, letters=True, norm=False, groupings=("subject",)
    )
    return choices_benchmark(form, rows)


def prompt(item: Item) -> TextPrompt:
    return TextPrompt(f"Question: {item.question}\nChoices:\n{lettered_options(item)}\nAnswer:")


def _first(rows: Sequence[Row]) -> int:
    """What the first option is called."""
    seen = {str(row.get("cop")) for row in rows}
    if "0" in seen and "4" not in seen:
        return 0
    if "4" in seen and "0" not in seen:
        return 1
    raise DataError(
        f"MedMCQA: `cop` is {', '.join(sorted(seen)[:6])}, so options count neither from 0 nor from 1.",
        "Use the whole published file: the test split has no answers.",
    )


def _read(first: int, row: Row) -> Choice:
    tags = (Tag("subject", str(row["subject_name"])),) if row.get("subject_name") else ()
    return Choice(str(row["question"]), tuple(str(row[name]) for name in _OPTIONS), int(str(row["cop"])) - first, tags)
