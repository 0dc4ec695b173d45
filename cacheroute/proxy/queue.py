"""A bounded line: so many at work, so many waiting, the next one refused with the time to come back.

Whoever waits is the request's own handler: if its client leaves, the handler is cancelled and its place is free.
Knows nothing of requests.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from cacheroute.errors import DeadlineExceeded, Overloaded

FORGET = 0.8
"""Weight of the past in the mean time of service."""


class Line:
    """First come, first served. `concurrency` at a time, `max_waiting` behind them."""

    def __init__(self, name: str, concurrency: int, max_waiting: int) -> None:
        self.name = name
        self.concurrency = concurrency
        self.max_waiting = max_waiting
        self.active = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._service_s = 0.1

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    @property
    def backlog_s(self) -> float:
        """How long the newest one waiting will wait, by the mean time of service so far."""
        return (self.waiting + 1) * self._service_s / self.concurrency

    @asynccontextmanager
    async def place(self, deadline_ms: float) -> AsyncGenerator[None]:
        """A place at work. Raises Overloaded if the line is full, DeadlineExceeded if the time is over first."""
        await self._enter(deadline_ms)
        start_s = time.monotonic()
        try:
            yield
        finally:
            self._service_s = FORGET * self._service_s + (1 - FORGET) * (time.monotonic() - start_s)
            self._leave()

    async def _enter(self, deadline_ms: float) -> None:
        if self.active < self.concurrency:
            self.active += 1
            return
        if self.waiting >= self.max_waiting:
            raise Overloaded(f"{self.name}: {self.waiting} requests are waiting already", retry_after_s=self.backlog_s)
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            async with asyncio.timeout(max(deadline_ms, 0) / 1000):
                await turn
        except BaseException as reason:
            if turn.done() and not turn.cancelled():
                self._leave()  # the place was handed over in the same moment: pass it on
            elif turn in self._waiting:
                self._waiting.remove(turn)
            if isinstance(reason, TimeoutError):
                raise DeadlineExceeded(f"{self.name}: the request's time was over while it waited") from reason
            raise

    def _leave(self) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)  # the place changes hands: `active` stays
                return
        self.active -= 1
