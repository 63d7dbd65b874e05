"""The runner: ask what is not answered yet, write each answer as it comes, stop before a budget is exceeded."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from parity.core.outputs import PERMANENT, Failure, Output
from parity.core.prompts import ChatPrompt, Generate, Request, RequestId
from parity.engines.base import Engine
from parity.errors import BudgetExceeded, EngineError
from parity.store import Workspace

BLOCK = 256


@dataclass(frozen=True, slots=True)
class Budget:
    """Limits of one call of the command, for new answers; None is no limit.

    `tokens` counts prompt and completion; before a block is asked, its largest possible size is set aside, so the
    limit is never passed. `seconds` is looked at between answers.
    """

    tokens: int | None = None
    seconds: float | None = None


@dataclass(slots=True)
class Asked:
    """What a run found: outputs by request, and how many were new."""

    outputs: dict[RequestId, Output] = field(default_factory=dict)
    new: int = 0
    tokens: int = 0


def ask(
    engine: Engine,
    requests: Sequence[Request],
    workspace: Workspace,
    budget: Budget | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Asked:
    """Answer every request, from the store where it is known.

    Raises:
        BudgetExceeded: a limit was reached first; everything answered is stored.
        EngineError: the engine answered something that was not asked, or left something out.
    """
    identity = engine.identity.digest
    known = workspace.answers(identity, requests)
    asked = Asked({key: output for key, output in known.items() if not _again(output)})
    todo = [request for request in requests if request.id not in asked.outputs]
    meter = _Meter(budget or Budget(), len(requests))
    while todo:
        block = meter.affordable(todo[:BLOCK], asked)
        by_id = {request.id: request for request in block}
        for request_id, output in engine.answer(block):
            request = by_id.pop(request_id, None)
            if request is None:
                raise EngineError(f"{engine.model} answered {request_id}, which was not asked.", "Report this engine.")
            workspace.put_answer(identity, request, output)
            asked.outputs[request_id] = output
            asked.new += 1
            asked.tokens += 0 if isinstance(output, Failure) else output.usage.total_tokens
            if on_progress:
                on_progress(len(asked.outputs), len(requests))
            meter.check_time(asked)
        if by_id:
            raise EngineError(f"{engine.model} left {len(by_id)} requests without an answer.", "Report this engine.")
        todo = todo[len(block) :]
    return asked


class _Meter:
    """Holds a budget against what was spent."""

    def __init__(self, budget: Budget, total: int) -> None:
        self._budget, self._total, self._begun = budget, total, time.monotonic()

    def affordable(self, block: Sequence[Request], asked: Asked) -> Sequence[Request]:
        """As many requests of the block as certainly fit what is left."""
        self.check_time(asked)
        if self._budget.tokens is None:
            return block
        left = self._budget.tokens - asked.tokens
        count = 0
        for request in block:
            left -= most_tokens(request)
            if left < 0:
                break
            count += 1
        if not count:
            raise self._stop(f"{self._budget.tokens:,} tokens ({asked.tokens:,} spent)", asked)
        return block[:count]

    def check_time(self, asked: Asked) -> None:
        limit = self._budget.seconds
        if limit is not None and time.monotonic() - self._begun > limit and len(asked.outputs) < self._total:
            raise self._stop(f"{limit:g} seconds", asked)

    def _stop(self, limit: str, asked: Asked) -> BudgetExceeded:
        return BudgetExceeded(
            f"The budget of {limit} is used up: {len(asked.outputs):,} of {self._total:,} items are answered.",
            "They are kept; run the same command with a larger budget to go on.",
        )


def most_tokens(request: Request) -> int:
    """More tokens than a request can take: no token is shorter than a byte, and a few mark beginnings and turns."""
    prompt = request.prompt
    if isinstance(prompt, ChatPrompt):
        size = sum(len(message.content.encode()) + 64 for message in prompt.messages)
    else:
        size = len(prompt.text.encode()) + 8
    if isinstance(request, Generate):
        return size + request.sampling.max_tokens
    return size + sum(len(text.encode()) + 8 for text in request.continuations)


def _again(output: Output) -> bool:
    """A failure that may pass is asked again by the same command; one that cannot is kept."""
    return isinstance(output, Failure) and output.kind not in PERMANENT
