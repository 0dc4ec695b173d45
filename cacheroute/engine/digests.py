"""sha256 of large files, remembered by size and modification time so that each is read once."""

import hashlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

BLOCK_BYTES = 4 << 20

Tick = Callable[[int, int], None]
"""Told (bytes read, bytes in all)."""


class Known(msgspec.Struct, frozen=True):
    nbytes: int
    mtime_ns: int
    sha256: str


class Digests:
    """Digests by path, kept in one JSON file (`memory`; None keeps nothing).

    A memory that is broken or cannot be written only costs reading the files again.
    """

    def __init__(self, memory: Path | None) -> None:
        self._memory = memory

    def sha256(self, path: Path, tick: Tick) -> str:
        """Hex digest of the file. Raises OSError where it cannot be read."""
        stat = path.stat()
        known = self._recall()
        entry = known.get(str(path))
        if entry is not None and (entry.nbytes, entry.mtime_ns) == (stat.st_size, stat.st_mtime_ns):
            return entry.sha256
        digest = _read_through(path, stat.st_size, tick)
        self._remember({**known, str(path): Known(stat.st_size, stat.st_mtime_ns, digest)})
        return digest

    def _recall(self) -> dict[str, Known]:
        if self._memory is None:
            return {}
        try:
            return msgspec.json.decode(self._memory.read_bytes(), type=dict[str, Known])
        except (OSError, msgspec.DecodeError):
            return {}

    def _remember(self, known: Mapping[str, Known]) -> None:
        if self._memory is None:
            return
        self._memory.parent.mkdir(parents=True, exist_ok=True)
        fresh = self._memory.with_suffix(f".{os.getpid()}")
        fresh.write_bytes(msgspec.json.encode(known))
        fresh.rename(self._memory)


def combined(by_name: Mapping[str, str]) -> str:
    """One digest for several files: a single file's own, else that of the sorted `name digest` lines."""
    if len(by_name) == 1:
        return next(iter(by_name.values()))
    lines = "".join(f"{name} {digest}\n" for name, digest in sorted(by_name.items()))
    return hashlib.sha256(lines.encode()).hexdigest()


def _read_through(path: Path, nbytes: int, tick: Tick) -> str:
    digest, done = hashlib.sha256(), 0
    with path.open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            digest.update(block)
            done += len(block)
            tick(done, nbytes)
    return digest.hexdigest()
