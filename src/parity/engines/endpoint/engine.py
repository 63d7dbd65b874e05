"""EndpointEngine: a model behind a URL as an Engine. Many requests at once; each result as it comes."""

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass, replace
from functools import partial
from queue import SimpleQueue

from parity.core.digests import digest
from parity.core.outputs import Delta, Failure, FailureKind, Generation, Output, Usage
from parity.core.prompts import Generate, Prompt, Request, RequestId, RequestKind, TextPrompt, kind_of
from parity.core.refs import ModelRef
from parity.core.runs import Identity
from parity.engines.base import CANCELLED, Capabilities
from parity.engines.endpoint.address import Address, find_address
from parity.engines.endpoint.anthropic import AnthropicWire
from parity.engines.endpoint.faults import FieldRefused, ItemFault
from parity.engines.endpoint.likelihood import PROBE, Echo, echo_body, likelihoods, proves, read_echo
from parity.engines.endpoint.openai import OpenAIWire
from parity.engines.endpoint.profiles import ANTHROPIC_VERSIONS, Profile, find_profile
from parity.engines.endpoint.transport import Patience, Ticket, Transport
from parity.engines.endpoint.wire import Finish, Wire, check_decoding
from parity.engines.open import EngineOptions
from parity.engines.stops import StreamCutter, cut
from parity.errors import ContextExceeded, EngineError, UsageError, did_you_mean

_PROBE_TRIES = 3


@dataclass(slots=True, eq=False)
class _Job:
    """A request on its way, with its future result."""

    request: Request
    ticket: Ticket
    future: Future[Output]

    def outcome(self) -> Output | Exception:
        try:
            return self.future.result()
        except CancelledError:
            return CANCELLED
        except Exception as error:  # noqa: BLE001  raised by the reader, after what else was answered
            return error

    def hurry(self) -> None:
        """Let a request in flight end, since its answer is paid for; drop one that only waits."""
        self.ticket.last = True
        if self.ticket.waiting:
            self.future.cancel()


class EndpointEngine:
    """Speaks to one model of one endpoint. Opening a `?api=completions` URL asks it once what it can do."""

    def __init__(
        self,
        ref: ModelRef,
        options: EngineOptions | None = None,
        *,
        environment: Mapping[str, str] | None = None,
        patience: Patience | None = None,
    ) -> None:
        environment = os.environ if environment is None else environment
        most = (options or EngineOptions()).concurrency
        if most < 1:
            raise UsageError(f"{most} requests at once is not at least 1.", "Leave --concurrency out for 64.")
        self.model = ref
        self._address = find_address(ref, environment)
        self._profile = find_profile(self._address, _version(environment))
        self._wire = _wire(self._address, self._profile)
        self._window = 2 * most
        self._jobs: dict[RequestId, list[Future[Output]]] = {}
        self._lock = threading.Lock()
        self.identity = _identity(ref, self._address, self._profile)
        self._transport = Transport(self._address, self._wire.headers, most, patience or Patience())
        try:
            self.capabilities = self._capabilities()
        except BaseException:
            self._transport.close()
            raise

    def answer(self, requests: Iterable[Request]) -> Iterator[tuple[RequestId, Output]]:
        done: SimpleQueue[_Job] = SimpleQueue()
        source = iter(requests)
        stop: Exception | None = None
        under_way: set[_Job] = set()
        try:
            while True:
                while stop is None and len(under_way) < self._window and (request := next(source, None)) is not None:
                    try:
                        under_way.add(self._begin(request, done))
                    except EngineError as error:
                        stop = error
                if not under_way:
                    break
                job = done.get()
                under_way.discard(job)
                output = job.outcome()
                if isinstance(output, Exception):
                    stop = stop or output
                    for other in under_way:
                        other.hurry()
                elif stop is None or not isinstance(output, Failure):
                    yield job.request.id, output
        finally:
            for job in under_way:
                job.future.cancel()
        if stop is not None:
            raise stop

    def stream(self, request: Generate) -> Iterator[Delta]:
        self._check(request)
        pieces: SimpleQueue[Delta | None] = SimpleQueue()
        future = self._transport.start(self._stream(request, pieces.put))
        self._watch(request.id, future, lambda _: pieces.put(None))
        try:
            while (piece := pieces.get()) is not None:
                yield piece
        finally:
            future.cancel()
        if not future.cancelled():
            future.result()

    def cancel(self, request_id: RequestId) -> None:
        with self._lock:
            futures = list(self._jobs.get(request_id, ()))
        for future in futures:
            future.cancel()

    def close(self) -> None:
        self._transport.close()

    def _begin(self, request: Request, done: "SimpleQueue[_Job]") -> _Job:
        self._check(request)
        ticket = Ticket()
        job = _Job(request, ticket, self._transport.start(self._output(request, ticket)))
        self._watch(request.id, job.future, lambda _: done.put(job))
        return job

    def _watch(self, request_id: RequestId, future: Future[Output], done: Callable[[object], None]) -> None:
        with self._lock:
            self._jobs.setdefault(request_id, []).append(future)

        def forget(_: object) -> None:
            with self._lock:
                self._jobs[request_id].remove(future)
                if not self._jobs[request_id]:
                    del self._jobs[request_id]
            done(future)

        future.add_done_callback(forget)

    def _check(self, request: Request) -> None:
        kind = kind_of(request)
        if kind not in self.capabilities.kinds:
            raise EngineError(
                f"{self.model} offers no {kind}.",
                "Log-likelihoods need a server whose /completions has echo and logprobs, named with ?api=completions.",
            )
        self.capabilities.check([request])
        if isinstance(request, Generate):
            check_decoding(request.sampling, self._profile)

    async def _output(self, request: Request, ticket: Ticket) -> Output:
        prompt, dropped = request.prompt, 0
        while True:
            try:
                if isinstance(request, Generate):
                    return await self._written(request, prompt, dropped, ticket)
                scores = await likelihoods(request, prompt, partial(self._echo, ticket=ticket))
                return replace(scores, usage=replace(scores.usage, dropped_shots=dropped))
            except ItemFault as fault:
                fewer = _fewer_shots(request, prompt, fault)
                if fewer is None:
                    return Failure(fault.kind, self._address.hide(fault.message))
            prompt, dropped = fewer, dropped + 1

    async def _written(self, request: Generate, prompt: Prompt, dropped: int, ticket: Ticket) -> Generation:
        body = self._wire.body(request, prompt, False)
        answered, seconds = await self._transport.post(self._wire.path, body, self._wire.read, ticket)
        usage = replace(answered.usage, dropped_shots=dropped)
        _check_window(request, usage)
        text, stopped = cut(answered.text, request.sampling.stop)
        return Generation(text, "stop" if stopped else answered.finish, usage, seconds)

    async def _stream(self, request: Generate, emit: Callable[[Delta], None]) -> Output:
        prompt, dropped = request.prompt, 0
        while True:
            reader, cutter = self._wire.reader(), StreamCutter(request.sampling.stop)

            def text(piece: str, cutter: StreamCutter = cutter) -> None:
                if piece := cutter.feed(piece):
                    emit(Delta(piece))

            try:
                body = self._wire.body(request, prompt, True)
                await self._transport.stream(self._wire.path, body, reader, text, Ticket())
                usage = replace(reader.usage or Usage(), dropped_shots=dropped)
                _check_window(request, usage)
                break
            except ItemFault as fault:
                fewer = _fewer_shots(request, prompt, fault)
                if fewer is None:
                    kind = ContextExceeded if fault.kind is FailureKind.CONTEXT_EXCEEDED else EngineError
                    todo = "Shorten the prompt." if kind is ContextExceeded else "The item stays without an answer."
                    raise kind(self._address.hide(fault.message), todo) from None
            prompt, dropped = fewer, dropped + 1
        if not cutter.stopped and (rest := cutter.finish()):
            emit(Delta(rest))
        finish: Finish | None = "stop" if cutter.stopped else reader.finish
        assert finish is not None
        emit(Delta("", finish, usage))
        return Generation("", finish, usage)

    async def _echo(self, text: str, ticket: Ticket, tries: int | None = None) -> Echo:
        body = echo_body(self._address.model, text)
        echo, seconds = await self._transport.post(
            self._wire.path, body, lambda content: read_echo(content, text), ticket, tries
        )
        return replace(echo, latency_s=seconds)

    def _capabilities(self) -> Capabilities:
        kinds: set[RequestKind] = {"generation"}
        if self._address.api == "completions":
            try:
                echo = self._transport.start(self._echo(PROBE, Ticket(), _PROBE_TRIES)).result()
            except (ItemFault, FieldRefused):
                pass
            else:
                kinds |= {"loglikelihood"} if proves(echo) else set()
        chat = self._address.api != "completions"
        # All requests at once: they are pulled one by one, and a block would end with a few waiting for its slowest.
        return Capabilities(frozenset(kinds), chat, block=None, hidden_tokens=self._profile.hidden_tokens)


def _version(environment: Mapping[str, str]) -> str:
    version = environment.get("ANTHROPIC_VERSION") or ANTHROPIC_VERSIONS[0]
    if version not in ANTHROPIC_VERSIONS:
        near = did_you_mean(version, list(ANTHROPIC_VERSIONS))
        raise UsageError(f"ANTHROPIC_VERSION={version!r} is not known.", near)
    return version


def _wire(address: Address, profile: Profile) -> Wire:
    return AnthropicWire(address, profile) if address.api == "messages" else OpenAIWire(address, profile)


def _identity(ref: ModelRef, address: Address, profile: Profile) -> Identity:
    settings = {"api": address.api, "host": address.host}
    if profile.version:
        settings["api_version"] = profile.version
    if profile.decoding != "asked":
        settings["decoding"] = "sampled at the provider's default"
    if profile.hidden_tokens:
        settings["hidden_tokens"] = str(profile.hidden_tokens)
    weights = digest(("endpoint", address.base_url, address.model))
    return Identity(str(ref), weights, "endpoint", settings=tuple(sorted(settings.items())))


def _fewer_shots(request: Request, prompt: Prompt, fault: ItemFault) -> Prompt | None:
    """The prompt without its last worked example, where it was too long and the protocol allows that."""
    if fault.kind is not FailureKind.CONTEXT_EXCEEDED or request.fit.overflow != "drop_shots":
        return None
    return prompt.with_fewer_shots() if isinstance(prompt, TextPrompt) and prompt.shots else None


def _check_window(request: Generate, usage: Usage) -> None:
    """Nobody but the endpoint knows its tokens, so a window smaller than its own is checked when it has counted.

    Raises:
        ItemFault: prompt and answer together do not fit the window that the protocol sets.
    """
    window = request.fit.window_tokens
    room = request.sampling.max_tokens
    if window is not None and usage.prompt_tokens + room > window:
        said = f"{usage.prompt_tokens} tokens and {room} after them exceed {window}"
        raise ItemFault(FailureKind.CONTEXT_EXCEEDED, said)
