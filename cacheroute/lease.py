"""Leases from both sides: a table that forgets who stops renewing, and a keeper that never stops trying.

The keeper repeats one idempotent PUT, so a peer that restarts empty is full again one interval later, and the
order in which processes start does not matter. Times are monotonic.
"""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, Generic, Protocol, TypeVar

import aiohttp
import msgspec

from cacheroute.errors import Conflict
from cacheroute.wire.control import Grant

log = logging.getLogger(__name__)

RETRY_S = 0.25
"""How soon to try again where no lease is held."""
NEWS_S = 0.05
"""News are gathered for so long: a thousand changes in a row are no thousand renewals."""


class Record(Protocol):
    """What a lease holds: a name, the url it answers at, and which life of the process this is."""

    @property
    def name(self) -> str: ...
    @property
    def boot_id(self) -> str: ...
    @property
    def url(self) -> str: ...


R = TypeVar("R", bound=Record)


class LeaseTable(Generic[R]):
    """Who is alive: records by name, each until `ttl_s` after its last renewal."""

    def __init__(self, ttl_s: float, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._ttl_s = ttl_s
        self._clock_s = clock_s
        self._held: dict[str, tuple[float, R]] = {}

    def renew(self, record: R) -> None:
        """Takes or renews a lease. A new life of the same address replaces the old one at once.

        Raises Conflict if another live process, at another address, holds the name.
        """
        held = self.get(record.name)
        if held is not None and held.boot_id != record.boot_id and held.url != record.url:
            raise Conflict(f"the name {record.name!r} is held by a live process at {held.url}; choose another name")
        self._held[record.name] = (self._clock_s() + self._ttl_s, record)

    def drop(self, name: str) -> None:
        self._held.pop(name, None)

    def get(self, name: str) -> R | None:
        until_s, record = self._held.get(name, (0.0, None))
        return record if record is not None and until_s > self._clock_s() else None

    def alive(self) -> tuple[R, ...]:
        """Live records in order of name, so that the order is stable; forgets the others."""
        now_s = self._clock_s()
        self._held = {name: held for name, held in self._held.items() if held[0] > now_s}
        return tuple(self._held[name][1] for name in sorted(self._held))


class LeaseKeeper:
    """Holds one lease at a peer: renews it for ever, and gives it back on leaving."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        url: str,
        token: str,
        record: Callable[[], Any],
    ) -> None:
        self._session = session
        self._url = url
        self._headers = {"Authorization": f"Bearer {token}"}
        self._record = record
        self._news = asyncio.Event()
        self.grant: Grant | None = None
        self.why = "not registered yet"

    def renew_soon(self) -> None:
        """Has the record sent anew at once: something in it has changed that the peer should not wait for."""
        self._news.set()

    @asynccontextmanager
    async def held(self) -> AsyncGenerator["LeaseKeeper"]:
        task = asyncio.create_task(self._keep())
        try:
            yield self
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            if self.grant is not None:  # else the name may be held by another, whose lease this would end
                with suppress(aiohttp.ClientError, TimeoutError):
                    await self._session.delete(self._url, headers=self._headers, timeout=aiohttp.ClientTimeout(1))

    async def _keep(self) -> None:
        while True:
            self._news.clear()
            await self._renew()
            with suppress(TimeoutError):
                async with asyncio.timeout(self.grant.renew_s if self.grant else RETRY_S):
                    await self._news.wait()
                    await asyncio.sleep(NEWS_S)

    async def _renew(self) -> None:
        try:
            async with self._session.put(
                self._url,
                data=msgspec.json.encode(self._record()),
                headers=self._headers,
                timeout=aiohttp.ClientTimeout(5),
            ) as response:
                body = await response.read()
                if response.status != 200:
                    raise aiohttp.ClientPayloadError(f"HTTP {response.status}: {body[:300].decode(errors='replace')}")
                self.grant = msgspec.json.decode(body, type=Grant)
        except (aiohttp.ClientError, TimeoutError, msgspec.DecodeError) as error:
            why = f"{self._url}: {str(error) or type(error).__name__}"
            if why != self.why or self.grant is not None:
                log.warning("lease lost, trying again: %s", why)
            self.grant, self.why = None, why
            return
        if self.why:
            log.info("lease held at %s", self._url)
        self.why = ""
