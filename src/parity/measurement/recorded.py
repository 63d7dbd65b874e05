"""Two records against each other, and the look in the ledger that their verdict rests on.

Runs that were asked until a verdict was in cannot be read with an interval that may be read once: they are judged by
the bounds that hold at any stop, about future items, since the population they were drawn from is not in the record.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from parity.core.digests import digest
from parity.core.runs import Marked
from parity.measurement.comparison import RecordedGap, beside_clean, clusters_of, compared, gap_of, scores_of
from parity.measurement.differing import differing
from parity.measurement.drift import held_against
from parity.measurement.ledger import Asked, Claim, Purse, at_next_look, look_of, stream_of
from parity.measurement.records import Record
from parity.measurement.stopping import StoppingRule, compare_anytime
from parity.measurement.uncertainty import Known, uncertainty
from parity.store import Workspace
from parity.store.ledger import LookRecord

# Files of scores name no benchmark.
UNNAMED = "recorded scores"


@dataclass(frozen=True, slots=True)
class Judging:
    """At which margin and alpha records are judged; `shared`: on the items that both name, the others left out.

    `clean`: which items are in no training file, for a second gap on those. `known`: what is known beside the scores,
    for an account of the uncertainty. `purse` None: without a ledger. `answers`: the workspace that holds the runs, if
    they are runs.
    """

    margin: float | None = None
    alpha: float = 0.05
    shared: bool = False
    clean: Mapping[str, bool] | None = None
    known: Known | None = None
    purse: Purse | None = None
    answers: Workspace | None = None


def compare_records(ours: Record, theirs: Record, judging: Judging) -> RecordedGap:
    """The gap between two records, whole and by slice, with a verdict at what the ledger grants this look.

    Without a ledger, and for files under no question's name, the verdict stands alone at `alpha`.

    Raises:
        DataError: no item has a score from both.
    """
    runs, alike = _runs(ours, theirs), _alike(ours, theirs, judging.shared)
    found = _judged(*alike, judging)
    if judging.clean is not None:
        found = _beside_clean(found, *alike, judging, judging.clean)
    if judging.known is not None:
        known = judging.known.priced(_answer_usd(judging.answers, ours, theirs))
        found = replace(found, budget=uncertainty(alike[0].marks, alike[1].marks, known))
    if judging.answers is None or runs is None or judging.shared:
        return found
    return replace(found, gap=replace(found.gap, differing=differing(judging.answers, *runs)))


def _answer_usd(answers: Workspace | None, *sides: Record) -> float | None:
    """What an answer of both cost, where both are runs with a price; None too where it cost nothing."""
    total = 0.0
    for side in sides:
        cost = answers.account(side.run.run_id).cost if answers and side.run else None
        if cost is None:
            return None
        total += cost.usd / len(side.marks)
    return total or None


def _judged(ours: Record, theirs: Record, judging: Judging) -> RecordedGap:
    """The gap at this look's alpha, held against what is known of the incumbent, and concluded in the ledger."""
    purse, margin, runs = judging.purse, judging.margin, _runs(ours, theirs)
    stream = stream_of(judging.answers, runs) if judging.answers and runs else None
    look = None
    if purse is not None and margin is not None:
        claim = Claim(margin, judging.alpha)
        look = purse.reread(stream, claim) if stream else _look(ours, theirs, judging, purse, claim)
    alpha = look.alpha if look else judging.alpha
    found = compared(ours.name, ours.marks, theirs.name, theirs.marks, margin, alpha)
    gap = found.gap
    if stream and margin is not None:
        items, rule = list(dict.fromkeys(marked.item for marked in ours.marks)), _rule(margin, alpha, ours.marks)
        gap = compare_anytime(items, scores_of(ours.marks), scores_of(theirs.marks), rule)
    gap = at_next_look(gap, look, lambda less: gap_of(ours.marks, theirs.marks, margin, less))
    if judging.answers and theirs.run:
        gap = held_against(gap, judging.answers, theirs.run)
    if look is not None and purse is not None:
        # A stream's own verdict is about these items; what is read from its runs afterwards does not replace it.
        gap = look_of(gap, look) if look.verdict and stream else purse.conclude(gap, look, runs)
    return replace(found, gap=gap)


def _beside_clean(
    found: RecordedGap, ours: Record, theirs: Record, judging: Judging, clean: Mapping[str, bool]
) -> RecordedGap:
    """The gap on clean items beside it, by the same kind of bounds, under the same look and the same incumbent."""
    found, runs = beside_clean(found, ours.marks, theirs.marks, clean), _runs(ours, theirs)
    gap = found.clean
    assert gap is not None
    if judging.margin is not None and judging.answers and runs and stream_of(judging.answers, runs):
        kept, other = ([marked for marked in side.marks if clean[marked.item]] for side in (ours, theirs))
        items, rule = list(dict.fromkeys(marked.item for marked in kept)), _rule(judging.margin, found.gap.alpha, kept)
        gap = compare_anytime(items, scores_of(kept), scores_of(other), rule)
    if judging.answers and theirs.run:
        gap = replace(held_against(gap, judging.answers, theirs.run), look=found.gap.look)
    return replace(found, clean=gap)


def _alike(ours: Record, theirs: Record, shared: bool) -> tuple[Record, Record]:
    """Both, or both on the items they share."""
    if not shared:
        return ours, theirs
    common = {marked.item for marked in ours.marks} & {marked.item for marked in theirs.marks}
    return _narrowed(ours, common), _narrowed(theirs, common)


def _narrowed(record: Record, items: set[str]) -> Record:
    return replace(record, marks=tuple(marked for marked in record.marks if marked.item in items))


def _rule(margin: float, alpha: float, marks: Sequence[Marked]) -> StoppingRule:
    """Bounds that hold at any stop, about future items like these."""
    clusters = clusters_of(marks)
    return StoppingRule(margin, alpha, None, clusters, Counter(clusters.values()))


def _look(ours: Record, theirs: Record, judging: Judging, purse: Purse, claim: Claim) -> LookRecord | None:
    """The look at two records; None where nothing names the question."""
    runs = _runs(ours, theirs)
    if runs is None and purse.question is None:
        return None
    basis = runs or (digest(ours.marks), digest(theirs.marks))
    candidate, incumbent = (record.run.model if record.run else record.name for record in (ours, theirs))
    benchmark = next((record.run.benchmark for record in (ours, theirs) if record.run), UNNAMED)
    return purse.enter(Asked(candidate, incumbent, benchmark), (*basis, *["shared"] * judging.shared), claim)


def _runs(ours: Record, theirs: Record) -> tuple[str, str] | None:
    return (ours.run.run_id, theirs.run.run_id) if ours.run and theirs.run else None
