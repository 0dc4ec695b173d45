"""The stack of the knowledge soak: a scheduler, a pool, two instances with fake engines, one KDN, all in this process;
a second KDN that can be killed, and a real kv store, as processes of their own.
"""

import asyncio
import random
from collections import OrderedDict
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from subprocess import Popen
from typing import Any

import aiohttp
import msgspec
from aiohttp import web
from fakes.fake_engine import FakeEngine
from fakes.kdn_by_config import start_kdn
from fakes.roles import Roles, config_for
from fakes.until import until
from fakes.valkey import Valkey

from cacheroute import tokens
from cacheroute.config import Config
from cacheroute.errors import Unavailable
from cacheroute.kvstore.store import KvStore

OURS, KILLED = "kdn-1", "kdn-2"
REQUEST_S = 10.0
"""Longest time of a request, and with it the wait before a deletion is purged once more."""
SEEN = 2000


class Engine(FakeEngine):
    """Takes a moment for each answer, and tells prompts by request id."""

    def __init__(self, rng: random.Random) -> None:
        super().__init__(cache=set())
        self.prompts = OrderedDict[str, dict[str, Any]]()
        self._rng = rng

    async def _generate(self, request: web.Request) -> web.StreamResponse:
        self.prompts[request.headers.get("X-Request-ID", "")] = await request.json()
        while len(self.prompts) > SEEN:
            self.prompts.popitem(last=False)
        await asyncio.sleep(self._rng.random() * 0.02)
        self.bodies.clear()
        self.headers.clear()
        try:
            return await super()._generate(request)
        except aiohttp.ClientConnectionResetError:  # the client has left
            raise asyncio.CancelledError from None


class _Store(KvStore):
    """As an engine uses it: what cannot be stored is computed again some day."""

    async def write(self, items: Sequence[tuple[str, Any]]) -> None:
        with suppress(Unavailable):
            await super().write(items)


class Stack:
    """`interruptions` counts what was done to the KDN that is a process: a call that saw none must succeed."""

    def __init__(self, roles: Roles, store: KvStore, valkey: Valkey, directory: Path) -> None:
        self.roles = roles
        self.store = store
        self.valkey = valkey
        self.directory = directory
        self.interruptions = 0
        self.is_up = False
        self._process: Popen[bytes] | None = None

    async def start_killed(self) -> None:
        """Starts the second KDN, and waits until it holds its lease."""
        self._process = start_kdn(self.roles.config, KILLED, self.directory)

        async def registered() -> bool:
            with suppress(aiohttp.ClientError):
                return bool((await self.status(KILLED))["registered"])
            return False

        await until(registered, within_s=60)
        self.is_up = True

    async def kill(self) -> None:
        if self._process is not None:
            self.is_up, self.interruptions = False, self.interruptions + 1
            self._process.kill()
            await asyncio.to_thread(self._process.wait)

    @property
    def log(self) -> str:
        """What the second KDN has said, over all its lives."""
        return (self.directory / f"{KILLED}.log").read_text()

    async def status(self, kdn: str) -> Any:
        return await self.roles.control("GET", "/debug/status", url=self.roles.kdn_url(kdn))

    def prompt(self, request_id: str) -> dict[str, Any] | None:
        """What an engine was asked for a request."""
        engines = self.roles.engines.values()
        return next((engine.prompts[request_id] for engine in engines if request_id in engine.prompts), None)  # type: ignore[attr-defined]

    async def busy(self) -> dict[str, Any]:
        """Whatever waits or is under way somewhere; empty when the stack is at rest."""
        found: dict[str, Any] = {}
        status = await self.roles.control("GET", "/debug/status")
        found["scheduler inflight"] = status["inflight"]
        for name, proxy in status["proxies"].items():
            found[f"{name} queued"], found[f"{name} inflight"] = proxy["queued"], proxy["inflight"]
        for name in (OURS, KILLED):
            kdn = await self.status(name)
            found |= {f"{name} {what}": kdn[what] for what in ("injecting", "building", "builds_queued")}
            found[f"{name} load"] = kdn["load"]["waiting"] + kdn["load"]["injecting"] + kdn["load"]["building"]
        for name, engine in self.roles.engines.items():
            found[f"{name} running"] = engine.running
        for name, instance in self.roles.config.instance.items():
            url = f"http://127.0.0.1:{instance.control_port}"
            found[name] = (await self.roles.control("GET", "/debug/status", url=url))["load"]["inflight"]
        return {what: value for what, value in found.items() if value}

    async def held_keys(self) -> list[str]:
        """Every key of the kv store."""
        return [key.decode() for key in await self.store.run(lambda link: link.call("KEYS", "*"))]

    async def store_is_back(self) -> None:
        async def answers() -> bool:
            with suppress(Unavailable):
                return bool(await self.store.info())
            return False

        await until(answers, within_s=30)


def _config(directory: Path) -> Config:
    kdn = {"quota_mb": 1, "sync_every_s": 2.0, "block_tokens": 160, "build_wait_s": 1.0, "store_wait_s": 2.0,
           "build_timeout_s": 10.0}  # fmt: skip
    made = config_for(directory, instances=2, kdns=2, kdn=kdn)
    leases = {"lease_ttl_s": 5.0, "lease_renew_s": 0.2}
    scheduler = msgspec.structs.replace(
        made.scheduler, request_timeout_s=REQUEST_S, trace_ring=200, max_conversations=100, **leases
    )
    proxy = {name: msgspec.structs.replace(each, **leases) for name, each in made.proxy.items()}
    return msgspec.structs.replace(made, scheduler=scheduler, proxy=proxy)


@asynccontextmanager
async def running_stack(directory: Path, rng: random.Random) -> AsyncGenerator[Stack]:
    config = _config(directory)
    secrets = tokens.ensure(config.paths.state_dir)
    with Valkey(config.paths.state_dir, secrets) as valkey:
        config = msgspec.structs.replace(config, kvstore={valkey.name: valkey.config})
        store = _Store(valkey.name, valkey.config, secrets)
        async with aiohttp.ClientSession() as session:
            roles = Roles(config, session)
            for name in roles.engines:
                roles.engines[name] = Engine(rng)
                roles.engines[name].store = store
            stack = Stack(roles, store, valkey, directory)
            try:
                await roles.start("embedder")
                await roles.start_all()
                await roles.start(OURS)
                await stack.start_killed()
                await roles.until_introduced()
                yield stack
            finally:
                await stack.kill()
                await roles.stop_all()
                await store.close()
