"""The scheduler's own copy of what the KDNs know: text and vectors, followed page by page over HTTP.

Each KDN is followed by itself, so one that fails or stalls holds up no other. A KDN that is away keeps its place in
the copy: its text can still be injected. Only one that is no longer configured is forgotten.
"""

import asyncio
import logging
from collections.abc import Iterable
from contextlib import suppress

from cacheroute.changes_client import ChangesClient
from cacheroute.errors import CacheRouteError, UpstreamFailed
from cacheroute.wire.control import KdnRecord
from knowledge.errors import KnowledgeError
from knowledge.replication.replica import Replica

log = logging.getLogger(__name__)

REFRESH_S = 2.0
"""How long a request that asks for what the copy lacks waits for the KDNs: those that answer do so within ms."""


class Follower:
    """Keeps a replica level with the KDNs."""

    def __init__(self, replica: Replica, client: ChangesClient) -> None:
        self.failures: dict[str, str] = {}
        self._replica = replica
        self._client = client
        self._locks: dict[str, asyncio.Lock] = {}
        self._under_way: set[asyncio.Task[None]] = set()

    async def keep_to(self, configured: Iterable[str]) -> None:
        """Forgets every origin that is not configured any more."""
        for origin in set(await asyncio.to_thread(self._replica.origins)) - set(configured):
            await asyncio.to_thread(self._replica.forget, origin)

    def renewed(self, kdn: KdnRecord) -> None:
        """Follows a KDN beside the caller. One that tells slower than it renews is asked again at a later renewal."""
        if not self._lock(kdn.name).locked():
            self._start(kdn)

    async def refresh(self, kdns: Iterable[KdnRecord]) -> None:
        """Asks every KDN for what the copy lacks, whatever its lease says, and waits a little for the answers."""
        asked = [self._start(kdn, whatever_the_lease=True) for kdn in kdns]
        if asked:
            await asyncio.wait(asked, timeout=REFRESH_S)

    async def close(self) -> None:
        """Ends what is under way."""
        for task in self._under_way:
            task.cancel()
        for task in list(self._under_way):
            with suppress(asyncio.CancelledError):
                await task

    async def follow(self, kdn: KdnRecord, *, whatever_the_lease: bool = False) -> None:
        """Fetches what `kdn` has that the copy has not. Never raises: a failure is kept in `failures` and retried.

        A KDN at which the copy has arrived by its lease is asked only where `whatever_the_lease`: it may be further.
        """
        async with self._lock(kdn.name):  # a second caller waits, then finds nothing left to fetch
            try:
                await self._catch_up(kdn, whatever_the_lease)
                self.failures.pop(kdn.name, None)
            except (CacheRouteError, KnowledgeError) as error:
                if self.failures.get(kdn.name) != str(error):
                    log.warning("cannot follow %s: %s", kdn.name, error)
                self.failures[kdn.name] = str(error)

    async def _catch_up(self, kdn: KdnRecord, whatever_the_lease: bool) -> None:
        cursor, anew = await asyncio.to_thread(self._replica.cursor, kdn.name), 0
        while whatever_the_lease or cursor is None or (cursor.epoch, cursor.seq) != (kdn.epoch, kdn.seq):
            page = await self._client.page(kdn.url, cursor)
            anew += page.start == 0
            if anew > 1:
                raise UpstreamFailed("its log begins anew from page to page")
            await asyncio.to_thread(self._replica.apply, page, kdn.name)
            cursor = page.cursor
            if not page.more:
                break

    def _start(self, kdn: KdnRecord, *, whatever_the_lease: bool = False) -> asyncio.Task[None]:
        task = asyncio.create_task(self.follow(kdn, whatever_the_lease=whatever_the_lease))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return task

    def _lock(self, name: str) -> asyncio.Lock:
        return self._locks.setdefault(name, asyncio.Lock())
