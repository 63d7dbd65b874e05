"""Headlines about gold: does its price go up, down, neither, or is it no such news (Sinha & Khandait, 2009.04202).

5,000 rows of FrugalGPT's test split (Chen et al. 2023, arXiv 2305.05176), three columns without a header: the prompt,
the label, an index. The question is theirs (`Q: headline`, `A:`), the instruction before it ours.
"""

import csv
import io
from pathlib import Path

from parity.benchmarks.base import Benchmark
from parity.benchmarks.choices import version_of
from parity.benchmarks.labels import label_protocols
from parity.benchmarks.rows import Source
from parity.core.items import Item
from parity.core.prompts import TextPrompt
from parity.errors import DataError
from parity.files import read_text

SOURCE = Source(("headlines_test", "test"), get_it="FrugalGPT has it in data/HEADLINES/test.csv.")
LABELS = ("up", "down", "neutral", "none")
_TELLS = (
    "Does the headline say that the price of gold goes up or down, that it stays (neutral), or is it no such news "
    "(none)? Answer with up, down, neutral or none.\n\n"
)


def load(folder: Path | None, _: tuple[str, ...] = ()) -> Benchmark:
    """Headlines, test split of FrugalGPT. Raises DataError: the data is missing or malformed."""
    path = SOURCE.find(folder) if folder else None
    if path is None:
        raise DataError("Headlines are read from a file.", f"Name its folder with --data. {SOURCE.get_it}")
    items = []
    for at, row in enumerate(csv.reader(io.StringIO(read_text(path, "file of headlines", DataError), newline=""))):
        if len(row) != 3 or row[1] not in LABELS:
            raise DataError(f"{path}, row {at + 1}, is not a prompt, a label and an index.", "Use the published file.")
        items.append(Item(f"headlines/{at}", row[0], (row[1],)))
    protocols = label_protocols(_prompt, lambda _: LABELS, "1/frugalgpt", 4)
    return Benchmark("headlines", version_of(items), tuple(items), protocols, "label")


def _prompt(item: Item) -> TextPrompt:
    return TextPrompt(item.question, _TELLS)
