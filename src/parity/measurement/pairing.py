"""Two models' scores put side by side, item by item: right or wrong counted, anything else kept as differences.

An item without a score is kept as such, so that a verdict can be asked what it would be had it gone the worst way.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from parity.core.prompts import RequestId
from parity.errors import DataError
from parity.runs.plan import place
from parity.stats.bounded import Units
from parity.stats.paired import PairedCounts

Scores: TypeAlias = Mapping[str, float | None]


@dataclass(frozen=True, slots=True)
class Pairs:
    """Counts of the complete pairs, and of those where one score or both are missing.

    `lost_right`, `lost_wrong`: the candidate has no score, the incumbent was right or wrong. `unmet_right`,
    `unmet_wrong`: the incumbent has none, the candidate was right or wrong. `neither_scored`: both have none.
    """

    counts: PairedCounts
    lost_right: int = 0
    lost_wrong: int = 0
    unmet_right: int = 0
    unmet_wrong: int = 0
    neither_scored: int = 0

    @property
    def missing(self) -> int:
        return self.candidate_missing + self.unmet_right + self.unmet_wrong

    @property
    def candidate_missing(self) -> int:
        return self.lost_right + self.lost_wrong + self.neither_scored

    @property
    def incumbent_missing(self) -> int:
        return self.unmet_right + self.unmet_wrong + self.neither_scored

    @property
    def complete(self) -> "Pairs":
        """The complete pairs alone."""
        return Pairs(self.counts)

    def against_candidate(self) -> PairedCounts:
        """Every missing score imputed the worst way for the candidate."""
        counts = self.counts
        return PairedCounts(
            counts.n + self.missing,
            counts.both + self.unmet_right,
            counts.only_candidate,
            counts.only_incumbent + self.lost_right + self.unmet_wrong + self.neither_scored,
        )

    def for_candidate(self) -> PairedCounts:
        """Every missing score imputed the best way for the candidate."""
        counts = self.counts
        return PairedCounts(
            counts.n + self.missing,
            counts.both + self.lost_right,
            counts.only_candidate + self.lost_wrong + self.unmet_right + self.neither_scored,
            counts.only_incumbent,
        )


@dataclass(frozen=True, slots=True)
class GradedPairs:
    """Scores of both models, shape (I,), items in random order; NaN is no score. `clusters`: a label an item."""

    candidate_I: NDArray[np.float64]
    incumbent_I: NDArray[np.float64]
    clusters: tuple[str, ...] | None = None

    @property
    def complete_I(self) -> NDArray[np.bool_]:
        return ~(np.isnan(self.candidate_I) | np.isnan(self.incumbent_I))

    @property
    def missing(self) -> int:
        return int((~self.complete_I).sum())

    @property
    def candidate_missing(self) -> int:
        return int(np.isnan(self.candidate_I).sum())

    @property
    def incumbent_missing(self) -> int:
        return int(np.isnan(self.incumbent_I).sum())

    @property
    def complete(self) -> "GradedPairs":
        """The complete pairs alone."""
        kept_I = self.complete_I
        labels = None if self.clusters is None else tuple(np.asarray(self.clusters)[kept_I].tolist())
        return GradedPairs(self.candidate_I[kept_I], self.incumbent_I[kept_I], labels)

    @property
    def counts(self) -> Units:
        """Differences of the complete pairs."""
        return self._units(self.candidate_I - self.incumbent_I, self.complete_I)

    def against_candidate(self) -> Units:
        """Every missing score imputed the worst way for the candidate."""
        return self._units(np.nan_to_num(self.candidate_I, nan=0.0) - np.nan_to_num(self.incumbent_I, nan=1.0))

    def for_candidate(self) -> Units:
        """Every missing score imputed the best way for the candidate."""
        return self._units(np.nan_to_num(self.candidate_I, nan=1.0) - np.nan_to_num(self.incumbent_I, nan=0.0))

    def _units(self, difference_I: NDArray[np.float64], kept_I: NDArray[np.bool_] | None = None) -> Units:
        kept_I = np.ones(len(difference_I), bool) if kept_I is None else kept_I
        labels = None if self.clusters is None else np.asarray(self.clusters)[kept_I]
        return Units.of(difference_I[kept_I], labels)


AnyPairs: TypeAlias = Pairs | GradedPairs


def pair(candidate: Scores, incumbent: Scores, clusters: Mapping[str, str] | None = None) -> AnyPairs:
    """Pair two sets of scores by item; None is an item without a score, an absent item likewise.

    Scores that are all 0 or 1 are counted. Graded scores become differences, and so do items of which `clusters` says
    that some hang together; an item it does not name stands alone.

    Raises:
        DataError: no item has both scores, or a score lies outside [0, 1].
    """
    items = sorted(candidate.keys() | incumbent.keys(), key=lambda item: place(RequestId(item)))
    if not any(candidate.get(item) is not None and incumbent.get(item) is not None for item in items):
        raise DataError(
            f"No item has a score from both models ({len(candidate)} items against {len(incumbent)}).",
            "Check that both name their items alike.",
        )
    labels = (
        tuple(f"in {clusters[item]}" if item in clusters else f"alone {item}" for item in items) if clusters else ()
    )
    together = len(set(labels)) < len(labels)
    if not together and all(is_binary(score) for scores in (candidate, incumbent) for score in scores.values()):
        return _counted(items, candidate, incumbent)
    ours, theirs = (np.array([checked(item, side.get(item)) for item in items]) for side in (candidate, incumbent))
    return GradedPairs(ours, theirs, labels if together else None)


def _counted(items: list[str], candidate: Scores, incumbent: Scores) -> Pairs:
    table = {key: 0 for key in ((a, b) for a in (0, 1, None) for b in (0, 1, None))}
    for item in items:
        ours, theirs = candidate.get(item), incumbent.get(item)
        table[None if ours is None else int(ours), None if theirs is None else int(theirs)] += 1
    complete = table[1, 1] + table[1, 0] + table[0, 1] + table[0, 0]
    counts = PairedCounts(complete, table[1, 1], table[1, 0], table[0, 1])
    return Pairs(counts, table[None, 1], table[None, 0], table[1, None], table[0, None], table[None, None])


def is_binary(score: float | None) -> bool:
    """Whether a score is right or wrong, or missing."""
    return score is None or score in (0, 1)


def checked(item: str, score: float | None) -> float:
    """A score as a number, NaN where there is none.

    Raises:
        DataError: it lies outside [0, 1].
    """
    if score is None:
        return float("nan")
    if not 0 <= score <= 1:
        raise DataError(
            f"Item {item!r} has score {score}; scores lie between 0 and 1.", "Scale the scores of both models alike."
        )
    return float(score)
