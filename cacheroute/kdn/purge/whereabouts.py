"""Which places there are to purge: the kv stores of the configuration, the engines that were ever met, the library's
file. What was met is remembered on disk, so that neither a restart here nor an absence there hides a place.
"""

import logging
from collections.abc import Callable, Iterable, Sequence

from cacheroute.kdn.artifacts.artifacts import Artifacts
from cacheroute.kdn.instances import InstanceClient
from cacheroute.kdn.purge.journal import ENGINE, PurgeJournal
from cacheroute.kdn.purge.places import EnginePlace, LibraryPlace, Place, StorePlace
from cacheroute.kdn.worker import Worker
from cacheroute.keys import model_of
from cacheroute.kvstore.store import KvStore
from cacheroute.wire.control import InstanceRecord

log = logging.getLogger(__name__)


class Whereabouts:
    """`instances()`: who lives now. `wanted()`: keys in kv stores that a build waits for."""

    def __init__(
        self,
        journal: PurgeJournal,
        worker: Worker,
        artifacts: Artifacts,
        stores: Sequence[KvStore],
        library: LibraryPlace,
        instances: Callable[[], Sequence[InstanceRecord]],
        client: InstanceClient,
        wanted: Callable[[], Iterable[str]],
    ) -> None:
        """Blocking. Raises CatalogueError."""
        self.stores = tuple(StorePlace(store, artifacts, self.models, wanted) for store in stores)
        self._journal = journal
        self._worker = worker
        self._artifacts = artifacts
        self._library = library
        self._instances = instances
        self._client = client
        self._engines, self._models = journal.met()
        for entry in journal.entries():
            if not entry.place.startswith(ENGINE) and entry.place not in self.names():
                log.warning("%s is not in this KDN's configuration any more: it is not purged", entry.place)
                journal.drop(entry.place)

    def names(self) -> tuple[str, ...]:
        """Every place, those that cannot be reached now too."""
        engines = self._engines.union(self._live())
        return (
            *(place.name for place in self.stores),
            *(ENGINE + name for name in sorted(engines)),
            self._library.name,
        )

    def closed(self) -> tuple[str, ...]:
        """Instances that live now whose engines have no cache that could be emptied from here."""
        return tuple(instance.name for instance in self._instances() if not instance.engine.key_model)

    def place(self, name: str) -> Place:
        """The place of one of the `names`."""
        for place in (*self.stores, self._library):
            if place.name == name:
                return place
        return EnginePlace(name.removeprefix(ENGINE), self._instances, self._client)

    def models(self) -> frozenset[str]:
        """The model strings that the keys of this stack's chunks begin with."""
        live = {instance.engine.key_model for instance in self._instances()}
        built = {model_of(artifact.keys[0]) for artifact in self._artifacts.all() if artifact.keys}
        return self._models.union(live, built) - {""}

    async def remember(self) -> None:
        """Puts on disk who lives now. Raises Unavailable."""
        self._models, live = self.models(), self._live()
        self._engines = self._engines.union(live)
        await self._worker.run(self._journal.meet, live, self._models)

    def _live(self) -> frozenset[str]:
        """Instances whose engines cache by our keys."""
        return frozenset(instance.name for instance in self._instances() if instance.engine.key_model)
