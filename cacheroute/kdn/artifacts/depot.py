"""One KDN's rows, its blobs and the shelf of what it offers, kept in step: whatever crash or outage comes between.

Knows no quota and no use. A blob that cannot be removed now is removed later, and nobody is offered it meanwhile.
"""

import fcntl
import logging
import os
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from pathlib import Path
from threading import RLock

from cacheroute.errors import Conflict, NotFound, Unavailable
from cacheroute.kdn.artifacts.catalogue import Stored, opened
from cacheroute.kdn.artifacts.shelf import Shelf
from cacheroute.kdn.blobs.blob import OpenBlobs, Rotten
from knowledge.errors import CatalogueError

log = logging.getLogger(__name__)


class Depot:
    """All in `directory`, or beginning there. Synchronous, safe to call from several threads: what must be one step
    is done under `lock`, and no blob is touched under it.

    Raises Unavailable where a row cannot be written, and then nothing has changed.
    """

    def __init__(self, directory: Path, open_blobs: OpenBlobs) -> None:
        """Raises Conflict if another process has the directory; CatalogueError, Unavailable if it cannot be used."""
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)  # an API key's collections are no other user's
        self._owned = (directory / "owner.lock").open("w")
        try:
            fcntl.flock(self._owned, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._owned.close()
            raise Conflict(f"another process keeps its artifacts in {directory}") from error
        self.blobs = open_blobs(directory / "blobs")
        self._catalogue, warning = opened(directory / "artifacts.sqlite")
        self._begun_anew = warning
        self._not_compared = ""
        self._strays = frozenset[str]()
        self.lock = RLock()
        self.shelf = Shelf(self._reconciled(self._catalogue.at_start))

    def close(self) -> None:
        self._catalogue.close()
        self._owned.close()

    @property
    def warnings(self) -> tuple[str, ...]:
        """What an operator should know: of the start, and what could not be removed yet."""
        left = f"{len(self._strays)} blobs that nobody is offered could not be removed yet" if self._strays else ""
        return tuple(warning for warning in (self._begun_anew, self._not_compared, left) if warning)

    @property
    def is_swept(self) -> bool:
        """Whether nothing is left that should have been removed."""
        return not self._strays and not self._not_compared

    def get(self, artifact_id: str) -> Stored:
        """Raises NotFound."""
        stored = self.shelf.get(artifact_id)
        if stored is None:
            raise NotFound(f"there is no artifact {artifact_id!r}")
        return stored

    def put(self, stored: Stored) -> None:
        with self.lock, _catalogue_errors_named():
            self._catalogue.put(stored)
            self.shelf.put(stored)

    def used(self, stored: Stored) -> None:
        """As `put`, of what changes with each use: the keys of a long artifact are not written again."""
        with self.lock, _catalogue_errors_named():
            self._catalogue.used(stored)
            self.shelf.put(stored)

    def forget(self, ids: Iterable[str]) -> list[Stored]:
        """Takes those that are there off the shelf. Whoever calls discards their blobs, without the lock."""
        with self.lock, _catalogue_errors_named():
            gone = [stored for each in dict.fromkeys(ids) if (stored := self.shelf.get(each))]
            if gone:
                self._catalogue.drop(stored.artifact.id for stored in gone)
            for stored in gone:
                self.shelf.remove(stored.artifact.id)
        return gone

    def cut(self, stored: Stored, chunks: int) -> int:
        """Offers only the first chunks of what was found rotten after them; returns how many tokens those are.

        Raises Unavailable if another blob is offered now, or none.
        """
        with self.lock:
            held = self.shelf.get(stored.artifact.id)
            if held is None or held.blob != stored.blob:
                raise Unavailable(f"artifact {stored.artifact.id} was replaced or deleted while it was read: ask again")
            if held.chunks <= chunks:  # somebody else found it too
                return held.artifact.n_tokens
            kept = held.shortened(chunks) if chunks else None
            if kept:
                self.put(kept)
            else:
                self.forget([held.artifact.id])
        if kept is None:
            self.discard([held.blob])
            return 0
        try:
            self.blobs.shorten(kept.blob, kept.artifact.nbytes)
        except Unavailable as error:  # no harm: what follows is never read
            log.warning("the rotten end of artifact %s stays where it is: %s", kept.artifact.id, error.message)
        return kept.artifact.n_tokens

    def discard(self, names: Iterable[str]) -> None:
        """Removes blobs that no row names, and those that could not be removed before. Raises nothing."""
        with self.lock:
            gone = self._strays = self._strays.union(names)
        if not gone:
            return
        try:
            self.blobs.remove(gone)
        except Unavailable as error:
            log.warning("%d blobs are not removed yet: %s", len(gone), error.message)
        else:
            with self.lock:
                self._strays -= gone

    def sweep(self, being_written: Callable[[], Iterable[str]]) -> None:
        """Removes what could not be removed before. Raises Unavailable where it still cannot be seen."""
        orphans = frozenset[str]()
        if self._not_compared:
            names = frozenset(self.blobs.names())
            with self.lock:  # what was listed is by now on the shelf, being written, or nobody's
                orphans = names.difference((stored.blob for stored in self.shelf.all()), being_written())
            self._not_compared = ""
        self.discard(orphans)

    def blobs_of(self, ids: Iterable[str]) -> int:
        """How many blobs there are of these artifacts, offered or not. Raises Unavailable where that is unknown."""
        wanted = frozenset(ids)
        left = sum(_artifact_of(name) in wanted for name in self._strays)
        return left or sum(_artifact_of(name) in wanted for name in self.blobs.names())

    def sound(self, stored: Stored) -> tuple[int, str]:
        """How many chunks from the front are as they were stored; what is wrong with the next. Raises Unavailable."""
        sound = 0
        self.blobs.uncache(stored.blob)
        try:
            with self.blobs.open(stored.blob, stored.checksums, stored.chunk_nbytes) as blob:
                while sound < stored.chunks:
                    blob.value(sound)
                    sound += 1
        except Rotten as error:
            return sound, str(error)
        return sound, ""

    def _reconciled(self, stored: tuple[Stored, ...]) -> tuple[Stored, ...]:
        """Without rows whose blob is lost; blobs without a row are removed. Where the blobs cannot be listed now, the
        rows are believed: a blob that is gone will be found on reading."""
        try:
            names = frozenset(self.blobs.names())
        except Unavailable as error:
            self._not_compared = f"blobs were not compared with the catalogue at the start: {error.message}"
            log.error("%s", self._not_compared)
            return stored
        if lost := [each.artifact.id for each in stored if each.blob not in names]:
            log.warning("%d artifacts lost their blob and are forgotten: %s", len(lost), ", ".join(lost[:10]))
            self._catalogue.drop(lost)
        kept = tuple(each for each in stored if each.blob in names)
        self.discard(names.difference(each.blob for each in kept))
        return kept


def blob_name(artifact_id: str) -> str:
    """Another one each time it is built."""
    return f"{artifact_id}.{os.urandom(4).hex()}"


def _artifact_of(blob: str) -> str:
    return blob.partition(".")[0]


@contextmanager
def _catalogue_errors_named() -> Generator[None]:
    try:
        yield
    except CatalogueError as error:
        raise Unavailable(f"storage: {error}", code="storage_failed") from error
