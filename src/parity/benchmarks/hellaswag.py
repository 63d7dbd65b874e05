"""HellaSwag: how a scene goes on, 10,042 in the validation split (Zellers et al. 2019, arXiv 1905.07830; MIT).

The harness cleans WikiHow's brackets out of contexts and endings.
"""

import re
from pathlib import Path

from parity.benchmarks.base import Benchmark
from parity.benchmarks.choices import Choice, ChoiceForm, load_choices
from parity.benchmarks.hub import HubFile
from parity.benchmarks.rows import Row, Source, texts
from parity.core.items import Item
from parity.core.prompts import TextPrompt

_BRACKETS = re.compile(r"\[.*?\]")
_HUB = HubFile("Rowan/hellaswag", "218ec52e09a7e7462a5400043bb9a69a41d06b76", "data/validation-00000-of-00001.parquet")


def read(row: Row) -> Choice:
    if "endings" in row:
        scene = f"{row['activity_label']}: {row['ctx_a']} {str(row['ctx_b']).capitalize()}"
        return Choice(clean(scene), tuple(map(clean, texts(row["endings"]))), int(str(row["label"])))
    # OLMES strips the brackets alike, but leaves the doubled spaces behind.
    return Choice(clean(str(row["query"])), tuple(map(clean, texts(row["choices"]))), int(str(row["gold"])))


def clean(text: str) -> str:
    """Text without titles in brackets and doubled spaces, in the harness's order of doing it.

    >>> clean(" How to [title] wave [step] Lift  it ")
    'How to. wave Lift it'
    """
    return _BRACKETS.sub("", text.strip().replace(" [title]", ". ")).replace("  ", " ")


def prompt(item: Item) -> TextPrompt:
    return TextPrompt(item.question)


FORM = ChoiceForm(
    "hellaswag", Source(("hellaswag_validation", "hellaswag_val"), _HUB), read, prompt, default="lm-eval-norm",
    asks="Answer with the letter of the likeliest continuation alone.",
)  # fmt: skip


def load(folder: Path | None, _: tuple[str, ...] = ()) -> Benchmark:
    """HellaSwag, validation split. Raises DataError: see `load_choices`."""
    return load_choices(FORM, folder)
