"""Roles of a stack in this process, on real sockets: each can be started, stopped and started again, in any order."""

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
from fakes.fake_engine import FakeEngine
from fakes.hash_embedder import HashEmbedder
from fakes.ports import free_ports
from fakes.until import until
from fakes.valkey import Valkey

from cacheroute import tokens
from cacheroute.config import Config, Paths, Security
from cacheroute.embedder.app import plane as embedder_plane
from cacheroute.embedder.config import EmbedderConfig
from cacheroute.engine.config import EngineConfig
from cacheroute.instance.app import planes as instance_planes
from cacheroute.instance.config import InstanceConfig
from cacheroute.kdn.app import planes as kdn_planes
from cacheroute.kdn.config import KdnConfig
from cacheroute.kvstore.config import KvStoreConfig
from cacheroute.kvstore.store import KvStore
from cacheroute.proxy.app import planes as proxy_planes
from cacheroute.proxy.config import ProxyConfig
from cacheroute.scheduler.app import planes as scheduler_planes
from cacheroute.scheduler.config import SchedulerConfig
from cacheroute.service import Plane, serving

FAST = {"lease_ttl_s": 1.0, "lease_renew_s": 0.05}


def config_for(tmp_path: Path, *, pools: int = 1, instances: int = 1, kdns: int = 1, **changes: Any) -> Config:
    """A configuration on free ports. `changes`: `security`, `scheduler`, `kdn`, `proxy`, `instance` as dicts
    of fields."""
    ports = iter(free_ports(4 + kdns + 2 * pools + 4 * pools * instances))
    scheduler = SchedulerConfig(port=next(ports), control_port=next(ports), **FAST, **changes.get("scheduler", {}))
    engine, instance, proxy = {}, {}, {}
    for pool in range(1, pools + 1):
        proxy[f"pool-{pool}"] = ProxyConfig(
            port=next(ports), control_port=next(ports), **FAST, **changes.get("proxy", {})
        )
        for member in range(1, instances + 1):
            name = f"{pool}-{member}"
            engine[f"engine-{name}"] = EngineConfig(port=next(ports))
            instance[f"instance-{name}"] = InstanceConfig(
                port=next(ports),
                control_port=next(ports),
                proxy=f"pool-{pool}",
                engine=f"engine-{name}",
                **changes.get("instance", {}),
            )
    return Config(
        paths=Paths(state=str(tmp_path / "state"), data=str(tmp_path / "data")),
        security=Security(**changes.get("security", {})),
        scheduler=scheduler,
        embedder=EmbedderConfig(port=next(ports)),
        kvstore={"kv-1": KvStoreConfig(port=next(ports), timeout_s=1.0)},
        kdn={f"kdn-{number}": KdnConfig(port=next(ports), **changes.get("kdn", {})) for number in range(1, kdns + 1)},
        engine=engine,
        proxy=proxy,
        instance=instance,
    )


class Roles:
    """The running roles by name. Engines are fakes; everything between client and engine is real."""

    def __init__(self, config: Config, session: aiohttp.ClientSession) -> None:
        self.config = config
        self.session = session
        self.engines = {name: FakeEngine() for name in config.engine}
        self.token = tokens.ensure(config.paths.state_dir).control
        self.valkey: Valkey | None = None
        self._up: dict[str, AsyncExitStack] = {}

    @property
    def engine(self) -> FakeEngine:
        return next(iter(self.engines.values()))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.config.scheduler.port}"

    @property
    def control_url(self) -> str:
        return f"http://127.0.0.1:{self.config.scheduler.control_port}"

    async def start(self, *names: str) -> None:
        for name in names:
            stack = AsyncExitStack()
            await stack.enter_async_context(serving(await self._planes(name), drain_s=0.1))
            self._up[name] = stack

    async def stop(self, *names: str) -> None:
        for name in names:
            await self._up.pop(name).aclose()

    async def start_all(self) -> None:
        await self.start("scheduler", *self.config.engine, *self.config.proxy, *self.config.instance)
        await self.until_ready()

    async def stop_all(self) -> None:
        await self.stop(*reversed(self._up))

    async def until_ready(self) -> None:
        """Every instance is known to the scheduler, ready."""

        async def all_known() -> bool:
            peers = await self.control("GET", "/v1/peers")
            ready = {i["name"] for proxy in peers["proxies"] for i in proxy["instances"] if i["ready"]}
            return ready == set(self.config.instance)

        await until(all_known)

    async def until_introduced(self) -> None:
        """Every KDN knows every instance, every proxy and instance every KDN: leases carry that, one by one."""

        async def known(url: str, what: str, expected: set[str]) -> bool:
            return set((await self.control("GET", "/debug/status", url=url))[what]) == expected

        async def all_known() -> bool:
            for name in self.config.kdn:
                if not await known(self.kdn_url(name), "instances", set(self.config.instance)):
                    return False
            for role in (*self.config.proxy.values(), *self.config.instance.values()):
                if not await known(f"http://127.0.0.1:{role.control_port}", "kdns", set(self.config.kdn)):
                    return False
            return True

        await until(all_known)

    async def control(self, method: str, path: str, body: Any = None, *, url: str = "") -> Any:
        headers = {"Authorization": f"Bearer {self.token}"}
        async with self.session.request(method, (url or self.control_url) + path, json=body, headers=headers) as answer:
            return msgspec.json.decode(await answer.read())

    def kdn_url(self, name: str = "kdn-1") -> str:
        return f"http://127.0.0.1:{self.config.kdn[name].port}"

    async def learn(self, source: str, text: str, *, kdn: str = "kdn-1", build: bool = True, **facts: str) -> list[str]:
        """Registers a document at a KDN, builds KV of each of its blocks, and waits until the scheduler knows it."""
        added = await self.control(
            "POST", "/v1/documents", {"source": source, "text": text, **facts}, url=self.kdn_url(kdn)
        )
        for kid in added["kids"] if build else ():
            built = await self.control("POST", "/v1/artifacts", {"kids": [kid]}, url=self.kdn_url(kdn))
            assert all(each["artifact"] for each in built), built

        async def known() -> bool:
            return (await self.chat(knowledge_ids=added["kids"], max_tokens=1))[0] == 200

        await until(known)
        for engine in self.engines.values():
            engine.bodies.clear()
        return added["kids"]

    async def chat(self, text: str = "hello", **fields: Any) -> tuple[int, dict[str, str], Any]:
        """(status, headers, JSON) of one chat request that is not streamed."""
        body = {"model": self.engine.model, "messages": [{"role": "user", "content": text}], **fields}
        async with self.session.post(f"{self.url}/v1/chat/completions", json=body) as answer:
            return answer.status, dict(answer.headers), await answer.json()

    async def _planes(self, name: str) -> list[Plane]:
        if name in self.config.engine:
            return [self.engines[name].plane(self.config.engine[name].port)]
        if name == "embedder":
            return [embedder_plane(self.config, HashEmbedder.load)]
        if name in self.config.kdn:
            return await kdn_planes(self.config, name)
        if name in self.config.instance:
            return await instance_planes(self.config, name)
        if name in self.config.proxy:
            return await proxy_planes(self.config, name)
        return await scheduler_planes(self.config, name)


@asynccontextmanager
async def running_with_knowledge(config: Config) -> AsyncGenerator[Roles]:
    """All roles of `config`; the embedder has a hash for a model, and the engines, fakes, put
    made-up chunks into a real store.
    """
    secrets = tokens.ensure(config.paths.state_dir)
    with Valkey(config.paths.state_dir, secrets) as valkey:
        config = msgspec.structs.replace(config, kvstore={valkey.name: valkey.config})
        store = KvStore(valkey.name, valkey.config, secrets)
        async with aiohttp.ClientSession() as session:
            roles = Roles(config, session)
            roles.valkey = valkey
            for engine in roles.engines.values():
                engine.store = store
            try:
                await roles.start("embedder")
                await roles.start_all()
                await roles.start(*config.kdn)
                await roles.until_introduced()
                yield roles
            finally:
                await roles.stop_all()
                await store.close()


@asynccontextmanager
async def running(config: Config) -> AsyncGenerator[Roles]:
    """All roles of `config` but KDNs, embedder and kv stores, ready."""
    async with aiohttp.ClientSession() as session:
        roles = Roles(config, session)
        try:
            await roles.start_all()
            yield roles
        finally:
            await roles.stop_all()
