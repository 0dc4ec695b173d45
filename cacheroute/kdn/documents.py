"""Knowledge in and out of one KDN: parse, cut, embed, register; and what knowledge's own errors are over HTTP."""

from collections.abc import Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from cacheroute.embedding_client import EmbeddingClient
from cacheroute.errors import BadRequest, NotFound, TooLarge, UpstreamFailed
from cacheroute.kdn.worker import Worker
from cacheroute.wire.documents import AddDocument, AddedDocument, BlockInfo, DocumentInfo, SearchBlocks
from knowledge import errors
from knowledge.changes import Changes, Cursor
from knowledge.cut import Budget, draft
from knowledge.document import Block, Draft, document_id
from knowledge.embedding import Vectors
from knowledge.library import Deletion, Library, Registration, Stats
from knowledge.match import Gate, Limits, Matches
from knowledge.parse import compose
from knowledge.records import Record
from knowledge.search import search

MAX_NAMED = 20
"""Collections that a message lists."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A document cut and embedded. `vectors` is None where it stands here already; `notes` are for its sender."""

    cut: Draft
    vectors: Vectors | None
    notes: tuple[str, ...]


class Documents:
    """The library behind a worker thread, with the embedder. `stats` are as of the last change here."""

    def __init__(self, library: Library, worker: Worker, embedder: EmbeddingClient, block_tokens: int) -> None:
        self._library = library
        self._worker = worker
        self._embedder = embedder
        self._budget = Budget(block_tokens)
        self.stats: Stats = library.stats()

    async def prepare(self, document: AddDocument) -> Prepared:
        """What takes long of registering a document, and changes nothing yet.

        Raises BadRequest, TooLarge for the document; Unavailable, Overloaded where the embedder cannot help.
        """
        with _named():
            cut, notes = await self._worker.run(_cut, document, self._budget)
            if await self._worker.run(self._library.is_current, cut):
                return Prepared(cut, None, notes)
            vectors = await self._embedder.embed([passage.embedded for passage in cut.passages], "passage")
            return Prepared(cut, vectors, notes)

    async def register(self, prepared: Prepared) -> tuple[AddedDocument, Registration]:
        """Takes a document in, in place of what had its source before. Raises UpstreamFailed for unusable vectors."""
        cut = prepared.cut
        if prepared.vectors is None:
            registered = _unchanged(cut)
        else:
            with _named():
                registered = await self._worker.run(self._library.register, cut, prepared.vectors)
        await self._count()
        added = AddedDocument(
            source=cut.document.source,
            title=cut.document.title,
            status="added" if registered.status == "created" else registered.status,
            kids=tuple(block.kid for block in cut.blocks),
            added=registered.added,
            removed=registered.removed,
            notes=prepared.notes,
        )
        return added, registered

    async def delete(self, source: str, collection: str | None) -> tuple[str, Deletion]:
        """Removes a document: its collection, and what became of its kids. Raises NotFound, BadRequest."""
        collection = await self._collection_of(source, collection)
        with _named():
            deletion = await self._worker.run(self._library.delete, document_id(collection, source))
        await self._count()
        return collection, deletion

    async def records(self, source: str | None, collection: str | None, limit: int, offset: int) -> tuple[Record, ...]:
        """A page of the documents, or of those of a source or a collection."""
        return await self._worker.run(self._library.list, _only(collection), limit, offset, source)

    async def blocks(
        self, source: str | None, collection: str | None, kid: str, limit: int, offset: int
    ) -> tuple[Block, ...]:
        """A page of the blocks, or of those of a source, a collection, or with kids that begin so."""
        return await self._worker.run(self._library.page, _only(collection), source, kid, limit, offset)

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

    async def _count(self) -> None:
        self.stats = await self._worker.run(self._library.stats)

    async def _collection_of(self, source: str, collection: str | None) -> str:
        """Where a source is. Raises NotFound; BadRequest where that would be a guess."""
        collections = [record.collection for record in await self.records(source, collection, MAX_NAMED, 0)]
        if not collections:
            within = f" in collection {collection!r}" if collection else ""
            raise NotFound(f"there is no document with source {source!r}{within}")
        if len(collections) > 1:
            raise BadRequest(f"{source!r} is in several collections, say which: {', '.join(collections)}")
        return collections[0]


def document_info(record: Record) -> DocumentInfo:
    registered = datetime.fromtimestamp(record.registered_ms / 1000, UTC)
    return DocumentInfo(
        document_id=record.document_id,
        source=record.source,
        title=record.title,
        version=record.version,
        collection=record.collection,
        tags=record.tags,
        revision=record.revision,
        registered_at=registered.isoformat(timespec="milliseconds"),
        blocks=record.blocks,
        tokens=record.tokens,
    )


def block_info(block: Block, artifacts: Iterable[str], *, with_text: bool = False) -> BlockInfo:
    return BlockInfo(
        kid=block.kid,
        source=block.source,
        title=block.title,
        ordinal=block.ordinal,
        chars=len(block.text),
        collection=block.collection,
        tokens=block.tokens,
        version=block.version,
        artifacts=tuple(artifacts),
        text=block.text if with_text else None,
    )


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


def _unchanged(cut: Draft) -> Registration:
    kids = tuple(block.kid for block in cut.blocks)
    return Registration(cut.document.id, "unchanged", (), (), kids, ())


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
