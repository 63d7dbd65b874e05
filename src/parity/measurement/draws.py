"""Several answers to each item: what an item is worth then, and pass@k.

The draws of one item are not independent of each other, so an item counts once, with the mean of its draws; an item is
the cluster, and intervals are over items. An unscored draw is no failed one: it may have been either.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from parity.core.runs import Marked
from parity.core.scores import Score
from parity.stats.bounded import share_interval
from parity.stats.pass_at_k import pass_at_k

# The k that reports of the field name.
KS = (1, 5, 10, 100)


@dataclass(frozen=True, slots=True)
class ItemScore:
    """An item's mean score over its scored draws, None without any; `least` and `most` if the others had one."""

    mean: float | None
    least: float
    most: float
    scored: int
    total: float

    @property
    def binary(self) -> bool:
        """Right or wrong as a whole, or without any score."""
        return self.mean is None or (self.mean in (0, 1) and self.least == self.most)


NO_SCORE = ItemScore(None, 0.0, 1.0, 0, 0.0)


def single(score: float | None) -> ItemScore:
    """An item that was answered once."""
    return NO_SCORE if score is None else ItemScore(score, score, score, 1, score)


@dataclass(frozen=True, slots=True)
class PassAt:
    """Unbiased pass@k, averaged over the items, with its 95 % interval over items."""

    k: int
    value: float
    low: float
    high: float
    items: int


def item_scores(marks: Iterable[Marked]) -> dict[str, ItemScore]:
    """What each item is worth, in the order of the marks."""
    draws: dict[str, list[float | None]] = {}
    for marked in marks:
        score = marked.mark.value if isinstance(marked.mark, Score) else None
        draws.setdefault(marked.item, []).append(score)
    return {item: _item_score(found) for item, found in draws.items()}


def _item_score(draws: Sequence[float | None]) -> ItemScore:
    scores = [score for score in draws if score is not None]
    total, missing = math.fsum(scores), len(draws) - len(scores)
    mean = total / len(scores) if scores else None
    return ItemScore(mean, total / len(draws), (total + missing) / len(draws), len(scores), total)


def pass_at(marks: Sequence[Marked]) -> tuple[PassAt, ...]:
    """pass@k for every k of KS that all scored items have draws for; nothing where a score is neither 0 nor 1."""
    if any(isinstance(marked.mark, Score) and marked.mark.value not in (0, 1) for marked in marks):
        return ()
    items = [found for found in item_scores(marks).values() if found.scored]
    fewest = min((found.scored for found in items), default=0)
    found = []
    for k in (k for k in KS if k <= fewest):
        values = [pass_at_k(item.scored, int(item.total), k) for item in items]
        interval = share_interval(values)
        found.append(PassAt(k, math.fsum(values) / len(values), interval.low, interval.high, len(items)))
    return tuple(found)
