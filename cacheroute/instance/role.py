"""One instance's parts, put together: its engine, its kv store, who serves, its lease.

They are opened with the data plane and closed after it. Knows no route.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack

import aiohttp
from aiohttp import web

from cacheroute import tokens
from cacheroute.address import base_url
from cacheroute.background import in_background
from cacheroute.config import Config
from cacheroute.errors import Unavailable
from cacheroute.instance.engine_link import EngineLink
from cacheroute.instance.kv import KvGate
from cacheroute.instance.serve import Server
from cacheroute.kvstore.store import KvStore
from cacheroute.lease import LeaseKeeper
from cacheroute.telemetry import Metrics, new_request_id
from cacheroute.wire.control import InstanceRecord
from cacheroute.wire.engine import EngineInfo


class Instance:
    """One instance's state, opened with the data plane and closed after it."""

    engine: EngineLink
    lease: LeaseKeeper
    server: Server

    def __init__(self, config: Config, name: str) -> None:
        self.name = name
        self.settings = config.instance[name]
        self.tokens = tokens.ensure(config.paths.state_dir)
        self._config = config
        self._engine_config = config.engine[self.settings.engine]
        self._boot_id = new_request_id()
        self.metrics = Metrics("instance")

    async def running(self, app: web.Application) -> AsyncGenerator[None]:
        async with AsyncExitStack() as stack:
            connector = aiohttp.TCPConnector(limit=0)
            session = await stack.enter_async_context(aiohttp.ClientSession(connector=connector))
            self.engine = self._link(session)
            proxy = self._config.proxy[self.settings.proxy]
            url = f"{base_url(proxy.host, proxy.control_port)}/v1/leases/instance/{self.name}"
            self.lease = LeaseKeeper(session, url, self.tokens.control, self._record)
            self.server = Server(
                self.name, self.settings, self.engine, self._gate(stack, session), session, self.metrics
            )
            await stack.enter_async_context(in_background(self.engine.watch()))
            await stack.enter_async_context(in_background(self._register()))
            yield

    def _gate(self, stack: AsyncExitStack, session: aiohttp.ClientSession) -> KvGate | None:
        if self.kv_store is None:
            return None
        settings = self._config.kvstore[self.kv_store]
        store = KvStore(self.kv_store, settings, self.tokens, self._config.paths.state_dir)
        stack.push_async_callback(store.close)
        return KvGate(store, session, self.tokens.control, lambda: self.kdns, self.settings.inject_timeout_s)

    def _link(self, session: aiohttp.ClientSession) -> EngineLink:
        engine = self._engine_config
        ours = engine.kind == "embedded"
        url = engine.url.rstrip("/") if engine.url else base_url(engine.host, engine.port)
        credential = self.tokens.control if ours else engine.api_key
        return EngineLink(url, session, credential, describes_itself=ours)

    async def _register(self) -> None:
        await self.engine.described.wait()  # a proxy has no use for an instance that cannot say what it serves
        async with self.lease.held():
            await asyncio.Event().wait()

    @property
    def kv_store(self) -> str | None:
        """The name of the kv store that the engine reads, if it reads one."""
        return (self._engine_config.kv_store or None) if self._engine_config.kind == "embedded" else None

    @property
    def kdns(self) -> dict[str, str]:
        """Live KDNs: name -> base url."""
        return self.lease.grant.kdns if self.lease.grant else {}

    def ready_engine(self) -> EngineInfo:
        """What the engine says of itself. Raises Unavailable unless it is ready."""
        if self.engine.info is None or not self.engine.ready:
            raise Unavailable(f"{self.name}: the engine is not ready: {self.engine.why}")
        return self.engine.info

    def _record(self) -> InstanceRecord:
        assert self.engine.info is not None  # it registers once it is described
        return InstanceRecord(
            name=self.name,
            boot_id=self._boot_id,
            url=base_url(self.settings.host, self.settings.port),
            control_url=base_url(self.settings.host, self.settings.control_port),
            kv_store=self.kv_store,
            engine=self.engine.info,
            ready=self.engine.ready,
            why=self.engine.why,
            load=self.server.load,
        )
