"""An artifact into a kv store: touch, then push what is missing, tail to head.

Single flight per store and artifact, a bounded number at a time, a bounded number waiting. A partial injection is
harmless: every chunk stands for itself, and what is not there is computed by the engine.
"""

import asyncio
import logging
from collections.abc import Mapping

import msgspec

from cacheroute.errors import NotFound, Overloaded, Unavailable
from cacheroute.kdn.artifacts.artifacts import Artifacts
from cacheroute.kdn.artifacts.rebuilds import Rotted
from cacheroute.kdn.config import KdnConfig
from cacheroute.kdn.singleflight import SingleFlight
from cacheroute.kdn.worker import Worker
from cacheroute.kvstore.link import Link
from cacheroute.kvstore.store import KvStore
from cacheroute.telemetry import Metrics, Stopwatch
from cacheroute.wire.artifacts import Artifact
from cacheroute.wire.decision import InjectReceipt

log = logging.getLogger(__name__)


class Injector:
    """Injects into the stores that the configuration names."""

    def __init__(
        self,
        artifacts: Artifacts,
        stores: Mapping[str, KvStore],
        worker: Worker,
        config: KdnConfig,
        metrics: Metrics,
    ) -> None:
        self._artifacts = artifacts
        self._stores = stores
        self._worker = worker
        self._config = config
        self._turns = asyncio.Semaphore(config.max_injections)
        self._flights = SingleFlight[tuple[str, str], InjectReceipt]()
        self._bytes = metrics.counter("injected_bytes", "Bytes pushed into kv stores", "store")
        self._ms = metrics.histogram("inject_ms", "From request to receipt, waiting included", "store")

    @property
    def injecting(self) -> int:
        """Injections under way or waiting."""
        return len(self._flights)

    async def inject(self, artifact_id: str, store: str) -> InjectReceipt:
        """A receipt once every chunk is in the store. Who joins an injection under way has pushed nothing himself.

        Raises NotFound for an unknown artifact or store, Overloaded, Unavailable.
        """
        artifact, target = self._artifacts.get(artifact_id), self.store(store)
        if (store, artifact_id) not in self._flights and self.waiting >= self._config.max_waiting:
            raise Overloaded(f"{self.waiting} injections are waiting", retry_after_s=1.0)
        receipt, joined = await self._flights.do((store, artifact_id), lambda: self._inject(artifact, target))
        if joined:
            present = receipt.present + receipt.pushed
            return msgspec.structs.replace(receipt, present=present, pushed=0, nbytes=0)
        return receipt

    def store(self, name: str) -> KvStore:
        """Raises NotFound for a store that the configuration does not name."""
        if name not in self._stores:
            raise NotFound(f"there is no kv store {name!r}; configured: {', '.join(self._stores)}")
        return self._stores[name]

    async def settled(self, artifact_id: str) -> None:
        """Waits until no injection of an artifact is under way: then none can put anything back."""
        await asyncio.gather(*(self._flights.landed(flight) for flight in self._flights if flight[1] == artifact_id))

    @property
    def waiting(self) -> int:
        """Injections that wait for their turn."""
        return max(0, self.injecting - self._config.max_injections)

    async def _inject(self, artifact: Artifact, store: KvStore) -> InjectReceipt:
        watch = Stopwatch()
        try:
            async with asyncio.timeout(self._config.inject_timeout_s), self._turns:
                pushed = await store.run(
                    lambda link: _push(link, self._artifacts, artifact), timeout_s=self._config.inject_timeout_s
                )
        except Rotted as error:
            raise Unavailable(f"artifact {artifact.id} was rotten: {error}", code="artifact_rotten") from error
        except TimeoutError as error:
            raise Unavailable(
                f"artifact {artifact.id} was not in {store.name} after {self._config.inject_timeout_s:g} s"
            ) from error
        self._worker.later(self._artifacts.used, artifact.id)
        nbytes = pushed * artifact.nbytes // len(artifact.keys)
        self._bytes.labels(store.name).inc(nbytes)
        self._ms.labels(store.name).observe(watch.elapsed_ms)
        return InjectReceipt(
            artifact_id=artifact.id,
            store=store.name,
            present=len(artifact.keys) - pushed,
            pushed=pushed,
            nbytes=nbytes,
            ms=round(watch.elapsed_ms, 3),
        )


def _push(link: Link, artifacts: Artifacts, artifact: Artifact) -> int:
    """Blocking. Returns how many chunks were missing and are there now.

    One chunk is checked while the one before it is on its way.
    """
    missing = [index for index, there in enumerate(link.touch(artifact.keys)) if not there]
    if missing:
        with artifacts.reading(artifact.id) as blob:
            link.set((artifact.keys[index], blob.value(index)) for index in reversed(missing))
    return len(missing)
