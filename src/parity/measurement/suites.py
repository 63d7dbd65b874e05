"""Several benchmarks in one verdict: good enough on all of them, and on which of them.

"On all" is an intersection-union test: every benchmark must show it at alpha, and nothing is corrected, since the claim
is false if it is false of a single one (Berger 1982). "On which" picks among several, so Holm corrects. Both
look at runs of the workspace that were asked to their end.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from parity.core.gaps import Gap, Verdict
from parity.errors import DataError, UsageError, did_you_mean
from parity.measurement.comparison import RecordedGap, clusters_of, compared
from parity.measurement.draws import item_scores
from parity.measurement.drift import held_against
from parity.measurement.history import check_comparable
from parity.measurement.ledger import Asked, Claim, Purse, look_of, stream_of
from parity.measurement.pairing import AnyPairs, pair_items
from parity.measurement.records import Record, record_of
from parity.stats.multiplicity import holm
from parity.stats.noninferiority import Sample, p_value
from parity.stats.paired import PairedCounts
from parity.store import Workspace

# Stands for every benchmark that both models have finished.
EVERY = "all"


@dataclass(frozen=True, slots=True)
class Part:
    """One benchmark of a suite. `alone`: its gap, with the verdict it would have by itself at the suite's alpha.

    `p`, `p_inferior`: Holm's adjusted p-values of "worse by the margin or more" and of "not", over all parts, missing
    scores going the worst way. `claim` is what may be said of this part beside the claims on the others.
    """

    benchmark: str
    alone: RecordedGap
    p: float
    p_inferior: float
    claim: Verdict


@dataclass(frozen=True, slots=True)
class Suite:
    """The parts and what they prove together: the weakest of all, unless one is INFERIOR whichever is picked."""

    candidate: str
    incumbent: str
    margin: float
    alpha: float
    parts: tuple[Part, ...]
    verdict: Verdict
    gap: Gap


def compare_suite(
    workspace: Workspace, models: tuple[str, str], benchmarks: Sequence[str], claim: Claim, purse: Purse | None
) -> Suite:
    """The verdict on all benchmarks for candidate and incumbent by name, from their newest finished runs of each.

    The one name `EVERY` stands for all that both have finished.
    With a purse the suite is one question, and this one look at it.

    Raises:
        DataError: a run is missing, was stopped by its own verdict, or two of them asked different things.
        UsageError: a benchmark named twice.
    """
    benchmarks = _in_common(workspace, models) if tuple(benchmarks) == (EVERY,) else benchmarks
    if len(set(benchmarks)) < len(benchmarks):
        raise UsageError("A benchmark is named twice.", "Name each with one -b.")
    pairs = [_newest(workspace, models, benchmark) for benchmark in benchmarks]
    look = None
    if purse is not None:
        basis = tuple(record.run.run_id for pair in pairs for record in pair if record.run)
        ours, theirs = (record.run.model if record.run else record.name for record in pairs[0])
        look = purse.enter(Asked(ours, theirs, " + ".join(sorted(benchmarks))), basis, claim)
    alpha = look.alpha if look else claim.total
    parts = _parts(workspace, benchmarks, pairs, claim.margin, alpha)
    verdict = overall(parts)
    # The part that stands worst carries the look and the verdict of them all.
    worst = replace(min(parts, key=lambda part: part.alone.gap.bound_low).alone.gap, verdict=verdict)
    if look is not None and purse is not None:
        worst = look_of(purse.conclude(worst, look), look)
    return Suite(pairs[0][0].name, pairs[0][1].name, claim.margin, alpha, parts, verdict, worst)


def overall(parts: Sequence[Part]) -> Verdict:
    """What may be said of all parts together."""
    alone = {part.alone.gap.verdict for part in parts}
    if alone == {Verdict.SUPERIOR}:
        return Verdict.SUPERIOR
    if alone <= {Verdict.SUPERIOR, Verdict.NON_INFERIOR}:
        return Verdict.NON_INFERIOR
    return Verdict.INFERIOR if any(part.claim is Verdict.INFERIOR for part in parts) else Verdict.INCONCLUSIVE


def _parts(
    workspace: Workspace, benchmarks: Sequence[str], pairs: Sequence[tuple[Record, Record]], margin: float, alpha: float
) -> tuple[Part, ...]:
    put = [_paired(*pair) for pair in pairs]
    worst = [(found.counts, found.against_candidate()) for found in put]
    best = [(_mirrored(found.counts), _mirrored(found.for_candidate())) for found in put]
    p_K, q_K = (
        holm([max(p_value(sample, at) for sample in samples) for samples in both])
        for both, at in ((worst, -margin), (best, margin))
    )
    alone = [_alone(workspace, ours, theirs, margin, alpha) for ours, theirs in pairs]
    rows = zip(benchmarks, alone, p_K.tolist(), q_K.tolist(), strict=True)
    return tuple(Part(name, gap, p, q, _claim(gap.gap, p, q, alpha)) for name, gap, p, q in rows)


def _alone(workspace: Workspace, ours: Record, theirs: Record, margin: float, alpha: float) -> RecordedGap:
    found = compared(ours.name, ours.marks, theirs.name, theirs.marks, margin, alpha)
    assert theirs.run is not None
    return replace(found, gap=held_against(found.gap, workspace, theirs.run))


def _claim(gap: Gap, p: float, p_inferior: float, alpha: float) -> Verdict:
    """What survives the correction; SUPERIOR is not claimed of one among several, only that it is good enough."""
    if gap.noise is not None and gap.noise.stale:
        return Verdict.INCONCLUSIVE
    if p <= alpha:
        return Verdict.NON_INFERIOR
    return Verdict.INFERIOR if p_inferior <= alpha and gap.verdict is Verdict.INFERIOR else Verdict.INCONCLUSIVE


def _paired(ours: Record, theirs: Record) -> AnyPairs:
    clusters = {**clusters_of(theirs.marks), **clusters_of(ours.marks)}
    return pair_items(item_scores(ours.marks), item_scores(theirs.marks), clusters)


def _mirrored(sample: Sample) -> Sample:
    """The same pairs with the two models' roles exchanged."""
    return sample.swapped if isinstance(sample, PairedCounts) else replace(sample, total_U=-sample.total_U)


def _in_common(workspace: Workspace, models: tuple[str, str]) -> list[str]:
    done = [run for run in workspace.runs() if run.status == "done"]
    ours, theirs = ({run.benchmark for run in done if run.model == model} for model in models)
    if not ours & theirs:
        raise DataError(
            f"There is no benchmark that both {models[0]} and {models[1]} have finished in {workspace.folder}.",
            "Name models as parity runs lists them, or measure both.",
        )
    return sorted(ours & theirs)


def _newest(workspace: Workspace, models: tuple[str, str], benchmark: str) -> tuple[Record, Record]:
    """The newest finished runs of both models on a benchmark."""
    ours, theirs = (_newest_of(workspace, model, benchmark) for model in models)
    assert ours.run is not None
    assert theirs.run is not None
    check_comparable(workspace, ours.run, theirs.run)
    if stream_of(workspace, (ours.run.run_id, theirs.run.run_id)):
        raise DataError(
            f"{ours.run.run_id} and {theirs.run.run_id} on {benchmark} were stopped when their own verdict was in.",
            "A suite needs runs that were asked to their end: measure both without --until-verdict.",
        )
    return ours, theirs


def _newest_of(workspace: Workspace, model: str, benchmark: str) -> Record:
    done = [run for run in workspace.runs() if run.status == "done"]
    records = [run for run in done if run.benchmark == benchmark and model in (run.model, run.run_id)]
    if not records:
        known = sorted({run.model for run in done if run.benchmark == benchmark})
        hint = did_you_mean(model, known) if known else f"No run of {benchmark} is finished; parity runs lists them."
        raise DataError(f"{model} has no finished run of {benchmark} in {workspace.folder}.", hint)
    return record_of(workspace, max(records, key=lambda run: run.finished or 0.0))
