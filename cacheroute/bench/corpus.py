"""A corpus of real documents on a running stack: registered while users ask, searched, partly built, asked, deleted.

Everything goes the way an operator's would; how files are read and registered is passed in. Leaves nothing behind
unless told to.
"""

import asyncio
import os
import platform
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from msgspec import Struct

from cacheroute import tokens
from cacheroute.bench.corpus_files import Corpus, questions
from cacheroute.bench.corpus_kv import KvResult, build_and_ask
from cacheroute.bench.corpus_removal import Removal, remove_all
from cacheroute.bench.corpus_search import SearchResult, search_all
from cacheroute.bench.footprint import Footprint, Meter, service_pids
from cacheroute.bench.live_requests import LiveRequests, LiveTtft
from cacheroute.client import Client
from cacheroute.config import Config
from cacheroute.errors import DeadlineExceeded
from cacheroute.kdn_client import Kdn
from cacheroute.wire.documents import BlockInfo

COLLECTION = "bench-corpus"
BEFORE_REQUESTS = 20
COPY_TIMEOUT_S = 300.0
_POLL_S = 0.1


class Registered(Struct, frozen=True, kw_only=True):
    """One registration of all files. `parts_ms`: by stage, summed over documents, several of which are under way at
    a time."""

    files: int
    added: int
    unchanged: int
    failures: tuple[str, ...]
    blocks: int
    near_duplicates: int
    notes: int
    took_s: float
    parts_ms: dict[str, float]


Register = Callable[[Kdn], Awaitable[Registered]]
"""Reads all files and registers them at a KDN, into COLLECTION."""


class CorpusResult(Struct, frozen=True, kw_only=True):
    """`passages` and `documents_per_s` are of the registration; `copied_after_s`: from its end until the scheduler's
    copy had all of it. `load_average`: of the last minute, before and after: what else ran counts in."""

    folder: str
    most_files: int
    begun_at: str
    machine: str
    load_average: tuple[float, float]
    took_s: float
    registered: Registered
    documents_per_s: float
    passages: int
    before: LiveTtft
    while_registering: LiveTtft
    copied_after_s: float
    again: Registered
    footprint: Footprint
    search: SearchResult
    kv: KvResult | None
    removal: Removal | None
    """None: the collection was kept."""


class Skipped(Struct, frozen=True, kw_only=True):
    skipped: str


async def run_corpus(
    config: Config, corpus: Corpus, register: Register, progress: Callable[[str], None] = lambda text: None
) -> CorpusResult:
    """Raises CacheRouteError where no stack is up, or it fails; the collection is removed then, too."""
    began_s, load = time.monotonic(), os.getloadavg()[0]
    begun_at = datetime.now(UTC).isoformat(timespec="seconds")
    async with Client(config, tokens.ensure(config.paths.state_dir).control) as client:
        kdn = next(iter(client.kdns.values()))
        bench = _Bench(client, kdn, await _meter(config, kdn.name), progress)
        removal: Removal | None = None
        try:
            intake = await bench.take_in(register)
            search = await search_all(client, questions(), {block.kid: block.source for block in await _blocks(kdn)})
            kv = await build_and_ask(client, kdn, search.rows, progress)
        finally:
            if not corpus.keep:
                progress("deleting")
                removal = await remove_all(kdn, COLLECTION)
    return CorpusResult(
        folder=str(corpus.folder),
        most_files=corpus.most_files,
        begun_at=begun_at,
        machine=f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        load_average=(round(load, 2), round(os.getloadavg()[0], 2)),
        took_s=round(time.monotonic() - began_s, 1),
        registered=intake.registered,
        documents_per_s=round(intake.registered.added / intake.registered.took_s, 2),
        passages=intake.passages,
        before=intake.before,
        while_registering=intake.during,
        copied_after_s=intake.copied_after_s,
        again=intake.again,
        footprint=intake.footprint,
        search=search,
        kv=kv,
        removal=removal,
    )


class _Intake(Struct, frozen=True, kw_only=True):
    before: LiveTtft
    registered: Registered
    during: LiveTtft
    passages: int
    copied_after_s: float
    again: Registered
    footprint: Footprint


class _Bench:
    """The part that others' requests run beside."""

    def __init__(self, client: Client, kdn: Kdn, meter: Meter, progress: Callable[[str], None]) -> None:
        self._client = client
        self._kdn = kdn
        self._meter = meter
        self._progress = progress

    async def take_in(self, register: Register) -> _Intake:
        live = LiveRequests(self._client.endpoint, (await self._client.models())[0])
        self._progress("requests alone")
        await live.warm_up()
        before = await live.alone(BEFORE_REQUESTS)
        passages = await self._passages()
        self._progress("registering, with a request each second")
        async with self._meter.watching(), live.beside():
            registered = await register(self._kdn)
        ended_s = time.monotonic()
        await self._copied()
        copied_after_s = time.monotonic() - ended_s
        new_passages = await self._passages() - passages
        self._progress("registering it all again")
        again = await register(self._kdn)
        return _Intake(
            before=before,
            registered=registered,
            during=live.said(),
            passages=new_passages,
            copied_after_s=round(copied_after_s, 2),
            again=again,
            footprint=self._meter.sample(),
        )

    async def _passages(self) -> int:
        return int((await self._kdn.status())["library"]["passages"])

    async def _copied(self) -> None:
        """Waits until the scheduler has every block of the KDN. Raises DeadlineExceeded."""
        deadline_s = time.monotonic() + COPY_TIMEOUT_S
        while time.monotonic() < deadline_s:
            blocks = int((await self._kdn.status())["library"]["blocks"])
            copy = (await self._client.status())["kdns"].get(self._kdn.name, {})
            if copy.get("copied_blocks") == blocks:
                return
            await asyncio.sleep(_POLL_S)
        raise DeadlineExceeded(f"the scheduler's copy of {self._kdn.name} was not level within {COPY_TIMEOUT_S:g} s")


async def _blocks(kdn: Kdn) -> tuple[BlockInfo, ...]:
    return await kdn.blocks(collection=COLLECTION)


async def _meter(config: Config, kdn: str) -> Meter:
    library = config.paths.data_dir / "kdn" / kdn / "library.sqlite"
    copy = config.paths.state_dir / "scheduler" / "knowledge.db"
    files = {"library": library, "library wal": library.with_name(library.name + "-wal")}
    files |= {"copy": copy, "copy wal": copy.with_name(copy.name + "-wal")}
    return Meter(await service_pids(config.paths.state_dir), files)
