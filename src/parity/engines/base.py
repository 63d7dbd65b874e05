"""The Engine protocol: the one boundary a new backend implements. `parity.testing.engine_checks` proves it did."""

import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from parity.core.outputs import Delta, Failure, FailureKind, Output
from parity.core.prompts import ConstraintKind, Generate, Request, RequestId, RequestKind
from parity.core.refs import ModelRef
from parity.core.runs import Identity, TokenWork
from parity.errors import EngineError

# Names of settings in an engine's identity that a reader of its answers is told about.
PREFIXES, PREFIXES_NOT_SHARED, EXACT = "prefixes", "not shared", "deterministic"
ACTIVATIONS, ACTIVATIONS_ROUNDED = "activations", "rounded"
# What every engine says of a request that was called off.
CANCELLED = Failure(FailureKind.CANCELLED, "cancelled before it was answered")


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What an engine can be asked. `context_tokens` is None where it is not known.

    `block` is how many requests it wants at once; None: all of them, so that it finds what they share.
    `hidden_tokens` is how many an answer may take beyond `max_tokens`, for reasoning that is billed but not shown.
    `constraints` are what an answer can be held to.
    """

    kinds: frozenset[RequestKind]
    chat: bool = False
    context_tokens: int | None = None
    block: int | None = 256
    hidden_tokens: int = 0
    constraints: frozenset[ConstraintKind] = frozenset()

    def check(self, requests: Iterable[Request]) -> None:
        """See that no request is held to what this engine cannot hold it to.

        Raises:
            EngineError: one is.
        """
        for request in requests:
            held = request.constraint if isinstance(request, Generate) else None
            if held is not None and held.kind not in self.constraints:
                offered = " and ".join(sorted(self.constraints)) or "none"
                raise EngineError(
                    f"This engine cannot hold an answer to {held.kind}; it offers {offered}.",
                    "Ask a gguf: model, which can, or leave the constraint out.",
                )


class Engine(Protocol):
    """Runs one model. Requests in, results out as they finish, in any order, each exactly once."""

    @property
    def model(self) -> ModelRef: ...

    @property
    def identity(self) -> Identity: ...

    @property
    def capabilities(self) -> Capabilities: ...

    def answer(self, requests: Iterable[Request]) -> Iterator[tuple[RequestId, Output]]:
        """Answer every request; what goes wrong with one is that one's `Failure`.

        Raises:
            EngineError: a kind of request outside `capabilities`, or an engine that can answer nothing any more.
        """
        ...

    def stream(self, request: Generate) -> Iterator[Delta]:
        """The answer piece by piece; the last piece carries `finish`. May be called from several threads.

        A cancelled stream ends without `finish`.

        Raises:
            EngineError: the answer cannot be begun or finished; `ContextExceeded` when the prompt is too long.
        """
        ...

    def cancel(self, request_id: RequestId) -> None:
        """Stop working on a request; unknown ids are ignored."""
        ...

    def close(self) -> None:
        """Free what the engine holds. May be called twice."""
        ...


@runtime_checkable
class Embeds(Protocol):
    """An engine that can say where a text lies in its model's space; not a kind of request, since no run asks it."""

    def embed(self, texts: Sequence[str]) -> list[tuple[float, ...]]:
        """A vector of length 1 for each text, in order.

        Raises:
            EngineError: a text is empty or does not fit the context.
        """
        ...


@runtime_checkable
class CountsWork(Protocol):
    """An engine that knows how many tokens it computed so far, scoring and writing; None where it does not count."""

    @property
    def token_work(self) -> TokenWork | None: ...


class Cancellations:
    """Which requests in progress were cancelled. Thread-safe; engines that run in the process share this piece."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._active: set[RequestId] = set()
        self._cancelled: set[RequestId] = set()

    @contextmanager
    def watching(self, ids: Iterable[RequestId]) -> Iterator[None]:
        """Requests count as in progress inside this block."""
        watched = set(ids)
        with self._lock:
            self._active |= watched
        try:
            yield
        finally:
            with self._lock:
                self._active -= watched
                self._cancelled -= watched

    def cancel(self, request_id: RequestId) -> None:
        with self._lock:
            if request_id in self._active:
                self._cancelled.add(request_id)

    def __contains__(self, request_id: RequestId) -> bool:
        with self._lock:
            return request_id in self._cancelled
