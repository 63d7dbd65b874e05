"""ARC: 2,376 easy and 1,172 challenging science questions (Clark et al. 2018, arXiv 1803.05457; CC-BY-SA-4.0).

Options are three to five. Reads the hub's rows and OLMES's request files. Ranking of answers is usually quoted by
characters for the challenge, plainly for the easy part.
"""

from collections.abc import Mapping
from pathlib import Path

from parity.benchmarks.base import Benchmark
from parity.benchmarks.choices import Choice, ChoiceForm, listed_options, load_choices
from parity.benchmarks.hub import HubFile
from parity.benchmarks.rows import Row, Source, texts
from parity.core.items import Item
from parity.core.prompts import TextPrompt

_COMMIT = "210d026faf9955653af8916fad021475a3f00453"


def read(row: Row) -> Choice:
    if isinstance(choices := row.get("choices"), Mapping):
        right = list(choices["label"]).index(row["answerKey"])
        return Choice(str(row["question"]), texts(choices["text"]), right)
    question, options = listed_options(str(row["query"]))
    return Choice(question, options, int(str(row["gold"])))


def prompt(item: Item) -> TextPrompt:
    return TextPrompt(f"Question: {item.question}\nAnswer:")


def _form(name: str, part: str, default: str) -> ChoiceForm:
    hub = HubFile("allenai/ai2_arc", _COMMIT, f"{part}/test-00000-of-00001.parquet")
    return ChoiceForm(name, Source((f"{name}_test", f"{part}-Test"), hub), read, prompt, default=default)


CHALLENGE = _form("arc_challenge", "ARC-Challenge", "lm-eval-norm")
EASY = _form("arc_easy", "ARC-Easy", "lm-eval")


def load_challenge(folder: Path | None, _: tuple[str, ...] = ()) -> Benchmark:
    """ARC-Challenge, test split. Raises DataError: see `load_choices`."""
    return load_choices(CHALLENGE, folder)


def load_easy(folder: Path | None, _: tuple[str, ...] = ()) -> Benchmark:
    """ARC-Easy, test split. Raises DataError: see `load_choices`."""
    return load_choices(EASY, folder)
