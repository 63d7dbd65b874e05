"""How items are asked, and one model asked them: its answers kept, marked and written as a run."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from parity.benchmarks.base import Benchmark, Protocol
from parity.core.digests import digest
from parity.core.items import Item
from parity.core.outputs import Output
from parity.core.prompts import Drawing, Fit, Generate, Request, RequestId, fingerprint
from parity.core.runs import Marked, RunKey
from parity.engines.base import Engine
from parity.marking.checks import Marking
from parity.measurement.accounting import CallLog, Terms, WorkLog, cost_so_far, tell_forecast
from parity.measurement.notes import notes_of
from parity.measurement.refusals import check_scorable
from parity.measurement.results import Measured, Template, summary
from parity.pricing.book import PriceBook, shipped
from parity.runs.plan import place, requests_digest
from parity.runs.runner import Asked, Budget, ask
from parity.store import Workspace

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Asking:
    """How items are asked, how many of them, and what that may cost."""

    protocol: str | None = None
    template: Template = "none"
    max_items: int | None = None
    drawing: Drawing = field(default_factory=Drawing)
    fit: Fit = field(default_factory=Fit)
    budget: Budget = field(default_factory=Budget)
    book: PriceBook = field(default_factory=lambda: PriceBook(shipped()))

    def requests(self, protocol: Protocol, items: Sequence[Item]) -> list[Request]:
        """Everything to be asked, item by item, each as often as it is drawn."""
        chat = self.template == "chat"
        return [
            protocol.request(item, draw, self.fit, chat, self.drawing)
            for item in items
            for draw in range(self.drawing.draws)
        ]


def chosen(items: Sequence[Item], max_items: int | None) -> list[Item]:
    """The items in random, reproducible order; a smaller `max_items` is the beginning of a larger one."""
    return sorted(items, key=lambda item: place(RequestId(item.id)))[:max_items]


def sampled(requests: Sequence[Request]) -> tuple[str, ...]:
    """How answers are drawn, in words; nothing where they are the likeliest ones."""
    first = requests[0] if requests else None
    if not isinstance(first, Generate) or not first.sampling.temperature:
        return ()
    return f"temperature {first.sampling.temperature:g}", f"top-p {first.sampling.top_p:g}"


@dataclass(frozen=True, slots=True)
class Questions:
    """What every model is asked: the items, and the requests made of them by one protocol, `draws` an item."""

    benchmark: Benchmark
    protocol: Protocol
    template: Template
    items: list[Item]
    requests: list[Request]

    def first(self, count: int) -> "Questions":
        """The first so many items."""
        return self.between(0, count)

    def between(self, begin: int, end: int) -> "Questions":
        """The items from one place in the order to another."""
        draws = len(self.requests) // max(len(self.items), 1)
        return replace(self, items=self.items[begin:end], requests=self.requests[begin * draws : end * draws])

    def stream(self, engine: Engine) -> str:
        """Digest of who is asked and how, whatever the number of items."""
        return digest((self.first(0).key(engine).digest, fingerprint(self.requests[0])))

    def key(self, engine: Engine) -> RunKey:
        """The run of one model that is asked all of this."""
        return RunKey(
            engine.identity,
            self.benchmark.name,
            self.benchmark.digest,
            " ".join((self.protocol.name, self.protocol.version, *sampled(self.requests))),
            self.protocol.kind,
            self.template,
            requests_digest(self.requests),
        )


def measure_one(engine: Engine, questions: Questions, workspace: Workspace, terms: Terms) -> Measured:
    """Ask one model, mark its answers, and write the run."""
    requests, items = questions.requests, questions.items
    key = questions.key(engine)
    with workspace.lock(key.identity.digest[:16], lambda: _say_waiting(engine, requests, terms)):
        workspace.begin_run(key, len(items))
        log = CallLog(workspace, key, terms.before)
        work = WorkLog(engine, workspace, key, terms.work_before)
        try:
            asked = _ask(engine, requests, workspace, terms, (log.note, work.note))
        finally:
            log.note()
            work.note(at_once=True)
            workspace.put_cost(key.run_id, cost_so_far(engine, requests, workspace, terms.price))
        outputs = [asked.outputs[request.id] for request in requests]
        found = _marking(engine, questions, outputs, terms)
        tags = {item.id: item.tags for item in items}
        marks = [
            Marked(request.id.item, mark, tags[request.id.item], request.id.draw)
            for request, mark in zip(requests, found.marks, strict=True)
        ]
        if not questions.protocol.unmarked:
            check_scorable(engine.model, marks)
        workspace.finish_run(key.run_id, list(zip(marks, map(fingerprint, requests), strict=True)), found.ran)
    return replace(
        summary(key.run_id, engine.model, marks, outputs),
        account=workspace.account(key.run_id),
        spent_usd=asked.usd,
        ran=found.ran,
        notes=notes_of(engine.identity.settings),
    )


def _ask(
    engine: Engine, requests: list[Request], workspace: Workspace, terms: Terms, notes: Sequence[Callable[[], None]]
) -> Asked:
    """Say what it may cost, then ask, noting every new host as it is talked to, and what is computed."""
    tell_forecast(engine, requests, workspace, terms)

    def progress(done: int, total: int) -> None:
        for note in notes:
            note()
        if terms.on_progress:
            terms.on_progress(engine.model.short, done, total)

    return ask(engine, requests, workspace, terms.budget, progress, terms.price)


def _marking(engine: Engine, questions: Questions, outputs: Sequence[Output], terms: Terms) -> Marking:
    """The mark of every answer; those that are programs are run, several at a time."""
    by_id = {item.id: item for item in questions.items}
    answered = [(by_id[request.id.item], output) for request, output in zip(questions.requests, outputs, strict=True)]

    def progress(done: int, total: int) -> None:
        if terms.on_progress:
            terms.on_progress(f"{engine.model.short}: answers run", done, total)

    return questions.protocol.marks(answered, progress)


def _say_waiting(engine: Engine, requests: list[Request], terms: Terms) -> None:
    if terms.on_progress:
        what = f"{engine.model.short}: another process is asking the same; waiting for it"
        terms.on_progress(what, 0, len(requests))
