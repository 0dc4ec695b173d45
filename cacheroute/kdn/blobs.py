"""Where artifacts' bytes lie: an interface that an object store can fill, and its implementation in files.

One file an artifact, its chunks one after the other, all of one length: an injection reads it front to back or
back to front, and a crash leaves either the whole of it or nothing. The bytes are never interpreted.
"""

import os
from collections.abc import Generator, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import BinaryIO, Protocol

import xxhash

from cacheroute.errors import Unavailable
from cacheroute.kvstore.link import Extent, Value

CHECKSUM_BYTES = 16
_SUFFIX = ".kv"


class Rotten(Exception):
    """What lies there is not what was stored."""


def checksum(chunk: bytes | bytearray | memoryview) -> bytes:
    """XXH3-128 of a chunk. It guards against rot, not against people: 24 MB take 1 ms, so that every chunk can be
    checked whenever it is read (BLAKE3 took 6)."""
    return xxhash.xxh3_128_digest(chunk)


class Blob(Protocol):
    """An artifact's bytes, open for reading."""

    def value(self, index: int) -> Value:
        """One chunk, checked, ready to be sent. Raises Rotten."""
        ...


class Draft(Protocol):
    """An artifact being written. It is nowhere to be found before `commit` has returned."""

    def append(self, chunk: memoryview) -> bytes:
        """Writes the next chunk; returns its checksum."""
        ...

    def commit(self) -> None: ...
    def abandon(self) -> None: ...


class BlobStore(Protocol):
    """Blobs by name. Synchronous: callers run it in a thread. Raises Unavailable where it cannot write."""

    def draft(self, name: str) -> Draft: ...
    def open(self, name: str, checksums: bytes, chunk_nbytes: int) -> AbstractContextManager[Blob]: ...
    def remove(self, name: str) -> None: ...
    def names(self) -> Iterator[str]: ...


class FileBlobs:
    """A BlobStore in a directory, which it has for itself; drafts that a crash left behind are removed."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._drafts = directory / "drafts"
        self._drafts.mkdir(parents=True, exist_ok=True)
        for left in self._drafts.iterdir():
            left.unlink()

    def draft(self, name: str) -> "FileDraft":
        return FileDraft(self._drafts / f"{name}.{os.urandom(4).hex()}", self._path(name))

    @contextmanager
    def open(self, name: str, checksums: bytes, chunk_nbytes: int) -> Generator["FileBlob"]:
        """Raises Rotten if the file is not there or has another length."""
        try:
            file = self._path(name).open("rb", buffering=0)
        except FileNotFoundError as error:
            raise Rotten("its file is gone") from error
        with file:
            expected, there = len(checksums) // CHECKSUM_BYTES * chunk_nbytes, os.fstat(file.fileno()).st_size
            if there != expected:
                raise Rotten(f"its file has {there:,} bytes, not {expected:,}")
            yield FileBlob(file, checksums, chunk_nbytes)

    def remove(self, name: str) -> None:
        self._path(name).unlink(missing_ok=True)

    def names(self) -> Iterator[str]:
        return (path.stem for path in self._directory.glob(f"*{_SUFFIX}"))

    def _path(self, name: str) -> Path:
        return self._directory / f"{name}{_SUFFIX}"


class FileBlob:
    """One open file. A chunk is read once to be checked and then sent from the page cache."""

    def __init__(self, file: BinaryIO, checksums: bytes, chunk_nbytes: int) -> None:
        self._file = file
        self._checksums = checksums
        self._read = memoryview(bytearray(chunk_nbytes))
        if hasattr(os, "posix_fadvise"):  # the disk reads ahead while the first chunks are on their way
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_WILLNEED)

    def value(self, index: int) -> Extent:
        nbytes = len(self._read)
        try:
            got = os.preadv(self._file.fileno(), [self._read], index * nbytes)
        except OSError as error:
            raise Rotten(f"its chunk {index} cannot be read: {error}") from error
        expected = self._checksums[index * CHECKSUM_BYTES : (index + 1) * CHECKSUM_BYTES]
        if got != nbytes or checksum(self._read) != expected:
            raise Rotten(f"its chunk {index} is not what was stored")
        return Extent(self._file, index * nbytes, nbytes)


class FileDraft:
    """A file under another name until it is complete and on disk."""

    def __init__(self, path: Path, final: Path) -> None:
        self._path = path
        self._final = final
        with _disk_errors_named():
            self._file = path.open("xb", buffering=0)

    def append(self, chunk: memoryview) -> bytes:
        left = chunk
        with _disk_errors_named():
            while left:
                left = left[self._file.write(left) :]
        return checksum(chunk)

    def commit(self) -> None:
        with _disk_errors_named():
            with self._file:
                os.fsync(self._file.fileno())
            self._path.rename(self._final)
            _sync_directory(self._final.parent)

    def abandon(self) -> None:
        self._file.close()
        self._path.unlink(missing_ok=True)


@contextmanager
def _disk_errors_named() -> Generator[None]:
    """A full disk in the middle of reading a kv store must not look like the kv store's failure."""
    try:
        yield
    except OSError as error:
        raise Unavailable(f"storage: {error}", code="storage_failed") from error


def _sync_directory(directory: Path) -> None:
    """Makes a rename outlive a power cut."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
