"""What the stack on this machine takes up while it works: memory by service, bytes by file. Peaks and last values.

Sees the services of one state directory and the files it is told of; a stack elsewhere has neither here.
"""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
from msgspec import Struct

from stack.conductor import Conductor

SAMPLE_S = 2.0


class Footprint(Struct, frozen=True, kw_only=True):
    """Bytes; `rss` by service with all that it started, `files` by name."""

    rss: dict[str, int]
    rss_peak: dict[str, int]
    files: dict[str, int]
    files_peak: dict[str, int]


class Meter:
    """Watches processes by their id, and files, some of which may come and go."""

    def __init__(self, pids: Mapping[str, int], files: Mapping[str, Path]) -> None:
        self._pids = pids
        self._files = files
        self._rss: dict[str, int] = {}
        self._rss_peak: dict[str, int] = {}
        self._bytes: dict[str, int] = {}
        self._bytes_peak: dict[str, int] = {}

    def sample(self) -> Footprint:
        """Looks now."""
        self._rss = {name: _rss(pid) for name, pid in self._pids.items()}
        self._bytes = {name: _size(path) for name, path in self._files.items()}
        self._rss_peak = _higher(self._rss_peak, self._rss)
        self._bytes_peak = _higher(self._bytes_peak, self._bytes)
        return Footprint(rss=self._rss, rss_peak=self._rss_peak, files=self._bytes, files_peak=self._bytes_peak)

    @asynccontextmanager
    async def watching(self) -> AsyncGenerator[None]:
        """Looks every now and then as long as this is open."""
        task = asyncio.create_task(self._watch())
        try:
            yield
        finally:
            task.cancel()

    async def _watch(self) -> None:
        while True:
            await asyncio.to_thread(self.sample)
            await asyncio.sleep(SAMPLE_S)


async def service_pids(state_dir: Path) -> dict[str, int]:
    """The running services of the stack whose state lies there."""
    status = await Conductor(state_dir).status()
    return {service.name: service.pid for service in status.services if service.pid is not None}


def _rss(pid: int) -> int:
    try:
        process = psutil.Process(pid)
        return sum(each.memory_info().rss for each in (process, *process.children(recursive=True)))
    except psutil.Error:  # it ended, or one of its children did while we looked
        return 0


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _higher(peak: Mapping[str, int], now: Mapping[str, int]) -> dict[str, int]:
    return {name: max(value, peak.get(name, 0)) for name, value in now.items()}
