"""Everything that goes with a deleted text: artifacts, blobs, chunks in kv stores and in engines.

Written down first, then done, then done once more when no request that had the text can be under way; what cannot be
reached is tried again until it can. A crash at any step leaves a journal from which the next start goes on.
"""

import asyncio
import logging
import math
import time
from collections.abc import AsyncGenerator, Callable, Collection, Iterable, Sequence
from contextlib import asynccontextmanager, suppress

from cacheroute.background import in_background
from cacheroute.errors import BadRequest, CacheRouteError, NotFound, Unavailable
from cacheroute.kdn.artifacts.artifacts import Artifacts
from cacheroute.kdn.injector import Injector
from cacheroute.kdn.purge.coalesced import Coalesced
from cacheroute.kdn.purge.journal import Entry, PurgeJournal
from cacheroute.kdn.purge.outcomes import Dropped, Forgotten, Outcome, keys_of
from cacheroute.kdn.purge.places import Cleared, Place, StorePlace
from cacheroute.kdn.purge.whereabouts import Whereabouts
from cacheroute.kdn.worker import Worker
from cacheroute.wire.artifacts import Artifact, Purged

log = logging.getLogger(__name__)

WAIT_S = 10.0
"""Longest that a deletion waits for a place. What takes longer goes on without it."""
ROUND_S = 1.0
FIRST_RETRY_S, SLOWEST_RETRY_S = 0.25, 30.0


class Purger:
    """Purges the places that there are now, and those that the journal remembers.

    `grace_s`: how long a request that had a text may go on. `is_heard`: whether the scheduler is told of what changes
    here, so that it sends no deleted text along any more.
    """

    def __init__(
        self,
        artifacts: Artifacts,
        injector: Injector,
        journal: PurgeJournal,
        worker: Worker,
        whereabouts: Whereabouts,
        grace_s: float,
        is_heard: Callable[[], bool],
    ) -> None:
        self._grace_s = grace_s
        self._artifacts = artifacts
        self._injector = injector
        self._journal = journal
        self._worker = worker
        self._whereabouts = whereabouts
        self._is_heard = is_heard
        self._purging: dict[str, Coalesced[Outcome]] = {}
        self._not_before_s: dict[str, float] = {}
        self._woken = asyncio.Event()

    async def entries(self) -> tuple[Entry, ...]:
        """What is still to be purged, as the journal has it. Raises Unavailable."""
        return await self._worker.run(self._journal.entries)

    async def purge(self, artifact_id: str, store: str, *, strangers: bool = False) -> Purged:
        """Takes an artifact's chunks out of one store; the artifact stays. `strangers`: and what no artifact has.

        Raises NotFound, Unavailable.
        """
        artifact, target = self._artifacts.get(artifact_id), self._injector.store(store)
        places = [place for place in self._whereabouts.stores if place.store is target] if strangers else []
        swept = sum([(await place.purge()).dropped for place in places])
        return Purged(store=store, keys=swept + await target.purge(artifact.keys))

    async def drop(self, ids: Iterable[str]) -> Dropped:
        """Removes artifacts whose texts stay, here and from every store that can be reached."""
        gone = await self._removed(ids)
        keys = keys_of(gone)
        stores = self._whereabouts.stores if keys else ()
        outcomes = await asyncio.gather(*(_unlinked(place, keys) for place in stores))
        return Dropped(
            purged={place.store.name: each.cleared.dropped for place, each in zip(stores, outcomes, strict=True)},
            notes=tuple(f"not purged: {each.why}" for each in outcomes if each.why),
        )

    @asynccontextmanager
    async def planned(self) -> AsyncGenerator["Plan"]:
        """Around whatever lets texts go: what is to be purged is on disk before, and withdrawn if nothing went."""
        await self._whereabouts.remember()
        plan = Plan(self, await self._worker.run(self._journal.plan))
        try:
            yield plan
        except (NotFound, BadRequest):
            await self._worker.run(self._journal.withdraw, plan.number)
            raise
        except BaseException:  # it may have come after the text went
            await asyncio.shield(self._worker.run(self._journal.ask, plan.number, self._whereabouts.names()))
            raise
        if not plan.is_needed:
            await self._worker.run(self._journal.withdraw, plan.number)

    async def forget(self, plan: int, kids: Iterable[str]) -> tuple[Artifact, ...]:
        """Drops every artifact that holds one of `kids`, and makes all places due."""
        gone = await self._removed(artifact.id for artifact in self._artifacts.holding(kids))
        for place in self._whereabouts.stores:
            place.expect(keys_of(gone))
        names = self._whereabouts.names()
        await self._worker.run(self._journal.ask, plan, names)
        for name in names:  # due now, even where another purge is to be done once more after its grace
            self._not_before_s.pop(name, None)
        self._woken.set()
        return gone

    async def clear(self, gone: tuple[Artifact, ...]) -> Forgotten:
        """Purges all places, side by side, in runs that begin now or later, when these artifacts are gone."""
        names = self._whereabouts.names()
        outcomes = await asyncio.gather(*(_waited_for(name, self._purging_of(name)) for name in names))
        return Forgotten(gone, tuple(outcomes), self._whereabouts.closed())

    async def _removed(self, ids: Iterable[str]) -> tuple[Artifact, ...]:
        """Removes artifacts for good. An injection under way ends first, so that it puts nothing back."""
        gone = await self._worker.run(self._artifacts.drop, tuple(ids))
        await asyncio.gather(*(self._injector.settled(artifact.id) for artifact in gone))
        return gone

    @asynccontextmanager
    async def at_work(self) -> AsyncGenerator[None]:
        """Keeps at what the journal says, as long as the context is open. To be opened before anybody plans."""
        await self._worker.run(self._journal.adopt, self._whereabouts.names())
        try:
            async with in_background(self._keep_at_it()):
                yield
        finally:
            await asyncio.gather(*(purge.stop() for purge in self._purging.values()))

    async def _keep_at_it(self) -> None:
        while True:
            self._woken.clear()
            try:
                await self._round()
            except CacheRouteError as error:  # the disk
                log.warning("the journal of purges cannot be read: %s", error.message)
            with suppress(TimeoutError):
                async with asyncio.timeout(ROUND_S):
                    await self._woken.wait()

    async def _round(self) -> None:
        """Purges what is due now, all places at once."""
        await self._whereabouts.remember()
        entries, now_s = await self.entries(), time.monotonic()
        await asyncio.gather(*(self._retry(entry) for entry in entries if self._is_due(entry, now_s)))

    def _is_due(self, entry: Entry, now_s: float) -> bool:
        if self._purging_of(entry.place).busy:
            return False
        # where this process began after the purge, requests from before may still be under way
        wait_s = self._grace_s if entry.stage == "again" else 0.0
        not_before_s = self._not_before_s.setdefault(entry.place, now_s + wait_s)
        return not_before_s <= now_s and (entry.stage == "due" or self._is_heard())

    async def _retry(self, entry: Entry) -> None:
        outcome = await self._purging_of(entry.place).run()
        if not outcome.why and entry.stage == "again":
            await self._worker.run(self._journal.done, entry)

    def _purging_of(self, name: str) -> Coalesced[Outcome]:
        if name not in self._purging:
            place = self._whereabouts.place(name)
            self._purging[name] = Coalesced(lambda: self._purge(place))
        return self._purging[name]

    async def _purge(self, place: Place) -> Outcome:
        asked = {entry.place: entry for entry in await self.entries()}.get(place.name)
        try:
            cleared = await place.purge()
        except CacheRouteError as error:
            await self._put_off(place.name, asked, error.message)
            return Outcome(place.name, why=error.message)
        if place.refills:
            if await self._worker.run(self._journal.purged, place.name, asked.asked if asked else 0):
                self._not_before_s[place.name] = time.monotonic() + self._grace_s
        elif asked:
            await self._worker.run(self._journal.done, asked)
        return Outcome(place.name, cleared)

    async def _put_off(self, name: str, entry: Entry | None, why: str) -> None:
        if entry is None or entry.why != why:
            log.warning("%s is not purged yet: %s", name, why)
        pause_s = FIRST_RETRY_S * math.pow(2, min(entry.attempts if entry else 0, 16))
        self._not_before_s[name] = time.monotonic() + min(pause_s, SLOWEST_RETRY_S)
        await self._worker.run(self._journal.failed, name, why)


class Plan:
    """What `Purger.planned` wrote down, to be carried out once the texts are gone."""

    def __init__(self, purger: Purger, number: int) -> None:
        self.number = number
        self.is_needed = False
        self._purger = purger

    async def forget(self, orphaned: Collection[str]) -> tuple[Artifact, ...]:
        """Drops the artifacts of kids that no document has any more; the places follow in the background."""
        self.is_needed = bool(orphaned)
        return await self._purger.forget(self.number, orphaned) if self.is_needed else ()

    async def carry_out(self, orphaned: Collection[str]) -> Forgotten:
        """The same, and waits for the places."""
        artifacts = await self.forget(orphaned)
        return await self._purger.clear(artifacts) if self.is_needed else Forgotten()


async def _unlinked(place: StorePlace, keys: Sequence[str]) -> Outcome:
    try:
        return Outcome(place.name, Cleared(await place.unlink(keys)))
    except Unavailable as error:
        return Outcome(place.name, why=error.message)


async def _waited_for(place: str, purge: Coalesced[Outcome]) -> Outcome:
    try:
        async with asyncio.timeout(WAIT_S):
            return await purge.run()
    except TimeoutError:
        return Outcome(place, why=f"it takes longer than {WAIT_S:g} s")
