"""Threads beside the event loop, for what blocks: SQLite and files. Knows nothing of what it runs."""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, ParamSpec, TypeVar

from cacheroute.errors import Unavailable
from knowledge.errors import CatalogueError

log = logging.getLogger(__name__)
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
        """The same, without waiting: for what may be lost, such as a hit count. A failure is logged."""
        self._threads.submit(call, *args, **kwargs).add_done_callback(_log_failure)

    def close(self) -> None:
        """Waits for what was asked for: each call is short, and half a write helps nobody."""
        self._threads.shutdown(wait=True)


def _log_failure(future: Future[Any]) -> None:
    if not future.cancelled() and (error := future.exception()) is not None:
        log.warning("not done: %s", error)
