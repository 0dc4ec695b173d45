"""The scheduler: the OpenAI endpoint of the stack, and the control plane where the others keep their leases."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from typing import TypeVar

import aiohttp
from aiohttp import web

from cacheroute import sanitise, tokens
from cacheroute.address import base_url
from cacheroute.changes_client import ChangesClient
from cacheroute.config import Config
from cacheroute.embedding_client import EmbeddingClient
from cacheroute.errors import BadRequest, CacheRouteError, NotFound
from cacheroute.incoming import query_number, read_body, read_struct
from cacheroute.lease import LeaseTable, Record
from cacheroute.scheduler import body
from cacheroute.scheduler.access import Access, Caller
from cacheroute.scheduler.calibration import Calibrator
from cacheroute.scheduler.registry import Registry
from cacheroute.scheduler.retrieval import Retriever
from cacheroute.scheduler.serve import Server
from cacheroute.scheduler.sync import Follower
from cacheroute.scheduler.traces import TraceRing
from cacheroute.service import Guard, Plane, json_response, plane_app
from cacheroute.telemetry import Metrics
from cacheroute.wire.control import KdnRecord, Listing, ProxyRecord
from cacheroute.wire.retrieval import CalibrateRequest, SearchRequest
from cacheroute.wire.serve import Endpoint
from knowledge.match import Limits
from knowledge.replica import Replica

R = TypeVar("R", bound=Record)

EMBED_TIMEOUT_S = 5.0


async def planes(config: Config, name: str = "scheduler") -> list[Plane]:
    """Data and control plane."""
    role = Scheduler(config)
    settings = config.scheduler
    return [
        Plane(settings.host, settings.port, role.data_app()),
        Plane(settings.host, settings.control_port, role.control_app()),
    ]


class Scheduler:
    """The scheduler's state: who is alive, the copy of the knowledge, the last traces."""

    replica: Replica
    retriever: Retriever
    calibrator: Calibrator
    server: Server
    follower: Follower

    def __init__(self, config: Config) -> None:
        self._config = config
        self._token = tokens.ensure(config.paths.state_dir).control
        self.settings = config.scheduler
        self.registry = Registry(config.scheduler, time.monotonic)
        self.traces = TraceRing(config.scheduler.trace_ring)
        self.access = Access(config.security, self._token)
        self.metrics = Metrics("scheduler")
        self._requests = self.metrics.counter("requests_total", "Requests by endpoint and status", "endpoint", "status")
        self.metrics.gauge("inflight", "Requests being served").set_function(lambda: self.server.inflight)

    def data_app(self) -> web.Application:
        # open to clients: `Access` checks their keys, so that a 401 reads like OpenAI's
        app = self._plane(None)
        app.router.add_post("/v1/chat/completions", self._chat)
        app.router.add_post("/v1/completions", self._completions)
        app.router.add_get("/v1/models", self._models)
        app.router.add_get("/v1/models/{model:.+}", self._model)
        app.cleanup_ctx.append(self._running)
        return app

    def control_app(self) -> web.Application:
        app = self._plane(self._token)
        app.router.add_put("/v1/leases/kdn/{name}", self._renew_kdn)
        app.router.add_put("/v1/leases/proxy/{name}", self._renew_proxy)
        app.router.add_delete("/v1/leases/{role:kdn|proxy}/{name}", self._leave)
        app.router.add_get("/v1/peers", self._peers)
        app.router.add_post("/v1/search", self._search)
        app.router.add_post("/v1/calibrate", self._calibrate)
        app.router.add_get("/v1/calibrate", self._calibration)
        app.router.add_get("/debug/status", self._status)
        app.router.add_get("/debug/strategy", self._strategy)
        app.router.add_get("/debug/requests", self._last_requests)
        app.router.add_get("/debug/requests/{request_id}", self._one_request)
        return app

    def _plane(self, token: str | None) -> web.Application:
        guard = Guard(token=token, hosts=Guard.names(self.settings.host, self._config.security.allowed_hosts))
        return plane_app(guard, self.metrics, max_body_bytes=self._config.security.max_body_mb * 2**20)

    async def _running(self, app: web.Application) -> AsyncGenerator[None]:
        path = self._config.paths.state_dir / "scheduler" / "knowledge.db"
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        async with AsyncExitStack() as stack:
            session = await stack.enter_async_context(aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)))
            self.replica = await asyncio.to_thread(Replica, path)
            stack.callback(self.replica.close)
            embedder = self._config.embedder
            client = EmbeddingClient(
                session, base_url(embedder.host, embedder.port), self._token, timeout_s=EMBED_TIMEOUT_S
            )
            limits = Limits(max_blocks=self.settings.retrieval_top_k, max_tokens=self.settings.knowledge_token_budget)
            self.retriever = Retriever(self.replica, client, limits, self._refresh)
            kept = self._config.paths.data_dir / "scheduler" / "calibration.json"
            self.calibrator = Calibrator(self.retriever, self.replica, kept)
            await stack.enter_async_context(self.calibrator.running())
            self.follower = Follower(self.replica, ChangesClient(session, self._token))
            stack.push_async_callback(self.follower.close)
            await self.follower.keep_to(self._config.kdn)
            self.server = Server(
                self.settings, self.registry, self.retriever, self.replica, self.traces, session, self._token
            )
            yield

    async def _refresh(self) -> None:
        """Asks every live KDN for what the copy lacks, not waiting for its next renewal."""
        await self.follower.refresh(self.registry.kdns.alive())

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        return await self._serve(request, "chat")

    async def _completions(self, request: web.Request) -> web.StreamResponse:
        return await self._serve(request, "completions")

    async def _serve(self, request: web.Request, endpoint: Endpoint) -> web.StreamResponse:
        caller = self.access.caller(request)
        asked = body.parse(endpoint, await read_body(request))
        status = "cancelled"
        try:
            response = await self.server.serve(request, asked, caller)
            status = str(response.status)
            return response
        except CacheRouteError as error:
            status = str(error.status)
            raise
        finally:
            self._requests.labels(endpoint=endpoint, status=status).inc()

    async def _models(self, request: web.Request) -> web.Response:
        self.access.caller(request)
        return json_response({"object": "list", "data": [_model(name) for name in self.registry.models()]})

    async def _model(self, request: web.Request) -> web.Response:
        self.access.caller(request)
        name = request.match_info["model"]
        self.server.pools(name)
        return json_response(_model(name))

    async def _renew_kdn(self, request: web.Request) -> web.Response:
        record = await self._renewed(request, KdnRecord, self.registry.kdns)
        self.follower.renewed(record)
        return json_response(self.registry.grant())

    async def _renew_proxy(self, request: web.Request) -> web.Response:
        await self._renewed(request, ProxyRecord, self.registry.proxies)
        return json_response(self.registry.grant())

    async def _renewed(self, request: web.Request, kind: type[R], table: LeaseTable[R]) -> R:
        record = await read_struct(request, kind)
        if record.name != request.match_info["name"]:
            raise BadRequest(f"the record names {record.name!r}, the path {request.match_info['name']!r}")
        table.renew(record)
        return record

    async def _leave(self, request: web.Request) -> web.Response:
        table = self.registry.kdns if request.match_info["role"] == "kdn" else self.registry.proxies
        table.drop(request.match_info["name"])
        return json_response({"ok": True})

    async def _peers(self, request: web.Request) -> web.Response:
        return json_response(Listing(kdns=self.registry.kdns.alive(), proxies=self.registry.proxies.alive()))

    async def _search(self, request: web.Request) -> web.Response:
        asked = await read_struct(request, SearchRequest)
        limits = Limits(max_blocks=asked.k, max_tokens=self.settings.knowledge_token_budget)
        operator = Caller(name="operator", collections=None)
        return json_response(await self.retriever.search(asked.query, operator, limits, asked.previous))

    async def _calibrate(self, request: web.Request) -> web.Response:
        asked = await read_struct(request, CalibrateRequest)
        return json_response(await self.calibrator.calibrate(asked.questions))

    async def _calibration(self, request: web.Request) -> web.Response:
        return json_response(self.calibrator.present)

    async def _status(self, request: web.Request) -> web.Response:
        origins = await asyncio.to_thread(self.replica.origins)
        return json_response(
            {
                "ready": bool(self.registry.models()),
                "models": self.registry.models(),
                "inflight": self.server.inflight,
                "kdns": {
                    kdn.name: {
                        "url": kdn.url,
                        "blocks": kdn.blocks,
                        "artifacts": kdn.artifacts,
                        "load": kdn.load,
                        "copied_blocks": origins.get(kdn.name, 0),
                        "sync_failure": self.follower.failures.get(kdn.name, ""),
                    }
                    for kdn in self.registry.kdns.alive()
                },
                "proxies": {
                    proxy.name: {
                        "url": proxy.url,
                        "queued": proxy.queued,
                        "inflight": proxy.inflight,
                        "capacity": proxy.capacity,
                        "instances": {instance.name: instance.ready for instance in proxy.instances},
                    }
                    for proxy in self.registry.proxies.alive()
                },
            }
        )

    async def _strategy(self, request: web.Request) -> web.Response:
        newest = self.traces.newest(1)
        return json_response(
            {
                "strategy": self.settings.strategy,
                "routed": self.server.routed,
                "last": newest[0].hops[0].decision if newest else None,
            }
        )

    async def _last_requests(self, request: web.Request) -> web.Response:
        return json_response({"requests": self.traces.newest(query_number(request, "limit", 50))})

    async def _one_request(self, request: web.Request) -> web.Response:
        name = request.match_info["request_id"]
        trace = self.traces.find(name)
        if trace is None:
            raise NotFound(f"no request {sanitise.for_line(name, 100)!r} is kept; the last "
                           f"{self.settings.trace_ring} are")  # fmt: skip
        return json_response(trace)


def _model(name: str) -> dict[str, object]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "cacheroute"}
