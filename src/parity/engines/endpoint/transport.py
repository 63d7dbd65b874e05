"""Bodies out, replies in: one event loop in a thread of its own, a limit that adapts, tries that end.

Knows HTTP, not what is asked. What a server says about itself is in `faults`; what an answer means, in the wires.
"""

import asyncio
import json
import random
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, TypeVar

import httpx2

from parity.core.outputs import FailureKind
from parity.engines.endpoint.address import Address
from parity.engines.endpoint.faults import ItemFault, Trouble, judge, read_refusal
from parity.engines.endpoint.limits import Limiter
from parity.engines.endpoint.wire import Body, StreamReader
from parity.errors import EngineError

Result = TypeVar("Result")
LARGEST_REPLY_BYTES = 64 * 2**20
_UNREACHABLE_TRIES = 3
_SILENT_IN_A_ROW = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long and how often an endpoint is tried. `silence_s` is the longest wait for the next byte."""

    tries: int = 8
    first_wait_s: float = 0.5
    longest_wait_s: float = 60.0
    connect_s: float = 10.0
    silence_s: float = 300.0
    answer_s: float = 900.0

    def wait_s(self, tried: int, random_share: float) -> float:
        """Exponential backoff before try `tried` + 1; `random_share` in [0, 1) keeps clients from marching in step."""
        return min(self.longest_wait_s, self.first_wait_s * 2.0 ** (tried - 1)) * (0.5 + random_share / 2)


@dataclass(slots=True)
class Ticket:
    """One request on its way: whether it only waits to be sent, and whether there is to be no further try.

    `waiting` is false from the moment it is sent, and stays so when it is answered.
    """

    waiting: bool = True
    last: bool = False


class _Unreachable(Trouble):
    """No connection, so that nothing can have been asked."""


class _KeyHeader(httpx2.Auth):
    """Puts the key into a request at the moment it is sent."""

    def __init__(self, address: Address) -> None:
        self._address = address

    def auth_flow(self, request: httpx2.Request) -> Any:
        if self._address.key is not None:
            value = self._address.key.reveal()
            if self._address.service == "anthropic":
                request.headers["x-api-key"] = value
            else:
                request.headers["authorization"] = f"Bearer {value}"
        yield request


class Transport:
    """Sends to one address. What awaits runs in the loop; `start` and `close` may be called from any thread."""

    def __init__(self, address: Address, headers: Mapping[str, str], most: int, patience: Patience) -> None:
        self._address, self._patience = address, patience
        self._asked = f"{address.model} at {address.host}"
        self._random = random.Random()
        self._reached = False
        self._silent = 0
        self.limiter = Limiter(most)
        self._client = httpx2.AsyncClient(
            auth=_KeyHeader(address),
            headers={"user-agent": "parity-llm", "content-type": "application/json", **headers},
            timeout=httpx2.Timeout(patience.silence_s, connect=patience.connect_s, pool=None),
            limits=httpx2.Limits(max_connections=None, max_keepalive_connections=most),
            follow_redirects=False,
            trust_env=not address.local,  # a proxy has no business between us and this machine
        )
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="parity-endpoint", daemon=True)
        self._thread.start()

    def start(self, work: Coroutine[Any, Any, Result]) -> Future[Result]:
        """Run a coroutine in the loop.

        Raises:
            EngineError: the engine is closed.
        """
        if self._loop.is_closed():
            work.close()
            raise EngineError(f"{self._asked}: this engine is closed.", "Open it again.")
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def close(self) -> None:
        """Break off what is in flight and end the thread. May be called twice."""
        if self._loop.is_closed():
            return
        asyncio.run_coroutine_threadsafe(self._shut(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def post(
        self, path: str, body: Body, read: Callable[[bytes], Result], ticket: Ticket, tries: int | None = None
    ) -> tuple[Result, float]:
        """The reply that `read` accepts, and the seconds it took.

        Raises:
            ItemFault: this request has no answer.
            EngineError: no request will have one.
        """
        content = json.dumps(body).encode()
        ticket.waiting = True

        async def once() -> tuple[Result, float]:
            entered = await self.limiter.enter()
            ticket.waiting = False  # before `last` is read, so that whoever sets `last` reads this, or is read here
            try:
                if ticket.last:
                    raise ItemFault(FailureKind.ENGINE, "not sent any more")
                begun = time.perf_counter()
                status, headers, reply = await self._exchange(path, content)
                seconds = time.perf_counter() - begun
                if status != 200:
                    raise self._judged(status, headers, reply)
                result = read(reply)
                self.limiter.succeeded()
                self._silent = 0
                return result, seconds
            except ItemFault:
                self._silent = 0
                raise
            except Trouble as trouble:
                if trouble.congested:
                    self.limiter.refused(entered, trouble.wait_s)
                raise
            finally:
                self.limiter.leave()

        return await self._persist(once, ticket, tries or self._patience.tries)

    async def stream(
        self, path: str, body: Body, reader: StreamReader, emit: Callable[[str], None], ticket: Ticket
    ) -> None:
        """Hand on the text of a stream as it comes, until the endpoint has said why it ends.

        Tried again only while nothing has come. Takes no place of the limit: a reader may hold a stream open for long.

        Raises:
            ItemFault: the prompt is too long, or the answer is withheld.
            EngineError: the stream breaks off, or cannot be begun.
        """
        content = json.dumps(body).encode()
        response = await self._persist(lambda: self._opened(path, content), ticket, self._patience.tries)
        trouble: Exception | None = None
        try:
            async for event in httpx2.EventSource(response):
                if text := reader.feed(event.event, event.data):
                    emit(text)
        except Trouble as error:
            trouble = error
        except httpx2.HTTPError as error:
            trouble = self._named(error)
        finally:
            await response.aclose()
        if trouble is not None:
            raise EngineError(f"{self._asked} broke off its answer: {trouble}", "Ask again.")
        if reader.finish is None:
            raise EngineError(f"{self._asked} ended its stream without a finish reason: it was cut.", "Ask again.")

    async def _exchange(self, path: str, content: bytes) -> tuple[int, Mapping[str, str], bytes]:
        url = self._address.base_url + path
        try:
            async with (
                asyncio.timeout(self._patience.answer_s),
                self._client.stream("POST", url, content=content) as response,
            ):
                self._reached = True
                return response.status_code, response.headers, await _whole(response)
        except (httpx2.HTTPError, TimeoutError) as error:
            fault = self._named(error)
        raise fault  # outside the handler: the library's exception holds the request, and the request the key

    async def _opened(self, path: str, content: bytes) -> httpx2.Response:
        await self.limiter.wait_open()
        request = self._client.build_request("POST", self._address.base_url + path, content=content)
        try:
            response = await self._client.send(request, stream=True)
        except httpx2.HTTPError as error:
            fault: Exception = self._named(error)
        else:
            self._reached = True
            if response.status_code == 200:
                return response
            try:
                fault = self._judged(response.status_code, response.headers, await _whole(response))
            finally:
                await response.aclose()
        raise fault

    async def _persist(self, once: Callable[[], Awaitable[Result]], ticket: Ticket, tries: int) -> Result:
        """Try until it works, `tries` times at most."""
        for tried in range(1, tries + 1):
            try:
                return await once()
            except Trouble as error:
                trouble = error
            if isinstance(trouble, _Unreachable) and not self._reached and tried >= _UNREACHABLE_TRIES:
                raise EngineError(f"Nothing answers at {self._address.base_url}.", "Is the server running there?")
            ticket.waiting = True
            if ticket.last or tried == tries:
                break
            wait_s = trouble.wait_s
            share = self._random.random()
            await asyncio.sleep(self._patience.wait_s(tried, share) if wait_s is None else wait_s * (1 + share / 10))
        self._silent += 1
        if self._silent >= _SILENT_IN_A_ROW:
            raise EngineError(
                f"{self._silent} requests in a row had no answer; the last: {trouble.message}",
                "What was answered is kept. Run the same command when the endpoint works again.",
            )
        raise ItemFault(FailureKind.ENGINE, f"{trouble.message} (tried {tried} times)")

    def _judged(self, status: int, headers: Mapping[str, str], reply: bytes) -> Exception:
        return judge(status, headers, read_refusal(reply, self._address.hide), self._asked)

    def _named(self, error: Exception) -> Trouble | EngineError:
        """A library's error in our words; its own text could repeat what was sent."""
        if isinstance(error, httpx2.TimeoutException | TimeoutError):
            kind = _Unreachable if isinstance(error, httpx2.ConnectTimeout) else Trouble
            return kind(f"{self._asked} was silent for too long ({type(error).__name__})", congested=True)
        if isinstance(error, httpx2.ConnectError):
            if "CERTIFICATE" in str(error).upper():
                return EngineError(f"The certificate of {self._address.host} is not trusted.", "Check the address.")
            return _Unreachable(f"no connection to {self._address.host}")
        return Trouble(f"{self._asked} broke the connection ({type(error).__name__})")

    async def _shut(self) -> None:
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await self._client.aclose()
        await self._loop.shutdown_asyncgens()


async def _whole(response: httpx2.Response) -> bytes:
    parts, size = [], 0
    async for part in response.aiter_bytes():
        parts.append(part)
        size += len(part)
        if size > LARGEST_REPLY_BYTES:
            raise Trouble(f"a reply is larger than {LARGEST_REPLY_BYTES:,} bytes")
    return b"".join(parts)
