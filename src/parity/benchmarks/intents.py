"""Intents of messages: BANKING77 (3,080 to test, 77 intents; Casanueva et al. 2020, arXiv 2003.04807; CC-BY-4.0)
and SNIPS (700, seven intents; Coucke et al. 2018, arXiv 1805.10190; CC0-1.0).

No published protocol asks language models alike, so the prompt is ours and named by its version: the list of intents,
the message, one intent to name.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from parity.benchmarks.base import Benchmark
from parity.benchmarks.choices import version_of
from parity.benchmarks.labels import label_protocols, shown
from parity.benchmarks.rows import Row, Source, read_all, rows_of
from parity.core.digests import digest
from parity.core.items import Item, Tag
from parity.core.prompts import TextPrompt
from parity.errors import DataError
from parity.files import read_text

BANKING = Source(("banking77_test", "test"), get_it="The authors' repository has it in banking_data/.")
_ASKS = "Name the intent of the message with one of these labels, and nothing else."


def load_banking77(folder: Path | None, _: tuple[str, ...] = ()) -> Benchmark:
    """BANKING77, test split: rows of text and category. Raises DataError: the data is missing or malformed."""
    pairs = read_all(rows_of(BANKING, folder, "BANKING77"), _banking, "banking77")
    return assemble("banking77", pairs)


def load_snips(folder: Path | None, _: tuple[str, ...] = ()) -> Benchmark:
    """SNIPS, test split of SlotGated: `test/seq.in` and `test/label`, or both in the folder itself.

    Raises:
        DataError: a file is missing, or they are not equally long.
    """
    if folder is None:
        raise DataError(
            "SNIPS is read from files.", "Name the folder that holds test/seq.in and test/label with --data."
        )
    texts, labels = (_lines(folder, name) for name in ("seq.in", "label"))
    if len(texts) != len(labels):
        raise DataError(f"{folder}: {len(texts)} messages and {len(labels)} labels.", "Use the published files.")
    return assemble("snips", list(zip(texts, labels, strict=True)))


def assemble(name: str, pairs: Sequence[tuple[str, str]]) -> Benchmark:
    """The benchmark over (message, intent) pairs; labels are all intents that occur, with spaces for underscores."""
    labels = sorted({label for _, label in pairs})
    items = [
        Item(f"{name}/{at}", text, (label,), (), (Tag("intent", label),)) for at, (text, label) in enumerate(pairs)
    ]
    version = f"1/{digest((_ASKS, labels))[:8]}"
    protocols = label_protocols(partial(_prompt, labels), lambda _: labels, version)
    return Benchmark(name, version_of(items), tuple(items), protocols, "label", ("intent",))


def _banking(_: int, row: Row) -> tuple[str, str]:
    return str(row["text"]).strip(), str(row["category"]).replace("_", " ")


def _lines(folder: Path, name: str) -> list[str]:
    ways = [folder / part / f"{name}{end}" for part in ("test", ".") for end in ("", ".gz")]
    path = next((way for way in ways if way.is_file()), ways[0])
    return read_text(path, "list of intents", DataError).splitlines()


def _prompt(labels: Sequence[str], item: Item) -> TextPrompt:
    return TextPrompt(f"Message: {item.question}\nIntent:", f"{_ASKS}\n\n{shown(labels)}\n\n")
