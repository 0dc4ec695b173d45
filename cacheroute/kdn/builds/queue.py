"""Builds that nobody waits for: taken onto the disk, then carried out one after the other when engines have time.

Follow one: `put` -> `BuildTable.add` -> `_run` -> `BuildTurns.next` -> `Builder.carry_out` -> its row is over. Several
threads may give orders; everything else happens on the loop.
"""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress

import msgspec

from cacheroute.background import in_background
from cacheroute.errors import BadRequest, CacheRouteError, NotFound
from cacheroute.kdn.builds.builder import Builder, NeverBuilt, Order
from cacheroute.kdn.builds.table import BuildTable, Kept
from cacheroute.kdn.builds.turns import BuildTurns, Entry, Outcome
from cacheroute.kdn.instances import one_a_fingerprint
from cacheroute.kdn.worker import Worker
from cacheroute.kvstore.store import KvStore
from cacheroute.prompt import canonical_order
from cacheroute.telemetry import Stopwatch
from cacheroute.wire.artifacts import Artifact, Build, BuildState, QueueBuilds, Queued
from cacheroute.wire.control import InstanceRecord
from knowledge.errors import CatalogueError

log = logging.getLogger(__name__)

LOOK_S = 0.25
"""How often waiting builds look whether an engine has time."""
STORAGE_RETRY_S = 1.0


class BuildQueue:
    """`known` says which of some kids there are."""

    def __init__(
        self,
        table: BuildTable,
        worker: Worker,
        builder: Builder,
        known: Callable[[Iterable[str]], Awaitable[frozenset[str]]],
        instances: Callable[[], Sequence[InstanceRecord]],
        stores: Mapping[str, KvStore],
        wait_s: float,
    ) -> None:
        self._table = table
        self._worker = worker
        self._builder = builder
        self._known = known
        self._instances = instances
        self._stores = stores
        self._turns = BuildTurns(wait_s, time.monotonic)
        self._under_way: Entry | None = None
        self._changed = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    @property
    def waiting(self) -> int:
        return len(self._turns) - (self._under_way is not None)

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Builds until the context is left; the one under way then is queued again at the next start."""
        self._take(await self._worker.run(self._table.queued))
        async with in_background(self._run()):
            yield

    async def put(self, asked: QueueBuilds) -> Queued:
        """Takes all of it or nothing; what it has taken is built. Raises BadRequest, NotFound, Overloaded."""
        sets = [canonical_order(kids) for kids in asked.sets]
        if not all(sets):
            raise BadRequest(f"sets[{sets.index(())}] names no block", param="sets")
        kids = {kid for each in sets for kid in each}
        if unknown := kids - await self._known(kids):
            raise NotFound(f"there is no knowledge block {min(unknown)!r}")
        ids, new = await self._worker.run(self._table.add, sets, asked.rendering, asked.fingerprint)
        self._take(new)
        return Queued(ids=ids)

    def rebuild(self, artifact: Artifact) -> int:
        """Queues an artifact anew. Blocking, for any thread; 0 where that cannot be done."""
        try:
            (build_id,), new = self._table.add([artifact.kids], artifact.rendering, artifact.fingerprint)
        except (CacheRouteError, CatalogueError) as error:
            log.warning("%s is not queued to be built again: %s", artifact.id, error)
            return 0
        self._loop.call_soon_threadsafe(self._take, new)
        return build_id

    async def page(self, state: BuildState | None, after: int, limit: int) -> tuple[Build, ...]:
        """Up to `limit` builds with ids above `after`; what is queued says what it waits for."""
        builds = await self._worker.run(self._table.page, state, after, limit)
        instances = self._instances()
        targets = one_a_fingerprint(instances, self._stores)

        def now(build: Build) -> Build:
            entry = self._turns.get(build.id)
            if build.state != "queued" or entry is None:
                return build
            return msgspec.structs.replace(build, why=self._turns.why(entry, targets, instances, self._stores))

        return tuple(map(now, builds))

    async def cancel_all(self) -> tuple[int, ...]:
        """Takes out what is queued; the one under way ends. Their ids."""
        return await self._cancel(list(self._turns), "cancelled by request")

    async def cancel(self, build_id: int) -> Build:
        """The build as it is after that: one that is under way or over stays what it is. Raises NotFound."""
        if entry := self._turns.get(build_id):
            await self._cancel([entry], "cancelled by request")
        build = await self._worker.run(self._table.get, build_id)
        if build is None:
            raise NotFound(f"there is no build {build_id} (of those that are over, the last thousand are kept)")
        return build

    async def forget(self, kids: Iterable[str]) -> None:
        """Takes out what would need one of these kids, whose texts are gone."""
        gone = frozenset(kids)
        if not gone:
            return
        entries = [entry for entry in self._turns if not gone.isdisjoint(entry.build.kids)]
        await self._cancel(entries, "the knowledge was deleted")

    async def _cancel(self, entries: Sequence[Entry], why: str) -> tuple[int, ...]:
        queued = [entry for entry in entries if entry is not self._under_way]
        for entry in queued:
            self._turns.remove(entry.build.id)
        over = [Kept(msgspec.structs.replace(entry.build, state="cancelled", why=why), entry.tries) for entry in queued]
        if over:
            await self._worker.run(self._table.put_all, over)
        return tuple(entry.build.id for entry in queued)

    def _take(self, new: Iterable[Kept]) -> None:
        for kept in new:
            self._turns.add(kept)
        self._changed.set()

    async def _run(self) -> None:
        while True:
            self._changed.clear()
            try:
                began = await self._step()
            except CacheRouteError as error:  # its own file; what was built is found present when it is tried again
                log.warning("the build queue cannot be written: %s", error.message)
                await asyncio.sleep(STORAGE_RETRY_S)
                continue
            if not began:
                with suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_S if len(self._turns) else None):
                        await self._changed.wait()

    async def _step(self) -> bool:
        """Ends what is over, and builds one entry for one fingerprint; whether there was one to build."""
        targets = one_a_fingerprint(self._instances(), self._stores)
        if (over := self._turns.over(targets)) is not None:
            await self._end(over, over.ended())
        chosen = self._turns.next(targets)
        if chosen is None:
            return False
        self._under_way, instance = chosen
        try:
            await self._carry_out(self._under_way, instance)
        finally:
            self._under_way = None
        return True

    async def _end(self, entry: Entry, build: Build) -> None:
        await self._save(entry, build)
        self._turns.remove(build.id)

    async def _carry_out(self, entry: Entry, instance: InstanceRecord) -> None:
        await self._save(entry, msgspec.structs.replace(entry.build, state="building", why=""))
        watch = Stopwatch()
        try:
            outcome = await self._build(entry, instance)
        except NotFound as error:
            await self._end(entry, msgspec.structs.replace(entry.build, state="cancelled", why=error.message))
            return
        if outcome is not None:
            entry.outcomes[instance.engine.fingerprint.id] = outcome
        entry.build = msgspec.structs.replace(entry.build, ms=round(entry.build.ms + watch.elapsed_ms, 3))
        await self._save(entry, entry.build)

    async def _build(self, entry: Entry, instance: InstanceRecord) -> Outcome | None:
        """None: it failed, and will be tried again. Raises NotFound where the knowledge is gone."""
        build = entry.build
        try:
            texts = await self._builder.texts(build.kids)
            _, reason = await self._builder.carry_out(Order(instance, build.kids, texts, build.rendering, True))
        except NotFound:
            raise
        except NeverBuilt as error:
            return Outcome("failed", error.message)
        except CacheRouteError as error:
            return None if self._turns.failed(entry, error.message) else Outcome("failed", error.message)
        return Outcome("present" if reason == "present" else "built")

    async def _save(self, entry: Entry, build: Build) -> None:
        await self._worker.run(self._table.put, Kept(build, entry.tries))
