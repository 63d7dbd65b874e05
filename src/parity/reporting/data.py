"""How imported, split and audited training data reads; masks in colour: green is trained, grey is only read."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from rich.text import Text

from parity.core.digests import Plain
from parity.reporting.page import Block, Page, Sentence, Table, percent

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


@dataclass(frozen=True, slots=True)
class Seen:
    """A sequence as the model sees it: pieces of text, and whether each is trained; `part` is "chosen", say."""

    row_id: str
    part: str
    tokens: int
    pieces: tuple[tuple[str, bool], ...]


def seen_text(seen: Seen) -> Text:
    """The sequence with its mask in colour; without colours, what is trained stands between » and «.

    Control characters are shown by their pictures: rows must not steer the terminal they are shown on.
    """
    part = f", {seen.part}" if seen.part else ""
    text = Text.assemble((f"{seen.row_id[:16]}{part}, {seen.tokens} tokens\n", "bold"))
    for raw, trained in seen.pieces:
        piece = _CONTROL.sub(_picture, raw)
        text.append(f"»{piece}«" if trained else piece, "green" if trained else "dim")
    return text.append("\n")


def _picture(found: re.Match[str]) -> str:
    code = ord(found.group())
    return chr(0x2400 + code) if code < 0x20 else "\u2421" if code == 0x7F else "\ufffd"


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
    part: dict[str, Plain] = {"part": seen.part} if seen.part else {}
    return {"id": seen.row_id, **part, "tokens": seen.tokens, "pieces": pieces}
