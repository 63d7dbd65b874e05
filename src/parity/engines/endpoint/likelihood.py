"""Log-likelihoods through /completions with `echo` and `logprobs`, where a server proves that it has them.

A continuation is scored as the torch engine does it: ids of context and continuation together, split after as many
as the context has alone; spaces at the context's end belong to the continuation.
"""

import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from pydantic import BaseModel, JsonValue

from parity.core.outputs import FailureKind, Loglikelihoods, Usage
from parity.core.prompts import Loglikelihood, Prompt, TextPrompt
from parity.engines.endpoint.faults import ItemFault
from parity.engines.endpoint.openai import WireUsage
from parity.engines.endpoint.wire import Body, parsed
from parity.errors import EngineError

PROBE = "The quick brown fox jumps over the lazy dog."


class _Logprobs(BaseModel):
    token_logprobs: list[float | None]


class _Choice(BaseModel):
    text: str
    logprobs: _Logprobs | JsonValue = None


class _Reply(BaseModel):
    choices: list[_Choice]
    usage: WireUsage


@dataclass(frozen=True, slots=True)
class Echo:
    """log p (nats) of every token of a prompt; None where there is none, as for the first."""

    logprobs_T: tuple[float | None, ...]
    usage: Usage
    latency_s: float = 0.0


Ask = Callable[[str], Awaitable[Echo]]


def echo_body(model: str, text: str) -> Body:
    """One token is generated, because some servers take 0 for no limit; it is dropped again."""
    return {"model": model, "prompt": text, "max_tokens": 1, "temperature": 0.0, "logprobs": 1, "echo": True}


def read_echo(content: bytes, text: str) -> Echo:
    """The prompt's log-probabilities.

    Raises:
        Trouble: the reply is no completion.
        ItemFault: it does not hold exactly the prompt and what was generated after it; asking again would not help.
    """
    reply = parsed(_Reply, content)
    choice = reply.choices[0] if reply.choices else None
    if choice is None or not isinstance(choice.logprobs, _Logprobs) or not choice.text.startswith(text):
        raise ItemFault(FailureKind.ENGINE, "the reply does not repeat the prompt with its log-probabilities")
    usage = reply.usage.usage()
    values = choice.logprobs.token_logprobs
    prompt = values[: len(values) - usage.completion_tokens]
    # A server may leave the beginning-of-text token out of the list that it counts.
    if not prompt or len(prompt) not in (usage.prompt_tokens, usage.prompt_tokens - 1):
        said = f"{len(values)} log-probabilities for {usage.prompt_tokens} + {usage.completion_tokens} tokens"
        raise ItemFault(FailureKind.ENGINE, said)
    return Echo(tuple(prompt), usage)


def proves(echo: Echo) -> bool:
    """Whether these are log-probabilities of the prompt: several, below zero, and not all the same."""
    values = [value for value in echo.logprobs_T[1:] if value is not None]
    whole = len(values) == len(echo.logprobs_T) - 1 and all(math.isfinite(value) and value <= 0 for value in values)
    return whole and len(set(values)) > 2


async def likelihoods(request: Loglikelihood, prompt: Prompt, ask: Ask) -> Loglikelihoods:
    """Score every continuation: one question for each context, one for each continuation.

    Raises:
        ItemFault: a continuation has no score.
        EngineError: the prompt has turns.
    """
    if not isinstance(prompt, TextPrompt):
        raise EngineError("Log-likelihoods of a conversation cannot be asked over HTTP.", "Use --template none.")
    values, tokens, before = [], [], {}
    usage, latency_s = Usage(), 0.0
    for at, continuation in enumerate(request.continuations):
        text = prompt.text + (request.contexts[at] if request.contexts else "")
        context = text.rstrip()
        if not context:
            raise ItemFault(FailureKind.ENGINE, "an endpoint cannot score what follows an empty prompt")
        if context not in before:
            before[context] = await ask(context)
            usage += before[context].usage
            latency_s += before[context].latency_s
        whole = await ask(text + continuation)
        added = _added(request, continuation, before[context], whole)
        values.append(sum(added))
        tokens.append(len(added))
        usage += whole.usage
        latency_s += whole.latency_s
    if not values:
        raise ItemFault(FailureKind.ENGINE, "there is no continuation to score")
    return Loglikelihoods(tuple(values), tuple(tokens), usage, latency_s)


def _added(request: Loglikelihood, continuation: str, before: Echo, whole: Echo) -> list[float]:
    """log p of the tokens that a continuation adds to its context."""
    window = request.fit.window_tokens
    if window is not None and len(whole.logprobs_T) - 1 > window:
        raise ItemFault(FailureKind.CONTEXT_EXCEEDED, f"{len(whole.logprobs_T) - 1} tokens exceed {window}")
    added = [value for value in whole.logprobs_T[len(before.logprobs_T) :] if value is not None]
    if not added or len(added) < len(whole.logprobs_T) - len(before.logprobs_T):
        raise ItemFault(FailureKind.ENGINE, f"continuation {continuation!r} adds no token with a probability")
    return added
