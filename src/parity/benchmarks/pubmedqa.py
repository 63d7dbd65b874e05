"""PubMedQA: yes, no or maybe to a question on an abstract without its conclusion (Jin et al. 2019, 1909.06146; MIT).

`ori_pqal.json` has 1,000 questions that experts labelled; where `test_ground_truth.json` lies beside it, the 500 of the
test split are asked, in its order. Item ids are PubMed's.
"""

from pathlib import Path

from parity.benchmarks.base import Benchmark
from parity.benchmarks.choices import Choice, ChoiceForm, choice_protocols, version_of
from parity.benchmarks.rows import Row, Source, entries, read_all, rows_of, texts
from parity.core.items import Item
from parity.core.prompts import TextPrompt

SOURCE = Source(("ori_pqal",), get_it="The authors' repository has it in data/.")
_TEST = Source(("test_ground_truth",))
_OPTIONS = ("yes", "no", "maybe")


def load(folder: Path | None, _: tuple[str, ...] = ()) -> Benchmark:
    """PubMedQA, the labelled questions. Raises DataError: the data is missing or malformed."""
    rows = {str(row["key"]): row for row in rows_of(SOURCE, folder, "PubMedQA")}
    split = _TEST.find(folder) if folder and folder.is_dir() else None
    if split is not None:
        rows = {key: rows[key] for key in entries(split)[0] if key in rows}
    items = read_all(rows.values(), _item, "pubmedqa")
    return Benchmark("pubmedqa", version_of(items), tuple(items), choice_protocols(FORM), "lm-eval")


def read(row: Row) -> Choice:
    abstract = "\n".join(texts(row["CONTEXTS"]))
    question = f"Abstract: {abstract}\nQuestion: {row['QUESTION']}"
    return Choice(question, _OPTIONS, _OPTIONS.index(str(row["final_decision"])))


def prompt(item: Item) -> TextPrompt:
    return TextPrompt(f"{item.question}\nAnswer:")


def _item(_: int, row: Row) -> Item:
    return read(row).item(f"pubmedqa/{row['key']}")


FORM = ChoiceForm("pubmedqa", SOURCE, read, prompt, norm=False)
