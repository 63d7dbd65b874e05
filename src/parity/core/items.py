"""Benchmark items: one question, its options where it has them, and its gold answers."""

from dataclasses import dataclass
from typing import NamedTuple


class Tag(NamedTuple):
    """A slice an item belongs to, such as subject=anatomy."""

    kind: str
    value: str

    def __str__(self) -> str:
        return f"{self.kind}={self.value}"

    @classmethod
    def parse(cls, text: str) -> "Tag":
        kind, _, value = text.partition("=")
        return cls(kind, value)


@dataclass(frozen=True, slots=True)
class Item:
    """One question. `targets` are the accepted answers: a letter when there are options, text otherwise."""

    id: str
    question: str
    targets: tuple[str, ...]
    options: tuple[str, ...] = ()
    tags: tuple[Tag, ...] = ()

    @property
    def letters(self) -> tuple[str, ...]:
        """The letters that name the options, A first."""
        return tuple(chr(ord("A") + index) for index in range(len(self.options)))
