"""One request before its engine: see to its KV, pass it on, tell what was done."""

import aiohttp
from aiohttp import web

from cacheroute.errors import Overloaded
from cacheroute.hop import HOP_HEADER, decode_hop, encode_hop
from cacheroute.instance.config import InstanceConfig
from cacheroute.instance.engine_link import EngineLink
from cacheroute.instance.kv import KvGate
from cacheroute.relay import relay, upstream
from cacheroute.telemetry import Metrics, Stopwatch
from cacheroute.wire.control import InstanceLoad
from cacheroute.wire.decision import HopReport, InjectReceipt
from cacheroute.wire.serve import ENGINE_PATH, InstanceRequest


class Server:
    """Serves requests with one engine; `gate` is None where that reads no kv store. Holds what was served so far."""

    def __init__(
        self,
        name: str,
        settings: InstanceConfig,
        engine: EngineLink,
        gate: KvGate | None,
        session: aiohttp.ClientSession,
        metrics: Metrics,
    ) -> None:
        self._name = name
        self._settings = settings
        self._engine = engine
        self._gate = gate
        self._session = session
        self._pushed = metrics.counter("injected_bytes_total", "Bytes that KDNs pushed for requests here")
        self._inflight = self._served = self._failed = 0

    @property
    def load(self) -> InstanceLoad:
        return InstanceLoad(inflight=self._inflight, served=self._served, failed=self._failed)

    async def serve(self, request: web.Request, asked: InstanceRequest) -> web.StreamResponse:
        """The engine's answer. Raises Overloaded, and what `upstream` raises."""
        if self._inflight >= self._settings.max_inflight:
            raise Overloaded(f"{self._name} already serves {self._inflight} requests")
        self._inflight += 1
        status = 0
        try:
            response = await self._forward(request, asked)
            status = response.status
            return response
        finally:
            self._inflight -= 1
            self._served += status == 200
            self._failed += status != 200

    async def _forward(self, request: web.Request, asked: InstanceRequest) -> web.StreamResponse:
        watch = Stopwatch()
        receipt = await self._injected(asked, watch)
        sent_ms = watch.elapsed_ms
        async with upstream(
            self._session,
            self._engine.url + ENGINE_PATH[asked.endpoint],
            bytes(asked.body),
            token=self._engine.credential,
            request_id=asked.request_id,
            deadline_ms=asked.deadline_ms - sent_ms,
            name=self._settings.engine,
        ) as answer:
            watch.mark("engine", watch.elapsed_ms - sent_ms)
            report = HopReport(
                hop=self._name, parts_ms=watch.parts_ms, receipt=receipt, below=decode_hop(answer.headers)
            )
            return await relay(request, answer, {HOP_HEADER: encode_hop(report)})

    async def _injected(self, asked: InstanceRequest, watch: Stopwatch) -> InjectReceipt | None:
        """None where no KV was planned."""
        if asked.kv is None or self._gate is None:
            return None
        with watch.part("kv"):
            receipt = await self._gate.ensure(asked.kv, asked.request_id)
        self._pushed.inc(receipt.nbytes)
        return receipt
