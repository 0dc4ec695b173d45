"""One KDN's parts, put together: library, artifacts, builder, injector, purger, and the lease that tells of them.

They are opened with the plane and closed after it. Knows no route.
"""

from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack

import aiohttp
from aiohttp import web

from cacheroute import tokens
from cacheroute.address import base_url
from cacheroute.background import in_background
from cacheroute.changes_client import ChangesClient
from cacheroute.config import Config
from cacheroute.embedding_client import EmbeddingClient
from cacheroute.kdn.artifacts.artifacts import Artifacts
from cacheroute.kdn.artifacts.sweeper import sweeping
from cacheroute.kdn.blobs.configured import blobs_of
from cacheroute.kdn.builds.backlog import Backlog, open_backlog
from cacheroute.kdn.builds.builder import Builder
from cacheroute.kdn.config import KdnConfig
from cacheroute.kdn.injector import Injector
from cacheroute.kdn.instances import InstanceClient
from cacheroute.kdn.library.archives import Archives
from cacheroute.kdn.library.documents import Documents, open_library
from cacheroute.kdn.library.registrar import Registrar
from cacheroute.kdn.library.sync import Syncer
from cacheroute.kdn.load import InjectionMeter
from cacheroute.kdn.purge.journal import PurgeJournal
from cacheroute.kdn.purge.places import LibraryPlace
from cacheroute.kdn.purge.proof import Prover
from cacheroute.kdn.purge.purger import Purger
from cacheroute.kdn.purge.whereabouts import Whereabouts
from cacheroute.kdn.unbroken import Unbroken
from cacheroute.kdn.worker import Worker
from cacheroute.kvstore.store import KvStore
from cacheroute.lease import LeaseKeeper
from cacheroute.rewriting import keep_rewritten
from cacheroute.telemetry import Metrics, new_request_id
from cacheroute.wire.control import InstanceRecord, KdnRecord
from knowledge.catalogue.library import Library


class Kdn:
    """One KDN's state, opened with the plane and closed after it."""

    documents: Documents
    registrar: Registrar
    archives: Archives
    artifacts: Artifacts
    library: Library
    builder: Builder
    backlog: Backlog
    injector: Injector
    purger: Purger
    prover: Prover
    lease: LeaseKeeper
    syncer: Syncer
    stores: dict[str, KvStore]

    def __init__(self, config: Config, name: str, settings: KdnConfig) -> None:
        self.name = name
        self.settings = settings
        self.config = config
        self._boot_id = new_request_id()
        self.tokens = tokens.ensure(config.paths.state_dir)
        self._library_threads = Worker("library", threads=2)
        self.artifact_thread = Worker("artifacts")
        self.verify_thread = Worker("verify")
        self._purge_thread = Worker("purges")
        self._archive_threads = Worker("archives", threads=2)
        self.unbroken = Unbroken()
        self.metrics = Metrics("kdn")
        self.meter = InjectionMeter()

    async def running(self, app: web.Application) -> AsyncGenerator[None]:
        directory = self.config.paths.data_dir / "kdn" / self.name
        async with AsyncExitStack() as stack:
            session = await stack.enter_async_context(aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None)))
            quota_bytes = self.settings.quota_mb * 2**20
            blobs = blobs_of(self.name, self.settings)
            self.artifacts = await self.artifact_thread.run(Artifacts, directory, quota_bytes, blobs)
            stack.callback(self.artifacts.close)
            self.library = await self._library_threads.run(open_library, directory / "library.sqlite")
            stack.callback(self.library.close)
            journal = await self._purge_thread.run(PurgeJournal, directory / "purges.sqlite")
            stack.callback(journal.close)
            stack.callback(self._archive_threads.close)
            for threads in (self._library_threads, self.artifact_thread, self.verify_thread, self._purge_thread):
                stack.callback(threads.close)  # first: they finish what was asked of them
            self._open_stores(stack)
            embedder = self.config.embedder
            self.documents = Documents(
                self.library,
                self._library_threads,
                EmbeddingClient(session, base_url(embedder.host, embedder.port), self.tokens.control),
                self.settings.block_tokens,
                lambda: self.lease.renew_soon(),  # what was deleted is not to be served until the next renewal
            )
            client = InstanceClient(session, self.tokens.control)
            self.injector = Injector(self.artifacts, self.stores, self.artifact_thread, self.settings, self.metrics)
            self.builder = Builder(
                self.artifacts,
                self.library,
                self.stores,
                self.instances,
                client,
                self._library_threads,
                self.settings,
                self.metrics,
            )
            scheduler = self.config.scheduler
            url = f"{base_url(scheduler.host, scheduler.control_port)}/v1/leases/kdn/{self.name}"
            self.lease = LeaseKeeper(session, url, self.tokens.control, self._record)
            await self._open_purger(journal, client)
            await self._drop_strays()
            stack.push_async_callback(self.unbroken.finished)
            await stack.enter_async_context(self.lease.held())
            await stack.enter_async_context(self.purger.at_work())
            await stack.enter_async_context(in_background(sweeping(self.artifacts, self.verify_thread)))
            await stack.enter_async_context(in_background(keep_rewritten(self.library.shelf)))
            self.backlog = await stack.enter_async_context(
                open_backlog(
                    directory,
                    self.artifacts,
                    self.library,
                    self._library_threads,
                    self.builder,
                    self.instances,
                    self.stores,
                    self.settings.build_wait_s,
                )
            )
            self.artifacts.rebuilds = self.backlog.queue
            self.registrar = Registrar(
                self.documents,
                self.purger,
                self.prover,
                self.backlog.queue,
                self.unbroken,
                self.instances,
                tuple(name for name in self.config.kdn if name != self.name),
                self.settings.sync_every_s,
            )
            self.archives = Archives(
                self.library,
                self._archive_threads,
                self.documents,
                self.registrar.register,
                directory,
                self.settings.max_import_mb * 2**20,
            )
            self.syncer = Syncer(
                self.name,
                self._kdns,
                ChangesClient(session, self.tokens.control),
                self.library,
                self._library_threads,
                self.documents,
                self.purger,
                self.unbroken,
                self.backlog.queue,
            )
            if self.settings.sync_every_s:
                await stack.enter_async_context(in_background(self.syncer.keep_in_sync(self.settings.sync_every_s)))
            self._watch()
            yield

    def _open_stores(self, stack: AsyncExitStack) -> None:
        state_dir = self.config.paths.state_dir
        self.stores = {
            name: KvStore(name, store, self.tokens, state_dir) for name, store in self.config.kvstore.items()
        }
        for store in self.stores.values():
            stack.push_async_callback(store.close)

    async def _open_purger(self, journal: PurgeJournal, client: InstanceClient) -> None:
        whereabouts = await self._purge_thread.run(
            Whereabouts,
            journal,
            self._purge_thread,
            self.artifacts,
            tuple(self.stores.values()),
            LibraryPlace(self.library, self._library_threads),
            self.instances,
            client,
            self.builder.awaited_keys,
        )
        scheduler = self.config.scheduler
        grace_s = scheduler.request_timeout_s + scheduler.lease_ttl_s
        self.purger = Purger(
            self.artifacts, self.injector, journal, self._purge_thread, whereabouts, grace_s, self._is_heard
        )
        self.prover = Prover(self.library, self._library_threads, self.artifacts, whereabouts.stores, grace_s)

    def _is_heard(self) -> bool:
        """Whether the scheduler hears of what changes here."""
        return self.lease.grant is not None

    async def _drop_strays(self) -> None:
        """A crash between deleting a text and its artifacts must not leave its KV behind."""
        kids = {kid for artifact in self.artifacts.all() for kid in artifact.kids}
        if strays := kids - await self.documents.known(kids):
            async with self.purger.planned() as plan:
                await plan.forget(strays)

    def instances(self) -> tuple[InstanceRecord, ...]:
        return self.lease.grant.instances if self.lease.grant else ()

    def _kdns(self) -> Mapping[str, str] | None:
        """Addresses of the live KDNs; None where no lease tells them."""
        return self.lease.grant.kdns if self.lease.grant else None

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
            load=self.meter.load(self.injector, self.builder),
        )

    def _watch(self) -> None:
        gauge = self.metrics.gauge
        gauge("blocks", "Knowledge blocks").set_function(lambda: self.documents.stats.blocks)
        gauge("artifacts", "Artifacts").set_function(lambda: len(self.artifacts))
        gauge("artifact_bytes", "Bytes of artifacts on disk").set_function(lambda: self.artifacts.nbytes)
        gauge("injecting", "Injections under way or waiting").set_function(lambda: self.injector.injecting)
        gauge("building", "Builds under way or waiting").set_function(lambda: self.builder.building)
        gauge("builds_queued", "Builds that nobody waits for").set_function(lambda: self.backlog.queue.waiting)
