"""Where KV of a text may be besides its artifacts, and how each such place is purged: kv stores, engines' own caches.

An engine stores chunks of its own from text traffic: the last one of a text mixed with a question, sets in another
order, conversations. Their keys follow from prompts that nobody keeps. So what goes is not what had the text but what
nothing vouches for: every chunk of the stack's engines that is no key of an artifact which still exists. That costs
others a recomputation or an injection (24 MB take 9 ms), also those of another KDN that shares the store: its artifacts
are not known here, and are injected anew when they are asked for.
"""

import asyncio
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Protocol

from cacheroute.errors import Unavailable
from cacheroute.kdn.artifacts.artifacts import Artifacts
from cacheroute.kdn.instances import InstanceClient
from cacheroute.kdn.purge.journal import ENGINE, STORE
from cacheroute.kdn.worker import Worker
from cacheroute.kvstore.store import KvStore
from cacheroute.wire.control import InstanceRecord
from knowledge.catalogue.library import Library

KEYS_AT_ONCE = 1000
"""Of one command to a kv store."""


@dataclass(frozen=True, slots=True)
class Cleared:
    """What a purge took out, and what was found there afterwards, in chunks."""

    dropped: int = 0
    left: int = 0


NOTHING = Cleared()


class Place(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def refills(self) -> bool:
        """Whether a request under way may put something back, so that it is purged once more later."""
        ...

    async def purge(self) -> Cleared:
        """Raises CacheRouteError where it cannot be done now."""
        ...


@dataclass(frozen=True, slots=True)
class _Swept:
    """What a store was like after a sweep: its changes, the keys that were kept, the model strings looked for."""

    changes: tuple[str, str, int]
    kept: frozenset[str]
    models: frozenset[str]


class StorePlace:
    """A kv store. `models`: the model strings of the stack's keys; `wanted`: keys that a build waits for."""

    refills = True

    def __init__(
        self,
        store: KvStore,
        artifacts: Artifacts,
        models: Callable[[], Iterable[str]],
        wanted: Callable[[], Iterable[str]],
    ) -> None:
        self.name = STORE + store.name
        self.store = store
        self._artifacts = artifacts
        self._models = models
        self._wanted = wanted
        self._gone: set[str] = set()
        self._swept: _Swept | None = None

    def expect(self, keys: Iterable[str]) -> None:
        """Keys that the next purge finds by name: cheaper than a sweep where nothing else has changed."""
        self._gone.update(keys)

    async def purge(self) -> Cleared:
        wanted, gone, self._gone = tuple(self._wanted()), self._gone, set[str]()
        kept, gone = await asyncio.to_thread(self._sorted, wanted, gone)
        models = frozenset(self._models())
        before = await self.store.changes()
        named = await self._unlink(list(gone))
        swept = self._swept
        if swept and before == swept.changes and models <= swept.models and swept.kept - gone <= kept:
            self._swept = _Swept(_later(swept.changes, named), swept.kept - gone, swept.models)
            return Cleared(dropped=named)
        self._swept = None
        found = sum([await self.store.sweep(model, kept.__contains__) for model in sorted(models)])
        if before is not None:  # had others written meanwhile, there are more changes now than ours
            self._swept = _Swept(_later(before, named + found), kept, models)
        return Cleared(dropped=named + found)

    async def unlink(self, keys: Collection[str]) -> int:
        """Takes out those of the keys that no artifact has; returns how many were there. Raises Unavailable."""
        _, gone = await asyncio.to_thread(self._sorted, (), keys)
        return await self._unlink(list(gone))

    async def left(self, keys: Collection[str]) -> int:
        """How many of the keys are there, of those that no artifact has. Raises Unavailable."""
        _, gone = await asyncio.to_thread(self._sorted, (), keys)
        return len(gone) - len(await self.store.missing(list(gone)))

    def _sorted(self, wanted: Iterable[str], gone: Collection[str]) -> tuple[frozenset[str], frozenset[str]]:
        """The keys to keep, and of `gone` those that are not among them."""
        kept = frozenset(chain(wanted, *(artifact.keys for artifact in self._artifacts.all())))
        return kept, frozenset(gone) - kept

    async def _unlink(self, keys: Sequence[str]) -> int:
        parts = [keys[start : start + KEYS_AT_ONCE] for start in range(0, len(keys), KEYS_AT_ONCE)]
        return sum([await self.store.purge(part) for part in parts])


class EnginePlace:
    """The prefix cache of the engine behind an instance, which is emptied as a whole."""

    refills = True

    def __init__(
        self, instance: str, instances: Callable[[], Iterable[InstanceRecord]], client: InstanceClient
    ) -> None:
        self.name = ENGINE + instance
        self._instance = instance
        self._instances = instances
        self._client = client

    async def purge(self) -> Cleared:
        for instance in self._instances():
            if instance.name == self._instance:
                reset = await self._client.reset_prefix_cache(instance)
                return Cleared(reset.dropped, reset.left)
        raise Unavailable(f"instance {self._instance} does not live now")


class LibraryPlace:
    """The library's file, where deleted words stand for a while in the search index and the log."""

    name = "library file"
    refills = False

    def __init__(self, library: Library, worker: Worker) -> None:
        self._library = library
        self._worker = worker

    async def purge(self) -> Cleared:
        await self._worker.run(self._library.shelf.scrub)
        return NOTHING


def _later(changes: tuple[str, str, int], by: int) -> tuple[str, str, int]:
    life, save, count = changes
    return life, save, count + by
