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
from parity.measurement.draws import NO_SCORE, ItemScore, single
from parity.runs.plan import place
from parity.stats.bounded import Units
from parity.stats.paired import PairedCounts

FloatArray: TypeAlias = NDArray[np.float64]
Scores: TypeAlias = Mapping[str, float | None]
ItemScores: TypeAlias = Mapping[str, ItemScore]


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
class Side:
    """One model's scores, shape (I,); NaN is no score. `least`, `most`: the scores if what is missing had one."""

    mean_I: FloatArray
    least_I: FloatArray
    most_I: FloatArray

    @property
    def lacking_I(self) -> NDArray[np.bool_]:
        """Items without a score, or without one for some of their draws."""
        return self.least_I < self.most_I


@dataclass(frozen=True, slots=True)
class GradedPairs:
    """Scores of both models, items in random order. `clusters`: a label an item."""

    candidate: Side
    incumbent: Side
    clusters: tuple[str, ...] | None = None

    @property
    def complete_I(self) -> NDArray[np.bool_]:
        return ~(np.isnan(self.candidate.mean_I) | np.isnan(self.incumbent.mean_I))

    @property
    def missing(self) -> int:
        return int((self.candidate.lacking_I | self.incumbent.lacking_I).sum())

    @property
    def candidate_missing(self) -> int:
        return int(self.candidate.lacking_I.sum())

    @property
    def incumbent_missing(self) -> int:
        return int(self.incumbent.lacking_I.sum())

    @property
    def counts(self) -> Units:
        """Differences of the complete pairs."""
        return self._units(self.candidate.mean_I - self.incumbent.mean_I, self.complete_I)

    def against_candidate(self) -> Units:
        """Every missing score imputed the worst way for the candidate."""
        return self._units(self.candidate.least_I - self.incumbent.most_I)

    def for_candidate(self) -> Units:
        """Every missing score imputed the best way for the candidate."""
        return self._units(self.candidate.most_I - self.incumbent.least_I)

    def _units(self, difference_I: FloatArray, kept_I: NDArray[np.bool_] | None = None) -> Units:
        kept_I = np.ones(len(difference_I), bool) if kept_I is None else kept_I
        labels = None if self.clusters is None else np.asarray(self.clusters)[kept_I]
        return Units.of(difference_I[kept_I], labels)


AnyPairs: TypeAlias = Pairs | GradedPairs


def pair(candidate: Scores, incumbent: Scores, clusters: Mapping[str, str] | None = None) -> AnyPairs:
    """Pair two sets of scores by item; None is an item without a score. Otherwise as `pair_items`."""
    ours, theirs = ({item: single(score) for item, score in side.items()} for side in (candidate, incumbent))
    return pair_items(ours, theirs, clusters)


def pair_items(candidate: ItemScores, incumbent: ItemScores, clusters: Mapping[str, str] | None = None) -> AnyPairs:
    """Pair two sets of items' scores; an absent item is one without a score.

    Scores that are all 0 or 1 are counted. Graded scores become differences, and so do items of which `clusters` says
    that some hang together; an item it does not name stands alone.

    Raises:
        DataError: no item has both scores, or a score lies outside [0, 1].
    """
    items = sorted(candidate.keys() | incumbent.keys(), key=lambda item: place(RequestId(item)))
    if not any(candidate[item].scored and incumbent[item].scored for item in candidate.keys() & incumbent.keys()):
        raise DataError(
            f"No item has a score from both models ({len(candidate)} items against {len(incumbent)}).",
            "Check that both name their items alike.",
        )
    labels = (
        tuple(f"in {clusters[item]}" if item in clusters else f"alone {item}" for item in items) if clusters else ()
    )
    together = len(set(labels)) < len(labels)
    if not together and all(found.binary for side in (candidate, incumbent) for found in side.values()):
        return _counted(items, candidate, incumbent)
    return GradedPairs(_side(items, candidate), _side(items, incumbent), labels if together else None)


def _side(items: list[str], scores: ItemScores) -> Side:
    found = [scores.get(item, NO_SCORE) for item in items]
    mean_I = np.array([checked(item, each.mean) for item, each in zip(items, found, strict=True)])
    return Side(mean_I, np.array([each.least for each in found]), np.array([each.most for each in found]))


def _counted(items: list[str], candidate: ItemScores, incumbent: ItemScores) -> Pairs:
    table = {key: 0 for key in ((a, b) for a in (0, 1, None) for b in (0, 1, None))}
    for item in items:
        ours, theirs = candidate.get(item, NO_SCORE).mean, incumbent.get(item, NO_SCORE).mean
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
