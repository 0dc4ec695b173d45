"""The scheduler's own copy of what the KDNs know: text and vectors, followed page by page over HTTP.

Each KDN is followed by itself, so one that fails holds up no other. A KDN that is away keeps its place in the
copy: its text can still be injected. Only one that is no longer configured is forgotten.
"""

import asyncio
import logging
from collections.abc import Iterable

import aiohttp
import msgspec

from cacheroute.errors import UpstreamFailed
from cacheroute.wire.control import KdnRecord
from knowledge.changes import Changes, Cursor
from knowledge.errors import KnowledgeError
from knowledge.replica import Replica

log = logging.getLogger(__name__)

PAGE = 64
TIMEOUT_S = 30.0


class Follower:
    """Keeps a replica level with the KDNs."""

    def __init__(self, replica: Replica, session: aiohttp.ClientSession, token: str) -> None:
        self.failures: dict[str, str] = {}
        self._replica = replica
        self._session = session
        self._headers = {"Authorization": f"Bearer {token}"}
        self._locks: dict[str, asyncio.Lock] = {}

    async def keep_to(self, configured: Iterable[str]) -> None:
        """Forgets every origin that is not configured any more."""
        for origin in set(await asyncio.to_thread(self._replica.origins)) - set(configured):
            await asyncio.to_thread(self._replica.forget, origin)

    def is_following(self, name: str) -> bool:
        """Whether a KDN is being read at this moment."""
        return name in self._locks and self._locks[name].locked()

    async def follow(self, kdn: KdnRecord) -> None:
        """Fetches what `kdn` has that the copy has not. Never raises: a failure is kept in `failures` and retried."""
        lock = self._locks.setdefault(kdn.name, asyncio.Lock())
        async with lock:  # a second caller waits, then finds nothing left to fetch
            try:
                cursor = await asyncio.to_thread(self._replica.cursor, kdn.name)
                while cursor is None or (cursor.epoch, cursor.seq) != (kdn.epoch, kdn.seq):
                    page = await self._page(kdn, cursor)
                    await asyncio.to_thread(self._replica.apply, page, kdn.name)
                    cursor = page.cursor
                    if not page.more:
                        break
                self.failures.pop(kdn.name, None)
            except (aiohttp.ClientError, TimeoutError, msgspec.DecodeError, UpstreamFailed, KnowledgeError) as error:
                why = str(error) or type(error).__name__
                if self.failures.get(kdn.name) != why:
                    log.warning("cannot follow %s: %s", kdn.name, why)
                self.failures[kdn.name] = why

    async def _page(self, kdn: KdnRecord, cursor: Cursor | None) -> Changes:
        asked: dict[str, str | int] = {"limit": PAGE}
        if cursor is not None:
            asked |= {"epoch": cursor.epoch, "since": cursor.seq}
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
        async with self._session.get(
            f"{kdn.url}/v1/changes", params=asked, headers=self._headers, timeout=timeout
        ) as response:
            body = await response.read()
        if response.status != 200:
            raise UpstreamFailed(f"HTTP {response.status}: {body[:200].decode(errors='replace')}")
        return msgspec.msgpack.decode(body, type=Changes)
