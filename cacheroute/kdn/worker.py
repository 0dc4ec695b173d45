"""Threads beside the event loop, for what blocks: SQLite and files. Knows nothing of what it runs."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from cacheroute.errors import Unavailable
from knowledge.errors import CatalogueError

P = ParamSpec("P")
T = TypeVar("T")


class Worker:
    """With one thread, calls run one at a time, in order. Cancelling the waiter does not undo a call that has begun."""

    def __init__(self, name: str, threads: int = 1) -> None:
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix=name)

    async def run(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """`call`'s result. Raises Unavailable where the disk or the catalogue fails."""
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, lambda: call(*args, **kwargs))
        except (OSError, CatalogueError) as error:
            raise Unavailable(f"storage: {error}", code="storage_failed") from error

    def later(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> None:
        """The same, without waiting: for what may be lost, such as a hit count."""
        self._threads.submit(call, *args, **kwargs)

    def close(self) -> None:
        """Waits for what was asked for: each call is short, and half a write helps nobody."""
        self._threads.shutdown(wait=True)
