"""select: find the best of many candidates on few shared items, and certify it on fresh ones.

The field is halved round by round (`stats.selection`); the winner's verdict rests on items that nobody was chosen by,
so that the luck of being chosen is left behind. It may be looked at while it goes on, and is one look in the ledger.
Every answer is kept as it comes: the same command goes on where it was stopped, in the same order.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from parity.benchmarks.base import Benchmark
from parity.core.gaps import Look, Noise, Verdict
from parity.core.refs import ModelRef
from parity.engines.open import EngineOptions, Engines
from parity.errors import UsageError
from parity.files.egress import seen, watch
from parity.measurement.accounting import Forecast, Terms, price_of, tell_forecast
from parity.measurement.asking import Asking, Progress, Questions, chosen, measure_one
from parity.measurement.drift import noise_of
from parity.measurement.ledger import Asked, Claim, Purse
from parity.measurement.refusals import check_drawing, check_kinds, check_template
from parity.measurement.results import Measured
from parity.measurement.stopping import Asker, differences, looks
from parity.measurement.verdicts import verdict_of
from parity.stats.noninferiority import Evidence
from parity.stats.selection import Chosen, choose, halving_rounds
from parity.stats.sequential import anytime_bounds
from parity.store import Workspace
from parity.store.ledger import Ledger

FloatArray = NDArray[np.float64]

# New items that a round compares at least, fresh items that the winner's gap is estimated from (more do not bias it).
SMALLEST_ROUND, ESTIMATED_FROM = 20, 1_000


@dataclass(frozen=True, slots=True)
class SelectSpec:
    """Who is to be chosen from. `share`: the part of all answers (candidates x items) that choosing may take."""

    candidates: tuple[ModelRef, ...]
    incumbent: ModelRef
    margin: float
    alpha: float = 0.05
    share: float = 0.08
    ledger: bool = True
    question: str | None = None
    asking: Asking = field(default_factory=Asking)
    options: EngineOptions = field(default_factory=EngineOptions)


@dataclass(frozen=True, slots=True)
class Round:
    """Items begin .. end of the random order, asked of those still in; gaps so far of each, and who was dropped."""

    begin: int
    end: int
    gaps: tuple[tuple[ModelRef, float], ...]
    dropped: tuple[ModelRef, ...]


@dataclass(frozen=True, slots=True)
class Certificate:
    """What fresh items prove of the winner, about all items of the benchmark; bounds one-sided at `alpha`, at any stop.

    `gap` is free of the luck of being chosen; `luck` is the gap that the items which chose it show. `measured` are the
    runs of winner and incumbent on the fresh items, `noise` what is known of the incumbent asked again.
    """

    fresh: int
    gap: float
    low: float
    high: float
    margin: float
    alpha: float
    verdict: Verdict
    luck: float | None
    look: Look | None
    measured: tuple[Measured, ...]
    noise: Noise | None = None


@dataclass(frozen=True, slots=True)
class Selection:
    """Who won, how, and what it took: answers of candidates against those of the full grid, dollars of this call."""

    benchmark: str
    population: int
    rounds: tuple[Round, ...]
    winner: ModelRef
    certificate: Certificate
    answers: int
    grid: int
    spent_usd: float

    @property
    def share(self) -> float:
        return self.answers / self.grid


def select(
    spec: SelectSpec,
    benchmark: Benchmark,
    workspace: Workspace,
    on_progress: Progress | None = None,
    on_forecast: Callable[[Forecast], None] | None = None,
) -> Selection:
    """Choose the best candidate on shared items and certify it on fresh ones.

    Raises:
        UsageError: too few candidates or items, or a protocol that one of the models cannot be asked by.
        DataError, EngineError, ModelError, BudgetExceeded: as `measure`; what was answered is kept.
    """
    protocol = benchmark.protocol(spec.asking.protocol)
    check_drawing(spec.asking.drawing, protocol, until_verdict=True)
    _check(spec, benchmark)
    items = chosen(benchmark.items_of(protocol), None)
    questions = Questions(benchmark, protocol, spec.asking.template, items, spec.asking.requests(protocol, items))
    watch()
    with closing(Engines(spec.options, keep=False)) as engines:
        models = (*spec.candidates, spec.incumbent)
        check_kinds({model: engines.kinds(model) for model in models}, benchmark, protocol)
        panel = _Panel(spec, questions, workspace, engines, _terms(spec, on_progress, on_forecast))
        found, rounds = _choose(spec, panel, len(items))
    winner = spec.candidates[found.best]
    # From here on two models are asked in turn, so both stay open.
    with closing(Engines(spec.options, keep=True)) as engines:
        panel.engines = engines
        certificate = _certify(spec, panel, winner, found, workspace)
    answers, grid = found.answers + certificate.fresh, len(spec.candidates) * len(items)
    return Selection(benchmark.name, len(items), rounds, winner, certificate, answers, grid, panel.spent_usd)


@dataclass(slots=True)
class _Panel:
    """All models, each asked the first so many items again and again; nothing is asked twice, nothing unpriced."""

    spec: SelectSpec
    questions: Questions
    workspace: Workspace
    engines: Engines
    terms: Mapping[ModelRef, Terms]
    spent_usd: float = 0.0
    known: dict[tuple[ModelRef, int], dict[str, float | None]] = field(default_factory=dict)

    def scores(self, model: ModelRef, count: int) -> dict[str, float | None]:
        """Scores of the first `count` items."""
        if (model, count) in self.known:
            return self.known[model, count]
        part, engine = self.questions.first(count), self.engines.of(model)
        check_template(engine, self.spec.asking.template)
        terms = self._terms(model)
        tell_forecast(engine, part.requests, self.workspace, terms)
        asker = Asker(engine, part.protocol, part.requests, self.workspace, terms)
        found = asker.scores(part.items)
        self.spent_usd += asker.spent_usd
        self.known[model, count] = found
        return found

    def differences(self, model: ModelRef, count: int) -> tuple[FloatArray, FloatArray, bool]:
        """Candidate less incumbent on the first items, missing scores going against it and for it; whether graded."""
        theirs, ours = self.scores(self.spec.incumbent, count), self.scores(model, count)
        return differences([item.id for item in self.questions.items[:count]], ours, theirs)

    def runs(self, winner: ModelRef, begin: int, end: int) -> tuple[Measured, ...]:
        """What winner and incumbent answered to fresh items, written as runs, so that it can be shown and compared."""
        part, found = self.questions.between(begin, end), []
        for model in (winner, self.spec.incumbent):
            found.append(measure_one(self.engines.of(model), part, self.workspace, self._terms(model)))
        return tuple(found)

    def _terms(self, model: ModelRef) -> Terms:
        terms = self.terms[model]
        return replace(terms, budget=replace(terms.budget, spent_usd=terms.budget.spent_usd + self.spent_usd))


def _terms(
    spec: SelectSpec, on_progress: Progress | None, on_forecast: Callable[[Forecast], None] | None
) -> dict[ModelRef, Terms]:
    today, budget = datetime.now(UTC).date(), spec.asking.budget
    prices = {
        model: price_of(model, spec.asking.book, today, budget.usd is not None)
        for model in (*spec.candidates, spec.incumbent)
    }
    return {model: Terms(price, budget, seen(), on_progress, on_forecast) for model, price in prices.items()}


def _choose(spec: SelectSpec, panel: _Panel, population: int) -> tuple[Chosen, tuple[Round, ...]]:
    """Halve the field; returns the choice and who was dropped when."""
    steps: list[tuple[list[int], int, int, FloatArray]] = []

    def ask(left: Sequence[int], begin: int, end: int) -> FloatArray:
        worst_MI = np.array([panel.differences(spec.candidates[at], end)[0] for at in left])
        steps.append((list(left), begin, end, worst_MI.mean(axis=1)))
        return worst_MI[:, begin:]

    found = choose(ask, len(spec.candidates), answers_to_choose(len(spec.candidates), population, spec.share))
    rounds = []
    for number, (left, begin, end, mean_M) in enumerate(steps):
        stay = steps[number + 1][0] if number + 1 < len(steps) else [found.best]
        gaps = tuple((spec.candidates[at], float(mean)) for at, mean in zip(left, mean_M, strict=True))
        rounds.append(Round(begin, end, gaps, tuple(spec.candidates[at] for at in left if at not in stay)))
    return found, tuple(rounds)


def answers_to_choose(candidates: int, population: int, share: float) -> int:
    """Answers that choosing may take: the share asked for, at least `SMALLEST_ROUND` items a round, and at most as many
    as leave half of the items fresh.

    Raises:
        UsageError: the items are too few to choose on and to certify on.
    """
    rounds = max(1, (candidates - 1).bit_length())
    least = SMALLEST_ROUND * rounds * candidates
    answers = max(least, int(share * candidates * population))
    while candidates > 1 and sum(halving_rounds(candidates, answers)) > population // 2:
        answers = int(answers * 0.9)
        if answers < rounds * candidates:
            raise UsageError(
                f"{population} items are too few to choose from {candidates} candidates and to certify one.",
                "Name fewer candidates, or measure them all: parity measure.",
            )
    return answers


def _certify(spec: SelectSpec, panel: _Panel, winner: ModelRef, found: Chosen, workspace: Workspace) -> Certificate:
    """Bet on fresh items, a few more at a time, until the verdict is in or all are asked."""
    population = len(panel.questions.items)
    left, first = population - found.items, min(ESTIMATED_FROM, population - found.items)
    purse, look = Purse(workspace, spec.question), None
    if spec.ledger:
        keys = [panel.questions.stream(panel.engines.of(model)) for model in (winner, spec.incumbent)]
        names = Asked(str(winner), str(spec.incumbent), panel.questions.benchmark.name)
        basis = ("select", *sorted(map(str, spec.candidates)), str(found.items), *keys)
        look = purse.enter(names, basis, Claim(spec.margin, spec.alpha), anytime=True)
    alpha = look.alpha if look else spec.alpha
    shown, fresh, gap = Evidence(spec.margin, alpha, -1.0, 1.0, ""), 0, 0.0
    for fresh in _fresh(left, first):
        worst_I, best_I, graded = panel.differences(winner, found.items + fresh)
        totals = float(worst_I[: found.items].sum()), float(best_I[: found.items].sum())
        worst_I, best_I = worst_I[found.items :], best_I[found.items :]
        bounds = anytime_bounds(worst_I, best_I, alpha, left, graded)
        # What chose the winner is known: only the items left are in doubt.
        ends = zip(totals, (bounds.low, bounds.high), strict=True)
        low, high = ((total + left * bound) / population for total, bound in ends)
        shown = Evidence(spec.margin, alpha, low, high, bounds.method)
        gap = (sum(totals) / 2 + left * float((worst_I[:first] + best_I[:first]).mean() / 2)) / population
        if verdict_of(shown) is not Verdict.INCONCLUSIVE:
            break
    measured = panel.runs(winner, found.items, found.items + fresh)
    noise = noise_of(workspace, workspace.run(measured[1].run_id)) if measured else None
    verdict = Verdict.INCONCLUSIVE if noise and noise.stale else verdict_of(shown)
    if look is not None:
        Ledger(workspace).conclude(look.look_id, verdict.value, (measured[0].run_id, measured[1].run_id))
    luck = found.total / found.items if found.items else None
    entered = Look(look.question, look.number, look.total) if look else None
    return Certificate(fresh, gap, shown.low, shown.high, spec.margin, alpha, verdict, luck, entered, measured, noise)


def _fresh(left: int, first: int) -> Iterator[int]:
    """How many fresh items are asked at each look: always the `first` that the gap is estimated from, and then on."""
    yield first
    yield from (size for size in looks(left) if size > first)


def _check(spec: SelectSpec, benchmark: Benchmark) -> None:
    twice = len(set(spec.candidates)) < len(spec.candidates) or spec.incumbent in spec.candidates
    if not spec.candidates or twice:
        raise UsageError(
            "Select chooses among several candidates, each named once, and none of them the incumbent.",
            "parity select MODEL MODEL ... --against INCUMBENT.",
        )
    if spec.asking.max_items is not None or len(benchmark.items) < 2 * SMALLEST_ROUND:
        raise UsageError(
            f"Selecting needs all {len(benchmark.items)} items of the benchmark, and at least {2 * SMALLEST_ROUND}.",
            "Measure the candidates instead: parity measure.",
        )
