"""A BlobStore in an S3-compatible object store: one object a blob, put whole or not at all, read in large ranges.

A draft is a file on this machine until it is complete: a build that fails, or a crash, has sent nothing.
"""

import os
from collections.abc import Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from cacheroute.errors import Conflict, Unavailable
from cacheroute.kdn.blobs.blob import CHECKSUM_BYTES, Rotten, checked
from cacheroute.kdn.blobs.files import Spool, emptied
from cacheroute.kdn.blobs.s3_prefix import S3Place, S3Prefix

RANGE_BYTES = 4 * 2**20
"""Read by one request: chunks of some 100 kB one by one would cost a round trip each."""

AHEAD = 3
"""Ranges under way while one is sent: an object store answers late, and then fast."""

MAX_REQUESTS = 8
"""Ranges under way at a time, for all who read."""

_SUFFIX = ".kv"
_OWNER = "owner"


class S3Blobs:
    """A BlobStore under a prefix that it has for itself: an object there names the owner, whom a file in `directory`
    knows. Raises Conflict where the prefix is another's."""

    def __init__(self, directory: Path, place: S3Place) -> None:
        self._prefix = S3Prefix(place)
        self._drafts = emptied(directory / "drafts")
        self._owner = _owner_id(directory / _OWNER)
        self._owned = False
        self._requests = ThreadPoolExecutor(MAX_REQUESTS, thread_name_prefix="s3")

    def draft(self, name: str) -> "S3Draft":
        return S3Draft(name, self._drafts, self._claimed())

    @contextmanager
    def open(self, name: str, checksums: bytes, chunk_nbytes: int) -> Generator["S3Blob"]:
        blob = S3Blob(self._prefix, self._requests, name + _SUFFIX, checksums, chunk_nbytes)
        try:
            yield blob
        finally:
            blob.close()

    def uncache(self, name: str) -> None:
        """Nothing to do: every range is asked for anew."""

    def shorten(self, name: str, nbytes: int) -> None:
        """Puts the beginning in the place of the whole: an object cannot be cut."""
        draft = self.draft(name)
        try:
            for start in range(0, nbytes, RANGE_BYTES):
                draft.append(self._prefix.range(name + _SUFFIX, start, min(start + RANGE_BYTES, nbytes)))
            draft.commit()
        except FileNotFoundError as error:
            raise Unavailable(f"{self._prefix}: {name} is gone", code="storage_failed") from error
        finally:
            draft.abandon()

    def remove(self, names: Iterable[str]) -> None:
        self._claimed().remove(name + _SUFFIX for name in names)

    def names(self) -> Iterable[str]:
        return [key.removesuffix(_SUFFIX) for key in self._claimed().listing() if key.endswith(_SUFFIX)]

    def _claimed(self) -> S3Prefix:
        """The prefix, this KDN's own, before anything is written or removed there. Raises Conflict."""
        if not self._owned:
            created = self._prefix.create(_OWNER, self._owner)
            if not created and bytes(self._prefix.range(_OWNER, 0, len(self._owner) + 1)) != self._owner:
                raise Conflict(
                    f"{self._prefix} keeps the blobs of another KDN: set another prefix, or remove the object "
                    f"{_OWNER!r} there if that KDN is no more"
                )
            self._owned = True
        return self._prefix


class S3Blob:
    """One object, read in ranges of several chunks; the next ones are asked for while one is sent."""

    def __init__(
        self, prefix: S3Prefix, requests: ThreadPoolExecutor, key: str, checksums: bytes, chunk_nbytes: int
    ) -> None:
        self._prefix = prefix
        self._requests = requests
        self._key = key
        self._checksums = checksums
        self._chunk_nbytes = chunk_nbytes
        self._nbytes = len(checksums) // CHECKSUM_BYTES * chunk_nbytes
        self._range_nbytes = max(1, RANGE_BYTES // chunk_nbytes) * chunk_nbytes
        self._last = max(0, self._nbytes - 1) // self._range_nbytes
        self._at = -1
        self._ranges: dict[int, Future[memoryview]] = {}

    def value(self, index: int) -> memoryview:
        number, start = divmod(index * self._chunk_nbytes, self._range_nbytes)
        if number != self._at:
            self._move_to(number)
        try:
            chunk = self._ranges[number].result()[start : start + self._chunk_nbytes]
        except FileNotFoundError as error:
            raise Rotten("its object is gone") from error
        if len(chunk) != self._chunk_nbytes:
            raise Rotten(f"its object ends before the end of chunk {index}")
        checked(index, chunk, self._checksums)
        return chunk

    def close(self) -> None:
        for future in self._ranges.values():
            future.cancel()

    def _move_to(self, number: int) -> None:
        """Asks for this range and for those that follow in the reader's direction; forgets the others."""
        downwards = number < self._at if self._at >= 0 else number == self._last
        step = -1 if downwards else 1
        wanted = [each for each in range(number, number + step * (AHEAD + 1), step) if 0 <= each <= self._last]
        for gone in self._ranges.keys() - set(wanted):
            self._ranges.pop(gone).cancel()
        for each in wanted:
            if each not in self._ranges:
                start = each * self._range_nbytes
                end = min(start + self._range_nbytes, self._nbytes)
                self._ranges[each] = self._requests.submit(self._prefix.range, self._key, start, end)
        self._at = number


class S3Draft(Spool):
    """A file on this machine that becomes an object when it is complete."""

    def __init__(self, name: str, directory: Path, prefix: S3Prefix) -> None:
        super().__init__(name, directory)
        self._prefix = prefix

    def commit(self) -> None:
        self._prefix.put(self.name + _SUFFIX, self.path)


def _owner_id(path: Path) -> bytes:
    """Who this KDN is to the object store, ever since the file was written."""
    if not path.exists():
        fresh = path.with_suffix(".new")
        fresh.write_text(os.urandom(16).hex())
        fresh.rename(path)
    return path.read_bytes()
