"""measure: ask every model the same items by the same protocol, mark the answers, compare candidates to incumbent."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Literal

from parity.benchmarks.base import Benchmark, Protocol
from parity.core.gaps import Gap
from parity.core.items import Item
from parity.core.outputs import Output
from parity.core.prompts import Drawing, Fit, Generate, Request, RequestId, fingerprint
from parity.core.refs import ModelRef
from parity.core.runs import Marked, RunKey, TokenWork
from parity.engines.base import Engine
from parity.engines.open import EngineOptions, Engines
from parity.errors import UsageError
from parity.files.egress import Egress, seen, watch
from parity.marking.checks import Marking
from parity.measurement.accounting import CallLog, Forecast, Terms, cost_so_far, price_of, tell_forecast, work_of
from parity.measurement.comparison import gap_of, scores_of, slice_gaps
from parity.measurement.notes import notes_of
from parity.measurement.refusals import check_drawing, check_kinds, check_marked, check_scorable, check_template
from parity.measurement.results import Comparison, Measured, Measurement, Template, summary
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

Progress = Callable[[str, int, int], None]
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
    drawing: Drawing = field(default_factory=Drawing)
    forecast: tuple[Marked, ...] = ()
    fit: Fit = field(default_factory=Fit)
    budget: Budget = field(default_factory=Budget)
    book: PriceBook = field(default_factory=lambda: PriceBook(shipped()))
    options: EngineOptions = field(default_factory=EngineOptions)


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
    check_drawing(spec.drawing, protocol, spec.until_verdict)
    check_marked(protocol, spec.margin)
    items = chosen(benchmark.items_of(protocol), spec.max_items)
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
        check_kinds({model: engines.kinds(model) for model in models}, benchmark, protocol)
        if rule is not None:
            terms = {model: Terms(prices[model], spec.budget, before, on_progress, on_forecast) for model in models}
            size, spent, rule = _settle(spec, engines, protocol, items, workspace, terms, rule)
            items = items[:size]
        for model in models:
            budget = replace(spec.budget, spent_usd=spent + sum(done.spent_usd for done in measured.values()))
            asked = Terms(prices[model], budget, before, on_progress, on_forecast, TokenWork())
            engine = engines.of(model)
            check_template(engine, spec.template)
            measured[model] = measure_one(engine, benchmark, protocol, items, spec, workspace, asked)
            before = seen()
    finally:
        engines.close()
    comparisons = []
    if spec.incumbent and not protocol.unmarked:
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
    requests = _requests(spec, protocol, items)
    askers = {}
    for model, condition in terms.items():
        engine = engines.of(model)
        check_template(engine, spec.template)
        tell_forecast(engine, requests, workspace, condition)
        askers[model] = Asker(engine, protocol, requests, workspace, condition)
    size, rule = items_until_verdict(askers, spec.candidates, spec.incumbent, items, rule)
    return size, sum(asker.spent_usd for asker in askers.values()), rule


def _gap(spec: MeasureSpec, ours: Measured, theirs: Measured, rule: StoppingRule | None) -> Gap:
    if rule is None:
        return gap_of(ours.marks, theirs.marks, spec.margin, spec.alpha)
    candidate, incumbent = scores_of(ours.marks), scores_of(theirs.marks)
    return compare_anytime([marked.item for marked in ours.marks], candidate, incumbent, rule)


def sampled(requests: Sequence[Request]) -> tuple[str, ...]:
    """How answers are drawn, in words; nothing where they are the likeliest ones."""
    first = requests[0] if requests else None
    if not isinstance(first, Generate) or not first.sampling.temperature:
        return ()
    return f"temperature {first.sampling.temperature:g}", f"top-p {first.sampling.top_p:g}"


def _requests(spec: MeasureSpec, protocol: Protocol, items: Sequence[Item]) -> list[Request]:
    """Everything to be asked, item by item, each as often as it is drawn."""
    chat = spec.template == "chat"
    return [
        protocol.request(item, draw, spec.fit, chat, spec.drawing)
        for item in items
        for draw in range(spec.drawing.draws)
    ]


def chosen(items: Sequence[Item], max_items: int | None) -> list[Item]:
    """The items in random, reproducible order; a smaller `max_items` is the beginning of a larger one."""
    return sorted(items, key=lambda item: place(RequestId(item.id)))[:max_items]


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
    requests = _requests(spec, protocol, items)
    key = RunKey(
        engine.identity,
        benchmark.name,
        benchmark.digest,
        " ".join((protocol.name, protocol.version, *sampled(requests))),
        protocol.kind,
        spec.template,
        requests_digest(requests),
    )
    with workspace.lock(key.identity.digest[:16], lambda: _say_waiting(engine, requests, terms)):
        workspace.begin_run(key, len(items))
        log = CallLog(workspace, key, terms.before)
        begun = terms.work_before or work_of(engine)
        try:
            asked = _ask(engine, requests, workspace, terms, log)
        finally:
            log.note()
            _put_work(engine, workspace, key.run_id, begun)
            workspace.put_cost(key.run_id, cost_so_far(engine, requests, workspace, terms.price))
        outputs = [asked.outputs[request.id] for request in requests]
        found = _marking(engine, protocol, items, requests, outputs, terms)
        tags = {item.id: item.tags for item in items}
        marks = [
            Marked(request.id.item, mark, tags[request.id.item], request.id.draw)
            for request, mark in zip(requests, found.marks, strict=True)
        ]
        if not protocol.unmarked:
            check_scorable(engine.model, marks)
        workspace.finish_run(key.run_id, list(zip(marks, map(fingerprint, requests), strict=True)), found.ran)
    return replace(
        summary(key.run_id, engine.model, marks, outputs),
        account=workspace.account(key.run_id),
        spent_usd=asked.usd,
        ran=found.ran,
        notes=notes_of(engine.identity.settings),
    )


def _ask(engine: Engine, requests: list[Request], workspace: Workspace, terms: Terms, log: CallLog) -> Asked:
    """Say what it may cost, then ask, noting every new host as it is talked to."""
    tell_forecast(engine, requests, workspace, terms)

    def progress(done: int, total: int) -> None:
        log.note()
        if terms.on_progress:
            terms.on_progress(engine.model.short, done, total)

    return ask(engine, requests, workspace, terms.budget, progress, terms.price)


def _marking(
    engine: Engine,
    protocol: Protocol,
    items: Sequence[Item],
    requests: Sequence[Request],
    outputs: Sequence[Output],
    terms: Terms,
) -> Marking:
    """The mark of every answer; those that are programs are run, several at a time."""
    by_id = {item.id: item for item in items}
    answered = [(by_id[request.id.item], output) for request, output in zip(requests, outputs, strict=True)]

    def progress(done: int, total: int) -> None:
        if terms.on_progress:
            terms.on_progress(f"{engine.model.short}: answers run", done, total)

    return protocol.marks(answered, progress)


def _put_work(engine: Engine, workspace: Workspace, run_id: str, begun: TokenWork) -> None:
    done = work_of(engine) - begun
    if done.computed:
        workspace.put_work(run_id, done)


def _say_waiting(engine: Engine, requests: list[Request], terms: Terms) -> None:
    if terms.on_progress:
        what = f"{engine.model.short}: another process is asking the same; waiting for it"
        terms.on_progress(what, 0, len(requests))
