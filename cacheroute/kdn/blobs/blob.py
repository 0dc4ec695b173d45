"""Where artifacts' bytes lie: the interface, filled by files (`files.py`) and by an object store (`s3.py`).

A blob is an artifact's chunks one after the other, all of one length: it is read front to back or back to front, and
a crash leaves either the whole of it or nothing. The bytes are never interpreted.
"""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

import xxhash

from cacheroute.kvstore.link import Value

CHECKSUM_BYTES = 16


class Rotten(Exception):
    """What lies there is not what was stored."""


def checksum(chunk: bytes | bytearray | memoryview) -> bytes:
    """XXH3-128 of a chunk. It guards against rot, not against people: 24 MB take 1 ms, so that every chunk can be
    checked whenever it is read (BLAKE3 took 6)."""
    return xxhash.xxh3_128_digest(chunk)


def checked(index: int, chunk: memoryview, checksums: bytes) -> None:
    """Raises Rotten unless this chunk is the one that was stored."""
    if checksum(chunk) != checksums[index * CHECKSUM_BYTES : (index + 1) * CHECKSUM_BYTES]:
        raise Rotten(f"its chunk {index} is not what was stored")


class Blob(Protocol):
    """An artifact's bytes, open for reading."""

    def value(self, index: int) -> Value:
        """One chunk, checked, ready to be sent. Raises Rotten, Unavailable."""
        ...


class Draft(Protocol):
    """A blob being written. It is nowhere to be found before `commit` has returned. Raises Unavailable."""

    @property
    def name(self) -> str: ...

    def append(self, chunk: memoryview) -> bytes:
        """Writes the next chunk; returns its checksum."""
        ...

    def commit(self) -> None: ...

    def abandon(self) -> None:
        """Leaves nothing behind of a draft that was not committed; of one that was, all."""
        ...


class BlobStore(Protocol):
    """Blobs by name. Synchronous: callers run it in a thread.

    Raises Unavailable where the medium fails or does not answer in time, whatever is asked.
    """

    def draft(self, name: str) -> Draft: ...

    def open(self, name: str, checksums: bytes, chunk_nbytes: int) -> AbstractContextManager[Blob]:
        """The blob whose chunks have these checksums, or one that begins with them. Raises Rotten if it is gone."""
        ...

    def uncache(self, name: str) -> None:
        """What is read of it next comes from the medium, as far as that can be had. Raises nothing."""
        ...

    def shorten(self, name: str, nbytes: int) -> None:
        """Gives back what follows the first `nbytes` of a blob."""
        ...

    def remove(self, names: Iterable[str]) -> None:
        """Those that are there."""
        ...

    def names(self) -> Iterable[str]: ...


OpenBlobs = Callable[[Path], BlobStore]
"""Opens a BlobStore that may keep what it needs on this machine in the directory named."""
