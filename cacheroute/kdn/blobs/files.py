"""A BlobStore in a directory: one file a blob, written by temp, fsync and rename, sent from the page cache."""

import errno
import os
from collections.abc import Generator, Iterable
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from cacheroute.errors import Unavailable
from cacheroute.kdn.blobs.blob import Rotten, checked, checksum
from cacheroute.kvstore.link import Extent

_SUFFIX = ".kv"
_OUR_OWN_TROUBLE = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})
"""What says nothing about the file that was to be opened."""


class FileBlobs:
    """A BlobStore in a directory, which it has for itself."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._drafts = emptied(directory / "drafts")

    def draft(self, name: str) -> "FileDraft":
        return FileDraft(name, self._drafts, self._path(name))

    @contextmanager
    def open(self, name: str, checksums: bytes, chunk_nbytes: int) -> Generator["FileBlob"]:
        """Raises Rotten if the file is not there or cannot be opened."""
        try:
            file = self._path(name).open("rb", buffering=0)
        except FileNotFoundError as error:
            raise Rotten("its file is gone") from error
        except OSError as error:
            if error.errno in _OUR_OWN_TROUBLE:
                raise Unavailable(f"storage: {error}", code="storage_failed") from error
            raise Rotten(f"its file cannot be opened: {error.strerror}") from error
        with file:
            yield FileBlob(file, checksums, chunk_nbytes)

    def uncache(self, name: str) -> None:
        """Memory may remember well what the disk has lost. Since the commit a blob's pages are clean: they can go."""
        if hasattr(os, "posix_fadvise"):
            with suppress(OSError):
                descriptor = os.open(self._path(name), os.O_RDONLY | os.O_NONBLOCK)
                try:
                    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
                finally:
                    os.close(descriptor)

    def shorten(self, name: str, nbytes: int) -> None:
        with _disk_errors_named():
            if self._path(name).stat().st_size > nbytes:
                os.truncate(self._path(name), nbytes)

    def remove(self, names: Iterable[str]) -> None:
        with _disk_errors_named():
            for name in names:
                self._path(name).unlink(missing_ok=True)

    def names(self) -> Iterable[str]:
        return (path.stem for path in self._directory.glob(f"*{_SUFFIX}"))

    def _path(self, name: str) -> Path:
        return self._directory / f"{name}{_SUFFIX}"


class FileBlob:
    """One open file. A chunk is read once to be checked and then sent from the page cache."""

    def __init__(self, file: BinaryIO, checksums: bytes, chunk_nbytes: int) -> None:
        self._file = file
        self._checksums = checksums
        self._read = memoryview(bytearray(chunk_nbytes))
        if hasattr(os, "posix_fadvise"):
            with suppress(OSError):  # only advice: the disk reads ahead while the first chunks are on their way
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_WILLNEED)

    def value(self, index: int) -> Extent:
        nbytes = len(self._read)
        try:
            got = os.preadv(self._file.fileno(), [self._read], index * nbytes)
        except OSError as error:
            raise Rotten(f"its chunk {index} cannot be read: {error.strerror}") from error
        if got != nbytes:
            raise Rotten(f"its file ends before the end of chunk {index}")
        checked(index, self._read, self._checksums)
        return Extent(self._file, index * nbytes, nbytes)


class Spool:
    """A file that a draft is written to, gone when the draft is abandoned."""

    def __init__(self, name: str, directory: Path) -> None:
        self.name = name
        self.path = directory / name
        with _disk_errors_named():
            self.file = self.path.open("xb", buffering=0)

    def append(self, chunk: memoryview) -> bytes:
        left = chunk
        with _disk_errors_named():
            while left:
                left = left[self.file.write(left) :]
        return checksum(chunk)

    def abandon(self) -> None:
        self.file.close()
        self.path.unlink(missing_ok=True)


class FileDraft(Spool):
    """A file under another name until it is complete and on disk."""

    def __init__(self, name: str, directory: Path, final: Path) -> None:
        super().__init__(name, directory)
        self._final = final

    def commit(self) -> None:
        with _disk_errors_named():
            with self.file:
                os.fsync(self.file.fileno())
            self.path.rename(self._final)
            _sync_directory(self._final.parent)


def emptied(directory: Path) -> Path:
    """A directory for drafts, without those that a crash left."""
    directory.mkdir(parents=True, exist_ok=True)
    for left in directory.iterdir():
        left.unlink()
    return directory


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
