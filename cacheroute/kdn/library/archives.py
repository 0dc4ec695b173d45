"""A KDN's library out of it as one file, and such a file into it, document by document.

An export is one moment's: it is written to an unlinked file as fast as the disk takes it, and sent from there as fast
as its reader reads, so that a slow one keeps no old state of the library alive. An import registers each document in
the ordinary way. Knows no HTTP.
"""

import asyncio
import os
import tempfile
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO

import msgspec

from cacheroute import sanitise
from cacheroute.errors import BadRequest, NotFound, Overloaded, TooLarge, UpstreamFailed
from cacheroute.kdn.library.documents import Documents, Prepared
from cacheroute.kdn.worker import Worker
from cacheroute.wire.documents import AddDocument, AddedDocument, ImportReport
from knowledge import errors
from knowledge.archives.archive import Flaw, Reader, written
from knowledge.archives.line import Archived
from knowledge.archives.snapshot import snapshot
from knowledge.catalogue.library import Library

MAX_FAILURES = 100
"""That a report names; of more it gives the number."""

_PIECE_BYTES = 2**18
_SAME_MODEL = 0.97
"""Least cosine of one text's vectors by one model: they differ by a CPU's rounding, those of two models by anything."""


Register = Callable[[Prepared], Awaitable[AddedDocument]]
"""What takes a document in, with all that follows from it."""


class Archives:
    """Exports and imports of one KDN, one of each at a time. `spools` is a directory for what is being sent."""

    def __init__(
        self, library: Library, threads: Worker, documents: Documents, register: Register, spools: Path, max_bytes: int
    ) -> None:
        self._library = library
        self._threads = threads
        self._documents = documents
        self._register = register
        self._spools = spools
        self._max_bytes = max_bytes
        self._exporting = asyncio.Lock()
        self._importing = asyncio.Lock()

    async def exported(self, collection: str | None) -> AsyncGenerator[bytes]:
        """The file, piece by piece. Raises NotFound, Overloaded, Unavailable."""
        async with _one(self._exporting, "an export"):
            if collection is not None and not await self._documents.records(None, collection, None, 1):
                raise NotFound(f"there is no collection {collection!r}")
            with await self._threads.run(_spool_in, self._spools) as spool:
                async for piece in self._spooled(spool, collection):
                    yield piece

    async def _spooled(self, spool: IO[bytes], collection: str | None) -> AsyncGenerator[bytes]:
        loop, grown, stop = asyncio.get_running_loop(), asyncio.Event(), threading.Event()

        def tell() -> None:
            loop.call_soon_threadsafe(grown.set)

        writing = asyncio.create_task(self._threads.run(_write, self._library, collection, spool, stop, tell))
        writing.add_done_callback(lambda _: grown.set())
        try:
            sent = 0
            while True:
                done = writing.done()  # asked before what there is to read
                piece = await self._threads.run(os.pread, spool.fileno(), _PIECE_BYTES, sent)
                if piece:
                    sent += len(piece)
                    yield piece
                elif done:
                    break
                else:
                    await grown.wait()
                    grown.clear()
            await writing
        finally:
            stop.set()
            await asyncio.wait([writing])

    async def take_in(self, pieces: AsyncIterator[bytes]) -> ImportReport:
        """Registers every document of a file. What came in stays, whatever follows it.

        Raises BadRequest where it is no export at all, TooLarge, Overloaded, and Unavailable where nothing can be
        registered now: importing it once more goes on from there.
        """
        async with _one(self._importing, "an import"):
            return await _Import(self._threads, self._documents, self._register, self._max_bytes).run(pieces)


class _Import:
    """One import under way: what it came to so far, and whether the file's vectors are those of this stack's model."""

    def __init__(self, threads: Worker, documents: Documents, register: Register, max_bytes: int) -> None:
        self._threads = threads
        self._documents = documents
        self._register = register
        self._reader = Reader(max_bytes)
        self._count = {"added": 0, "replaced": 0, "unchanged": 0}
        self._failures: list[str] = []
        self._failed = 0
        self._same_model: bool | None = None

    async def run(self, pieces: AsyncIterator[bytes]) -> ImportReport:
        try:
            async for piece in pieces:
                items = self._reader.feed(piece)
                while (item := await self._threads.run(next, items, None)) is not None:
                    await self._take(item)
            self._reader.end()
        except errors.NotAnArchive as error:
            raise BadRequest(str(error)) from error
        except errors.ArchiveError as error:
            self._fail(str(error))
        except errors.TooLarge as error:
            raise TooLarge(f"{error}; see max_import_mb") from error
        if self._failed > MAX_FAILURES:
            self._failures.append(f"and {self._failed - MAX_FAILURES} more")
        return ImportReport(**self._count, failures=tuple(self._failures))

    async def _take(self, item: Archived | Flaw) -> None:
        if isinstance(item, Flaw):
            return self._fail(f"line {item.line}: {item.why}")
        source = item.draft.document.source
        try:
            _check_facts(item)
            added = await self._register(await self._prepared(item))
            self._count[added.status] += 1
        except (BadRequest, UpstreamFailed) as error:
            self._fail(f"{sanitise.for_line(source, 100)}: {error.message}")

    async def _prepared(self, archived: Archived) -> Prepared:
        cut, documents = archived.draft, self._documents
        if await documents.is_current(cut):
            return Prepared(cut, None)
        if archived.vectors is not None and self._same_model is None:
            (again,) = await documents.embed(cut, most=1)
            self._same_model = bool(again @ archived.vectors[0] >= _SAME_MODEL)
        return Prepared(cut, archived.vectors if self._same_model else await documents.embed(cut))

    def _fail(self, why: str) -> None:
        self._failed += 1
        if self._failed <= MAX_FAILURES:
            self._failures.append(sanitise.for_line(why))


def _spool_in(directory: Path) -> IO[bytes]:
    """Without a buffer: what cannot be written from one would fail once more when it is closed."""
    return tempfile.TemporaryFile(buffering=0, dir=directory)


def _write(
    library: Library, collection: str | None, spool: IO[bytes], stop: threading.Event, tell: Callable[[], None]
) -> None:
    with snapshot(library, collection) as (header, documents):
        for piece in written(header, documents):
            if stop.is_set():
                return
            left = memoryview(piece)
            while left:
                left = left[spool.write(left) :]
            tell()


def _check_facts(archived: Archived) -> None:
    """What `POST /v1/documents` would say to these. Raises BadRequest."""
    document = archived.draft.document
    facts = {name: getattr(document, name) for name in ("source", "title", "version", "collection", "tags")}
    try:
        msgspec.convert({**facts, "text": ""}, AddDocument)
    except msgspec.ValidationError as error:
        raise BadRequest(str(error)) from error


@asynccontextmanager
async def _one(lock: asyncio.Lock, what: str) -> AsyncGenerator[None]:
    """Raises Overloaded where one is under way: each may take long, and a queue of them helps nobody."""
    if lock.locked():
        raise Overloaded(f"{what} is under way on this KDN: try again when it is done", retry_after_s=10)
    async with lock:
        yield
