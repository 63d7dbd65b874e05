"""judge: what a judge prefers of two runs' answers, as one more run: resumed, within a budget, priced, kept.

Equal answers are ties that nobody is asked about. Pairs are judged in both orders, or both answers graded. The gap is
between the candidate's wins and the baseline's (between their grades, when graded); its margin is of that difference.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from parity.benchmarks.base import Benchmark
from parity.benchmarks.judge_styles import Pair, Style
from parity.benchmarks.judging import SIDES, graded_benchmark, pairwise_benchmark
from parity.core.gaps import Gap
from parity.core.items import Tag
from parity.core.prompts import RequestId
from parity.core.refs import ModelRef
from parity.core.runs import Marked
from parity.core.scores import Mark, Score, Unscored, UnscoredReason
from parity.engines.open import EngineOptions
from parity.errors import DataError
from parity.measurement.accounting import Forecast
from parity.measurement.answered import Answered, answered
from parity.measurement.asking import Asking, Progress
from parity.measurement.comparison import gap_of, scores_of, slice_gaps
from parity.measurement.drift import held_against
from parity.measurement.judged import Judged, judged
from parity.measurement.ledger import Asked, Claim, Purse, at_next_look
from parity.measurement.measure import MeasureSpec, measure
from parity.measurement.people import Checked, People, Seen, check
from parity.measurement.results import Measured
from parity.runs.plan import place
from parity.stats.bounded import share_interval
from parity.stats.intervals import Interval
from parity.stats.judges import LongerWins, longer_wins
from parity.stats.length_control import NEUTRAL, LengthControl, length_control
from parity.store import Workspace
from parity.store.ledger import LookRecord

# Fewer pairs than this say nothing of the weight of length.
FEWEST_PAIRS = 30
_NOT_JUDGED = Unscored(UnscoredReason.FAILED, "not judged in both orders")


@dataclass(frozen=True, slots=True)
class JudgeSpec:
    """Whose answers (runs of the workspace) are judged, by whom and how, and what counts as parity.

    `asking.max_items` is the most pairs; `ledger` and `question` are as when measuring.
    """

    candidate: str
    baseline: str
    judge: ModelRef
    style: Style
    reference: bool = False
    margin: float | None = None
    alpha: float = 0.05
    ledger: bool = True
    question: str | None = None
    asking: Asking = field(default_factory=lambda: Asking(template="chat"))
    options: EngineOptions = field(default_factory=EngineOptions)


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the judge found. `measured` is its run, None where all answers were equal and nobody was asked.

    `win_rate` (a tie is half a win) has its interval; both None when graded. `judged`, `longer` and `controlled` are of
    verdicts, and None where there are none or too few.
    """

    spec: JudgeSpec
    benchmark: str
    candidate: ModelRef
    baseline: ModelRef
    runs: tuple[str, str]
    measured: Measured | None
    pairs: int
    equal: int
    unanswered: int
    gap: Gap
    slices: dict[Tag, Gap]
    win_rate: float | None
    interval: Interval | None
    judged: Judged | None
    longer: LongerWins | None
    controlled: LengthControl | None
    people: Checked | None


def judge(
    spec: JudgeSpec,
    benchmark: Benchmark,
    workspace: Workspace,
    people: People | None = None,
    on_progress: Progress | None = None,
    on_forecast: Callable[[Forecast], None] | None = None,
) -> Judgement:
    """Ask the judge about every pair of answers that differ.

    Raises:
        DataError: a run that is not there, not finished, or of other items; labels of none of the pairs.
        EngineError, ModelError, BudgetExceeded: what was judged is kept in the workspace.
        Unscorable: no verdict can be read from anything the judge wrote.
    """
    found = answered(workspace, spec.candidate, spec.baseline, benchmark, spec.reference)
    pairs, equal = _chosen(found, spec.asking.max_items)
    run = _asked(spec, benchmark, pairs, workspace, on_progress, on_forecast) if pairs else None
    verdicts = judged(run.marks) if run and not spec.style.graded else None
    ours, theirs = _marks(pairs, equal, found.unanswered, run, verdicts)
    preferred = None if spec.style.graded else [score for score in scores_of(ours).values() if score is not None]
    seen = _seen(pairs, verdicts)
    look = _look(spec, workspace, benchmark, found, [*pairs, *equal], run)
    alpha = look.alpha if look else spec.alpha
    gap = at_next_look(gap_of(ours, theirs, spec.margin, alpha), look, partial(gap_of, ours, theirs, spec.margin))
    gap = held_against(gap, workspace, found.baseline)
    checked = None
    if people is not None:
        if spec.style.graded:
            raise DataError("Labels say which answer is better; grades do not.", "Judge pairwise: --style pairwise.")
        checked = check(people, seen, len(equal), spec.margin, alpha)
    return Judgement(
        spec,
        benchmark.name,
        ModelRef.parse(found.candidate.model),
        ModelRef.parse(found.baseline.model),
        (found.candidate.run_id, found.baseline.run_id),
        run,
        len(pairs),
        len(equal),
        len(found.unanswered),
        Purse(workspace).conclude(gap, look) if look else gap,
        slice_gaps(ours, theirs, alpha),
        sum(preferred) / len(preferred) if preferred else None,
        share_interval(preferred) if preferred else None,
        verdicts,
        _longer(seen),
        _controlled(seen, len(equal)),
        checked,
    )


def _chosen(found: Answered, most: int | None) -> tuple[list[Pair], list[Pair]]:
    """Pairs that differ and pairs that do not, in random order; at most so many together."""
    same = {pair.name for pair in found.equal}
    every = sorted((*found.pairs, *found.equal), key=lambda pair: place(RequestId(pair.name)))[:most]
    if not every:
        raise DataError("The two runs have no item that both answered.", "Measure both on the same items.")
    return [pair for pair in every if pair.name not in same], [pair for pair in every if pair.name in same]


def _asked(
    spec: JudgeSpec,
    benchmark: Benchmark,
    pairs: Sequence[Pair],
    workspace: Workspace,
    on_progress: Progress | None,
    on_forecast: Callable[[Forecast], None] | None,
) -> Measured:
    """The judge's run."""
    name = f"{benchmark.name}, judged"
    prompts = (
        graded_benchmark(name, pairs, benchmark.groupings, spec.style)
        if spec.style.graded
        else pairwise_benchmark(name, pairs, benchmark.groupings, (spec.style,))
    )
    asked = MeasureSpec((spec.judge,), asking=replace(spec.asking, max_items=None), options=spec.options)
    return measure(asked, prompts, workspace, on_progress, on_forecast).measured[0]


def _look(
    spec: JudgeSpec,
    workspace: Workspace,
    benchmark: Benchmark,
    found: Answered,
    pairs: Sequence[Pair],
    run: Measured | None,
) -> LookRecord | None:
    """The look at these pairs as this judge sees them; None without a margin or a ledger."""
    if not spec.ledger or spec.margin is None:
        return None
    asked = Asked(found.candidate.model, found.baseline.model, f"{benchmark.name}, judged by {spec.judge}")
    ids = (found.candidate.run_id, found.baseline.run_id, run.run_id if run else "all equal")
    basis = (*ids, *sorted(pair.name for pair in pairs))
    return Purse(workspace, spec.question).enter(asked, basis, Claim(spec.margin, spec.alpha))


def _marks(
    pairs: Sequence[Pair],
    equal: Sequence[Pair],
    unanswered: Sequence[str],
    run: Measured | None,
    verdicts: Judged | None,
) -> tuple[list[Marked], list[Marked]]:
    """Both sides' marks by pair: what each one's answer was preferred by, or its grade; equal answers are level."""
    tie = Score(0.5, "equal")
    sides: tuple[dict[str, Mark], dict[str, Mark]] = ({}, {})
    if verdicts is not None:
        for name, value in verdicts.preferred.items():
            sides[0][name], sides[1][name] = Score(value), Score(1 - value)
    elif run is not None:
        for marked in run.marks:
            side = dict(marked.tags)["answer"]
            sides[SIDES.index(side)][marked.item.removesuffix(f"/{side}")] = marked.mark
    kept = [*pairs, *equal, *(Pair(name, "", "", "") for name in unanswered)]
    level = {pair.name for pair in equal}
    found = [
        [Marked(pair.name, tie if pair.name in level else side.get(pair.name, _NOT_JUDGED), pair.tags) for pair in kept]
        for side in sides
    ]
    return found[0], found[1]


def _seen(pairs: Sequence[Pair], verdicts: Judged | None) -> dict[str, Seen]:
    """Every judged pair, with its lengths."""
    preferred: Mapping[str, float] = verdicts.preferred if verdicts else {}
    return {
        pair.name: Seen(preferred[pair.name], len(pair.candidate), len(pair.baseline))
        for pair in pairs
        if pair.name in preferred
    }


def _longer(seen: Mapping[str, Seen]) -> LongerWins | None:
    return longer_wins(
        [found.preferred for found in seen.values()],
        [found.candidate_chars - found.baseline_chars for found in seen.values()],
    )


def _controlled(seen: Mapping[str, Seen], equal: int) -> LengthControl | None:
    """The win rate had both answers been equally long; no other models say how hard an instruction is."""
    if len(seen) < FEWEST_PAIRS:
        return None
    preferred_I = np.array([*(found.preferred for found in seen.values()), *([0.5] * equal)])
    delta_I = np.array([*(found.baseline_chars - found.candidate_chars for found in seen.values()), *([0] * equal)])
    return length_control(preferred_I, delta_I.astype(np.float64), np.zeros(len(preferred_I)), NEUTRAL)
