"""measure: ask every model the same items by the same protocol, mark the answers, compare candidates to incumbent."""

from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Literal

from parity.benchmarks.base import Benchmark
from parity.core.digests import digest
from parity.core.gaps import Gap
from parity.core.refs import ModelRef
from parity.core.runs import Marked, TokenWork
from parity.engines.open import EngineOptions, Engines
from parity.errors import UsageError
from parity.files.egress import Egress, seen, watch
from parity.measurement.accounting import Forecast, Terms, price_of, tell_forecast
from parity.measurement.asking import Asking, Progress, Questions, chosen, measure_one
from parity.measurement.comparison import gap_of, scores_of, slice_gaps
from parity.measurement.differing import differing
from parity.measurement.drift import held_against
from parity.measurement.ledger import Asked, Claim, Purse, at_next_look
from parity.measurement.refusals import check_drawing, check_kinds, check_marked, check_template
from parity.measurement.results import Comparison, Measured, Measurement
from parity.measurement.stopping import (
    Asker,
    StoppingRule,
    compare_anytime,
    items_until_verdict,
    order_of_asking,
    rule_for,
)
from parity.store import Workspace
from parity.store.ledger import LookRecord

# "items": the items of this benchmark, all of them. "future": items like them, of which these are a sample.
Estimand = Literal["items", "future"]


@dataclass(frozen=True, slots=True)
class Stopping:
    """Whether to stop as soon as the verdict is in, and what it is about.

    `forecasts`: marks of earlier models on these items, which predict a candidate's and spare items.
    """

    until_verdict: bool = False
    estimand: Estimand = "items"
    forecasts: tuple[tuple[Marked, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class MeasureSpec:
    """What is measured: models, how they are asked, and what counts as parity.

    `alpha` is that of all verdicts asked of one question together (`measurement.ledger`); with `ledger` off, of this
    one alone. `question` names it otherwise than models and benchmark do.
    """

    candidates: tuple[ModelRef, ...]
    incumbent: ModelRef | None = None
    margin: float | None = None
    alpha: float = 0.05
    ledger: bool = True
    question: str | None = None
    stopping: Stopping = field(default_factory=Stopping)
    asking: Asking = field(default_factory=Asking)
    options: EngineOptions = field(default_factory=EngineOptions)


@dataclass(frozen=True, slots=True)
class _Resting:
    """What one candidate's verdict rests on: its look in the ledger, and when to stop."""

    look: LookRecord | None = None
    rule: StoppingRule | None = None


def measure(
    spec: MeasureSpec,
    benchmark: Benchmark,
    workspace: Workspace,
    on_progress: Progress | None = None,
    on_forecast: Callable[[Forecast], None] | None = None,
    before: Egress | None = None,
) -> Measurement:
    """Measure every model of `spec` on the same items and compare each candidate with the incumbent.

    `on_forecast` hears of every model that may cost money before it is asked. A budget in dollars is one for all
    models. The first run also answers for whom the process talked to since `before`, such as for the items.

    Raises:
        DataError: a model without a price that bills for certain, or under a budget in dollars.
        UsageError: a model cannot be asked by this protocol (the message offers one that all can).
        EngineError, ModelError, BudgetExceeded: what was answered is kept in the workspace.
        Unscorable: too many ties or NaN for the number to be trusted.
    """
    rule = _stopping_rule(spec, benchmark)
    questions = _questions(spec, benchmark, rule)
    models = tuple(dict.fromkeys((*spec.candidates, *([spec.incumbent] if spec.incumbent else []))))
    watch()
    terms = _terms(spec, models, Terms(None, spec.asking.budget, before or seen(), on_progress, on_forecast))
    resting: Mapping[ModelRef, _Resting] = {}
    spent = 0.0
    with closing(Engines(spec.options, keep=spec.stopping.until_verdict)) as engines:
        check_kinds({model: engines.kinds(model) for model in models}, benchmark, questions.protocol)
        if rule is not None:
            questions, spent, resting = _settle(spec, engines, questions, workspace, terms, rule)
        measured = _measure_all(engines, questions, workspace, terms, spent)
    return Measurement(
        benchmark.name,
        benchmark.version,
        questions.protocol.name,
        questions.template,
        len(questions.items),
        len(benchmark.items),
        benchmark.groupings,
        tuple(measured.values()),
        () if questions.protocol.unmarked else _comparisons(spec, workspace, benchmark.name, measured, resting),
    )


def _questions(spec: MeasureSpec, benchmark: Benchmark, rule: StoppingRule | None) -> Questions:
    """What every model is asked, in the order of asking."""
    asking = spec.asking
    protocol = benchmark.protocol(asking.protocol)
    check_drawing(asking.drawing, protocol, spec.stopping.until_verdict)
    check_marked(protocol, spec.margin)
    items = order_of_asking(chosen(benchmark.items_of(protocol), asking.max_items), rule)
    return Questions(benchmark, protocol, asking.template, items, asking.requests(protocol, items))


def _comparisons(
    spec: MeasureSpec,
    workspace: Workspace,
    benchmark: str,
    measured: Mapping[ModelRef, Measured],
    resting: Mapping[ModelRef, _Resting],
) -> tuple[Comparison, ...]:
    """Every candidate against the incumbent, where there is one."""
    found = []
    for model in spec.candidates if spec.incumbent else ():
        assert spec.incumbent is not None
        ours, theirs = measured[model], measured[spec.incumbent]
        gap = _gap(spec, benchmark, workspace, ours, theirs, resting.get(model, _Resting()))
        gap = replace(gap, differing=differing(workspace, ours.run_id, theirs.run_id))
        found.append(Comparison(ours, theirs, gap, slice_gaps(ours.marks, theirs.marks, gap.alpha)))
    return tuple(found)


def _terms(spec: MeasureSpec, models: tuple[ModelRef, ...], common: Terms) -> dict[ModelRef, Terms]:
    """Under which conditions each model is asked: its price of today."""
    today, needed = datetime.now(UTC).date(), spec.asking.budget.usd is not None
    return {model: replace(common, price=price_of(model, spec.asking.book, today, needed)) for model in models}


def _measure_all(
    engines: Engines, questions: Questions, workspace: Workspace, terms: Mapping[ModelRef, Terms], spent_usd: float
) -> dict[ModelRef, Measured]:
    """Every model's run. The first also answers for whom the process had talked to before."""
    measured: dict[ModelRef, Measured] = {}
    before: Egress | None = None
    for model, condition in terms.items():
        budget = replace(condition.budget, spent_usd=spent_usd + sum(done.spent_usd for done in measured.values()))
        condition = replace(condition, budget=budget, before=before or condition.before, work_before=TokenWork())
        engine = engines.of(model)
        check_template(engine, questions.template)
        measured[model] = measure_one(engine, questions, workspace, condition)
        before = seen()
    return measured


def _stopping_rule(spec: MeasureSpec, benchmark: Benchmark) -> StoppingRule | None:
    if not spec.stopping.until_verdict:
        return None
    if spec.margin is None or spec.incumbent is None:
        raise UsageError(
            "Asking until the verdict is in needs an incumbent and a margin.",
            "Name them: --against MODEL --margin 0.02.",
        )
    forecasts = tuple(map(scores_of, spec.stopping.forecasts))
    return rule_for(benchmark.items, spec.margin, spec.alpha, spec.stopping.estimand == "items", forecasts)


def _settle(
    spec: MeasureSpec,
    engines: Engines,
    questions: Questions,
    workspace: Workspace,
    terms: Mapping[ModelRef, Terms],
    rule: StoppingRule,
) -> tuple[Questions, float, dict[ModelRef, _Resting]]:
    """Ask until every candidate has its verdict; returns what that took to ask, dollars, and what verdicts rest on."""
    assert spec.incumbent is not None
    askers = {}
    for model, condition in terms.items():
        engine = engines.of(model)
        check_template(engine, spec.asking.template)
        tell_forecast(engine, questions.requests, workspace, condition)
        askers[model] = Asker(engine, questions.protocol, questions.requests, workspace, condition)
    resting = {}
    for model in dict.fromkeys(spec.candidates):
        look = _look_at_stream(spec, questions, workspace, askers[model], askers[spec.incumbent])
        resting[model] = _Resting(look, replace(rule, alpha=look.alpha) if look else rule)
    rules = {model: found.rule for model, found in resting.items() if found.rule is not None}
    size, applied = items_until_verdict(askers, rules, spec.incumbent, questions.items)
    resting = {model: replace(resting[model], rule=rule) for model, rule in applied.items()}
    return questions.first(size), sum(asker.spent_usd for asker in askers.values()), resting


def _look_at_stream(
    spec: MeasureSpec, questions: Questions, workspace: Workspace, candidate: Asker, incumbent: Asker
) -> LookRecord | None:
    """The look that goes on from the first item to the last: the same models asked in the same way are one."""
    if not spec.ledger or spec.margin is None:
        return None
    asked = Asked(str(candidate.engine.model), str(incumbent.engine.model), questions.benchmark.name)
    keys = [questions.stream(asker.engine) for asker in (candidate, incumbent)]
    basis = ("until verdict", spec.stopping.estimand, *keys, digest(spec.stopping.forecasts))
    return Purse(workspace, spec.question).enter(asked, basis, Claim(spec.margin, spec.alpha), anytime=True)


def _gap(
    spec: MeasureSpec, benchmark: str, workspace: Workspace, ours: Measured, theirs: Measured, resting: _Resting
) -> Gap:
    """The gap, its verdict at what the ledger grants this look."""
    purse, look = Purse(workspace, spec.question), resting.look
    if resting.rule is not None:
        candidate, incumbent = scores_of(ours.marks), scores_of(theirs.marks)
        found = compare_anytime([marked.item for marked in ours.marks], candidate, incumbent, resting.rule)
    else:
        if spec.ledger and spec.margin is not None:
            asked = Asked(str(ours.model), str(theirs.model), benchmark)
            look = purse.enter(asked, (ours.run_id, theirs.run_id), Claim(spec.margin, spec.alpha))

        def judged(alpha: float) -> Gap:
            return gap_of(ours.marks, theirs.marks, spec.margin, alpha)

        found = at_next_look(judged(look.alpha if look else spec.alpha), look, judged)
    found = held_against(found, workspace, workspace.run(theirs.run_id))
    return purse.conclude(found, look, (ours.run_id, theirs.run_id)) if look else found
