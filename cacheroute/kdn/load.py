"""How busy a KDN is with injections, as its lease tells it: absolute values, so that nothing can drift from them."""

import time
from collections import deque
from collections.abc import Callable, Generator
from contextlib import contextmanager

from cacheroute.kdn.builds.builder import Builder
from cacheroute.kdn.injector import Injector
from cacheroute.wire.control import KdnLoad

MINUTE_S = 60
WEIGHT = 0.2
"""Of the newest injection in the mean: the last ten or so are most of it."""


class InjectionMeter:
    """Counts injections by the second they were asked for in, and averages how long they took."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._asked: deque[tuple[int, int]] = deque()
        """(second, how many), oldest first: a minute of them at most."""
        self._mean_ms: float | None = None

    @contextmanager
    def injection(self) -> Generator[None]:
        """Around one, waiting included. One that fails or is given up counts as asked for and has no duration."""
        began_s = self._clock()
        self._count(int(began_s))
        yield
        took_ms = (self._clock() - began_s) * 1000
        self._mean_ms = took_ms if self._mean_ms is None else self._mean_ms + WEIGHT * (took_ms - self._mean_ms)

    def load(self, injector: Injector, builder: Builder) -> KdnLoad:
        """What is under way now, with what was measured."""
        self._forget(int(self._clock()))
        waiting = injector.waiting
        return KdnLoad(
            injecting=injector.injecting - waiting,
            waiting=waiting,
            building=builder.building,
            requests_1m=sum(count for _, count in self._asked),
            inject_ms=None if self._mean_ms is None else round(self._mean_ms, 3),
        )

    def _count(self, second: int) -> None:
        self._forget(second)
        before = self._asked.pop()[1] if self._asked and self._asked[-1][0] == second else 0
        self._asked.append((second, before + 1))

    def _forget(self, second: int) -> None:
        while self._asked and self._asked[0][0] <= second - MINUTE_S:
            self._asked.popleft()
