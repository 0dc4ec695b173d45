"""One KDN's parts, put together: library, artifacts, builder, injector, purger, and the lease that tells of them.

They are opened with the plane and closed after it. Knows no route.
"""

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack

import aiohttp
from aiohttp import web

from cacheroute import tokens
from cacheroute.address import base_url
from cacheroute.config import Config
from cacheroute.embedding_client import EmbeddingClient
from cacheroute.kdn.artifacts import Artifacts
from cacheroute.kdn.builder import Builder
from cacheroute.kdn.config import KdnConfig
from cacheroute.kdn.documents import Documents, Prepared
from cacheroute.kdn.injector import Injector
from cacheroute.kdn.instances import InstanceClient
from cacheroute.kdn.purge import Purger
from cacheroute.kdn.unbroken import Unbroken
from cacheroute.kdn.worker import Worker
from cacheroute.kvstore.store import KvStore
from cacheroute.lease import LeaseKeeper
from cacheroute.telemetry import Metrics, new_request_id
from cacheroute.wire.control import InstanceRecord, KdnLoad, KdnRecord
from cacheroute.wire.documents import AddedDocument, DeletedDocument
from knowledge.library import Library


class Kdn:
    """One KDN's state, opened with the plane and closed after it."""

    documents: Documents
    artifacts: Artifacts
    library: Library
    builder: Builder
    injector: Injector
    purger: Purger
    lease: LeaseKeeper
    stores: dict[str, KvStore]

    def __init__(self, config: Config, name: str, settings: KdnConfig) -> None:
        self.name = name
        self.settings = settings
        self.config = config
        self._boot_id = new_request_id()
        self.tokens = tokens.ensure(config.paths.state_dir)
        self._library_threads = Worker("library", threads=2)
        self.artifact_thread = Worker("artifacts")
        self.unbroken = Unbroken()
        self.metrics = Metrics("kdn")

    async def running(self, app: web.Application) -> AsyncGenerator[None]:
        directory = self.config.paths.data_dir / "kdn" / self.name
        async with AsyncExitStack() as stack:
            session = await stack.enter_async_context(aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None)))
            quota_bytes = self.settings.quota_mb * 2**20
            self.artifacts = await self.artifact_thread.run(Artifacts, directory, quota_bytes)
            stack.callback(self.artifacts.close)
            self.library = await self._library_threads.run(Library, directory / "library.sqlite")
            stack.callback(self.library.close)
            for threads in (self._library_threads, self.artifact_thread):
                stack.callback(threads.close)  # first: they finish what was asked of them
            self._open_stores(stack)
            embedder = self.config.embedder
            self.documents = Documents(
                self.library,
                self._library_threads,
                EmbeddingClient(session, base_url(embedder.host, embedder.port), self.tokens.control),
                self.settings.block_tokens,
            )
            self.injector = Injector(self.artifacts, self.stores, self.artifact_thread, self.settings, self.metrics)
            self.purger = Purger(self.artifacts, self.injector, self.stores, self.artifact_thread)
            self.builder = Builder(
                self.artifacts,
                self.library,
                self.stores,
                self.instances,
                InstanceClient(session, self.tokens.control),
                self._library_threads,
                self.settings,
                self.metrics,
            )
            await self._drop_strays()
            stack.push_async_callback(self.unbroken.finished)
            scheduler = self.config.scheduler
            url = f"{base_url(scheduler.host, scheduler.control_port)}/v1/leases/kdn/{self.name}"
            self.lease = await stack.enter_async_context(
                LeaseKeeper(session, url, self.tokens.control, self._record).held()
            )
            self._watch()
            yield

    def _open_stores(self, stack: AsyncExitStack) -> None:
        state_dir = self.config.paths.state_dir
        self.stores = {
            name: KvStore(name, store, self.tokens, state_dir) for name, store in self.config.kvstore.items()
        }
        for store in self.stores.values():
            stack.push_async_callback(store.close)

    async def _drop_strays(self) -> None:
        """A crash between deleting a text and its artifacts must not leave its KV behind."""
        kids = {kid for artifact in self.artifacts.all() for kid in artifact.kids}
        await self.purger.forget(kids - await self.documents.known(kids))

    async def register(self, prepared: Prepared) -> AddedDocument:
        """Takes a document in, and purges what only its old version had."""
        added, registered = await self.documents.register(prepared)
        await self.purger.forget(registered.orphaned)
        return added

    async def delete(self, source: str, collection: str | None) -> DeletedDocument:
        """Removes a document, and purges what only it had. Raises NotFound, BadRequest."""
        collection, deletion = await self.documents.delete(source, collection)
        forgotten = await self.purger.forget(deletion.orphaned)
        return DeletedDocument(
            source=source,
            collection=collection,
            kids=deletion.removed,
            artifacts=forgotten.artifacts,
            purged=forgotten.purged,
            notes=forgotten.notes,
        )

    def instances(self) -> tuple[InstanceRecord, ...]:
        return self.lease.grant.instances if self.lease.grant else ()

    def _record(self) -> KdnRecord:
        stats = self.documents.stats
        return KdnRecord(
            name=self.name,
            boot_id=self._boot_id,
            url=base_url(self.settings.host, self.settings.port),
            epoch=stats.epoch,
            seq=stats.seq,
            blocks=stats.blocks,
            artifacts=len(self.artifacts),
            load=KdnLoad(injecting=self.injector.injecting, building=self.builder.building),
        )

    def _watch(self) -> None:
        gauge = self.metrics.gauge
        gauge("blocks", "Knowledge blocks").set_function(lambda: self.documents.stats.blocks)
        gauge("artifacts", "Artifacts").set_function(lambda: len(self.artifacts))
        gauge("artifact_bytes", "Bytes of artifacts on disk").set_function(lambda: self.artifacts.nbytes)
        gauge("injecting", "Injections under way or waiting").set_function(lambda: self.injector.injecting)
        gauge("building", "Builds under way or waiting").set_function(lambda: self.builder.building)
