"""One client's request: find knowledge, choose KDN and pool, pass on, tell the client why, keep the trace."""

import asyncio
import time

import aiohttp
import msgspec
from aiohttp import web

from cacheroute import sanitise
from cacheroute.errors import BadRequest, CacheRouteError, NotFound, Overloaded, Unavailable
from cacheroute.hop import decode_hop
from cacheroute.relay import relay, upstream
from cacheroute.scheduler.access import Caller
from cacheroute.scheduler.asked import AskedSince
from cacheroute.scheduler.body import ClientRequest
from cacheroute.scheduler.config import SchedulerConfig
from cacheroute.scheduler.draft import Draft
from cacheroute.scheduler.placing import Placed, Placer
from cacheroute.scheduler.policy import choose_kdn
from cacheroute.scheduler.registry import Registry
from cacheroute.scheduler.retrieval import Retriever
from cacheroute.scheduler.traces import TraceRing, flatten
from cacheroute.service import REQUEST_ID, REQUEST_ID_HEADER
from cacheroute.strategies import STRATEGIES
from cacheroute.wire.control import ProxyRecord
from cacheroute.wire.decision import Decision
from cacheroute.wire.serve import (
    INJECTION_HEADER,
    INSTANCE_HEADER,
    KNOWLEDGE_HEADER,
    POOL_HEADER,
    REASON_HEADER,
    RETRIEVAL_HEADER,
    SERVE_PATH,
    ProxyRequest,
)
from knowledge.replication.replica import Replica

DEADLINE_HEADER = "X-Request-Deadline-Ms"
SESSION_HEADER = "X-Session-ID"
"""By which a client names its conversation; without it, one is known by its beginning."""
CLIENT_CLOSED = 499
"""The status kept of a request whose client left before its answer was whole."""
SHOWN_HEADERS = (INSTANCE_HEADER, INJECTION_HEADER, REASON_HEADER, KNOWLEDGE_HEADER)
"""What a pool tells the client, by way of the scheduler."""


class Server:
    """Serves clients. Holds the turn of the strategies and counters, nothing of a request."""

    def __init__(
        self,
        settings: SchedulerConfig,
        registry: Registry,
        retriever: Retriever,
        replica: Replica,
        traces: TraceRing,
        session: aiohttp.ClientSession,
        token: str,
    ) -> None:
        self.inflight = 0
        self.routed: dict[str, int] = {}
        self._settings = settings
        self._registry = registry
        self._placer = Placer(settings, retriever, replica)
        self._replica = replica
        self._traces = traces
        self._session = session
        self._token = token
        self._turn = 0
        self._asked = AskedSince()
        self._mean_s = 1.0
        """From coming in to leaving, waiting included: after so long, whoever is inside now has left on the average."""

    async def serve(self, request: web.Request, asked: ClientRequest, caller: Caller) -> web.StreamResponse:
        """The answer. Raises what the client should be told."""
        if self.inflight >= self._settings.max_inflight:
            raise Overloaded(f"{self.inflight} requests are being served already", retry_after_s=self._mean_s)
        self.inflight += 1
        trace = Draft(request[REQUEST_ID], asked)
        self._traces.add(trace)
        start_s = time.monotonic()
        try:
            response = await self._route(request, asked, caller, trace)
            trace.status = response.status
            return response
        except asyncio.CancelledError:
            trace.status = 200 if trace.tail.is_whole_stream else CLIENT_CLOSED
            raise
        except CacheRouteError as error:
            trace.status, trace.error = error.status, error.message
            raise
        finally:
            self.inflight -= 1
            self._mean_s = 0.9 * self._mean_s + 0.1 * (time.monotonic() - start_s)
            trace.end()

    async def _route(
        self, request: web.Request, asked: ClientRequest, caller: Caller, trace: Draft
    ) -> web.StreamResponse:
        deadline_ms = self._deadline_ms(request)
        pools = self.pools(asked.model)
        with trace.watch.part("retrieve"):
            session = request.headers.get(SESSION_HEADER, "")
            placed = await self._placer.place(asked, caller, session, deadline_ms / 1000)
        trace.conversation, trace.retrieved = placed.conversation, placed.retrieved
        kdn = trace.kdn = await self._kdn(asked, placed)
        self._turn += 1
        decisions = STRATEGIES[self._settings.strategy](pools, self._turn)
        failure: Unavailable | None = None
        for decision in decisions:
            pool = self._registry.proxies.get(decision.target)
            if pool is None:
                continue
            envelope = ProxyRequest(
                request_id=trace.request_id,
                endpoint=asked.endpoint,
                model=asked.model,
                body=asked.body,
                knowledge=placed.head,
                turns=placed.turns,
                injection=asked.injection,
                kdn=kdn.target if kdn else None,
                deadline_ms=deadline_ms - trace.watch.elapsed_ms,
            )
            try:
                last = decision is decisions[-1]
                return await self._forward(request, asked, placed, pool, decision, envelope, trace, last)
            except Unavailable as error:
                failure = failure or error
        raise failure or Unavailable("no pool could serve the request")

    async def _forward(
        self,
        request: web.Request,
        asked: ClientRequest,
        placed: Placed,
        pool: ProxyRecord,
        decision: Decision,
        envelope: ProxyRequest,
        trace: Draft,
        last: bool,
    ) -> web.StreamResponse:
        sent_ms = trace.watch.elapsed_ms
        async with upstream(
            self._session,
            pool.url + SERVE_PATH,
            msgspec.json.encode(envelope),
            token=self._token,
            request_id=trace.request_id,
            deadline_ms=envelope.deadline_ms,
            name=pool.name,
            others=not last,
        ) as answer:
            trace.watch.mark("proxy", trace.watch.elapsed_ms - sent_ms)
            trace.pool, trace.decision, trace.hops = pool.name, decision, flatten(decode_hop(answer.headers))
            self.routed[pool.name] = self.routed.get(pool.name, 0) + 1
            shown = trace.shown = {name: answer.headers[name] for name in SHOWN_HEADERS if name in answer.headers}
            if answer.status == 200:
                self._placer.keep(asked, placed, trace.knowledge)
            return await relay(
                request,
                answer,
                {
                    **shown,
                    REQUEST_ID_HEADER: trace.request_id,
                    POOL_HEADER: pool.name,
                    RETRIEVAL_HEADER: sanitise.for_header(placed.retrieved.reason),
                    "X-Router-Backend": shown.get(INSTANCE_HEADER, pool.name),
                    "X-Router-Reason": sanitise.for_header(decision.reason),
                },
                on_first_byte=trace.first_byte,
                on_chunk=trace.tail.see,
            )

    async def _kdn(self, asked: ClientRequest, placed: Placed) -> Decision | None:
        """Who can give KV of the head, where it may come as KV; what stands further back goes as text."""
        if not placed.head or asked.injection == "text":
            return None
        held = await asyncio.to_thread(self._replica.holders, placed.placement.head)
        holders, kdns = frozenset.intersection(*held.values()), self._registry.kdns.alive()
        chosen = choose_kdn(kdns, holders, self._turn, self._settings.kdn_max_waiting, self._asked.of)
        if chosen and (kdn := self._registry.kdns.get(chosen.target)):
            self._asked.add(kdn)
        return chosen

    def pools(self, model: str) -> list[ProxyRecord]:
        """The pools that serve `model` now. Raises NotFound, or Unavailable where none serves anything."""
        pools = self._registry.serving(model)
        if not pools:
            served = self._registry.models()
            if not served:
                raise Unavailable("no pool is ready yet; see `cacheroute status`", retry_after_s=2)
            raise NotFound(
                f"the model {sanitise.for_line(model, 100)!r} is not served here; served: {', '.join(served)}",
                param="model",
                code="model_not_found",
            )
        return pools

    def _deadline_ms(self, request: web.Request) -> float:
        named = request.headers.get(DEADLINE_HEADER)
        longest_ms = self._settings.request_timeout_s * 1000
        if named is None:
            return longest_ms
        try:
            deadline_ms = float(named)
        except ValueError:
            deadline_ms = -1.0
        if not 0 < deadline_ms < float("inf"):
            raise BadRequest(f"{DEADLINE_HEADER} must be a positive number of ms", param=DEADLINE_HEADER)
        return min(deadline_ms, longest_ms)
