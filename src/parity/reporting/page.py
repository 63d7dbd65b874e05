"""A page is a title and blocks; what it looks like is decided by whoever draws it."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Heading:
    text: str


@dataclass(frozen=True, slots=True)
class Sentence:
    """A paragraph. `tone` colours it where there are colours."""

    text: str
    tone: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of text under named columns; the first column is left-aligned, the others right."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Figure:
    """Lines drawn with characters, shown as they are."""

    lines: tuple[str, ...]


Block: TypeAlias = Heading | Sentence | Table | Figure


@dataclass(frozen=True, slots=True)
class Page:
    title: str
    blocks: tuple[Block, ...]


def percent(fraction: float) -> str:
    """A share in per cent with one digit.

    >>> percent(0.79301)
    '79.3 %'
    """
    return f"{100 * fraction:.1f} %"


def points(fraction: float) -> str:
    """A difference of shares in points, signed.

    >>> points(-0.0528)
    '-5.28'
    """
    return f"{100 * fraction:+.2f}"


def when(seconds: float) -> str:
    """A moment to the minute, UTC.

    >>> when(0)
    '1970-01-01 00:00'
    """
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M")
