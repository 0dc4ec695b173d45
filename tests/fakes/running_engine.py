"""The real engine role on a free port, in a thread with a loop of its own, so that many tests can share one."""

import asyncio
import json
import threading
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from fakes.until import until
from prometheus_client.parser import text_string_to_metric_families

from cacheroute import tokens
from cacheroute.config import Config
from cacheroute.engine.app import planes
from cacheroute.service import serving

CHAT, COMPLETIONS = "/v1/chat/completions", "/v1/completions"


class RunningEngine:
    """`engine-1` of a configuration. Leaving the `with` stops it."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.url = f"http://127.0.0.1:{config.engine['engine-1'].port}"
        self.headers = {"Authorization": f"Bearer {tokens.ensure(config.paths.state_dir).control}"}
        self.model = ""
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._listening = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "RunningEngine":
        self._thread.start()
        assert self._listening.wait(20), "the engine does not listen"
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(20)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        async with serving(await planes(self.config, "engine-1"), drain_s=1):
            self._listening.set()
            await self._stop.wait()

    async def ready(self) -> None:
        """Waits until it is healthy; fails with its own reason if it says that it never will be."""
        async with self.session() as session:
            while True:
                async with session.get("/health") as response:
                    body = await response.json()
                    if response.status == 200:
                        self.model = body["model"]
                        return
                    assert "cannot be loaded" not in body["error"]["message"], body
                await asyncio.sleep(0.05)

    @asynccontextmanager
    async def session(self) -> AsyncGenerator[aiohttp.ClientSession]:
        async with aiohttp.ClientSession(self.url, headers=self.headers) as session:
            yield session

    async def post(self, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any], dict[str, str]]:
        """(status, JSON, headers) of one call; the model's name is filled in."""
        async with self.session() as session, session.post(path, json=self.named(body)) as response:
            return response.status, await response.json(), dict(response.headers)

    async def get(self, path: str) -> Any:
        async with self.session() as session, session.get(path) as response:
            assert response.status == 200, await response.text()
            return await response.json()

    async def ask(self, path: str, **body: Any) -> dict[str, Any]:
        """A whole answer that must succeed."""
        status, answer, _ = await self.post(path, body)
        assert status == 200, answer
        return answer

    async def chunks(self, session: aiohttp.ClientSession, path: str, **body: Any) -> AsyncIterator[dict[str, Any]]:
        """A stream's JSON chunks; checks that it ends with [DONE]."""
        ended = False
        async with session.post(path, json=self.named({"stream": True, **body})) as response:
            assert response.status == 200, await response.text()
            async for line in response.content:
                if line.startswith(b"data: [DONE]"):
                    ended = True
                elif line.startswith(b"data: "):
                    yield json.loads(line.removeprefix(b"data: "))
        assert ended

    async def metric(self, name: str, **labels: str) -> float:
        """The sum of a counter's or gauge's samples with these labels; 0 where there are none."""
        async with self.session() as session, session.get("/metrics") as response:
            families = text_string_to_metric_families(await response.text())
        samples = [sample for family in families for sample in family.samples]
        wanted = (f"cacheroute_engine_{name}", f"cacheroute_engine_{name}_total")
        return sum(s.value for s in samples if s.name in wanted and labels.items() <= s.labels.items())

    async def idle(self) -> None:
        """Waits until nothing runs or waits."""

        async def nothing() -> bool:
            return not await self.metric("running") and not await self.metric("waiting")

        await until(nothing)

    async def counted(self, name: str, at_least: float, **labels: str) -> None:
        """Waits until a metric has reached a value."""

        async def reached() -> bool:
            return await self.metric(name, **labels) >= at_least

        await until(reached)

    def named(self, body: dict[str, Any]) -> dict[str, Any]:
        return {"model": self.model, **body}
