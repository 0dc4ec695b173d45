"""The artifacts of one KDN: what is offered is complete, within a byte quota, and as it was built.

Bytes go first, under a name of their own, the row after them; on removal the row goes first. So a crash leaves at most
a blob that no row names, which the next start removes. Knows no engine and no kv store.
"""

import hashlib
import logging
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from cacheroute.errors import NotFound, Unavailable
from cacheroute.kdn.artifacts.catalogue import Stored
from cacheroute.kdn.artifacts.depot import Depot, blob_name
from cacheroute.kdn.artifacts.rebuilds import NoRebuilds, Rebuilds, Rotted
from cacheroute.kdn.artifacts.room import Room
from cacheroute.kdn.blobs.blob import Blob, Draft, OpenBlobs, Rotten
from cacheroute.kdn.blobs.files import FileBlobs
from cacheroute.wire.artifacts import Artifact, Rendering, Verdict

log = logging.getLogger(__name__)


def artifact_id(kids: Sequence[str], rendering: Rendering, fingerprint: str) -> str:
    """128 bits of sha256 over what an artifact is: the same on every KDN."""
    return hashlib.sha256("\0".join((fingerprint, rendering, *kids)).encode()).hexdigest()[:32]


class Artifacts:
    """Rows, blobs and quota as one. Lookups only read memory; what says "blocking" belongs in a thread.

    Safe to call from several threads. Raises Unavailable where the disk or the object store fails.
    """

    def __init__(self, directory: Path, quota_bytes: int, open_blobs: OpenBlobs = FileBlobs) -> None:
        """Blocking. Raises Conflict if another process has the directory, CatalogueError if it cannot be used.

        What a smaller quota than before has no room for is evicted.
        """
        self.rebuilds: Rebuilds = NoRebuilds()
        self._depot = Depot(directory, open_blobs)
        self._lock = self._depot.lock
        self._shelf = self._depot.shelf
        self._room = Room(quota_bytes, self._shelf)
        self._turn = max((stored.turn for stored in self._shelf.all()), default=0)
        self.drop(stored.artifact.id for stored in self._room.evictable(self._room.excess))
        for warning in self.warnings:
            log.warning("%s", warning)

    def close(self) -> None:
        self._depot.close()

    def __len__(self) -> int:
        return len(self._shelf)

    @property
    def nbytes(self) -> int:
        return self._shelf.nbytes

    @property
    def quota_bytes(self) -> int:
        return self._room.quota_bytes

    @property
    def warnings(self) -> tuple[str, ...]:
        """What an operator should know."""
        if self.nbytes <= self.quota_bytes:
            return self._depot.warnings
        over = f"pinned artifacts alone take {self.nbytes:,} bytes, the quota is {self.quota_bytes:,}: unpin some"
        return (*self._depot.warnings, over)

    def all(self) -> tuple[Artifact, ...]:
        return tuple(stored.artifact for stored in self._shelf.all())

    def get(self, artifact_id: str) -> Artifact:
        """Raises NotFound."""
        return self._depot.get(artifact_id).artifact

    def find(self, kids: Sequence[str], rendering: Rendering, fingerprint: str) -> Artifact | None:
        """The artifact with the most tokens of any prefix of `kids`: KV of [a] serves [a, b] up to the end of a, and
        better than a partial artifact of [a, b] that ends before. Of two with as many, the one of more kids."""
        best: Artifact | None = None
        for length in range(len(kids), 0, -1):
            stored = self._shelf.get(artifact_id(kids[:length], rendering, fingerprint))
            if stored is not None and (best is None or stored.artifact.n_tokens > best.n_tokens):
                best = stored.artifact
        return best

    def holding(self, kids: Iterable[str]) -> tuple[Artifact, ...]:
        """Those that contain any of these kids."""
        return self._shelf.holding(kids)

    def by_kid(self) -> Mapping[str, tuple[str, ...]]:
        """Of each kid that any artifact contains, the artifacts' ids."""
        return self._shelf.by_kid()

    def page(self, after: str, limit: int, kid: str = "", fingerprint: str = "") -> tuple[Artifact, ...]:
        """Up to `limit` of them in the order of their ids, from the first id above `after`; of a kid, a fingerprint."""
        return self._shelf.page(after, limit, kid, fingerprint)

    @contextmanager
    def building(self, artifact_id: str, nbytes: int) -> Generator[Draft]:
        """Blocking. Room for an artifact and a draft to write it to, abandoned unless `publish` had it.

        Raises Unavailable where pinned artifacts and those in use leave no room.
        """
        name = blob_name(artifact_id)
        try:
            with self._lock:
                leaving = self._room.reserve(name, nbytes)
                evicted = self._depot.forget(stored.artifact.id for stored in leaving)
            self._depot.discard(stored.blob for stored in evicted)
            draft = self._depot.blobs.draft(name)
            try:
                yield draft
            finally:
                draft.abandon()
        finally:
            with self._lock:
                self._room.release(name)

    def publish(self, artifact: Artifact, draft: Draft, checksums: bytes, still_wanted: Callable[[], bool]) -> Artifact:
        """Blocking. From here on the artifact is offered, and outlives a crash. It replaces one of the same id, unless
        that has more tokens: then that is returned. One with fewer tokens than `whole_tokens` is a partial one.

        Raises NotFound if its texts are not `still_wanted`, looked at when no removal can come between.
        """
        needless = draft.name
        try:
            draft.commit()
            with self._lock:
                if not still_wanted():
                    raise NotFound("the knowledge was deleted while its KV was built")
                before = self._shelf.get(artifact.id)
                if before is not None and before.artifact.n_tokens > artifact.n_tokens:
                    return before.artifact
                made = msgspec.structs.replace(
                    artifact,
                    created_at=_now(),
                    last_used=_now(),
                    hits=before.artifact.hits if before else 0,
                    pinned=before.artifact.pinned if before else False,
                )
                self._depot.put(Stored(made, checksums, self._next_turn(), draft.name))
                self._room.release(draft.name)
                needless = before.blob if before else ""
        finally:
            self._depot.discard([needless] if needless else [])
        return made

    @contextmanager
    def reading(self, artifact_id: str) -> Generator[Blob]:
        """Blocking. The artifact's bytes, safe from eviction. Raises NotFound; Rotted, and then offers no more of it
        than what is sound."""
        with self._using(artifact_id) as stored:
            try:
                with self._depot.blobs.open(stored.blob, stored.checksums, stored.chunk_nbytes) as blob:
                    yield blob
            except Rotten as error:
                verdict = self._examined(stored)
                if verdict.ok:  # read at the second try: a disk on its way out
                    raise Unavailable(f"storage: {error}", code="storage_failed") from error
                raise Rotted(verdict, stored.artifact.n_tokens) from error

    def used(self, artifact_id: str) -> None:
        """Blocking. Counts a hit and makes the artifact the most recently used."""
        with self._lock:
            if stored := self._shelf.get(artifact_id):
                artifact = msgspec.structs.replace(stored.artifact, hits=stored.artifact.hits + 1, last_used=_now())
                self._depot.used(Stored(artifact, stored.checksums, self._next_turn(), stored.blob))

    def pin(self, artifact_id: str, pinned: bool) -> Artifact:
        """Blocking. Raises NotFound."""
        with self._lock:
            stored = self._depot.get(artifact_id)
            artifact = msgspec.structs.replace(stored.artifact, pinned=pinned)
            self._depot.put(Stored(artifact, stored.checksums, stored.turn, stored.blob))
        return artifact

    def verify(self, artifact_id: str) -> Verdict:
        """Blocking, for as long as reading it takes. Checks every chunk; those before the first rotten one stay as a
        partial artifact, and the whole is ordered to be built again. Raises NotFound."""
        with self._using(artifact_id) as stored:
            return self._examined(stored)

    def drop(self, ids: Iterable[str]) -> tuple[Artifact, ...]:
        """Blocking. Removes those that are there, pinned or not. Whoever reads a file keeps reading what he opened."""
        gone = self._depot.forget(ids)
        self._depot.discard(stored.blob for stored in gone)
        return tuple(stored.artifact for stored in gone)

    def blobs_of(self, ids: Iterable[str]) -> int:
        """Blocking. How many blobs there are of these artifacts, whether anybody is offered them or not."""
        return self._depot.blobs_of(ids)

    @property
    def is_swept(self) -> bool:
        """Whether nothing is left that should have been removed."""
        return self._depot.is_swept

    def sweep(self) -> None:
        """Blocking. Removes what could not be removed when it should have been."""
        self._depot.sweep(self._room.reserved)

    @contextmanager
    def _using(self, artifact_id: str) -> Generator[Stored]:
        with self._lock:
            stored = self._depot.get(artifact_id)
            self._room.enter(artifact_id)
        try:
            yield stored
        finally:
            with self._lock:
                self._room.leave(artifact_id)

    def _next_turn(self) -> int:
        self._turn += 1
        return self._turn

    def _examined(self, stored: Stored) -> Verdict:
        """Reads it from the front. From the first rotten chunk on it is offered no more, and is ordered anew."""
        sound, why = self._depot.sound(stored)
        artifact = stored.artifact
        if not why:
            return Verdict(artifact_id=artifact.id, ok=True)
        kept_tokens = self._depot.cut(stored, sound)
        log.error("artifact %s is rotten: %s", artifact.id, why)
        return Verdict(
            artifact_id=artifact.id,
            ok=False,
            why=why,
            kept_tokens=kept_tokens,
            rebuild=self.rebuilds.rebuild(artifact),
        )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
