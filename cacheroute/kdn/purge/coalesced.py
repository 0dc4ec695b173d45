"""One piece of work for all who ask before it begins. Knows nothing of what it runs."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Coalesced(Generic[T]):
    """Runs `work` one at a time. Who asks while it runs shares the one run that comes after: what was true for the
    run under way when it began may not hold for him.
    """

    def __init__(self, work: Callable[[], Coroutine[Any, Any, T]]) -> None:
        self._work = work
        self._now: asyncio.Task[T] | None = None
        self._next: asyncio.Task[T] | None = None

    @property
    def busy(self) -> bool:
        return any(task is not None and not task.done() for task in (self._now, self._next))

    async def run(self) -> T:
        """The result of a run that begins after this call. Cancelling the caller does not end it."""
        if self._next is None:
            self._next = asyncio.create_task(self._after(self._now))
        return await asyncio.shield(self._next)

    async def stop(self) -> None:
        """Ends what runs or waits."""
        tasks = [task for task in (self._next, self._now) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _after(self, before: asyncio.Task[T] | None) -> T:
        if before is not None:
            await asyncio.wait([before])
        self._now, self._next = self._next, None
        return await self._work()
