"""One request through the pool: have it prepared, wait for an instance, pass on.

An instance that is gone or full is passed over for the next one; a prompt that proves too long loses knowledge
and goes again. Both only as long as the caller has seen nothing.
"""

from collections.abc import Mapping

import aiohttp
import msgspec
from aiohttp import web

from cacheroute import sanitise
from cacheroute.errors import NotFound, Unavailable
from cacheroute.hop import HOP_HEADER, decode_hop, encode_hop
from cacheroute.proxy.compose import PromptKnowledge
from cacheroute.proxy.config import ProxyConfig
from cacheroute.proxy.injection import what_happened
from cacheroute.proxy.pool import Pool
from cacheroute.proxy.prepare import Prepared, Preparer
from cacheroute.relay import relay, upstream
from cacheroute.strategies import STRATEGIES
from cacheroute.telemetry import Stopwatch
from cacheroute.wire.control import InstanceRecord
from cacheroute.wire.decision import Decision, HopReport
from cacheroute.wire.serve import (
    INJECTION_HEADER,
    INSTANCE_HEADER,
    KNOWLEDGE_HEADER,
    REASON_HEADER,
    SERVE_PATH,
    InstanceRequest,
    ProxyRequest,
)


class Server:
    """Serves requests over a pool. Holds the turn of the strategy and counts of what was decided."""

    def __init__(
        self, name: str, settings: ProxyConfig, pool: Pool, session: aiohttp.ClientSession, token: str
    ) -> None:
        self.name = name
        self.decided: dict[str, int] = {}
        self._settings = settings
        self._pool = pool
        self._preparer = Preparer(settings, session, token)
        self._session = session
        self._token = token
        self._turn = 0

    async def serve(self, request: web.Request, asked: ProxyRequest, kdns: Mapping[str, str]) -> web.StreamResponse:
        """The answer; `kdns` are the live ones' urls by name. Raises what the caller should be told."""
        watch = Stopwatch()
        knowledge = PromptKnowledge.of(asked)
        while True:
            answer = await self._over_instances(request, asked, knowledge, kdns, watch)
            if answer is not None:
                return answer
            knowledge = knowledge.shorter()

    async def _over_instances(
        self,
        request: web.Request,
        asked: ProxyRequest,
        knowledge: PromptKnowledge,
        kdns: Mapping[str, str],
        watch: Stopwatch,
    ) -> web.StreamResponse | None:
        """The answer of the first instance that gives one; None if the prompt is too long with this knowledge."""
        candidates = self._candidates(asked)
        failure: Unavailable | None = None
        for routing, instance in candidates:
            last = instance is candidates[-1][1]
            try:
                with watch.part("prepare"):
                    async with self._pool.prepare.place(asked.deadline_ms - watch.elapsed_ms):
                        ready = await self._preparer.prepare(asked, knowledge, instance, kdns)
                queued_ms = watch.elapsed_ms
                async with self._pool.ready_line(instance.name).place(asked.deadline_ms - queued_ms):
                    watch.mark("ready_queue", watch.elapsed_ms - queued_ms)
                    return await self._forward(request, asked, ready, routing, watch, last)
            except _TooLong:
                return None
            except Unavailable as error:
                failure = failure or error
        raise failure or Unavailable(f"no instance of {self.name} could serve the request")

    def _candidates(self, asked: ProxyRequest) -> list[tuple[Decision, InstanceRecord]]:
        serving = {record.name: record for record in self._pool.serving(asked.model)}
        if not serving:
            alive = self._pool.instances.alive()
            if any(record.ready for record in alive):
                raise NotFound(f"no instance of {self.name} serves the model {asked.model!r}", code="model_not_found")
            why = "; ".join(f"{record.name}: {record.why}" for record in alive) or "none is registered"
            raise Unavailable(f"{self.name} has no instance that is ready ({why})", retry_after_s=2)
        self._turn += 1
        decisions = STRATEGIES[self._settings.strategy](list(serving.values()), self._turn)
        return [(decision, serving[decision.target]) for decision in decisions]

    async def _forward(
        self,
        request: web.Request,
        asked: ProxyRequest,
        ready: Prepared,
        routing: Decision,
        watch: Stopwatch,
        last: bool,
    ) -> web.StreamResponse:
        instance = self._pool.instances.get(routing.target)
        if instance is None:
            raise Unavailable(f"{routing.target} has gone")
        sent_ms = watch.elapsed_ms
        left_ms = asked.deadline_ms - sent_ms
        envelope = InstanceRequest(
            request_id=asked.request_id, endpoint=asked.endpoint, body=ready.body, kv=ready.kv, deadline_ms=left_ms
        )
        async with upstream(
            self._session,
            instance.url + SERVE_PATH,
            msgspec.json.encode(envelope),
            token=self._token,
            request_id=asked.request_id,
            deadline_ms=left_ms,
            name=routing.target,
            others=not last,
        ) as answer:
            watch.mark("instance", watch.elapsed_ms - sent_ms)
            refusal = await answer.read() if answer.status == 400 and ready.knowledge else b""
            if _is_too_long(refusal):
                raise _TooLong
            below = decode_hop(answer.headers)
            injection = what_happened(ready.injection, below)
            self.decided[injection.mode] = self.decided.get(injection.mode, 0) + 1
            report = HopReport(
                hop=self.name, parts_ms=watch.parts_ms, decision=routing, injection=injection, below=below
            )
            headers = {
                HOP_HEADER: encode_hop(report),
                INSTANCE_HEADER: routing.target,
                INJECTION_HEADER: injection.mode,
                REASON_HEADER: sanitise.for_header(injection.reason),
                KNOWLEDGE_HEADER: ",".join(ready.knowledge.kids),
            }
            return await relay(request, answer, headers, read=refusal)


class _TooLong(Exception):
    """The engine says that the prompt does not fit its context."""


def _is_too_long(body: bytes) -> bool:
    return b"context_length_exceeded" in body or b"maximum context length" in body
