"""Many files into one KDN: read and parsed beside the event loop, registered a few at a time.

What is wrong with a document is a failure of that document, and the others go on. A KDN that is away or overloaded is
waited for, but not for ever: then the run ends, and the next one finds what is in already `unchanged`.
"""

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence

from cacheroute.cli.documents import File, read
from cacheroute.cli.tally import Tally
from cacheroute.cli.words import problems_of
from cacheroute.errors import (
    CacheRouteError,
    DeadlineExceeded,
    Forbidden,
    NotFound,
    Overloaded,
    Unauthorized,
    Unavailable,
    UpstreamFailed,
)
from cacheroute.kdn_client import Kdn
from cacheroute.wire.documents import AddDocument, AddedDocument
from knowledge.document import Document
from knowledge.errors import DocumentError
from knowledge.isolation import CHILDREN, Isolation
from knowledge.parse import Given

IN_FLIGHT = 4
"""Documents at the KDN at a time: it cuts one while another is embedded. More would only wait there."""
_AHEAD = 2 * IN_FLIGHT
"""Documents that are parsed and not yet sent."""
PATIENCE_S = 30.0
"""Without any document taken, before the KDN is given up."""
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.25, 4.0
_TRIES = 3
"""For one document whose answer broke off: the next may not be to blame."""
_BROKEN_IN_A_ROW = 5
_ADD_S, _CHARS_PER_S = 60.0, 500.0
"""What the KDN may take: embedding goes by length, several at a time, behind queries."""

_ENDING = (Unauthorized, Forbidden, NotFound)
"""What holds for every other document, too."""


class Intake:
    """One run over files. `on_added` and `on_failed` are called as things happen; `tally` is their sum."""

    def __init__(
        self,
        kdn: Kdn,
        tally: Tally,
        on_added: Callable[[AddedDocument], None],
        on_failed: Callable[[Sequence[str]], None],
        *,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._kdn = kdn
        self._tally = tally
        self._on_added = on_added
        self._on_failed = on_failed
        self._patience_s = patience_s
        self._broken = 0
        self._ready: asyncio.Queue[Document | None] = asyncio.Queue(_AHEAD)

    async def run(self, files: Sequence[File], given: Given) -> None:
        """Returns when all that could be taken is in. Raises CacheRouteError where the KDN ends it."""
        try:
            async with Isolation() as isolation, asyncio.TaskGroup() as group:
                senders = [group.create_task(self._send_all()) for _ in range(IN_FLIGHT)]
                rest = iter(files)
                readers = [group.create_task(self._read_all(rest, given, isolation)) for _ in range(CHILDREN)]
                await asyncio.gather(*readers)
                for _ in senders:
                    await self._ready.put(None)
        except ExceptionGroup as several:
            error = several.exceptions[0]
            raise error from error.__cause__

    async def _read_all(self, rest: Iterator[File], given: Given, isolation: Isolation) -> None:
        for file in rest:
            began_s = time.perf_counter()
            documents: tuple[Document, ...] = ()
            try:
                content = await asyncio.to_thread(read, file, given)
                parsing = await isolation.parse(content.name, content.data, content.given)
                if given.title and len(parsing.parsed) > 1:
                    raise DocumentError(f"{content.name}: holds several documents, and --title is for a single one")
            except (DocumentError, OSError) as error:
                self._failed(problems_of(error))
            else:
                documents = tuple(parsed.document for parsed in parsing.parsed)
                if parsing.failures:
                    self._failed([str(failure) for failure in parsing.failures])
            self._tally.parsed(len(documents), (time.perf_counter() - began_s) * 1000)
            for document in documents:
                await self._ready.put(document)

    async def _send_all(self) -> None:
        while (document := await self._ready.get()) is not None:
            self._tally.in_flight += 1
            try:
                added = await self._registered(document)
            except _ENDING:
                raise
            except CacheRouteError as error:
                if self._is_the_end(error):
                    raise
                self._failed([f"{document.source}: {line}" for line in problems_of(error)], refused=True)
            else:
                self._broken = 0
                self._tally.registered(added)
                self._on_added(added)
            finally:
                self._tally.in_flight -= 1

    async def _registered(self, document: Document) -> AddedDocument:
        """Waits for a KDN that cannot take it now. Raises CacheRouteError."""
        began_s, pause_s, broken = time.monotonic(), _FIRST_PAUSE_S, 0
        while True:
            try:
                return await add_document(self._kdn, document)
            except UpstreamFailed:
                broken += 1
                if broken >= _TRIES:
                    raise
            except (Overloaded, Unavailable) as error:
                self._tally.waiting = str(error)
                if time.monotonic() - max(began_s, self._tally.last_in_s) > self._patience_s:
                    raise
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    def _is_the_end(self, error: CacheRouteError) -> bool:
        """Whether a refusal is the KDN's trouble rather than the document's."""
        if isinstance(error, (UpstreamFailed, DeadlineExceeded)) or error.status == CacheRouteError.status:
            self._broken += 1
            return self._broken >= _BROKEN_IN_A_ROW
        return isinstance(error, (Overloaded, Unavailable))

    def _failed(self, lines: list[str], *, refused: bool = False) -> None:
        self._tally.failed(lines, refused=refused)
        self._on_failed(lines)


async def add_document(kdn: Kdn, document: Document) -> AddedDocument:
    """One document; one that is there already, word for word, stays as it is. Raises CacheRouteError."""
    body = AddDocument(
        source=document.source,
        title=document.title,
        text=document.text,
        version=document.version,
        collection=document.collection,
        tags=document.tags,
    )
    timeout_s = _ADD_S + len(document.text) / _CHARS_PER_S
    return await kdn.post("/v1/documents", body, AddedDocument, timeout_s)
