"""The proxy: one pool. Its data plane takes requests from the scheduler, its control plane instances' leases."""

import time
from collections.abc import AsyncGenerator
from typing import cast

import aiohttp
from aiohttp import web

from cacheroute import tokens
from cacheroute.address import base_url
from cacheroute.config import Config
from cacheroute.errors import BadRequest, CacheRouteError
from cacheroute.incoming import read_struct
from cacheroute.lease import LeaseKeeper
from cacheroute.proxy.config import ProxyConfig
from cacheroute.proxy.pool import Pool
from cacheroute.proxy.serve import Server
from cacheroute.service import Guard, Plane, json_response, plane_app
from cacheroute.telemetry import Metrics, new_request_id
from cacheroute.wire.control import Grant, InstanceRecord, ProxyRecord
from cacheroute.wire.serve import SERVE_PATH, ProxyRequest


async def planes(config: Config, name: str) -> list[Plane]:
    """Data and control plane of proxy `name`."""
    name, settings = config.named("proxy", name)
    role = Proxy(config, name, cast(ProxyConfig, settings))
    return [
        Plane(role.settings.host, role.settings.port, role.data_app()),
        Plane(role.settings.host, role.settings.control_port, role.control_app()),
    ]


class Proxy:
    """One proxy's state: its pool, its lease at the scheduler."""

    server: Server
    lease: LeaseKeeper

    def __init__(self, config: Config, name: str, settings: ProxyConfig) -> None:
        self.name = name
        self.settings = settings
        self.pool = Pool(name, settings, time.monotonic)
        self._config = config
        self._boot_id = new_request_id()
        self._token = tokens.ensure(config.paths.state_dir).control
        self.metrics = Metrics("proxy")
        self._requests = self.metrics.counter("requests_total", "Requests by outcome and injection", "status", "mode")
        self.metrics.gauge("queued", "Requests that wait").set_function(lambda: self.pool.queued)
        self.metrics.gauge("inflight", "Requests at an instance").set_function(lambda: self.pool.inflight)

    def data_app(self) -> web.Application:
        app = self._plane()
        app.router.add_post(SERVE_PATH, self._serve)
        app.cleanup_ctx.append(self._running)
        return app

    def control_app(self) -> web.Application:
        app = self._plane()
        app.router.add_put("/v1/leases/instance/{name}", self._renew)
        app.router.add_delete("/v1/leases/instance/{name}", self._leave)
        app.router.add_get("/v1/instances", self._instances)
        app.router.add_get("/debug/status", self._status)
        app.router.add_get("/debug/strategy", self._strategy)
        return app

    def _plane(self) -> web.Application:
        guard = Guard(token=self._token, hosts=Guard.names(self.settings.host, self._config.security.allowed_hosts))
        return plane_app(guard, self.metrics, max_body_bytes=(self._config.security.max_body_mb + 8) * 2**20)

    async def _running(self, app: web.Application) -> AsyncGenerator[None]:
        scheduler = self._config.scheduler
        url = f"{base_url(scheduler.host, scheduler.control_port)}/v1/leases/proxy/{self.name}"
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
            self.server = Server(self.name, self.settings, self.pool, session, self._token)
            self.lease = LeaseKeeper(session, url, self._token, self._record)
            async with self.lease.held():
                yield

    def _record(self) -> ProxyRecord:
        return ProxyRecord(
            name=self.name,
            boot_id=self._boot_id,
            url=base_url(self.settings.host, self.settings.port),
            control_url=base_url(self.settings.host, self.settings.control_port),
            capacity=self.pool.capacity,
            queued=self.pool.queued,
            inflight=self.pool.inflight,
            instances=self.pool.table.alive(),
        )

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        asked = await read_struct(request, ProxyRequest)
        status, mode = "cancelled", "none"
        try:
            response = await self.server.serve(request, asked, self.lease.grant)
            status = str(response.status)
            mode = response.headers.get("X-CacheRoute-Injection", mode)
            return response
        except CacheRouteError as error:
            status = str(error.status)
            raise
        finally:
            self._requests.labels(status=status, mode=mode).inc()

    async def _renew(self, request: web.Request) -> web.Response:
        record = await read_struct(request, InstanceRecord)
        if record.name != request.match_info["name"]:
            raise BadRequest(f"the record names {record.name!r}, the path {request.match_info['name']!r}")
        self.pool.table.renew(record)
        above = self.lease.grant
        return json_response(
            Grant(
                ttl_s=self.settings.lease_ttl_s,
                renew_s=self.settings.lease_renew_s,
                kdns=above.kdns if above else {},
            )
        )

    async def _leave(self, request: web.Request) -> web.Response:
        self.pool.table.drop(request.match_info["name"])
        return json_response({"ok": True})

    async def _instances(self, request: web.Request) -> web.Response:
        return json_response({"instances": self.pool.table.alive()})

    async def _status(self, request: web.Request) -> web.Response:
        instances = self.pool.table.alive()
        return json_response(
            {
                "name": self.name,
                "registered": self.lease.grant is not None,
                "why": self.lease.why,
                "kdns": self.lease.grant.kdns if self.lease.grant else {},
                "instances": {record.name: {"ready": record.ready, "why": record.why} for record in instances},
                "queues": self.pool.lines(),
            }
        )

    async def _strategy(self, request: web.Request) -> web.Response:
        return json_response(
            {
                "strategy": self.settings.strategy,
                "injection": self.settings.injection,
                "kv_threshold_tokens": self.settings.kv_threshold_tokens,
                "decided": self.server.decided,
            }
        )
