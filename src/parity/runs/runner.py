"""The runner: ask what is not answered yet, write each answer as it comes, stop before a budget is exceeded."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from parity.core.money import Price, dollars, usage_usd
from parity.core.outputs import PERMANENT, Failure, FailureKind, Output
from parity.core.prompts import ChatPrompt, Generate, Loglikelihood, Request, RequestId
from parity.engines.base import Engine
from parity.errors import BudgetExceeded, EngineError
from parity.store import Workspace

# Refused before a model read anything; all other failures may stand on a bill.
_UNBILLED = frozenset({FailureKind.CONTEXT_EXCEEDED, FailureKind.NOT_RECORDED})


@dataclass(frozen=True, slots=True)
class Budget:
    """Limits of one call of the command, for new answers; None is no limit.

    `tokens` counts prompt and completion, `usd` what they cost; before a block is asked, the most it could take is set
    aside, so neither is ever passed. A failure that may have been billed counts with the most it could have cost.
    `spent_usd` is what was spent under the same limit before. `seconds` is looked at between answers.
    """

    tokens: int | None = None
    seconds: float | None = None
    usd: float | None = None
    spent_usd: float = 0.0


@dataclass(slots=True)
class Asked:
    """What a run found: outputs by request, how many were new, and what those took (`usd`: at the price, if any)."""

    outputs: dict[RequestId, Output] = field(default_factory=dict)
    new: int = 0
    tokens: int = 0
    usd: float = 0.0


def ask(
    engine: Engine,
    requests: Sequence[Request],
    workspace: Workspace,
    budget: Budget | None = None,
    on_progress: Callable[[int, int], None] | None = None,
    price: Price | None = None,
) -> Asked:
    """Answer every request, from the store where it is known. A budget in dollars needs a price.

    Raises:
        ValueError: a budget in dollars without a price.
        BudgetExceeded: a limit was reached first; everything answered is stored.
        EngineError: the engine answered something that was not asked, or left something out.
    """
    identity = engine.identity.digest
    known, serving = _known(identity, requests, workspace)
    for served in (request for request in requests if request.id in serving):
        # Kept under what is asked now, as every answer of a run is.
        workspace.put_answer(identity, served, serving[served.id])
    known |= serving
    asked = Asked({key: output for key, output in known.items() if is_final(output)})
    todo = [request for request in requests if request.id not in asked.outputs]
    meter = _Meter(budget or Budget(), price, len(requests), engine.capabilities.hidden_tokens)
    while todo:
        block = meter.affordable(todo[: engine.capabilities.block], asked)
        by_id = {request.id: request for request in block}
        for request_id, output in engine.answer(block):
            request = by_id.pop(request_id, None)
            if request is None:
                raise EngineError(f"{engine.model} answered {request_id}, which was not asked.", "Report this engine.")
            workspace.put_answer(identity, request, output)
            asked.outputs[request_id] = output
            asked.new += 1
            meter.count(asked, request, output)
            if on_progress:
                on_progress(len(asked.outputs), len(requests))
            meter.check_time(asked)
        if by_id:
            raise EngineError(f"{engine.model} left {len(by_id)} requests without an answer.", "Report this engine.")
        todo = todo[len(block) :]
    return asked


def unanswered(engine: Engine, requests: Sequence[Request], workspace: Workspace) -> list[Request]:
    """The requests that `ask` would put to the engine."""
    known, serving = _known(engine.identity.digest, requests, workspace)
    known |= serving
    return [request for request in requests if request.id not in known or not is_final(known[request.id])]


def _known(
    identity: str, requests: Sequence[Request], workspace: Workspace
) -> tuple[dict[RequestId, Output], dict[RequestId, Output]]:
    """Stored answers; and log-likelihoods that were asked for as such, where they are only to be compared now."""
    known = workspace.answers(identity, requests)
    whole = [
        replace(request, compared=False)
        for request in requests
        if isinstance(request, Loglikelihood) and request.compared and request.id not in known
    ]
    return known, workspace.answers(identity, whole) if whole else {}


class _Meter:
    """Holds a budget against what was spent."""

    def __init__(self, budget: Budget, price: Price | None, total: int, hidden_tokens: int) -> None:
        if budget.usd is not None and price is None:
            raise ValueError("a budget in dollars needs a price")
        self._budget, self._price, self._total, self._begun = budget, price, total, time.monotonic()
        self._hidden_tokens = hidden_tokens

    def affordable(self, block: Sequence[Request], asked: Asked) -> Sequence[Request]:
        """As many requests of the block as certainly fit what is left."""
        self.check_time(asked)
        budget, tokens, usd = self._budget, asked.tokens, self._budget.spent_usd + asked.usd
        for count, request in enumerate(block):
            tokens += most_tokens(request, self._hidden_tokens)
            usd += self._most_usd(request)
            if budget.tokens is not None and tokens > budget.tokens:
                limit = f"{budget.tokens:,} tokens ({asked.tokens:,} spent)"
            elif budget.usd is not None and usd > budget.usd:
                spent = dollars(budget.spent_usd + asked.usd)
                limit = f"{dollars(budget.usd)} ({spent} spent, or {dollars(usd)} with one more answer)"
            else:
                continue
            if not count:
                raise self._stop(limit, asked)
            return block[:count]
        return block

    def count(self, asked: Asked, request: Request, output: Output) -> None:
        """Add what an answer took."""
        if not isinstance(output, Failure):
            asked.tokens += output.usage.total_tokens
            asked.usd += usage_usd(output.usage, self._price) if self._price else 0.0
        elif output.kind not in _UNBILLED:
            asked.usd += self._most_usd(request)

    def _most_usd(self, request: Request) -> float:
        return self._price.most(*most_usage(request, self._hidden_tokens)) if self._price else 0.0

    def check_time(self, asked: Asked) -> None:
        limit = self._budget.seconds
        if limit is not None and time.monotonic() - self._begun > limit and len(asked.outputs) < self._total:
            raise self._stop(f"{limit:g} seconds", asked)

    def _stop(self, limit: str, asked: Asked) -> BudgetExceeded:
        return BudgetExceeded(
            f"The budget of {limit} is used up: {len(asked.outputs):,} of {self._total:,} items are answered.",
            "They are kept; run the same command with a larger budget to go on.",
        )


def most_tokens(request: Request, hidden_tokens: int = 0) -> int:
    """More tokens, of the prompt and the answer, than a request can take."""
    return sum(most_usage(request, hidden_tokens))


def most_usage(request: Request, hidden_tokens: int = 0) -> tuple[int, int]:
    """More (prompt, completion) tokens than a request can take, with `hidden_tokens` of reasoning.

    No token is shorter than a byte, and a few mark beginnings and turns. An endpoint reads the prompt by itself and
    again with every continuation, and writes a token after each.
    """
    prompt = request.prompt
    if isinstance(prompt, ChatPrompt):
        size = sum(len(message.content.encode()) + 64 for message in prompt.messages)
    else:
        size = len(prompt.text.encode()) + 8
    if isinstance(request, Generate):
        return size, request.sampling.max_tokens + hidden_tokens
    # With contexts each stands in two questions of its own, alone and with its continuation.
    own = sum(size + 2 * len(context.encode()) + 8 for context in request.contexts)
    read = size + own + sum(size + len(text.encode()) + 8 for text in request.continuations)
    return read, len(request.continuations) + max(1, len(request.contexts))


def is_final(output: Output) -> bool:
    """Whether an answer is kept; a failure that may pass is asked again by the same command."""
    return not isinstance(output, Failure) or output.kind in PERMANENT
