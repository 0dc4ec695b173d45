"""The artifacts of one KDN: what is offered is complete on disk, within a byte quota, and as it was built.

Bytes go first (temp, fsync, rename), the row after them; on removal the row goes first. So a crash leaves at most a
file that no row names, which the next start removes. Knows no engine and no kv store.
"""

import fcntl
import hashlib
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from threading import RLock

import msgspec

from cacheroute.errors import Conflict, NotFound, Unavailable
from cacheroute.kdn.blobs import CHECKSUM_BYTES, Blob, BlobStore, Draft, FileBlobs, Rotten
from cacheroute.kdn.catalogue import Catalogue, Stored
from cacheroute.wire.artifacts import Artifact, Rendering, Verdict


def artifact_id(kids: Sequence[str], rendering: Rendering, fingerprint: str) -> str:
    """128 bits of sha256 over what an artifact is: the same on every KDN."""
    return hashlib.sha256("\0".join((fingerprint, rendering, *kids)).encode()).hexdigest()[:32]


class Artifacts:
    """Catalogue, blobs and quota as one. Lookups only read memory; what says "blocking" belongs in a thread.

    Safe to call from several threads. Raises OSError and CatalogueError where the disk fails.
    """

    def __init__(self, directory: Path, quota_bytes: int, blobs: BlobStore | None = None) -> None:
        """Blocking. Raises Conflict if another process has the directory."""
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)  # an API key's collections are no other user's
        self._owned = (directory / "owner.lock").open("w")
        try:
            fcntl.flock(self._owned, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._owned.close()
            raise Conflict(f"another process keeps its artifacts in {directory}") from error
        self.quota_bytes = quota_bytes
        self._blobs = FileBlobs(directory / "blobs") if blobs is None else blobs
        self._catalogue = Catalogue(directory / "artifacts.sqlite")
        self._lock = RLock()
        self._in_use = Counter[str]()
        self._reserved = 0
        self._held = {stored.artifact.id: stored for stored in self._catalogue.all()}
        self._turn = max((stored.turn for stored in self._held.values()), default=0)
        names = frozenset(self._blobs.names())
        self.drop(tuple(self._held.keys() - names))
        for name in names - self._held.keys():
            self._blobs.remove(name)

    def close(self) -> None:
        self._catalogue.close()
        self._owned.close()

    def __len__(self) -> int:
        return len(self._held)

    @property
    def nbytes(self) -> int:
        return sum(artifact.nbytes for artifact in self.all())

    def all(self) -> tuple[Artifact, ...]:
        return tuple(stored.artifact for stored in tuple(self._held.values()))

    def get(self, artifact_id: str) -> Artifact:
        """Raises NotFound."""
        return self._stored(artifact_id).artifact

    def find(self, kids: Sequence[str], rendering: Rendering, fingerprint: str) -> Artifact | None:
        """The artifact for the longest prefix of `kids`: KV of [a] serves [a, b] up to the end of a."""
        for length in range(len(kids), 0, -1):
            stored = self._held.get(artifact_id(kids[:length], rendering, fingerprint))
            if stored is not None:
                return stored.artifact
        return None

    def holding(self, kids: Iterable[str]) -> tuple[Artifact, ...]:
        """Those that contain any of these kids."""
        wanted = frozenset(kids)
        return tuple(artifact for artifact in self.all() if not wanted.isdisjoint(artifact.kids))

    def by_kid(self) -> dict[str, list[str]]:
        """Of each kid that any artifact contains, the artifacts' ids."""
        ids: dict[str, list[str]] = {}
        for artifact in self.all():
            for kid in artifact.kids:
                ids.setdefault(kid, []).append(artifact.id)
        return ids

    @contextmanager
    def building(self, name: str, nbytes: int) -> Generator[Draft]:
        """Blocking. Room for an artifact and a draft to write it to, abandoned unless `publish` had it.

        Raises Unavailable where pinned artifacts and those in use leave no room.
        """
        self._make_room(nbytes)
        try:
            draft = self._blobs.draft(name)
            try:
                yield draft
            finally:
                draft.abandon()
        finally:
            with self._lock:
                self._reserved -= nbytes

    def publish(self, artifact: Artifact, draft: Draft, checksums: bytes, still_wanted: Callable[[], bool]) -> Artifact:
        """Blocking. From here on the artifact is offered, and outlives a crash. It replaces one of the same id.

        Raises NotFound if its texts are not `still_wanted`, looked at when no removal can come between.
        """
        draft.commit()
        with self._lock:
            if not still_wanted():
                self._blobs.remove(artifact.id)
                raise NotFound("the knowledge was deleted while its KV was built")
            made = msgspec.structs.replace(artifact, created_at=_now(), last_used=_now())
            self._put(Stored(made, checksums, self._next_turn()))
        return made

    @contextmanager
    def reading(self, artifact_id: str) -> Generator[Blob]:
        """Blocking. The artifact's bytes, safe from eviction. Raises NotFound; Rotten, and then drops it."""
        with self._lock:
            stored = self._stored(artifact_id)
            self._in_use[artifact_id] += 1
        try:
            with self._blobs.open(artifact_id, stored.checksums, stored.chunk_nbytes) as blob:
                yield blob
        except Rotten:
            self.drop([artifact_id])
            raise
        finally:
            with self._lock:
                self._in_use[artifact_id] -= 1

    def used(self, artifact_id: str) -> None:
        """Blocking. Counts a hit and makes the artifact the most recently used."""
        with self._lock:
            if stored := self._held.get(artifact_id):
                artifact = msgspec.structs.replace(stored.artifact, hits=stored.artifact.hits + 1, last_used=_now())
                self._put(Stored(artifact, stored.checksums, self._next_turn()))

    def pin(self, artifact_id: str, pinned: bool) -> Artifact:
        """Blocking. Raises NotFound."""
        with self._lock:
            stored = self._stored(artifact_id)
            artifact = msgspec.structs.replace(stored.artifact, pinned=pinned)
            self._put(Stored(artifact, stored.checksums, stored.turn))
        return artifact

    def verify(self, artifact_id: str) -> Verdict:
        """Blocking. Reads every chunk; what is rotten is dropped and offered no more. Raises NotFound."""
        try:
            with self.reading(artifact_id) as blob:
                for index in range(len(self._stored(artifact_id).checksums) // CHECKSUM_BYTES):
                    blob.value(index)
        except Rotten as error:
            return Verdict(artifact_id=artifact_id, ok=False, why=str(error))
        return Verdict(artifact_id=artifact_id, ok=True)

    def drop(self, ids: Iterable[str]) -> tuple[Artifact, ...]:
        """Blocking. Removes those that are there, pinned or not. Whoever reads one keeps reading what he opened."""
        with self._lock:
            gone = [self._held[each].artifact for each in ids if each in self._held]
            self._catalogue.drop(artifact.id for artifact in gone)
            for artifact in gone:
                del self._held[artifact.id]
                self._blobs.remove(artifact.id)
        return tuple(gone)

    def _stored(self, artifact_id: str) -> Stored:
        stored = self._held.get(artifact_id)
        if stored is None:
            raise NotFound(f"there is no artifact {artifact_id!r}")
        return stored

    def _put(self, stored: Stored) -> None:
        self._catalogue.put(stored)
        self._held[stored.artifact.id] = stored

    def _next_turn(self) -> int:
        self._turn += 1
        return self._turn

    def _make_room(self, nbytes: int) -> None:
        """Reserves `nbytes`, dropping the least recently used that nobody reads and nobody pinned."""
        with self._lock:
            excess = self.nbytes + self._reserved + nbytes - self.quota_bytes
            evicted: list[str] = []
            for stored in sorted(self._held.values(), key=lambda stored: stored.turn):
                if excess <= 0:
                    break
                if not stored.artifact.pinned and not self._in_use[stored.artifact.id]:
                    evicted.append(stored.artifact.id)
                    excess -= stored.artifact.nbytes
            if excess > 0:
                raise Unavailable(
                    f"{nbytes:,} bytes more would exceed the quota of {self.quota_bytes:,}, and nothing else may go",
                    code="quota_exceeded",
                )
            self.drop(evicted)
            self._reserved += nbytes


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
