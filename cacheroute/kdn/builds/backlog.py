"""What is still to be built at one KDN: the queue, and the wishes that tell what to put into it."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TypeVar

from cacheroute.kdn.artifacts.artifacts import Artifacts
from cacheroute.kdn.builds.advice import Known, advise
from cacheroute.kdn.builds.builder import Builder
from cacheroute.kdn.builds.queue import BuildQueue
from cacheroute.kdn.builds.table import BuildTable
from cacheroute.kdn.builds.wishes import Wishes
from cacheroute.kdn.instances import one_a_fingerprint
from cacheroute.kdn.worker import Worker
from cacheroute.kvstore.store import KvStore
from cacheroute.wire.artifacts import Advice
from cacheroute.wire.control import InstanceRecord
from knowledge.catalogue.library import Library
from knowledge.database import set_aside
from knowledge.errors import DamagedCatalogue

log = logging.getLogger(__name__)
Opened = TypeVar("Opened", BuildTable, Wishes)

BATCH = 500


class Backlog:
    """The queue and the wishes, open; `advice` is made from both sides of what a KDN knows."""

    def __init__(
        self,
        queue: BuildQueue,
        wishes: Wishes,
        artifacts: Artifacts,
        library: Library,
        library_threads: Worker,
        instances: Callable[[], Sequence[InstanceRecord]],
        stores: Mapping[str, KvStore],
    ) -> None:
        self.queue = queue
        self.wishes = wishes
        self._artifacts = artifacts
        self._library = library
        self._library_threads = library_threads
        self._instances = instances
        self._stores = stores

    async def advice(self, limit: int) -> tuple[Advice, ...]:
        """What to build next, best first."""
        counts = self.wishes.counts()
        kids = tuple({kid for wish in counts for kid in wish.kids})
        tokens = await self._library_threads.run(_estimates, self._library, kids)
        targets = one_a_fingerprint(self._instances(), self._stores)
        context = {fingerprint: each.engine.max_model_len for fingerprint, each in targets.items()}
        known = Known(self._artifacts.all(), tokens, context)
        return await asyncio.to_thread(advise, counts, known, limit)


@asynccontextmanager
async def open_backlog(
    directory: Path,
    artifacts: Artifacts,
    library: Library,
    library_threads: Worker,
    builder: Builder,
    instances: Callable[[], Sequence[InstanceRecord]],
    stores: Mapping[str, KvStore],
    build_wait_s: float,
) -> AsyncGenerator[Backlog]:
    """Builds until the context is left. Raises Unavailable where its files cannot be used."""
    async with AsyncExitStack() as stack:
        worker = Worker("backlog")
        stack.callback(worker.close)
        table = await worker.run(_begun_anew, BuildTable, directory / "builds.sqlite", "the queue of builds is empty")
        stack.callback(table.close)
        wishes = await worker.run(_begun_anew, Wishes, directory / "wishes.sqlite", "wishes are counted anew")
        stack.callback(wishes.close)
        await stack.enter_async_context(wishes.kept(worker))

        async def known(kids: Iterable[str]) -> frozenset[str]:
            return frozenset(await library_threads.run(_estimates, library, tuple(kids)))

        queue = BuildQueue(table, worker, builder, known, instances, stores, build_wait_s)
        await stack.enter_async_context(queue.running())
        yield Backlog(queue, wishes, artifacts, library, library_threads, instances, stores)


def _begun_anew(open_file: Callable[[Path], Opened], path: Path, loss: str) -> Opened:
    """Blocking. What the file at `path` has; where it is damaged it is set aside, since nobody is to go without
    knowledge for what only saves time. Raises CatalogueError."""
    try:
        return open_file(path)
    except DamagedCatalogue as error:
        log.error("%s; it is now %s, and %s", error, set_aside(path), loss)
        return open_file(path)


def _estimates(library: Library, kids: Sequence[str]) -> dict[str, int]:
    """Blocking. Tokens of each kid that there is, as the library estimates them; a few texts in memory at a time."""
    tokens: dict[str, int] = {}
    for start in range(0, len(kids), BATCH):
        blocks = library.blocks(kids[start : start + BATCH])
        tokens.update((kid, block.tokens) for kid, block in blocks.items())
    return tokens
