"""One piece of work per key, however many ask for it at once; given up only when the last of them has left."""

import asyncio
from collections.abc import Callable, Coroutine, Hashable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


@dataclass(slots=True)
class _Flight(Generic[T]):
    task: asyncio.Task[T]
    waiters: int = 0


class SingleFlight(Generic[K, T]):
    """Every asker gets the one result, or the one error."""

    def __init__(self) -> None:
        self._flights: dict[K, _Flight[T]] = {}

    def __len__(self) -> int:
        return len(self._flights)

    def __contains__(self, key: K) -> bool:
        return key in self._flights

    def __iter__(self) -> Iterator[K]:
        return iter(tuple(self._flights))

    async def do(self, key: K, work: Callable[[], Coroutine[Any, Any, T]]) -> tuple[T, bool]:
        """The result of `work` for this key, and whether it was somebody else's call that began it."""
        flight = self._flights.get(key)
        joined = flight is not None
        if flight is None:
            flight = self._flights[key] = _Flight(asyncio.create_task(work()))
            flight.task.add_done_callback(lambda task: self._landed(key, task))
        flight.waiters += 1
        try:
            return await asyncio.shield(flight.task), joined
        finally:
            flight.waiters -= 1
            if not flight.waiters:
                self._give_up(key, flight.task)

    async def landed(self, key: K) -> None:
        """Waits until no work for this key is under way. Takes no part in it."""
        if flight := self._flights.get(key):
            await asyncio.wait([flight.task])

    def _give_up(self, key: K, task: asyncio.Task[T]) -> None:
        task.cancel()  # no more than a formality where it is done
        self._forget(key, task)  # whoever asks now begins anew

    def _landed(self, key: K, task: asyncio.Task[T]) -> None:
        self._forget(key, task)
        if not task.cancelled():
            task.exception()  # seen, even if all who waited have left

    def _forget(self, key: K, task: asyncio.Task[T]) -> None:
        flight = self._flights.get(key)
        if flight is not None and flight.task is task:
            del self._flights[key]
