"""measure: ask every model the same items by the same protocol, mark the answers, compare candidates to incumbent."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Literal

from parity.benchmarks.base import Benchmark, Protocol
from parity.core.gaps import Gap
from parity.core.items import Item, Tag
from parity.core.outputs import Failure, Output, Usage
from parity.core.prompts import Fit, Request, RequestId, RequestKind, fingerprint
from parity.core.refs import ModelRef
from parity.core.runs import Marked, RunKey, TokenWork
from parity.core.scores import Score, Unscored, UnscoredReason
from parity.engines.base import CountsWork, Engine
from parity.engines.open import EngineOptions, Engines
from parity.errors import Unscorable, UsageError
from parity.files.egress import Egress, seen, watch
from parity.measurement.accounting import CallLog, Forecast, Terms, cost_so_far, price_of, tell_forecast
from parity.measurement.comparison import compare, outside_count, pair_marks, scores_of, slice_gaps
from parity.measurement.stopping import (
    Asker,
    StoppingRule,
    compare_anytime,
    items_until_verdict,
    order_of_asking,
    rule_for,
)
from parity.pricing.book import PriceBook, shipped
from parity.runs.plan import place, requests_digest
from parity.runs.runner import Asked, Budget, ask
from parity.store import Workspace
from parity.store.accounts import RunAccount

# More ties and NaN than this share means the model or its precision is broken, not the items.
UNSCORABLE_SHARE = 0.001
Progress = Callable[[str, int, int], None]
# "chat": every prompt is a user's turn in the model's own chat template. "none": the prompt as it is.
Template = Literal["none", "chat"]
# "items": the items of this benchmark, all of them. "future": items like them, of which these are a sample.
Estimand = Literal["items", "future"]


@dataclass(frozen=True, slots=True)
class MeasureSpec:
    """What is measured: models, items, protocol, and what counts as parity.

    `forecast`: marks of an earlier model on these items, which predict a candidate's and spare items.
    """

    candidates: tuple[ModelRef, ...]
    incumbent: ModelRef | None = None
    protocol: str | None = None
    template: Template = "none"
    margin: float | None = None
    alpha: float = 0.05
    max_items: int | None = None
    until_verdict: bool = False
    estimand: Estimand = "items"
    forecast: tuple[Marked, ...] = ()
    fit: Fit = field(default_factory=Fit)
    budget: Budget = field(default_factory=Budget)
    book: PriceBook = field(default_factory=lambda: PriceBook(shipped()))
    options: EngineOptions = field(default_factory=EngineOptions)


@dataclass(frozen=True, slots=True)
class Measured:
    """One model's run: marks in item order, what it used, and seconds of engine time an answer.

    `account` is of the whole run, whenever it was asked; `spent_usd` was spent by this call of the command.
    """

    run_id: str
    model: ModelRef
    marks: tuple[Marked, ...]
    usage: Usage
    latencies_s: tuple[float, ...]
    reasons: tuple[tuple[str, int], ...]
    account: RunAccount = field(default_factory=RunAccount)
    spent_usd: float = 0.0
    token_work: TokenWork | None = None

    @property
    def scores(self) -> list[float]:
        return [marked.mark.value for marked in self.marks if isinstance(marked.mark, Score)]

    def groups(self) -> dict[str, dict[str, list[float]]]:
        """Scores by tag kind and value; an unscored item is in none."""
        found: dict[str, dict[str, list[float]]] = {}
        for marked in self.marks:
            if isinstance(marked.mark, Score):
                for kind, value in marked.tags:
                    found.setdefault(kind, {}).setdefault(value, []).append(marked.mark.value)
        return found

    @property
    def outside(self) -> int:
        return outside_count(self.marks)


@dataclass(frozen=True, slots=True)
class Comparison:
    """A candidate against the incumbent: the gap of all items and of every slice."""

    candidate: Measured
    incumbent: Measured
    gap: Gap
    slices: dict[Tag, Gap] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Measurement:
    """All that `measure` found."""

    benchmark: str
    version: str
    protocol: str
    template: Template
    items: int
    population: int
    groupings: tuple[str, ...]
    measured: tuple[Measured, ...]
    comparisons: tuple[Comparison, ...]


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
    protocol = benchmark.protocol(spec.protocol)
    items = chosen(benchmark, spec.max_items)
    models = tuple(dict.fromkeys((*spec.candidates, *([spec.incumbent] if spec.incumbent else []))))
    today = datetime.now(UTC).date()
    prices = {model: price_of(model, spec.book, today, spec.budget.usd is not None) for model in models}
    measured: dict[ModelRef, Measured] = {}
    watch()
    before = seen() if before is None else before
    engines = Engines(spec.options, keep=spec.until_verdict)
    rule = _stopping_rule(spec, benchmark)
    items = order_of_asking(items, rule)
    spent = 0.0
    try:
        _check_kinds({model: engines.kinds(model) for model in models}, benchmark, protocol)
        if rule is not None:
            terms = {model: Terms(prices[model], spec.budget, before, on_progress, on_forecast) for model in models}
            size, spent, rule = _settle(spec, engines, protocol, items, workspace, terms, rule)
            items = items[:size]
        for model in models:
            budget = replace(spec.budget, spent_usd=spent + sum(done.spent_usd for done in measured.values()))
            asked = Terms(prices[model], budget, before, on_progress, on_forecast)
            engine = engines.of(model)
            _check_template(engine, spec.template)
            measured[model] = measure_one(engine, benchmark, protocol, items, spec, workspace, asked)
            before = seen()
    finally:
        engines.close()
    comparisons = []
    if spec.incumbent:
        theirs = measured[spec.incumbent]
        for ours in (measured[candidate] for candidate in spec.candidates):
            gap = _gap(spec, ours, theirs, rule)
            comparisons.append(Comparison(ours, theirs, gap, slice_gaps(ours.marks, theirs.marks, spec.alpha)))
    return Measurement(
        benchmark.name,
        benchmark.version,
        protocol.name,
        spec.template,
        len(items),
        len(benchmark.items),
        benchmark.groupings,
        tuple(measured.values()),
        tuple(comparisons),
    )


def _stopping_rule(spec: MeasureSpec, benchmark: Benchmark) -> StoppingRule | None:
    if not spec.until_verdict:
        return None
    if spec.margin is None or spec.incumbent is None:
        raise UsageError(
            "Asking until the verdict is in needs an incumbent and a margin.",
            "Name them: --against MODEL --margin 0.02.",
        )
    forecast = scores_of(spec.forecast) if spec.forecast else None
    return rule_for(benchmark.items, spec.margin, spec.alpha, spec.estimand == "items", forecast)


def _settle(
    spec: MeasureSpec,
    engines: Engines,
    protocol: Protocol,
    items: list[Item],
    workspace: Workspace,
    terms: Mapping[ModelRef, Terms],
    rule: StoppingRule,
) -> tuple[int, float, StoppingRule]:
    """Ask until every candidate has its verdict; returns how many items that took, dollars, and the rule applied."""
    assert spec.incumbent is not None
    requests: list[Request] = [protocol.request(item, fit=spec.fit, chat=spec.template == "chat") for item in items]
    askers = {}
    for model, condition in terms.items():
        engine = engines.of(model)
        _check_template(engine, spec.template)
        tell_forecast(engine, requests, workspace, condition)
        askers[model] = Asker(engine, protocol, requests, workspace, condition)
    size, rule = items_until_verdict(askers, spec.candidates, spec.incumbent, items, rule)
    return size, sum(asker.spent_usd for asker in askers.values()), rule


def _gap(spec: MeasureSpec, ours: Measured, theirs: Measured, rule: StoppingRule | None) -> Gap:
    if rule is None:
        return compare(pair_marks(ours.marks, theirs.marks), spec.margin, spec.alpha)
    return compare_anytime([mark.item for mark in ours.marks], scores_of(ours.marks), scores_of(theirs.marks), rule)


def chosen(benchmark: Benchmark, max_items: int | None) -> list[Item]:
    """The items in random, reproducible order; a smaller `max_items` is the beginning of a larger one."""
    return sorted(benchmark.items, key=lambda item: place(RequestId(item.id)))[:max_items]


def measure_one(
    engine: Engine,
    benchmark: Benchmark,
    protocol: Protocol,
    items: list[Item],
    spec: MeasureSpec,
    workspace: Workspace,
    terms: Terms,
) -> Measured:
    """Ask one model, mark its answers, and write the run."""
    requests: list[Request] = [protocol.request(item, fit=spec.fit, chat=spec.template == "chat") for item in items]
    key = RunKey(
        engine.identity,
        benchmark.name,
        benchmark.digest,
        f"{protocol.name} {protocol.version}",
        protocol.kind,
        spec.template,
        requests_digest(requests),
    )
    with workspace.lock(key.identity.digest[:16], lambda: _say_waiting(engine, requests, terms)):
        workspace.begin_run(key, len(items))
        log = CallLog(workspace, key, terms.before)
        try:
            asked = _ask(engine, requests, workspace, terms, log)
        finally:
            log.note()
            workspace.put_cost(key.run_id, cost_so_far(engine, requests, workspace, terms.price))
        outputs = [asked.outputs[request.id] for request in requests]
        marks = [Marked(item.id, protocol.mark(item, asked.outputs[RequestId(item.id)]), item.tags) for item in items]
        _check_scorable(engine, marks)
        workspace.finish_run(key.run_id, list(zip(marks, map(fingerprint, requests), strict=True)))
    return replace(
        summary(key.run_id, engine.model, marks, outputs),
        account=workspace.account(key.run_id),
        spent_usd=asked.usd,
        token_work=engine.token_work if isinstance(engine, CountsWork) else None,
    )


def _ask(engine: Engine, requests: list[Request], workspace: Workspace, terms: Terms, log: CallLog) -> Asked:
    """Say what it may cost, then ask, noting every new host as it is talked to."""
    tell_forecast(engine, requests, workspace, terms)

    def progress(done: int, total: int) -> None:
        log.note()
        if terms.on_progress:
            terms.on_progress(engine.model.short, done, total)

    return ask(engine, requests, workspace, terms.budget, progress, terms.price)


def _say_waiting(engine: Engine, requests: list[Request], terms: Terms) -> None:
    if terms.on_progress:
        what = f"{engine.model.short}: another process is asking the same; waiting for it"
        terms.on_progress(what, 0, len(requests))


def summary(run_id: str, model: ModelRef, marks: list[Marked], outputs: list[Output]) -> Measured:
    """One model's run from its marks and outputs."""
    usage, latencies = Usage(), []
    for output in outputs:
        if not isinstance(output, Failure):
            usage += output.usage
            latencies.append(output.latency_s)
    reasons: dict[str, int] = {}
    for marked in marks:
        if isinstance(marked.mark, Unscored):
            reasons[marked.mark.reason.value] = reasons.get(marked.mark.reason.value, 0) + 1
    return Measured(run_id, model, tuple(marks), usage, tuple(latencies), tuple(sorted(reasons.items())))


def _check_kinds(kinds: Mapping[ModelRef, frozenset[RequestKind]], benchmark: Benchmark, protocol: Protocol) -> None:
    """Refuse, before anything is asked, a protocol that one of the models cannot do; offer one that all can."""
    unable = [model for model, offered in kinds.items() if protocol.kind not in offered]
    if not unable:
        return
    common = frozenset.intersection(*kinds.values())
    offers = [other.name for other in benchmark.protocols.values() if other.kind in common]
    offered = " and ".join(sorted(kinds[unable[0]])) or "nothing"
    raise UsageError(
        f"{unable[0]} cannot be asked by {protocol.name!r}, which needs {protocol.kind}; it offers {offered}. "
        "Log-likelihoods and written answers are never compared.",
        f"Measure all models with --protocol {offers[0]}." if offers else f"No protocol of {benchmark.name} fits all.",
    )


def _check_template(engine: Engine, template: Template) -> None:
    if template == "chat" and not engine.capabilities.chat:
        raise UsageError(
            f"{engine.model} has no chat template.", "Measure all models with --template none, or use the chat version."
        )


def _check_scorable(engine: Engine, marks: list[Marked]) -> None:
    """Ties and NaN above the limit stop the run, with the likely cause; so does a run without any score."""
    found = {UnscoredReason.TIE: 0, UnscoredReason.NOT_A_NUMBER: 0}
    for marked in marks:
        if isinstance(marked.mark, Unscored) and marked.mark.reason in found:
            found[marked.mark.reason] += 1
    ties, nans = found.values()
    if marks and all(isinstance(marked.mark, Unscored) for marked in marks):
        assert isinstance(marks[0].mark, Unscored)
        raise Unscorable(
            f"{engine.model}: none of {len(marks)} items has a score; {marks[0].item}: {marks[0].mark.detail}.",
            "For a prompt that does not fit: --overflow truncate, or a model with a longer context.",
        )
    # A handful in a short run is luck, not a diagnosis: from the second on the share decides.
    if ties + nans > max(1.0, UNSCORABLE_SHARE * len(marks)):
        cause = "NaN comes from overflow or broken weights" if nans else "Ties come from too coarse a number type"
        raise Unscorable(
            f"{engine.model}: {nans} answers are NaN and {ties} are ties, of {len(marks)}; "
            f"at most {100 * UNSCORABLE_SHARE:g} % is accepted. {cause}.",
            "Try --dtype float32, and check the weights with another tool.",
        )
