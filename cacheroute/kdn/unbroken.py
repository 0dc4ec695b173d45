"""What must be done whole once it has begun, even if whoever asked for it leaves. Knows nothing of what it runs."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class Unbroken:
    """Runs such work beside its callers."""

    def __init__(self) -> None:
        self._under_way: set[asyncio.Task[Any]] = set()

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of `work`. Cancelling the caller does not cancel it."""
        task = asyncio.create_task(work)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return await asyncio.shield(task)

    async def finished(self) -> None:
        """Waits until nothing is under way."""
        await asyncio.gather(*self._under_way, return_exceptions=True)
