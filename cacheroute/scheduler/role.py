"""The scheduler's parts, put together: who is alive, the copy of the knowledge, who serves, the last traces.

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
from cacheroute.changes_client import ChangesClient
from cacheroute.config import Config
from cacheroute.embedding_client import EmbeddingClient
from cacheroute.rewriting import keep_rewritten
from cacheroute.scheduler.access import Access
from cacheroute.scheduler.calibration import Calibrator
from cacheroute.scheduler.registry import Registry
from cacheroute.scheduler.retrieval import Retriever
from cacheroute.scheduler.serve import Server
from cacheroute.scheduler.sync import Follower
from cacheroute.scheduler.traces import TraceRing
from cacheroute.telemetry import Metrics
from knowledge.replication.replica import Replica
from knowledge.retrieval.match import Limits

EMBED_TIMEOUT_S = 5.0


class Scheduler:
    """The scheduler's state, opened with the data plane and closed after it."""

    replica: Replica
    retriever: Retriever
    calibrator: Calibrator
    server: Server
    follower: Follower

    def __init__(self, config: Config) -> None:
        self._config = config
        self.settings = config.scheduler
        self.token = tokens.ensure(config.paths.state_dir).control
        self.registry = Registry(config.scheduler)
        self.traces = TraceRing(config.scheduler.trace_ring)
        self.access = Access(config.security, self.token)
        self.metrics = Metrics("scheduler")
        self.metrics.gauge("inflight", "Requests being served").set_function(lambda: self.server.inflight)

    async def running(self, app: web.Application) -> AsyncGenerator[None]:
        async with AsyncExitStack() as stack:
            session = await stack.enter_async_context(aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)))
            await self._open_copy(stack, session)
            await self._open_retrieval(stack, session)
            self.server = Server(
                self.settings, self.registry, self.retriever, self.replica, self.traces, session, self.token
            )
            yield

    async def _open_copy(self, stack: AsyncExitStack, session: aiohttp.ClientSession) -> None:
        path = self._config.paths.state_dir / "scheduler" / "knowledge.db"
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.replica = await asyncio.to_thread(Replica, path)
        stack.callback(self.replica.close)
        await stack.enter_async_context(in_background(keep_rewritten(self.replica.shelf)))
        self.follower = Follower(self.replica, ChangesClient(session, self.token))
        stack.push_async_callback(self.follower.close)
        await self.follower.keep_to(self._config.kdn)

    async def _open_retrieval(self, stack: AsyncExitStack, session: aiohttp.ClientSession) -> None:
        url = base_url(self._config.embedder.host, self._config.embedder.port)
        embedder = EmbeddingClient(session, url, self.token, timeout_s=EMBED_TIMEOUT_S)
        limits = Limits(max_blocks=self.settings.retrieval_top_k, max_tokens=self.settings.knowledge_token_budget)
        self.retriever = Retriever(self.replica, embedder, limits, self._refresh)
        kept = self._config.paths.data_dir / "scheduler" / "calibration.json"
        self.calibrator = Calibrator(self.retriever, self.replica, kept)
        await stack.enter_async_context(self.calibrator.running())

    async def _refresh(self) -> None:
        """Asks every live KDN for what the copy lacks, not waiting for its next renewal."""
        await self.follower.refresh(self.registry.kdns.alive())
