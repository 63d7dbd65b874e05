"""An engine without a model: deterministic answers, no key, no weights. A floor to measure against, and a rehearsal.

`dummy:` answers a letter drawn from the digest of the prompt; `dummy:letter=B` always B. Options, joined by commas:
seed=3, letter=B, say=[[A]] (always this text), delay_ms=5 (time per answer), context=100 (window, in words), log=FILE
(one line per item asked).
"""

import time
from collections.abc import Iterable, Iterator
from hashlib import sha256
from typing import Literal

from parity.core.outputs import Delta, Failure, FailureKind, Generation, Loglikelihoods, Output, Usage
from parity.core.prompts import ChatPrompt, Generate, Loglikelihood, Prompt, Request, RequestId
from parity.core.refs import ModelRef
from parity.core.runs import Identity
from parity.engines.base import Cancellations, Capabilities
from parity.engines.open import EngineOptions
from parity.engines.stops import cut
from parity.errors import ContextExceeded, UsageError, did_you_mean

_OPTIONS = ("seed", "letter", "say", "delay_ms", "context", "log")


class DummyEngine:
    """Answers at once and always the same. Words count as tokens."""

    def __init__(self, ref: ModelRef, options: EngineOptions | None = None) -> None:
        del options
        settings = _settings(ref)
        self.model = ref
        self._seed = settings.get("seed", "0")
        self._letter = settings.get("letter")
        self._say = settings.get("say")
        self._delay_s = _number(settings, "delay_ms", 0) / 1000
        self._log = settings.get("log")
        context = _number(settings, "context", 0)
        self.capabilities = Capabilities(frozenset({"generation", "loglikelihood"}), True, context or None)
        answers = {key: settings[key] for key in ("seed", "letter", "say", "context") if key in settings}
        self.identity = Identity(str(ref), "dummy", "dummy", settings=tuple(sorted(answers.items())))
        self._cancellations = Cancellations()

    def answer(self, requests: Iterable[Request]) -> Iterator[tuple[RequestId, Output]]:
        block = list(requests)
        self.capabilities.check(block)
        with self._cancellations.watching(request.id for request in block):
            for request in block:
                if request.id in self._cancellations:
                    yield request.id, Failure(FailureKind.CANCELLED, "cancelled before it was asked")
                    continue
                self._work(request.id)
                yield request.id, self._output(request)

    def stream(self, request: Generate) -> Iterator[Delta]:
        self.capabilities.check([request])
        with self._cancellations.watching([request.id]):
            output = self._output(request)
            if isinstance(output, Failure):
                raise ContextExceeded(output.message, "Shorten the prompt.")
            assert isinstance(output, Generation)
            for character in output.text:
                if request.id in self._cancellations:
                    return
                yield Delta(character)
            yield Delta("", output.finish, output.usage)

    def cancel(self, request_id: RequestId) -> None:
        self._cancellations.cancel(request_id)

    def close(self) -> None:
        return

    def _work(self, request_id: RequestId) -> None:
        if self._delay_s:
            time.sleep(self._delay_s)
        if self._log:
            with open(self._log, "a", encoding="utf-8") as log:
                log.write(f"{request_id.item}#{request_id.draw}\n")

    def _output(self, request: Request) -> Output:
        text = _text(request.prompt)
        usage = self._fitted(request, len(text.split()))
        if isinstance(usage, Failure):
            return usage
        if isinstance(request, Loglikelihood):
            contexts = request.contexts or ("",) * len(request.continuations)
            asked = zip(contexts, request.continuations, strict=True)
            values = tuple(self._likelihood(text + context, option) for context, option in asked)
            return Loglikelihoods(values, tuple(len(option.split()) or 1 for option in request.continuations), usage)
        draw = f"{request.sampling.seed}/{request.id.draw}" if request.sampling.temperature > 0 else "greedy"
        letter = self._letter or "ABCD"[_hash(self._seed, text, draw)[0] % 4]
        words = [letter, *(f"word{byte}" for byte in _hash(self._seed, text, draw, "more"))]
        words = self._say.split() if self._say else words
        answer, stopped = cut(" ".join(words[: request.sampling.max_tokens]), request.sampling.stop)
        finish: Literal["stop", "length"] = "stop" if stopped or request.sampling.max_tokens > len(words) else "length"
        return Generation(answer, finish, Usage(usage.prompt_tokens, len(answer.split()), usage.truncated_tokens))

    def _likelihood(self, text: str, option: str) -> float:
        if self._letter is not None:
            return -0.1 if option.strip() == self._letter else -2.0
        return -1.0 - int.from_bytes(_hash(self._seed, text, option)[:6]) / 2**48

    def _fitted(self, request: Request, words: int) -> Usage | Failure:
        room = request.sampling.max_tokens if isinstance(request, Generate) else 1
        window = request.fit.window_tokens or self.capabilities.context_tokens
        excess = max(0, words + room - window) if window else 0
        if excess and request.fit.overflow == "error":
            return Failure(FailureKind.CONTEXT_EXCEEDED, f"{words} words and {room} to write exceed {window}")
        return Usage(words - excess, 0, excess)


def _text(prompt: Prompt) -> str:
    if isinstance(prompt, ChatPrompt):
        return "\n".join(f"{message.role}: {message.content}" for message in prompt.messages)
    return prompt.text


def _hash(*parts: str) -> bytes:
    return sha256("\0".join(parts).encode()).digest()


def _settings(ref: ModelRef) -> dict[str, str]:
    pairs = [pair.partition("=") for pair in ref.name.split(",") if pair]
    unknown = [key for key, _, _ in pairs if key not in _OPTIONS]
    if unknown:
        raise UsageError(f"{ref}: unknown option {unknown[0]!r}.", did_you_mean(unknown[0], list(_OPTIONS)))
    return {key: value for key, _, value in pairs}


def _number(settings: dict[str, str], key: str, default: int) -> int:
    value = settings.get(key, str(default))
    if not value.isdigit():
        raise UsageError(f"dummy: {key}={value!r} is not a whole number.", f"Write for example {key}=5.")
    return int(value)
