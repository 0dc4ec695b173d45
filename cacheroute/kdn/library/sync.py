"""Anti-entropy: what other KDNs have newer is taken over, document by document, until all have the same.

The other's log is read page by page. A document counts once all its blocks have come, and is registered in one
transaction with its text, its vectors and the time it was registered at first: nothing is embedded again, and nothing
is ever there by half. What the other deleted later than it was registered here goes, with its KV.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from cacheroute.changes_client import ChangesClient
from cacheroute.errors import BadRequest, CacheRouteError, DeadlineExceeded, NotFound, Unavailable, UpstreamFailed
from cacheroute.kdn.builds.queue import BuildQueue
from cacheroute.kdn.library.documents import Documents
from cacheroute.kdn.purge.purger import Purger
from cacheroute.kdn.unbroken import Unbroken
from cacheroute.kdn.worker import Worker
from cacheroute.telemetry import Stopwatch
from cacheroute.wire.documents import SyncReport
from knowledge.catalogue.changes import Changes, Cursor, sound
from knowledge.catalogue.history import FORGOTTEN_MS
from knowledge.catalogue.library import Library
from knowledge.errors import KnowledgeError
from knowledge.replication.versions import Assembly, Deleted, Version

log = logging.getLogger(__name__)

SYNC_TIMEOUT_S = 540.0
"""Of one sync: what was taken until then stays, and the next round goes on from there."""
FIRST_ROUND_S = 10.0, 30.0
"""After the start, so that all of a stack that starts at once are up."""


@dataclass(slots=True)
class _Tally:
    taken: int = 0
    deleted: int = 0
    kept: int = 0


class Syncer:
    """Syncs the library of the KDN `name` with those at `addresses()`, which come from its lease."""

    def __init__(
        self,
        name: str,
        addresses: Callable[[], Mapping[str, str] | None],
        client: ChangesClient,
        library: Library,
        worker: Worker,
        documents: Documents,
        purger: Purger,
        unbroken: Unbroken,
        builds: BuildQueue,
    ) -> None:
        self.failures: dict[str, str] = {}
        self._name = name
        self._addresses = addresses
        self._client = client
        self._library = library
        self._worker = worker
        self._documents = documents
        self._purger = purger
        self._unbroken = unbroken
        self._builds = builds
        self._locks: dict[str, asyncio.Lock] = {}
        self._read: dict[str, Cursor] = {}

    async def sync(self, origin: str, *, whole: bool = True) -> SyncReport:
        """Takes over what `origin` has newer: of its whole log, or of what changed since it was read last.

        Raises BadRequest for this KDN itself, NotFound for a KDN that is not alive, Unavailable, UpstreamFailed,
        DeadlineExceeded.
        """
        url = self._address(origin)
        watch, tally = Stopwatch(), _Tally()
        try:
            async with asyncio.timeout(SYNC_TIMEOUT_S), self._locks.setdefault(origin, asyncio.Lock()):
                await self._read_through(origin, url, None if whole else self._read.get(origin), tally)
        except TimeoutError as error:
            raise DeadlineExceeded(
                f"{origin} was not read to its end within {SYNC_TIMEOUT_S:g} s; {tally.taken} documents were taken "
                "over, the next sync goes on"
            ) from error
        except KnowledgeError as error:
            raise UpstreamFailed(f"{origin}: {error}") from error
        except (UpstreamFailed, Unavailable) as error:
            raise type(error)(f"{origin}: {error.message}") from error
        finally:
            await self._documents.recount()
        return SyncReport(
            origin=origin,
            taken=tally.taken,
            deleted=tally.deleted,
            kept=tally.kept,
            ms=round(watch.elapsed_ms, 3),
        )

    async def keep_in_sync(self, every_s: float) -> None:
        """Syncs with every other live KDN every so often, for ever."""
        await asyncio.sleep(min(every_s, random.uniform(*FIRST_ROUND_S)))
        while True:
            await self.round()
            await asyncio.sleep(every_s * random.uniform(0.8, 1.2))  # not all of them at the same moment

    async def round(self) -> None:
        """One sync with each other live KDN, one after the other; a failure is told once and hinders no other."""
        for origin in sorted((self._addresses() or {}).keys() - {self._name}):
            try:
                report = await self.sync(origin, whole=False)
            except CacheRouteError as error:
                if self.failures.get(origin) != error.message:
                    log.warning("not synced: %s", error.message)
                self.failures[origin] = error.message
                continue
            self.failures.pop(origin, None)
            if report.taken or report.deleted:
                log.info("from %s: %d documents taken over, %d deleted", origin, report.taken, report.deleted)

    def _address(self, origin: str) -> str:
        addresses = self._addresses()
        if origin == self._name:
            raise BadRequest(f"{origin} is this KDN itself: name another", param="origin")
        if addresses is None:
            raise Unavailable("not registered with the scheduler, which knows the other KDNs")
        if origin not in addresses:
            others = ", ".join(sorted(addresses.keys() - {self._name})) or "none"
            raise NotFound(f"there is no live KDN {origin!r}; live besides this one: {others}")
        return addresses[origin]

    async def _read_through(self, origin: str, url: str, cursor: Cursor | None, tally: _Tally) -> None:
        assembly, anew, more = Assembly(), 0, True
        while more:
            page = await self._client.page(url, cursor)
            anew += page.start == 0
            if anew > 1:
                raise UpstreamFailed("its log begins anew from page to page")
            for each in await self._worker.run(self._news, assembly, page, tally):
                await self._unbroken.run(self._take(each, tally))
            cursor, more = page.cursor, page.more
            if assembly.is_idle:
                self._read[origin] = cursor

    def _news(self, assembly: Assembly, page: Changes, tally: _Tally) -> Sequence[Version | Deleted]:
        """Blocking. What this page completes that may be newer than what is here."""
        news: list[Version | Deleted] = []
        for each in assembly.feed(sound(page).items):
            if isinstance(each, Deleted):
                if each.deleted_ms > FORGOTTEN_MS:
                    news.append(each)
            elif self._library.is_news(each.document_id, each.stamp):
                news.append(each)
            else:
                tally.kept += 1
        return news

    async def _take(self, news: Version | Deleted, tally: _Tally) -> None:
        """Takes over one document or deletion, and has purged what only the version here had."""
        async with self._purger.planned() as plan:
            if isinstance(news, Version):
                orphaned = await self._worker.run(self._register, news, tally)
            else:
                orphaned = await self._worker.run(self._delete, news, tally)
            await plan.forget(orphaned)
        await self._builds.forget(orphaned)

    def _register(self, version: Version, tally: _Tally) -> Sequence[str]:
        """Blocking. Returns the kids that no document has any more; so does `_delete`."""
        done = self._library.register(version.draft, version.vectors, version.stamp)
        tally.kept += done.status == "unchanged"
        tally.taken += done.status != "unchanged"
        return done.orphaned

    def _delete(self, deleted: Deleted, tally: _Tally) -> Sequence[str]:
        gone = self._library.delete_told(deleted.document_id, deleted.kids, deleted.deleted_ms)
        tally.deleted += gone is not None
        return gone.orphaned if gone else ()
