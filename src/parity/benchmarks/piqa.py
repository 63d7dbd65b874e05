"""PIQA: which of two ways reaches a goal, 1,838 in the validation split (Bisk et al. 2019, 1911.11641; AFL-3.0)."""

from pathlib import Path

from parity.benchmarks.base import Benchmark
from parity.benchmarks.choices import Choice, ChoiceForm, load_choices
from parity.benchmarks.hub import HubFile
from parity.benchmarks.rows import Row, Source
from parity.core.items import Item
from parity.core.prompts import TextPrompt

_HUB = HubFile("baber/piqa", "142f6d7367fd9877f0fb3b5734ea6a545f54cdd1", "piqa_validation.parquet")


def read(row: Row) -> Choice:
    return Choice(str(row["goal"]), (str(row["sol1"]), str(row["sol2"])), int(str(row["label"])))


def prompt(item: Item) -> TextPrompt:
    return TextPrompt(f"Question: {item.question}\nAnswer:")


FORM = ChoiceForm("piqa", Source(("piqa_validation",), _HUB), read, prompt, default="lm-eval-norm")


def load(folder: Path | None, _: tuple[str, ...] = ()) -> Benchmark:
    """PIQA, validation split. Raises DataError: see `load_choices`."""
    return load_choices(FORM, folder)
