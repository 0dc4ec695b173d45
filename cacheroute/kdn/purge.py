"""Taking chunks out of kv stores, and everything that goes with a deleted text: artifacts, blobs, chunks."""

import asyncio
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from cacheroute.errors import Unavailable
from cacheroute.kdn.artifacts import Artifacts
from cacheroute.kdn.injector import Injector
from cacheroute.kdn.worker import Worker
from cacheroute.kvstore.store import KvStore
from cacheroute.wire.artifacts import Artifact, Purged

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What went: artifact ids, chunks by store, and which stores could not be asked."""

    artifacts: tuple[str, ...]
    purged: dict[str, int]
    notes: tuple[str, ...]


class Purger:
    """Knows every kv store of the configuration."""

    def __init__(self, artifacts: Artifacts, injector: Injector, stores: Mapping[str, KvStore], worker: Worker) -> None:
        self._artifacts = artifacts
        self._injector = injector
        self._stores = stores
        self._worker = worker

    async def purge(self, artifact_id: str, store: str) -> Purged:
        """Takes an artifact's chunks out of one store; the artifact stays. Raises NotFound, Unavailable."""
        artifact, target = self._artifacts.get(artifact_id), self._injector.store(store)
        return Purged(store=store, keys=await target.purge(artifact.keys))

    async def forget(self, kids: Iterable[str]) -> Forgotten:
        """Removes every artifact that holds one of `kids`, here and from every store that can be reached."""
        return await self.drop([artifact.id for artifact in self._artifacts.holding(kids)])

    async def drop(self, ids: Iterable[str]) -> Forgotten:
        """Removes artifacts for good. An injection under way ends first, so that it puts nothing back."""
        gone = await self._worker.run(self._artifacts.drop, tuple(ids))
        await asyncio.gather(*(self._injector.settled(artifact.id) for artifact in gone))
        keys = tuple(dict.fromkeys(key for artifact in gone for key in artifact.keys))
        kept = self._still_used(keys)
        purged = await asyncio.gather(
            *(self._purged(store, [key for key in keys if key not in kept]) for store in self._stores.values())
        )
        return Forgotten(
            artifacts=tuple(artifact.id for artifact in gone),
            purged={name: count for name, count, _ in purged if keys},
            notes=tuple(note for _, _, note in purged if note),
        )

    def _still_used(self, keys: Iterable[str]) -> frozenset[str]:
        """Keys that another artifact shares: the head of a longer list of the same kids."""
        others: Iterable[Artifact] = self._artifacts.all()
        return frozenset(keys) & frozenset(key for artifact in others for key in artifact.keys)

    async def _purged(self, store: KvStore, keys: list[str]) -> tuple[str, int, str]:
        try:
            return store.name, await store.purge(keys), ""
        except Unavailable as error:
            log.warning("not purged of %d chunks: %s", len(keys), error.message)
            return store.name, 0, f"not purged: {error.message}"
