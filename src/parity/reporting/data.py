"""How imported, split and audited training data reads; masks in colour: green is trained, grey is only read."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.text import Text

from parity.core.digests import Plain
from parity.reporting.page import Block, Page, Sentence, Table, percent


@dataclass(frozen=True, slots=True)
class Seen:
    """A sequence as the model sees it: pieces of text, and whether each is trained."""

    row_id: str
    tokens: int
    pieces: tuple[tuple[str, bool], ...]


def seen_text(seen: Seen) -> Text:
    """The sequence with its mask in colour; without colours, what is trained stands between » and «."""
    text = Text.assemble((f"{seen.row_id[:16]}, {seen.tokens} tokens\n", "bold"))
    for piece, trained in seen.pieces:
        text.append(f"»{piece}«" if trained else piece, "green" if trained else "dim")
    return text.append("\n")


def counts_page(title: str, lines: Sequence[str], counted: dict[str, dict[str, int]], good: bool = True) -> Page:
    """A title, a table of counts for each heading, and sentences."""
    blocks: list[Block] = [
        Table((heading, "rows"), tuple((name, f"{count:,}") for name, count in counts.items()))
        for heading, counts in counted.items()
        if counts
    ]
    blocks += [Sentence(line, "" if good else "yellow") for line in lines]
    return Page(title, tuple(blocks))


def leakage_sentence(sampled: int, near: float, half_alike: float) -> str:
    """What leaks, from a sample of test rows."""
    if not sampled:
        return "No leakage estimate: there are no training or no test rows."
    return (
        f"Leakage estimate: of {sampled} test rows, {percent(near)} have a training row at least .8 alike, "
        f"{percent(half_alike)} one at least .5 alike (Jaccard of word 3-grams, by MinHash)."
    )


def seen_json(seen: Seen) -> dict[str, Plain]:
    """The sequence for machines."""
    pieces: Plain = [{"text": piece, "trained": trained} for piece, trained in seen.pieces]
    return {"id": seen.row_id, "tokens": seen.tokens, "pieces": pieces}
