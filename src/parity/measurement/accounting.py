"""What a run will cost, what it did cost and compute, and whom it talked to.

Knows when an unknown price is an error (under a budget in dollars, or where a provider bills for certain), and when it
is only said.
"""

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date

from parity.benchmarks.base import Protocol
from parity.core.items import Item
from parity.core.money import Cost, Price, cost_of
from parity.core.prompts import ChatPrompt, Generate, Request
from parity.core.refs import ModelRef, Scheme
from parity.core.runs import RunKey, TokenWork
from parity.engines.base import CountsWork, Engine
from parity.errors import DataError
from parity.files.egress import Egress, seen
from parity.pricing.book import PriceBook
from parity.runs.runner import Budget, most_usage, unanswered
from parity.store import Workspace

# A token of English is about four bytes; other languages and code take more tokens for as many bytes.
BYTES_PER_TOKEN = 4
_NOTED_EVERY_S = 1.0


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a run may take before it is asked. `prompt_tokens` is an estimate; answers count with their full length.

    `most_usd` cannot be passed by answers that come at the first attempt. Without a price both amounts are None.
    """

    model: ModelRef
    price: Price | None
    requests: int
    known: int
    prompt_tokens: int
    completion_tokens: int
    usd: float | None
    most_usd: float | None


@dataclass(frozen=True, slots=True)
class Terms:
    """Under which conditions one model is asked. `before` is what the process had talked to by then.

    `work_before` is what its engine had computed for other runs; None: whatever it has computed by then.
    """

    price: Price | None
    budget: Budget = field(default_factory=Budget)
    before: Egress = field(default_factory=Egress)
    on_progress: Callable[[str, int, int], None] | None = None
    on_forecast: Callable[[Forecast], None] | None = None
    work_before: TokenWork | None = None


def work_of(engine: Engine) -> TokenWork:
    """What an engine has computed so far; nothing where it does not count."""
    return (engine.token_work if isinstance(engine, CountsWork) else None) or TokenWork()


def price_of(model: ModelRef, book: PriceBook, on: date, needed: bool) -> Price | None:
    """The price of a model on a day; None for an endpoint nobody has priced, when no price is `needed`.

    Raises:
        DataError: the price is unknown although a budget needs it or the provider sells nothing for free.
    """
    served = _served_at(model)
    try:
        return book.price(model if any(price.model == str(model) for price in book.own) else served, on)
    except DataError:
        if needed or served.scheme in (Scheme.OPENAI, Scheme.ANTHROPIC):
            raise
        return None


def _served_at(model: ModelRef) -> ModelRef:
    """The model behind the URL that the environment puts in place of a provider's own."""
    variable = {Scheme.OPENAI: "OPENAI_BASE_URL", Scheme.ANTHROPIC: "ANTHROPIC_BASE_URL"}.get(model.scheme)
    url = os.environ.get(variable, "") if variable else ""
    return ModelRef(Scheme.HTTP, url, part=model.name) if url else model


def tell_forecast(engine: Engine, requests: Sequence[Request], workspace: Workspace, terms: Terms) -> None:
    """Say what requests may cost before they are asked, where that is anybody's question."""
    if terms.on_forecast and not (terms.price and terms.price.local):
        terms.on_forecast(forecast(engine, requests, workspace, terms.price))


def forecast(engine: Engine, requests: Sequence[Request], workspace: Workspace, price: Price | None) -> Forecast:
    """What the requests that the workspace has no answer to may cost."""
    asked = unanswered(engine, requests, workspace)
    guesses = [likely_usage(request) for request in asked]
    most = [most_usage(request, engine.capabilities.hidden_tokens) for request in asked]
    return Forecast(
        engine.model,
        price,
        len(asked),
        len(requests) - len(asked),
        sum(prompt for prompt, _ in guesses),
        sum(completion for _, completion in guesses),
        sum(price.cost(*guess) for guess in guesses) if price else None,
        sum(price.most(*usage) for usage in most) if price else None,
    )


@dataclass(frozen=True, slots=True)
class RunForecast:
    """What a run of all items takes: likely prompt tokens, answers at full length, dollars where there is a price."""

    prompt_tokens: int
    completion_tokens: int
    usd: float | None


def run_forecast(protocol: Protocol, items: Sequence[Item], price: Price | None) -> RunForecast:
    """The forecast of a run before there is a model to ask."""
    guesses = [likely_usage(protocol.request(item)) for item in items]
    usd = sum(price.cost(*guess) for guess in guesses) if price else None
    return RunForecast(sum(prompt for prompt, _ in guesses), sum(answer for _, answer in guesses), usd)


def cost_so_far(engine: Engine, requests: Sequence[Request], workspace: Workspace, price: Price | None) -> Cost | None:
    """What the stored answers to these requests cost, finished or not; None without a price."""
    if price is None or price.local:
        return Cost(0.0, price) if price else None
    return cost_of(workspace.answers(engine.identity.digest, requests).values(), price)


def likely_usage(request: Request) -> tuple[int, int]:
    """Likely (prompt, completion) tokens: the text's bytes by `BYTES_PER_TOKEN`, and the longest answer allowed."""
    prompt = request.prompt
    if isinstance(prompt, ChatPrompt):
        size = sum(len(message.content.encode()) for message in prompt.messages)
    else:
        size = len(prompt.text.encode())
    if isinstance(request, Generate):
        return size // BYTES_PER_TOKEN + 1, request.sampling.max_tokens
    size += len(request.contexts[0].encode()) if request.contexts else 0
    return sum((size + len(text.encode())) // BYTES_PER_TOKEN + 1 for text in request.continuations), 0


class WorkLog:
    """Keeps in the workspace what an engine computes for a run, as it does: a kill loses a second of it at most.

    `begun` is what it had computed before.
    """

    def __init__(self, engine: Engine, workspace: Workspace, key: RunKey, begun: TokenWork | None) -> None:
        self._engine, self._workspace, self._run_id = engine, workspace, key.run_id
        self._begun = begun or work_of(engine)
        self._work_id: int | None = None
        self._noted_s = time.monotonic()

    def note(self, at_once: bool = False) -> None:
        """Write what is computed by now, unless this was done within the last second."""
        now_s = time.monotonic()
        if not at_once and now_s - self._noted_s < _NOTED_EVERY_S:
            return
        self._noted_s, done = now_s, work_of(self._engine) - self._begun
        if done.computed:
            self._work_id = self._workspace.put_work(self._work_id, self._run_id, done)


class CallLog:
    """Keeps in the workspace whom this call talked to for a run, as soon as it does: a kill loses nothing."""

    def __init__(self, workspace: Workspace, key: RunKey, before: Egress) -> None:
        self._workspace, self._run_id, self._before = workspace, key.run_id, before
        self._kept = self._now()
        self._call_id = workspace.put_call(None, self._run_id, self._kept)

    def note(self) -> None:
        """Write what changed since the last time."""
        now = self._now()
        if (now.hosts, now.attempts) != (self._kept.hosts, self._kept.attempts):
            self._workspace.put_call(self._call_id, self._run_id, now)
            self._kept = now

    def _now(self) -> Egress:
        return seen().since(self._before)
