"""OpenBookQA: 500 questions on elementary science (Mihaylov et al. 2018, arXiv 1809.02789; Apache-2.0).

The harness shows the question alone and scores the options behind it.
"""

from collections.abc import Mapping
from pathlib import Path

from parity.benchmarks.base import Benchmark
from parity.benchmarks.choices import Choice, ChoiceForm, listed_options, load_choices
from parity.benchmarks.hub import HubFile
from parity.benchmarks.rows import Row, Source, texts
from parity.core.items import Item
from parity.core.prompts import TextPrompt

_HUB = HubFile("allenai/openbookqa", "388097ea7776314e93a529163e0fea805b8a6454", "main/test-00000-of-00001.parquet")


def read(row: Row) -> Choice:
    if isinstance(choices := row.get("choices"), Mapping):
        right = list(choices["label"]).index(str(row["answerKey"]).lstrip())
        return Choice(str(row["question_stem"]), texts(choices["text"]), right)
    question, options = listed_options(str(row["query"]))
    return Choice(question, options, int(str(row["gold"])))


def prompt(item: Item) -> TextPrompt:
    return TextPrompt(item.question)


FORM = ChoiceForm("openbookqa", Source(("openbookqa_test",), _HUB), read, prompt, default="lm-eval-norm")


def load(folder: Path | None, _: tuple[str, ...] = ()) -> Benchmark:
    """OpenBookQA, test split. Raises DataError: see `load_choices`."""
    return load_choices(FORM, folder)
