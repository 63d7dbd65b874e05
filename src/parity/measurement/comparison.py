"""What two models' paired scores prove: the gap, its interval, the verdict.

Missing pairs are never dropped in silence: the verdict must survive their going the worst way for it.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from parity.core.gaps import Gap, Missing, Verdict
from parity.core.items import Tag
from parity.core.runs import Marked
from parity.core.scores import Score
from parity.errors import DataError
from parity.measurement.draws import ItemScore, item_scores
from parity.measurement.pairing import AnyPairs, Pairs, pair_items
from parity.measurement.verdicts import held, verdict_of
from parity.stats.budget import Budget
from parity.stats.noninferiority import Evidence, Sample, evidence, p_value, paired_interval
from parity.stats.paired import PairedCounts, mcnemar_exact
from parity.stats.posterior import chance_above
from parity.stats.power import units_for_verdict

# The kind of tag that names the passage, conversation, user or problem an item belongs to.
CLUSTER = "cluster"


def compare(pairs: AnyPairs, margin: float | None = None, alpha: float = 0.05) -> Gap:
    """The gap of paired scores with its 95 % interval, and the verdict at `margin` one-sided at `alpha`.

    Raises:
        ValueError: margin or alpha out of range.
    """
    sample = pairs.counts
    interval = paired_interval(sample)
    # Bounds are printed even without a margin; any valid one serves, since they do not depend on it.
    shown = evidence(sample, margin if margin is not None else 0.5, alpha)
    verdict = worst = None
    if margin is not None:
        verdict = verdict_of(shown)
        if pairs.missing:
            worst = worst_case(pairs, verdict, margin, alpha)
            verdict = held(verdict, worst)
    table = sample if isinstance(sample, PairedCounts) else None
    mcnemar = mcnemar_exact(table) if table else None
    candidate_score, incumbent_score = mean_scores(pairs)
    return Gap(
        n=sample.n,
        both=table.both if table else None,
        only_candidate=table.only_candidate if table else None,
        only_incumbent=table.only_incumbent if table else None,
        candidate_score=candidate_score,
        incumbent_score=incumbent_score,
        clusters=None if isinstance(sample, PairedCounts) or sample.count == sample.n else sample.count,
        gap=sample.gap,
        low=interval.low,
        high=interval.high,
        interval=interval.method,
        alpha=alpha,
        bound_low=shown.low,
        bound_high=shown.high,
        mcnemar_p=mcnemar.p if mcnemar else None,
        mcnemar_mid_p=mcnemar.mid_p if mcnemar else None,
        flips=sample.flips,
        margin=margin,
        verdict=verdict,
        worse=shown.worse,
        missing=Missing(pairs.candidate_missing, pairs.incumbent_missing, pairs.missing, worst),
        items_needed=_still_needed(sample, shown) if margin is not None else None,
        p_value=p_value(sample, -margin) if margin is not None else None,
        chance_within_margin=chance_above(table, -margin) if table and margin is not None else None,
    )


def mean_scores(pairs: AnyPairs) -> tuple[float, float]:
    """Mean scores of candidate and incumbent over the complete pairs."""
    if isinstance(pairs, Pairs):
        counts = pairs.counts
        return (counts.both + counts.only_candidate) / counts.n, (counts.both + counts.only_incumbent) / counts.n
    complete_I = pairs.complete_I
    ours_I, theirs_I = pairs.candidate.mean_I[complete_I], pairs.incumbent.mean_I[complete_I]
    return float(ours_I.mean()), float(theirs_I.mean())


def worst_case(pairs: AnyPairs, verdict: Verdict, margin: float, alpha: float) -> Verdict:
    """The verdict if every missing pair had gone the worst way for it: against a claim of parity, for one of none."""
    imputed = pairs.for_candidate() if verdict is Verdict.INFERIOR else pairs.against_candidate()
    return verdict_of(evidence(imputed, margin, alpha))


def _still_needed(sample: Sample, found: Evidence) -> int | None:
    """More items of this kind that would decide it; None when the pairs decide already, or no number would."""
    if verdict_of(found) is not Verdict.INCONCLUSIVE:
        return None
    units = sample.n if isinstance(sample, PairedCounts) else sample.count
    # No flips seen in n units is compatible with up to about 3/n (rule of three); zero would promise too much.
    variance = max(sample.variance, 3 / units - sample.gap**2 if units > 3 else 1.0)
    needed = units_for_verdict(variance, sample.gap, found.margin, found.alpha)
    return None if needed is None else max(1, math.ceil((needed - units) * sample.n / units))


def scores_of(marks: Iterable[Marked]) -> dict[str, float | None]:
    """Scores by item, the mean of its draws where there are several; None where there is none."""
    return {item: found.mean for item, found in item_scores(marks).items()}


def clusters_of(marks: Iterable[Marked]) -> dict[str, str]:
    """Which items hang together, by their tag of the kind "cluster"; an item without one stands alone."""
    return {marked.item: value for marked in marks for kind, value in marked.tags if kind == CLUSTER}


def gap_of(
    candidate: Sequence[Marked], incumbent: Sequence[Marked], margin: float | None = None, alpha: float = 0.05
) -> Gap:
    """The gap of two sets of marks, paired by item, clusters as their tags say.

    Raises:
        DataError: no item has a score from both models.
        ValueError: margin or alpha out of range.
    """
    clusters = {**clusters_of(incumbent), **clusters_of(candidate)}
    return compare(pair_items(item_scores(candidate), item_scores(incumbent), clusters), margin, alpha)


def slice_gaps(candidate: Iterable[Marked], incumbent: Iterable[Marked], alpha: float = 0.05) -> dict[Tag, Gap]:
    """The gap within every tag that has at least one complete pair, without a verdict: slices are for looking."""
    marks = [*candidate], [*incumbent]
    clusters = {**clusters_of(marks[1]), **clusters_of(marks[0])}
    tags: dict[Tag, set[str]] = {}
    for marked in (*marks[0], *marks[1]):
        for kind, value in marked.tags:
            if kind != CLUSTER:
                tags.setdefault(Tag(kind, value), set()).add(marked.item)
    ours, theirs = item_scores(marks[0]), item_scores(marks[1])
    gaps = {}
    for tag, items in sorted(tags.items()):
        mine, other = _within(ours, items), _within(theirs, items)
        if any(mine[item].scored and other[item].scored for item in mine.keys() & other.keys()):
            gaps[tag] = compare(pair_items(mine, other, clusters), alpha=alpha)
    return gaps


def _within(scores: Mapping[str, ItemScore], items: set[str]) -> dict[str, ItemScore]:
    return {item: scores[item] for item in items if item in scores}


@dataclass(frozen=True, slots=True)
class RecordedGap:
    """Two recorded models by name, their gap and that of every slice; `outside` answers named no option: wrong.

    `clean`: the gap on the items that are in no training file; `budget`: where its uncertainty comes from; both where
    that was asked for.
    """

    candidate: str
    incumbent: str
    gap: Gap
    slices: dict[Tag, Gap]
    candidate_outside: int
    incumbent_outside: int
    clean: Gap | None = None
    budget: Budget | None = None


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


def beside_clean(
    found: RecordedGap, ours: Sequence[Marked], theirs: Sequence[Marked], clean: Mapping[str, bool]
) -> RecordedGap:
    """The same comparison with the gap on clean items beside it, at the same margin and alpha.

    Raises:
        DataError: an item of which is not known whether it is clean, or no clean item with both scores.
    """
    unknown = sorted({marked.item for marked in (*ours, *theirs)} - clean.keys())
    if unknown:
        raise DataError(
            f"{len(unknown)} items are not in the list of clean ones, among them {unknown[0]!r}.",
            "List them for the same benchmark: parity contamination -b B --train FILE --output clean.csv.",
        )
    kept = [[marked for marked in marks if clean[marked.item]] for marks in (ours, theirs)]
    return replace(found, clean=gap_of(kept[0], kept[1], found.gap.margin, found.gap.alpha))


def outside_count(marks: Iterable[Marked]) -> int:
    """How many answers named no option; each counts as wrong."""
    return sum(isinstance(marked.mark, Score) and marked.mark.outside for marked in marks)
