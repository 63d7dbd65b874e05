"""How many requests are in flight: more while all goes well, half as many when the server says it is too much.

Additive increase, multiplicative decrease (Chiu and Jain 1989), doubling each round until the first refusal as TCP's
slow start does. Lives in one event loop; not thread-safe.
"""

import asyncio
from collections import deque

FIRST = 8


class Limiter:
    """Admits requests up to a limit that adapts between 1 and `most`."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._limit = float(min(FIRST, most))
        self._doubling = True
        self._active = 0
        self._round = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._open_at_s = 0.0

    @property
    def limit(self) -> int:
        return int(self._limit)

    async def enter(self) -> int:
        """Wait for a place; returns the round it belongs to, which `leave` and `refused` want back."""
        if self._active >= self.limit or self._pause_s() > 0 or self._waiting:
            place = asyncio.get_running_loop().create_future()
            self._waiting.append(place)
            self._wake()
            try:
                await place
            except asyncio.CancelledError:
                if place.done() and not place.cancelled():
                    self._active -= 1
                elif place in self._waiting:
                    self._waiting.remove(place)
                self._wake()
                raise
            return self._round
        self._active += 1
        return self._round

    def leave(self) -> None:
        """Give the place back."""
        self._active -= 1
        self._wake()

    def succeeded(self) -> None:
        """A request was answered: one more may be in flight, or one more a round once a limit was met."""
        self._limit = min(self._most, self._limit + (1.0 if self._doubling else 1.0 / self._limit))

    def refused(self, entered: int, pause_s: float | None) -> None:
        """The server is overloaded. Halves once a round: what was sent before the last halving tells nothing new."""
        if pause_s:
            self.pause(pause_s)
        if entered < self._round:
            return
        self._round += 1
        self._doubling = False
        self._limit = max(1.0, self._limit / 2)

    def pause(self, seconds: float) -> None:
        """Let nothing in for a while, because the server named a time."""
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        if until > self._open_at_s:
            self._open_at_s = until
            loop.call_later(seconds + 0.001, self._wake)

    async def wait_open(self) -> None:
        """Wait until no pause holds, without taking a place."""
        while (left := self._pause_s()) > 0:
            await asyncio.sleep(left)

    def _pause_s(self) -> float:
        return self._open_at_s - asyncio.get_running_loop().time() if self._open_at_s else 0.0

    def _wake(self) -> None:
        while self._waiting and self._active < self.limit and self._pause_s() <= 0:
            place = self._waiting.popleft()
            if not place.done():
                self._active += 1
                place.set_result(None)
