"""BoolQ: yes or no to a question on a passage, 3,270 in SuperGLUE's validation split (Clark et al. 2019, 1905.10044).

Options are `no` and `yes`, in the harness's order. Data CC-BY-SA-3.0.
"""

from pathlib import Path

from parity.benchmarks.base import Benchmark
from parity.benchmarks.choices import Choice, ChoiceForm, load_choices
from parity.benchmarks.hub import HubFile
from parity.benchmarks.rows import Row, Source
from parity.core.items import Item
from parity.core.prompts import TextPrompt

_OPTIONS = ("no", "yes")
_HUB = HubFile("aps/super_glue", "3de24cf8022e94f4ee4b9d55a6f539891524d646", "boolq/validation-00000-of-00001.parquet")


def read(row: Row) -> Choice:
    if "passage" in row:
        answer = row["label"] if "label" in row else row["answer"]
        return Choice(f"{row['passage']}\nQuestion: {row['question']}?", _OPTIONS, int(bool(answer)))
    # OLMES: the query is the harness's prompt, with ` A. yes` and ` B. no` in it where letters are asked for.
    question = str(row["query"]).removesuffix("\nAnswer:").removesuffix("\n A. yes\n B. no")
    return Choice(question, _OPTIONS, 1 - int(str(row["gold"])))


def prompt(item: Item) -> TextPrompt:
    return TextPrompt(f"{item.question}\nAnswer:")


FORM = ChoiceForm(
    "boolq", Source(("boolq_validation", "boolq_validation_0shot"), _HUB), read, prompt, norm=False
)  # fmt: skip


def load(folder: Path | None, _: tuple[str, ...] = ()) -> Benchmark:
    """BoolQ, validation split. Raises DataError: see `load_choices`."""
    return load_choices(FORM, folder)
