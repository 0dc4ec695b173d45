"""Everything around one real KDN: a real Valkey, the real embedder role with a hash for a model, a fake scheduler and
fake instances. The KDN can be stopped and started again.
"""

from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
from fakes.fake_instance import FakeInstance
from fakes.fake_scheduler import FakeScheduler
from fakes.gated_relay import GatedRelay
from fakes.hash_embedder import HashEmbedder
from fakes.ports import free_ports
from fakes.until import until
from fakes.valkey import Valkey

from cacheroute import tokens
from cacheroute.config import Config, Paths
from cacheroute.embedder.app import plane as embedder_plane
from cacheroute.embedder.config import EmbedderConfig
from cacheroute.kdn.app import planes
from cacheroute.kdn.config import KdnConfig
from cacheroute.kvstore.config import KvStoreConfig
from cacheroute.kvstore.store import KvStore
from cacheroute.scheduler.config import SchedulerConfig
from cacheroute.service import serving


class KdnWorld:
    """`call` speaks to the KDN with the control token; `store` looks into its kv store past it."""

    def __init__(
        self,
        tmp_path: Path,
        *,
        stores: int = 1,
        maxmemory_mb: int = 256,
        gated: bool = False,
        request_timeout_s: float = 300.0,
        **kdn: Any,
    ) -> None:
        """`request_timeout_s` bounds how long a deletion waits to purge once more."""
        self.state_dir = tmp_path / "state"
        self.data_dir = tmp_path / "data"
        self.tokens = tokens.ensure(self.state_dir)
        ports = free_ports(3)
        names = [f"kv-{number}" for number in range(1, stores + 1)]
        self.valkeys = {
            name: Valkey(self.state_dir, self.tokens, name=name, maxmemory_mb=maxmemory_mb) for name in names
        }
        self.relay = GatedRelay(self.valkey.config.port)
        self.config = Config(
            paths=Paths(state=str(self.state_dir), data=str(self.data_dir)),
            scheduler=SchedulerConfig(
                control_port=ports[0], request_timeout_s=request_timeout_s, lease_ttl_s=0.2, lease_renew_s=0.1
            ),
            embedder=EmbedderConfig(port=ports[1]),
            kdn={"kdn-1": KdnConfig(port=ports[2], **kdn)},
            kvstore={name: valkey.config for name, valkey in self.valkeys.items()}
            | ({"kv-1": self._through_relay()} if gated else {}),
        )
        self.stores = {
            name: KvStore(name, valkey.config, self.tokens, self.state_dir) for name, valkey in self.valkeys.items()
        }
        self.scheduler = FakeScheduler(ports[0], self.tokens.control)
        self.url = f"http://127.0.0.1:{ports[2]}"
        self.session: aiohttp.ClientSession
        self._stack = AsyncExitStack()
        self._kdn = AsyncExitStack()
        self._scheduler = AsyncExitStack()
        self._embedder = AsyncExitStack()

    def _through_relay(self) -> KvStoreConfig:
        """The first store, as the KDN alone sees it: behind a relay that can hold its bytes back."""
        url = f"redis://:{self.tokens.kv_password}@127.0.0.1:{self.relay.port}/0"
        return KvStoreConfig(url=url, timeout_s=self.valkey.config.timeout_s)

    @property
    def valkey(self) -> Valkey:
        return self.valkeys["kv-1"]

    @property
    def store(self) -> KvStore:
        return self.stores["kv-1"]

    async def __aenter__(self) -> "KdnWorld":
        try:
            await self._start()
        except BaseException:  # a half-started world must not leave servers behind
            await self.__aexit__()
            raise
        return self

    async def _start(self) -> None:
        for name, valkey in self.valkeys.items():
            self._stack.enter_context(valkey)
            self._stack.push_async_callback(self.stores[name].close)
        await self._stack.enter_async_context(self.relay.running())
        headers = {"Authorization": f"Bearer {self.tokens.control}"}
        self.session = await self._stack.enter_async_context(aiohttp.ClientSession(headers=headers))
        embedder = embedder_plane(self.config, HashEmbedder.load)
        await self._embedder.enter_async_context(serving([embedder], drain_s=0.1))
        await self.start_scheduler()
        await self.start_kdn()
        await self.renewed()

    async def __aexit__(self, *_: object) -> None:
        await self.stop_kdn()
        await self.stop_scheduler()
        await self.stop_embedder()
        await self._stack.aclose()

    async def start_scheduler(self) -> None:
        await self._scheduler.enter_async_context(serving([self.scheduler.plane()], drain_s=0.1))

    async def stop_scheduler(self) -> None:
        await self._scheduler.aclose()

    async def stop_embedder(self) -> None:
        await self._embedder.aclose()

    async def start_kdn(self) -> None:
        await self._kdn.enter_async_context(serving(await planes(self.config, "kdn-1"), drain_s=0.1))

    async def stop_kdn(self) -> None:
        await self._kdn.aclose()

    async def add_instance(self, **dials: Any) -> FakeInstance:
        """One more instance, known to the KDN by its lease."""
        dials.setdefault("store", self.store)
        number = len(self.scheduler.instances) + 1
        instance = FakeInstance(token=self.tokens.control, name=f"instance-{number}", **dials)
        await self._stack.enter_async_context(serving([instance.plane()], drain_s=0.1))
        self.scheduler.instances += (instance.record,)
        await self.renewed()
        return instance

    async def renewed(self, *, within_s: float = 10.0) -> None:
        """Two renewals later: what the scheduler knew at the first has been granted."""
        known = len(self.scheduler.records)
        await until(lambda: len(self.scheduler.records) > known + 1, within_s=within_s)

    async def call(self, method: str, path: str, body: Any = None, **params: Any) -> tuple[int, Any]:
        """(status, JSON)."""
        data = None if body is None else msgspec.json.encode(body)
        async with self.session.request(method, self.url + path, data=data, params=params) as answer:
            return answer.status, msgspec.json.decode(await answer.read())

    async def ok(self, method: str, path: str, body: Any = None, **params: Any) -> Any:
        """The JSON of a call that must succeed."""
        status, answer = await self.call(method, path, body, **params)
        assert status == 200, answer
        return answer

    async def lacks(self, keys: Sequence[str], store: str = "kv-1") -> bool:
        """Whether a store has none of the keys."""
        return len(await self.stores[store].missing(keys)) == len(keys)

    async def purges(self) -> list[dict[str, Any]]:
        """The journal of what is still to be purged."""
        return (await self.ok("GET", "/debug/status"))["purges"]

    async def add(self, source: str, text: str, **fields: Any) -> str:
        """Registers a document of one block; returns its kid."""
        added = await self.ok("POST", "/v1/documents", {"source": source, "text": text, **fields})
        (kid,) = added["kids"]
        return kid

    async def build(self, *kids: str, **fields: Any) -> list[dict[str, Any]]:
        return await self.ok("POST", "/v1/artifacts", {"kids": kids, **fields})

    async def built(self, *kids: str) -> dict[str, Any]:
        """The one artifact of a build that must succeed."""
        (result,) = await self.build(*kids)
        assert result["artifact"], result
        return result["artifact"]

    async def inject(self, artifact_id: str, store: str = "kv-1") -> tuple[int, Any]:
        body = {"request_id": "r", "artifact_id": artifact_id, "store": store}
        return await self.call("POST", "/v1/inject", body)


@asynccontextmanager
async def kdn_world(tmp_path: Path, **settings: Any) -> AsyncGenerator[KdnWorld]:
    async with KdnWorld(tmp_path, **settings) as world:
        yield world


def text_of(words: int, topic: str) -> str:
    """A text of so many words that no other topic has."""
    return " ".join(f"{topic}{number}" for number in range(words))
