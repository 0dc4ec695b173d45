"""The instance: stands before one engine, has missing KV injected, forwards, reports load.

Follow a request: `_serve` takes an InstanceRequest, `KvGate.ensure` sees to its KV, `relay` passes the answer back.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, suppress
from typing import cast

import aiohttp
from aiohttp import web

from cacheroute import tokens
from cacheroute.address import base_url
from cacheroute.config import Config
from cacheroute.errors import CacheRouteError, Overloaded, Unavailable
from cacheroute.hop import HOP_HEADER, decode_hop, encode_hop
from cacheroute.incoming import read_struct
from cacheroute.instance.config import InstanceConfig
from cacheroute.instance.engine_link import EngineLink
from cacheroute.instance.kv import KvGate
from cacheroute.instance.kv_routes import KvRoutes
from cacheroute.kvstore.store import KvStore
from cacheroute.lease import LeaseKeeper
from cacheroute.relay import relay, upstream
from cacheroute.service import REQUEST_ID_HEADER, Guard, Plane, json_response, plane_app
from cacheroute.telemetry import Metrics, Stopwatch, new_request_id
from cacheroute.wire.control import InstanceLoad, InstanceRecord
from cacheroute.wire.decision import HopReport
from cacheroute.wire.engine import EngineInfo
from cacheroute.wire.serve import ENGINE_PATH, SERVE_PATH, InstanceRequest


async def planes(config: Config, name: str) -> list[Plane]:
    """Data and control plane of instance `name`."""
    name, settings = config.named("instance", name)
    role = Instance(config, name, cast(InstanceConfig, settings))
    return [
        Plane(role.settings.host, role.settings.port, role.data_app()),
        Plane(role.settings.host, role.settings.control_port, role.control_app()),
    ]


class Instance:
    """One instance's state: its engine, its kv store, its lease, its load."""

    engine: EngineLink
    lease: LeaseKeeper
    gate: KvGate | None = None
    session: aiohttp.ClientSession

    def __init__(self, config: Config, name: str, settings: InstanceConfig) -> None:
        self.name = name
        self.settings = settings
        self._config = config
        self._engine_config = config.engine[settings.engine]
        self._boot_id = new_request_id()
        self._token = tokens.ensure(config.paths.state_dir)
        self._inflight = self._served = self._failed = 0
        self.metrics = Metrics("instance")
        self._requests = self.metrics.counter("requests_total", "Requests by outcome", "status")
        self._pushed = self.metrics.counter("injected_bytes_total", "Bytes that KDNs pushed for requests here")

    def data_app(self) -> web.Application:
        app = self._plane()
        app.router.add_post(SERVE_PATH, self._serve)
        app.cleanup_ctx.append(self._running)
        return app

    def control_app(self) -> web.Application:
        app = self._plane()
        app.router.add_get("/debug/status", self._status)
        app.add_routes(KvRoutes(lambda: self.engine, self._info).all())
        return app

    def _plane(self) -> web.Application:
        hosts = Guard.names(self.settings.host, self._config.security.allowed_hosts)
        guard = Guard(token=self._token.control, hosts=hosts)
        # the envelope adds a little to the caller's body, knowledge up to the context's length
        return plane_app(guard, self.metrics, max_body_bytes=(self._config.security.max_body_mb + 8) * 2**20)

    async def _running(self, app: web.Application) -> AsyncGenerator[None]:
        async with AsyncExitStack() as stack:
            connector = aiohttp.TCPConnector(limit=0)
            self.session = await stack.enter_async_context(aiohttp.ClientSession(connector=connector))
            self.engine = self._link()
            proxy = self._config.proxy[self.settings.proxy]
            url = f"{base_url(proxy.host, proxy.control_port)}/v1/leases/instance/{self.name}"
            self.lease = LeaseKeeper(self.session, url, self._token.control, self._record)
            if self._kv_store is not None:
                store = KvStore(
                    self._kv_store, self._config.kvstore[self._kv_store], self._token, self._config.paths.state_dir
                )
                stack.push_async_callback(store.close)
                self.gate = KvGate(store, self.session, self._token.control, self._kdns, self.settings.inject_timeout_s)
            watch = asyncio.create_task(self.engine.watch())
            keep = asyncio.create_task(self._register())
            yield
            for task in (keep, watch):
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task

    def _link(self) -> EngineLink:
        engine = self._engine_config
        ours = engine.kind == "embedded"
        url = engine.url.rstrip("/") if engine.url else base_url(engine.host, engine.port)
        credential = self._token.control if ours else engine.api_key
        return EngineLink(url, self.session, credential, describes_itself=ours)

    async def _register(self) -> None:
        await self.engine.described.wait()  # a proxy has no use for an instance that cannot say what it serves
        async with self.lease.held():
            await asyncio.Event().wait()

    @property
    def _kv_store(self) -> str | None:
        return (self._engine_config.kv_store or None) if self._engine_config.kind == "embedded" else None

    def _kdns(self) -> dict[str, str]:
        return self.lease.grant.kdns if self.lease.grant else {}

    def _info(self) -> EngineInfo:
        if self.engine.info is None or not self.engine.ready:
            raise Unavailable(f"{self.name}: the engine is not ready: {self.engine.why}")
        return self.engine.info

    def _record(self) -> InstanceRecord:
        assert self.engine.info is not None
        return InstanceRecord(
            name=self.name,
            boot_id=self._boot_id,
            url=base_url(self.settings.host, self.settings.port),
            control_url=base_url(self.settings.host, self.settings.control_port),
            kv_store=self._kv_store,
            engine=self.engine.info,
            ready=self.engine.ready,
            why=self.engine.why,
            load=self._load(),
        )

    def _load(self) -> InstanceLoad:
        return InstanceLoad(inflight=self._inflight, served=self._served, failed=self._failed)

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        if self._inflight >= self.settings.max_inflight:
            raise Overloaded(f"{self.name} already serves {self._inflight} requests")
        asked = await read_struct(request, InstanceRequest)
        self._info()
        self._inflight += 1
        status = "cancelled"
        try:
            response = await self._forward(request, asked)
            status = str(response.status)
            return response
        except CacheRouteError as error:
            status = str(error.status)
            raise
        finally:
            self._inflight -= 1
            self._served += status == "200"
            self._failed += status != "200"
            self._requests.labels(status=status).inc()

    async def _forward(self, request: web.Request, asked: InstanceRequest) -> web.StreamResponse:
        watch = Stopwatch()
        receipt = None
        if asked.kv is not None and self.gate is not None:
            with watch.part("kv"):
                receipt = await self.gate.ensure(asked.kv, asked.request_id)
            self._pushed.inc(receipt.nbytes)
        headers = {
            **self.engine.headers,
            "Content-Type": "application/json",
            REQUEST_ID_HEADER: asked.request_id,
        }
        left_ms = asked.deadline_ms - watch.elapsed_ms
        url = self.engine.url + ENGINE_PATH[asked.endpoint]
        async with upstream(
            self.session, url, bytes(asked.body), headers, deadline_ms=left_ms, name=self.settings.engine
        ) as answer:
            watch.mark("engine", watch.elapsed_ms - watch.parts_ms.get("kv", 0.0))
            report = HopReport(
                hop=self.name, parts_ms=watch.parts_ms, receipt=receipt, below=decode_hop(answer.headers)
            )
            return await relay(request, answer, {HOP_HEADER: encode_hop(report)})

    async def _status(self, request: web.Request) -> web.Response:
        registered = self.lease.grant is not None
        return json_response(
            {
                "name": self.name,
                "ready": self.engine.ready and registered,
                "registered": registered,
                "why": self.engine.why or self.lease.why,
                "engine": self.engine.info,
                "fingerprint": self.engine.info.fingerprint.id if self.engine.info else None,
                "kv_store": self._kv_store,
                "kdns": self._kdns(),
                "load": self._load(),
            }
        )
