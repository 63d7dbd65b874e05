"""The conformance kit of the Engine protocol: what every engine must do, ours and yours.

    import pytest
    from parity.testing.engine_checks import ENGINE_CHECKS

    @pytest.mark.parametrize("check", ENGINE_CHECKS, ids=lambda check: check.__name__)
    def test_my_engine(check, my_engine):
        check(my_engine)

A check asks what the engine says it can do (`capabilities`) and passes over the rest. Every request has an id of its
own, so that a recording of a whole pass can be checked too. Knows no engine by name.
"""

import math
import threading
from collections.abc import Callable, Iterable
from dataclasses import replace

from parity.core.outputs import Delta, Failure, FailureKind, Generation, Loglikelihoods, Output
from parity.core.prompts import (
    ChatPrompt,
    Constraint,
    Fit,
    Generate,
    Loglikelihood,
    Message,
    Prompt,
    Request,
    RequestId,
    Sampling,
    TextPrompt,
    kind_of,
)
from parity.engines.base import ACTIVATIONS, ACTIVATIONS_ROUNDED, EXACT, Engine
from parity.errors import ContextExceeded, EngineError

Check = Callable[[Engine], None]
TOLERANCE = 1e-3  # nats; batching changes the order of sums, not what is computed
# Where activations are rounded a sum in another order may fall to the other side of a step, and the next layer's too.
ROUNDED_TOLERANCE = 0.25
_TEXTS = ("Once upon a time", "The answer is", "One two three four five six seven", "A")
_OPTIONS = (" A", " B", " a longer continuation")
_GREEDY = Sampling(max_tokens=12)


class NotConforming(AssertionError):
    """An engine broke the protocol; the message says how."""


def check_every_request_is_answered_once(engine: Engine) -> None:
    """Results may come in any order, but each request has exactly one."""
    requests = _some_of_each(engine, "once")
    ids = [request_id for request_id, _ in engine.answer(requests)]
    _expect(sorted(ids) == sorted(request.id for request in requests), f"answered {ids}")
    _expect(list(engine.answer([])) == [], "nothing was asked, something was answered")


def check_answers_are_of_the_kind_asked(engine: Engine) -> None:
    """Written answers to Generate, log-likelihoods to Loglikelihood; tokens are counted."""
    requests = _some_of_each(engine, "kind")
    for request, output in _pairs(engine, requests):
        kind = Generation if isinstance(request, Generate) else Loglikelihoods
        _expect(isinstance(output, kind), f"{request.id} got {output}")
        assert isinstance(output, Generation | Loglikelihoods)
        _expect(output.usage.prompt_tokens > 0, f"{request.id} counts no prompt tokens")
        _expect(output.latency_s >= 0, f"{request.id} took {output.latency_s} seconds")


def check_log_likelihoods_are_whole(engine: Engine) -> None:
    """One value and one token count a continuation; a sum of log p is never above zero."""
    for request, output in _pairs(engine, _likelihoods(engine, "whole")):
        assert isinstance(request, Loglikelihood)
        _expect(isinstance(output, Loglikelihoods), f"{output}")
        assert isinstance(output, Loglikelihoods)
        _expect(len(output.values) == len(output.tokens) == len(request.continuations), f"{output}")
        _expect(all(value <= TOLERANCE for value in output.values), f"log p above zero: {output.values}")
        _expect(all(count >= 1 for count in output.tokens), f"tokens: {output.tokens}")


def check_what_is_compared_differs_as_log_likelihoods_do(engine: Engine) -> None:
    """Asked to compare, an engine may answer relative to the options, if it says so: then their sum of p is 1."""
    for request in _likelihoods(engine, "compared"):
        letters = replace(request, continuations=_OPTIONS[:2])
        compared = replace(letters, id=RequestId(f"{request.id.item}/only"), compared=True)
        found = dict(_pairs(engine, [letters, compared]))
        whole, output = found[letters], found[compared]
        _expect(isinstance(whole, Loglikelihoods), f"{whole}")
        _expect(isinstance(output, Loglikelihoods), f"{output}")
        assert isinstance(whole, Loglikelihoods)
        assert isinstance(output, Loglikelihoods)
        _expect(not whole.relative, f"relative, where log-likelihoods were asked for: {whole}")
        apart = (whole.values[0] - whole.values[1]) - (output.values[0] - output.values[1])
        near = max(TOLERANCE, tolerance_of(engine))
        _expect(abs(apart) <= near, f"{output.values} do not differ as {whole.values}")
        total = sum(map(math.exp, output.values))
        _expect(not output.relative or abs(total - 1) <= TOLERANCE, f"probabilities of {total} in all: {output}")


def check_a_batch_equals_one_alone(engine: Engine) -> None:
    """What is asked beside a request, and in which order, does not change its answer."""
    requests = _some_of_each(engine, "batch")
    together = dict(engine.answer(list(reversed(requests))))
    for request in requests:
        ((_, alone),) = engine.answer([request])
        same = _alike(together[request.id], alone, tolerance_of(engine))
        _expect(same, f"together {together[request.id]}, alone {alone}")


def check_greedy_answers_repeat(engine: Engine) -> None:
    """Temperature 0 gives one answer, whatever the seed."""
    for request in _generations(engine, "greedy"):
        first, again = dict(engine.answer([request])), dict(engine.answer([request]))
        _expect(_alike(first[request.id], again[request.id]), f"{first} then {again}")


def check_draws_repeat(engine: Engine) -> None:
    """A draw is decided by its seed and index: the same when asked again, alone or in another order."""
    if "generation" not in engine.capabilities.kinds:
        return
    hot = Sampling(max_tokens=8, temperature=1.0, seed=7)
    draws = [Generate(RequestId("draws", index), TextPrompt(_TEXTS[0]), hot) for index in range(3)]
    first, again = dict(engine.answer(draws)), dict(engine.answer(list(reversed(draws))))
    for request in draws:
        _expect(_alike(first[request.id], again[request.id]), f"draw {request.id.draw} changed")


def check_length_ends_an_answer(engine: Engine) -> None:
    """`max_tokens` holds, and an answer cut by it says so."""
    for request in _generations(engine, "length", Sampling(max_tokens=1)):
        output = _written(engine, request)
        _expect(output.usage.completion_tokens <= 1, f"{output.usage.completion_tokens} tokens where 1 was allowed")
        _expect(output.finish == "length" or output.usage.completion_tokens == 0, f"{output}")


def check_stop_strings_are_cut(engine: Engine) -> None:
    """An answer ends before the first stop string, and contains none."""
    for request in _generations(engine, "stop"):
        text = _written(engine, request).text
        if len(text.strip()) < 4:
            continue
        middle = len(text) // 2
        stop = text[middle : middle + 2]
        asked = Generate(RequestId(f"{request.id.item}/cut"), request.prompt, replace(_GREEDY, stop=(stop,)))
        output = _written(engine, asked)
        _expect(output.text == text[: text.index(stop)], f"{output.text!r} is not {text!r} before {stop!r}")
        _expect(output.finish == "stop", f"finish is {output.finish!r}")


def check_a_stream_equals_its_answer(engine: Engine) -> None:
    """The pieces joined are the answer; the last carries finish and usage, no other does."""
    for request in _generations(engine, "stream"):
        output, pieces = _written(engine, request), list(engine.stream(request))
        _expect("".join(piece.text for piece in pieces) == output.text, f"{pieces} is not {output.text!r}")
        _expect([piece.finish for piece in pieces[:-1]] == [None] * (len(pieces) - 1), "finish before the end")
        _expect(pieces[-1].finish == output.finish, f"{pieces[-1].finish} is not {output.finish}")
        _expect(pieces[-1].usage is not None, "the last piece has no usage")


def check_streams_run_beside_each_other(engine: Engine) -> None:
    """`stream` is called from several threads at once."""
    requests = _generations(engine, "threads")
    found: dict[RequestId, list[Delta]] = {}

    def read(request: Generate) -> None:
        found[request.id] = list(engine.stream(request))

    threads = [threading.Thread(target=read, args=(request,)) for request in requests]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
    for request in requests:
        text = "".join(piece.text for piece in found.get(request.id, []))
        _expect(text == _written(engine, request).text, f"{request.id} read {text!r} beside others")


def check_cancelling(engine: Engine) -> None:
    """A cancelled request still has one result, the others their answers; a cancelled stream ends without finish."""
    engine.cancel(RequestId("never asked"))
    requests = _some_of_each(engine, "cancel")
    results, rest = {}, iter(engine.answer(requests))
    for request_id, output in rest:
        results[request_id] = output
        for request in requests:
            if request.id not in results:
                engine.cancel(request.id)
    _expect(results.keys() == {request.id for request in requests}, f"results for {list(results)}")
    for output in results.values():
        kept = not isinstance(output, Failure) or output.kind is FailureKind.CANCELLED
        _expect(kept, f"cancelled, got {output}")
    for request in requests[:1]:
        again = dict(engine.answer([request]))[request.id]
        _expect(not isinstance(again, Failure), f"once cancelled, never answered again: {again}")


def check_a_stream_may_be_left(engine: Engine) -> None:
    """A reader that goes away, or cancels, leaves the engine able to answer."""
    for request in _generations(engine, "left")[:1]:
        stream = engine.stream(request)
        next(iter(stream))
        engine.cancel(request.id)
        rest = list(stream)
        _expect(all(isinstance(piece, Delta) for piece in rest), f"{rest}")
        _expect(isinstance(_written(engine, request), Generation), "no answer afterwards")


def check_a_long_prompt_is_an_error_or_counted(engine: Engine) -> None:
    """Nothing is cut in silence: an overflow is CONTEXT_EXCEEDED, or the tokens cut are in the usage."""
    window = engine.capabilities.context_tokens
    if window is None:
        return
    long = TextPrompt("word " * (2 * window))
    for request in _some_of_each(engine, "overflow"):
        refused = dict(engine.answer([replace(request, prompt=long)]))[request.id]
        _expect(isinstance(refused, Failure) and refused.kind is FailureKind.CONTEXT_EXCEEDED, f"got {refused}")
        cut = replace(request, id=RequestId(f"{request.id.item}/cut"), prompt=long, fit=Fit("truncate"))
        output = dict(engine.answer([cut]))[cut.id]
        _expect(not isinstance(output, Failure) and output.usage.truncated_tokens > 0, f"got {output}")
        assert not isinstance(output, Failure)
        _expect(output.usage.prompt_tokens <= window, f"{output.usage.prompt_tokens} tokens in {window}")
    for request in _generations(engine, "overflow")[:1]:
        try:
            list(engine.stream(replace(request, prompt=long)))
        except ContextExceeded:
            continue
        raise NotConforming("a stream of a prompt that is too long raised no ContextExceeded")


def check_kinds_outside_capabilities_are_refused(engine: Engine) -> None:
    """A request of a kind the engine does not offer raises EngineError."""
    offered = engine.capabilities.kinds
    wrong: list[Request] = [
        Generate(RequestId("wrong kind"), TextPrompt("x"), _GREEDY),
        Loglikelihood(RequestId("wrong kind"), TextPrompt("x"), _OPTIONS),
    ]
    for request in wrong:
        if kind_of(request) in offered:
            continue
        try:
            list(engine.answer([request]))
        except EngineError:
            continue
        raise NotConforming(f"{kind_of(request)} is not in capabilities, yet was answered")


def check_constraints_are_kept_or_refused(engine: Engine) -> None:
    """An answer held to a grammar is of it; an engine that cannot hold it there raises EngineError."""
    for request in _generations(engine, "constraint")[:1]:
        for kind, text in (("gbnf", 'root ::= "yes" | "no"'), ("json_schema", '{"enum": ["yes", "no"]}')):
            held = replace(
                request,
                id=RequestId(f"constraint/{kind}"),
                constraint=Constraint(kind, text),  # type: ignore[arg-type]
            )
            if kind in engine.capabilities.constraints:
                ((_, output),) = engine.answer([held])
                kept = isinstance(output, Generation) and output.text.strip(' "') in ("yes", "no")
                recorded = isinstance(output, Failure) and output.kind is FailureKind.NOT_RECORDED
                _expect(kept or recorded, f"held to yes or no by {kind}, got {output}")
                continue
            try:
                list(engine.answer([held]))
            except EngineError:
                continue
            raise NotConforming(f"{kind} is not in capabilities, yet was answered")


def check_identity_is_told(engine: Engine) -> None:
    """Answers are kept under the identity: it has a digest of the weights or the recording, and does not change."""
    identity = engine.identity
    _expect(bool(identity.model_digest and identity.engine), f"{identity}")
    _expect(identity.digest == engine.identity.digest, "the identity changes")
    _expect(str(engine.model) == identity.model, f"{engine.model} calls itself {identity.model}")


ENGINE_CHECKS: tuple[Check, ...] = tuple(
    check for name, check in list(globals().items()) if name.startswith("check_") and callable(check)
)


def check_engine(engine: Engine) -> None:
    """Run every check, then close the engine twice.

    Raises:
        NotConforming: the first rule that is broken.
    """
    for check in ENGINE_CHECKS:
        check(engine)
    engine.close()
    engine.close()


def _generations(engine: Engine, name: str, sampling: Sampling = _GREEDY) -> list[Generate]:
    if "generation" not in engine.capabilities.kinds:
        return []
    asked = [Generate(RequestId(f"{name}/{at}"), TextPrompt(text), sampling) for at, text in enumerate(_TEXTS)]
    if engine.capabilities.chat:
        turns = (Message("system", "Be brief."), Message("user", _TEXTS[1]))
        asked.append(Generate(RequestId(f"{name}/chat"), ChatPrompt(turns), sampling))
    return asked


def _likelihoods(engine: Engine, name: str) -> list[Loglikelihood]:
    if "loglikelihood" not in engine.capabilities.kinds:
        return []
    prompts: list[Prompt] = [TextPrompt(text) for text in _TEXTS]
    if engine.capabilities.chat:
        prompts.append(ChatPrompt((Message("user", _TEXTS[1]),)))
    return [Loglikelihood(RequestId(f"{name}/likely/{at}"), prompt, _OPTIONS) for at, prompt in enumerate(prompts)]


def _some_of_each(engine: Engine, name: str) -> list[Request]:
    return [*_generations(engine, name), *_likelihoods(engine, name)]


def _pairs(engine: Engine, requests: Iterable[Request]) -> list[tuple[Request, Output]]:
    asked = {request.id: request for request in requests}
    return [(asked[request_id], output) for request_id, output in engine.answer(list(asked.values()))]


def _written(engine: Engine, request: Generate) -> Generation:
    ((_, output),) = engine.answer([request])
    _expect(isinstance(output, Generation), f"{request.id} got {output}")
    assert isinstance(output, Generation)
    return output


def tolerance_of(engine: Engine) -> float:
    """How far, in nats, a log-likelihood may move with what is asked beside it: as far as the engine says it does."""
    said = dict(engine.identity.settings)
    if EXACT in said:
        return 0.0
    return ROUNDED_TOLERANCE if said.get(ACTIVATIONS) == ACTIVATIONS_ROUNDED else TOLERANCE


def _alike(one: Output, other: Output, tolerance: float = TOLERANCE) -> bool:
    if isinstance(one, Generation) and isinstance(other, Generation):
        return (one.text, one.finish) == (other.text, other.finish)
    if isinstance(one, Loglikelihoods) and isinstance(other, Loglikelihoods):
        near = (abs(a - b) <= tolerance for a, b in zip(one.values, other.values, strict=True))
        return one.tokens == other.tokens and all(near)
    return False


def _expect(holds: bool, otherwise: str) -> None:
    if not holds:
        raise NotConforming(otherwise)
