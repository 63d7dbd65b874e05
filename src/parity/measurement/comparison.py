"""Pairs the scores of two models item by item, and says what the pairs prove.

Missing pairs are never dropped in silence: the verdict must survive their going the worst way for it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from parity.core.gaps import Gap, Missing, Verdict
from parity.core.items import Tag
from parity.core.runs import Marked
from parity.core.scores import Score
from parity.errors import DataError
from parity.measurement.draws import item_scores
from parity.measurement.graded import compare_means
from parity.measurement.verdicts import held, verdict_of
from parity.stats.noninferiority import Evidence, evidence, paired_interval
from parity.stats.paired import PairedCounts, mcnemar_exact
from parity.stats.power import items_for_verdict


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
        return self.lost_right + self.lost_wrong + self.unmet_right + self.unmet_wrong + self.neither_scored

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


def pair(candidate: Mapping[str, float | None], incumbent: Mapping[str, float | None]) -> Pairs:
    """Pair two sets of 0/1 scores by item; None is an item without a score, an absent item likewise.

    Raises:
        DataError: no item has both scores, or a score is neither 0 nor 1.
    """
    table = {key: 0 for key in ((a, b) for a in (0, 1, None) for b in (0, 1, None))}
    for item in candidate.keys() | incumbent.keys():
        table[binary(item, candidate.get(item)), binary(item, incumbent.get(item))] += 1
    complete = table[1, 1] + table[1, 0] + table[0, 1] + table[0, 0]
    if not complete:
        raise DataError(
            f"No item has a score from both models ({len(candidate)} items against {len(incumbent)}).",
            "Check that both name their items alike.",
        )
    counts = PairedCounts(complete, table[1, 1], table[1, 0], table[0, 1])
    return Pairs(counts, table[None, 1], table[None, 0], table[1, None], table[0, None], table[None, None])


def compare(pairs: Pairs, margin: float | None = None, alpha: float = 0.05) -> Gap:
    """The gap of paired scores with its 95 % interval, and the verdict at `margin` one-sided at `alpha`.

    Raises:
        ValueError: margin or alpha out of range.
    """
    counts = pairs.counts
    interval = paired_interval(counts)
    # Bounds are printed even without a margin; any valid one serves, since they do not depend on it.
    shown = evidence(counts, margin if margin is not None else 0.5, alpha)
    verdict = worst = None
    if margin is not None:
        verdict = verdict_of(shown)
        if pairs.missing:
            worst = worst_case(pairs, verdict, margin, alpha)
            verdict = held(verdict, worst)
    mcnemar = mcnemar_exact(counts)
    return Gap(
        n=counts.n,
        both=counts.both,
        only_candidate=counts.only_candidate,
        only_incumbent=counts.only_incumbent,
        gap=counts.gap,
        low=interval.low,
        high=interval.high,
        interval=interval.method,
        alpha=alpha,
        bound_low=shown.low,
        bound_high=shown.high,
        mcnemar_p=mcnemar.p,
        mcnemar_mid_p=mcnemar.mid_p,
        flips=counts.flips,
        margin=margin,
        verdict=verdict,
        worse=shown.worse,
        missing=Missing(
            pairs.lost_right + pairs.lost_wrong + pairs.neither_scored,
            pairs.unmet_right + pairs.unmet_wrong + pairs.neither_scored,
            pairs.missing,
            worst,
        ),
        items_needed=_still_needed(counts, shown) if margin is not None else None,
    )


def worst_case(pairs: Pairs, verdict: Verdict, margin: float, alpha: float) -> Verdict:
    """The verdict if every missing pair had gone the worst way for it: against a claim of parity, for one of none."""
    imputed = pairs.for_candidate() if verdict is Verdict.INFERIOR else pairs.against_candidate()
    return verdict_of(evidence(imputed, margin, alpha))


def _still_needed(counts: PairedCounts, found: Evidence) -> int | None:
    """More items of this kind that would decide it; None when the pairs decide already, or no number would."""
    if verdict_of(found) is not Verdict.INCONCLUSIVE:
        return None
    # No flips seen in n items is compatible with up to about 3/n (rule of three); zero would promise too much.
    flips = max(counts.flips, 3 / counts.n if counts.n > 3 else 1.0)
    needed = items_for_verdict(flips, counts.gap, found.margin, found.alpha)
    return None if needed is None else max(1, needed - counts.n)


def binary(item: str, score: float | None) -> int | None:
    """A score as 0 or 1; None where there is none.

    Raises:
        DataError: it is graded.
    """
    if score is None:
        return None
    if score not in (0, 1):
        raise DataError(
            f"Item {item!r} has score {score}; a paired comparison of right and wrong needs 0 or 1.",
            "Threshold graded scores first; this version compares right with wrong only.",
        )
    return int(score)


def scores_of(marks: Iterable[Marked]) -> dict[str, float | None]:
    """Scores by item, the mean of its draws where there are several; None where there is none."""
    return {item: found.mean for item, found in item_scores(marks).items()}


def gap_of(
    candidate: Sequence[Marked], incumbent: Sequence[Marked], margin: float | None = None, alpha: float = 0.05
) -> Gap:
    """The gap of two sets of marks: of right and wrong, or of item means where items were answered several times.

    Raises:
        DataError: no item has a score from both models, or a single answer's score is neither 0 nor 1.
        ValueError: margin or alpha out of range.
    """
    if any(marked.draw for marked in (*candidate, *incumbent)):
        return compare_means(item_scores(candidate), item_scores(incumbent), margin, alpha)
    return compare(pair(scores_of(candidate), scores_of(incumbent)), margin, alpha)


def slice_gaps(candidate: Iterable[Marked], incumbent: Iterable[Marked], alpha: float = 0.05) -> dict[Tag, Gap]:
    """The gap within every tag that has at least one complete pair, without a verdict: slices are for looking."""
    sides = list(candidate), list(incumbent)
    tags: dict[Tag, set[str]] = {}
    for marked in (*sides[0], *sides[1]):
        for kind, value in marked.tags:
            tags.setdefault(Tag(kind, value), set()).add(marked.item)
    scored = [{marked.item for marked in side if isinstance(marked.mark, Score)} for side in sides]
    gaps = {}
    for tag, items in sorted(tags.items()):
        if items & scored[0] & scored[1]:
            ours, theirs = ([marked for marked in side if marked.item in items] for side in sides)
            gaps[tag] = gap_of(ours, theirs, alpha=alpha)
    return gaps


@dataclass(frozen=True, slots=True)
class RecordedGap:
    """Two recorded models by name, their gap and that of every slice; `outside` answers named no option: wrong."""

    candidate: str
    incumbent: str
    gap: Gap
    slices: dict[Tag, Gap]
    candidate_outside: int
    incumbent_outside: int


def compared(
    candidate: str,
    ours: Sequence[Marked],
    incumbent: str,
    theirs: Sequence[Marked],
    margin: float | None = None,
    alpha: float = 0.05,
) -> RecordedGap:
    """The gap between two sets of marks, whole and by slice."""
    gap = gap_of(ours, theirs, margin, alpha)
    return RecordedGap(
        candidate, incumbent, gap, slice_gaps(ours, theirs, alpha), outside_count(ours), outside_count(theirs)
    )


def outside_count(marks: Iterable[Marked]) -> int:
    """How many answers named no option; each counts as wrong."""
    return sum(isinstance(marked.mark, Score) and marked.mark.outside for marked in marks)
