"""Knowledge in and out of one KDN: parse, cut, embed, register; and what knowledge's own errors are over HTTP."""

import time
from collections.abc import Callable, Collection, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from cacheroute.embedding_client import EmbeddingClient
from cacheroute.errors import BadRequest, NotFound, TooLarge, UpstreamFailed
from cacheroute.kdn.library.block_fit import unfit
from cacheroute.kdn.worker import Worker
from cacheroute.wire.control import InstanceRecord
from cacheroute.wire.documents import AddDocument, AddedDocument, NearDuplicate, SearchBlocks
from knowledge import errors
from knowledge.catalogue.changes import Changes, Cursor
from knowledge.catalogue.library import Deletion, Library, Stats
from knowledge.catalogue.records import BlockPlace, DocumentPlace, Record
from knowledge.catalogue.registration import Registration, unchanged
from knowledge.cut import Budget, draft
from knowledge.document import Block, Draft, document_id
from knowledge.embedding import Vectors
from knowledge.parse import compose
from knowledge.retrieval.match import Gate, Limits, Matches
from knowledge.retrieval.search import search

MAX_NAMED = 20
"""Collections that a message lists."""


MAX_PASSAGES = 16_384
"""Of one document: with their vectors they fit one line of an export."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A document cut and embedded, and how long each took. `vectors` is None where it stands here already."""

    cut: Draft
    vectors: Vectors | None
    notes: tuple[str, ...] = ()
    parts_ms: Mapping[str, float] = field(default_factory=dict[str, float])


class Documents:
    """The library behind a worker thread, with the embedder. `stats` are as of the last change here."""

    def __init__(
        self,
        library: Library,
        worker: Worker,
        embedder: EmbeddingClient,
        block_tokens: int,
        on_change: Callable[[], None],
    ) -> None:
        self._on_change = on_change
        self._library = library
        self._worker = worker
        self._embedder = embedder
        self._budget = Budget(block_tokens)
        self.stats: Stats = library.stats()

    async def prepare(self, document: AddDocument) -> Prepared:
        """What takes long of registering a document, and changes nothing yet.

        Raises BadRequest, TooLarge for the document; Unavailable, Overloaded where the embedder cannot help.
        """
        began = time.perf_counter()
        with _named():
            cut, notes = await self._worker.run(_cut, document, self._budget)
        if len(cut.passages) > MAX_PASSAGES:
            raise TooLarge(
                f"{document.source} has {len(cut.passages):,} paragraphs, more than the {MAX_PASSAGES:,} of one "
                "document: register it in parts"
            )
        cut_ms = _ms_since(began)
        began = time.perf_counter()
        vectors = None if await self.is_current(cut) else await self.embed(cut)
        return Prepared(cut, vectors, notes, {"cut": cut_ms, "embed": _ms_since(began)})

    async def is_current(self, cut: Draft) -> bool:
        """Whether it stands here just so."""
        return await self._worker.run(self._library.is_current, cut)

    async def embed(self, cut: Draft, most: int | None = None) -> Vectors:
        """The vectors of its passages, or of the first few. Raises Unavailable, Overloaded, UpstreamFailed."""
        return await self._embedder.embed([passage.embedded for passage in cut.passages[:most]], "passage")

    async def register(
        self, prepared: Prepared, instances: Iterable[InstanceRecord] = ()
    ) -> tuple[AddedDocument, Registration]:
        """Takes a document in, in place of what had its source before. Raises UpstreamFailed for unusable vectors."""
        began = time.perf_counter()
        cut = prepared.cut
        if prepared.vectors is None:
            registered = unchanged(cut)
        else:
            with _named():
                registered = await self._worker.run(self._library.register, cut, prepared.vectors)
            await self.recount()
        added = AddedDocument(
            source=cut.document.source,
            title=cut.document.title,
            status=registered.status,
            kids=tuple(block.kid for block in cut.blocks),
            added=registered.added,
            removed=registered.removed,
            near_duplicates=tuple(
                NearDuplicate(
                    kid=near.kid,
                    other_kid=near.other_kid,
                    other_source=near.other_source,
                    other_collection=near.other_collection,
                    similarity=near.similarity,
                )
                for near in registered.near_duplicates
            ),
            notes=(*prepared.notes, *unfit(cut.blocks, instances)),
            parts_ms={**prepared.parts_ms, "store": _ms_since(began)},
        )
        return added, registered

    async def delete(self, source: str, collection: str | None) -> tuple[str, Deletion]:
        """Removes a document: its collection, and what became of its kids. Raises NotFound, BadRequest."""
        collection = await self._collection_of(source, collection)
        with _named():
            deletion = await self._worker.run(self._library.delete, document_id(collection, source))
        await self.recount()
        return collection, deletion

    async def freshen(self, document_id: str) -> None:
        """A document was registered again just as it is: that is newer than what other KDNs have of it."""
        await self._worker.run(self._library.freshen, document_id)
        await self.recount()

    async def records(
        self, source: str | None, collection: str | None, after: DocumentPlace | None, limit: int
    ) -> tuple[Record, ...]:
        """The documents, or those of a source or a collection, that come after a place."""
        return await self._worker.run(self._library.list, _only(collection), source, after, limit)

    async def blocks_among(self, records: Sequence[Record], kids: Collection[str]) -> dict[str, int]:
        """How many blocks each of these documents has of these kids; who has none is left out."""
        if not kids:
            return {}
        return await self._worker.run(self._library.blocks_among, [record.document_id for record in records], kids)

    async def blocks(
        self, source: str | None, collection: str | None, kid: str, after: BlockPlace | None, limit: int
    ) -> tuple[Block, ...]:
        """The blocks, or those of a source, a collection, or with kids that begin so, that come after a place."""
        return await self._worker.run(self._library.page, _only(collection), source, kid, after, limit)

    async def block(self, kid: str) -> Block:
        """Raises NotFound."""
        found = await self._worker.run(self._library.blocks, [kid])
        if kid not in found:
            raise NotFound(f"there is no knowledge block {kid!r}")
        return found[kid]

    async def known(self, kids: Iterable[str]) -> frozenset[str]:
        """Those of `kids` that some document has."""
        return frozenset(await self._worker.run(self._library.blocks, tuple(kids)))

    async def changes(self, cursor: Cursor | None, limit: int) -> Changes:
        return await self._worker.run(self._library.changes, cursor, limit)

    async def search(self, asked: SearchBlocks) -> Matches:
        """What this KDN alone would find for a question."""
        vector = await self._embedder.embed([asked.query], "query")
        visible = None if asked.collections is None else frozenset(asked.collections)
        with _named():
            return await self._worker.run(
                search, self._library.shelf, asked.query, vector, Gate(), Limits(max_blocks=asked.k), visible
            )

    async def recount(self) -> None:
        """Brings `stats` up to what the library has now."""
        before, self.stats = self.stats, await self._worker.run(self._library.stats)
        if self.stats.seq != before.seq:
            self._on_change()

    async def _collection_of(self, source: str, collection: str | None) -> str:
        """Where a source is. Raises NotFound; BadRequest where that would be a guess."""
        collections = [record.collection for record in await self.records(source, collection, None, MAX_NAMED)]
        if not collections:
            within = f" in collection {collection!r}" if collection else ""
            raise NotFound(f"there is no document with source {source!r}{within}")
        if len(collections) > 1:
            raise BadRequest(f"{source!r} is in several collections, say which: {', '.join(collections)}")
        return collections[0]


def open_library(path: Path) -> Library:
    """Raises CatalogueError, with what to do."""
    try:
        return Library(path)
    except errors.DamagedCatalogue as error:
        raise errors.DamagedCatalogue(
            f"{error}; move it away with its -wal, start this KDN again, and give it your last export: "
            "cacheroute knowledge import FILE"
        ) from error


def _cut(document: AddDocument, budget: Budget) -> tuple[Draft, tuple[str, ...]]:
    """The document cut, and what to tell whoever registers it."""
    parsed = compose(
        document.text,
        source=document.source,
        title=document.title or None,
        version=document.version,
        collection=document.collection,
        tags=document.tags,
    )
    notes = (f"made harmless: {', '.join(parsed.neutralised)}",) if parsed.neutralised else ()
    return draft(parsed.document, budget), notes


def _only(collection: str | None) -> frozenset[str] | None:
    return None if collection is None else frozenset([collection])


def _ms_since(began: float) -> float:
    return round((time.perf_counter() - began) * 1000, 1)


@contextmanager
def _named() -> Generator[None]:
    """Knowledge's errors as HTTP has them. Those of the catalogue file are the worker's."""
    try:
        yield
    except errors.TooLarge as error:
        raise TooLarge(str(error)) from error
    except (errors.DocumentError, errors.BudgetTooSmall) as error:
        raise BadRequest(str(error)) from error
    except errors.UnknownDocument as error:
        raise NotFound(str(error)) from error
    except errors.EmbeddingError as error:
        raise UpstreamFailed(f"the embedder's vectors cannot be used: {error}") from error
