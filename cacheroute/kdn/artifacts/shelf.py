"""The artifacts that one KDN offers, in memory, indexed by what is asked of them: no request walks through all.

Knows no disk, no quota and no lock. One thread at a time may change it; others may read meanwhile, because what a
reader is given is never altered in place.
"""

from bisect import bisect_left, bisect_right, insort
from collections import OrderedDict, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice

from cacheroute.kdn.artifacts.catalogue import Stored
from cacheroute.wire.artifacts import Artifact


class Shelf:
    """Artifacts by id, by kid, and by when they were last used."""

    def __init__(self, stored: Iterable[Stored] = ()) -> None:
        self._held: OrderedDict[str, Stored] = OrderedDict()
        self._ids: defaultdict[str, list[str]] = defaultdict(list)  # sorted; by fingerprint, and "" for all
        self._by_kid: dict[str, tuple[str, ...]] = {}
        self.nbytes = 0
        for each in stored:
            self.put(each)

    def __len__(self) -> int:
        return len(self._held)

    def get(self, artifact_id: str) -> Stored | None:
        return self._held.get(artifact_id)

    def put(self, stored: Stored) -> None:
        """Adds it, or takes it in the place of the one with its id. With a new turn it is the last one used."""
        artifact, before = stored.artifact, self._held.get(stored.artifact.id)
        self._held[artifact.id] = stored
        if before is None:
            for fingerprint in ("", artifact.fingerprint):
                insort(self._ids[fingerprint], artifact.id)
            for kid in artifact.kids:
                self._by_kid[kid] = (*self._by_kid.get(kid, ()), artifact.id)
        elif before.turn != stored.turn:
            self._held.move_to_end(artifact.id)
        self.nbytes += artifact.nbytes - (before.artifact.nbytes if before else 0)

    def remove(self, artifact_id: str) -> None:
        artifact = self._held.pop(artifact_id).artifact
        for fingerprint in ("", artifact.fingerprint):
            ids = self._ids[fingerprint]
            del ids[bisect_left(ids, artifact.id)]
        for kid in artifact.kids:
            if left := tuple(each for each in self._by_kid[kid] if each != artifact.id):
                self._by_kid[kid] = left
            else:
                del self._by_kid[kid]
        self.nbytes -= artifact.nbytes

    def least_recently_used(self) -> Iterator[Stored]:
        """The longest unused first. Not to be changed meanwhile."""
        return iter(self._held.values())

    def all(self) -> tuple[Stored, ...]:
        return tuple(self._held.values())

    def by_kid(self) -> Mapping[str, tuple[str, ...]]:
        """Of each kid that any artifact contains, the artifacts' ids."""
        return self._by_kid

    def holding(self, kids: Iterable[str]) -> tuple[Artifact, ...]:
        """Those that contain any of these kids."""
        ids = dict.fromkeys(artifact_id for kid in kids for artifact_id in self._by_kid.get(kid, ()))
        return tuple(stored.artifact for artifact_id in ids if (stored := self._held.get(artifact_id)))

    def page(self, after: str, limit: int, kid: str = "", fingerprint: str = "") -> tuple[Artifact, ...]:
        """Up to `limit` of them in the order of their ids, from the first id above `after`; of a kid, a fingerprint."""
        ids = sorted(self._by_kid.get(kid, ())) if kid else self._ids.get(fingerprint, [])
        ids = ids[bisect_right(ids, after) :]
        found = (stored.artifact for artifact_id in ids if (stored := self._held.get(artifact_id)))
        wanted = (artifact for artifact in found if not fingerprint or artifact.fingerprint == fingerprint)
        return tuple(islice(wanted, limit))
