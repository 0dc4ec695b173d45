"""A KDN's catalogue: documents with their blocks, versions, collections, and a log that others can follow.

Synchronous, and safe to call from several threads: a server calls it off its event loop. Knows nothing
of KV artifacts; it only says which kids nobody holds any more.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Set
from dataclasses import dataclass
from pathlib import Path

from knowledge.catalogue import duplicates, history, registration
from knowledge.catalogue.changes import Changes, Cursor, Stamp
from knowledge.catalogue.duplicates import Sketch, near_duplicates
from knowledge.catalogue.records import (
    BlockPlace,
    DocumentPlace,
    Record,
    block_page,
    blocks_among,
    one_record,
    record_page,
)
from knowledge.catalogue.registration import Registration
from knowledge.catalogue.schema import LIBRARY
from knowledge.catalogue.shelf import Shelf, ShelfWriter, block_of
from knowledge.document import Block, Draft
from knowledge.embedding import Vectors, checked

PAGE = 128


@dataclass(frozen=True, slots=True)
class Deletion:
    document_id: str
    removed: tuple[str, ...]
    orphaned: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Stats:
    epoch: str
    seq: int
    documents: int
    blocks: int
    passages: int


class Library:
    """The catalogue in the SQLite file at `path`. Raises CatalogueError where that cannot be used."""

    def __init__(self, path: Path) -> None:
        self.shelf = Shelf(path, LIBRARY)
        with self.shelf.write() as writer:
            self.epoch: str = writer.connection.execute("SELECT id FROM epoch").fetchone()["id"]
            duplicates.complete(writer.connection)

    def close(self) -> None:
        self.shelf.close()

    def is_current(self, draft: Draft) -> bool:
        """Whether registering this draft would change nothing; asked first, it saves embedding it."""
        with self.shelf.read() as connection:
            return registration.stored_digest(connection, draft.document.id) == registration.digest(draft)

    def register(self, draft: Draft, vectors: Vectors, told: Stamp | None = None) -> Registration:
        """Takes in a document with its passages' vectors, in place of any version of it, all or nothing.

        `told`: of a version that comes from another library; what is known here already as newer stays.

        Raises EmbeddingError unless `vectors` holds one unit vector a passage.
        """
        unit = checked(vectors, len(draft.passages))
        document, digest = draft.document, told.digest if told else registration.digest(draft)
        kids = tuple(block.kid for block in draft.blocks)
        sketches = {block.kid: Sketch.of(block.text) for block in draft.blocks}
        with self.shelf.write() as writer:
            connection = writer.connection
            before = registration.stored_digest(connection, document.id)
            if told and not history.is_news(connection, document.id, told):
                return registration.unchanged(draft)
            if before == digest:
                if told:
                    history.restamp(connection, document.id, told.registered_ms)
                return registration.unchanged(draft)
            registered_ms = told.registered_ms if told else history.next_ms(connection, document.id)
            old = _rows(connection, document.id)
            writer.drop(old.values())
            added = [block for block in draft.blocks if block.kid not in old]
            alike = [near for block in added for near in near_duplicates(connection, block, sketches[block.kid])]
            registration.put(writer, draft, unit, sketches)
            registration.describe(connection, document, Stamp(registered_ms, digest))
            history.exhume(connection, document.id)
            # Also the kids that stay: an entry carries its document's facts, and these have changed.
            history.log(connection, document.id, (*old, *(block.kid for block in added)))
            removed = tuple(kid for kid in old if kid not in kids)
            return Registration(
                document.id,
                "added" if before is None else "replaced",
                added=tuple(block.kid for block in added),
                removed=removed,
                unchanged=tuple(kid for kid in kids if kid in old),
                orphaned=_orphans(connection, removed),
                near_duplicates=tuple(alike),
            )

    def delete(self, document_id: str, visible: Set[str] | None = None) -> Deletion:
        """Removes a document: text, vectors, search index, and what the file keeps of deleted rows.

        Raises UnknownDocument, also for one outside the visible collections.
        """
        with self.shelf.write() as writer:
            record = one_record(writer.connection, document_id, visible)
            deletion = _delete(writer, document_id, (), max(history.now_ms(), record.registered_ms))
        self.shelf.scrub()
        return deletion

    def delete_told(self, document_id: str, kids: Iterable[str], deleted_ms: int) -> Deletion | None:
        """Removes what another library deleted, unless it is here as a later version, and passes that on.

        `kids` are those that the other had. None where no document went.
        """
        with self.shelf.write() as writer:
            before = history.stamp(writer.connection, document_id)
            known_ms = before.registered_ms - 1 if before else history.deleted_ms(writer.connection, document_id)
            if deleted_ms <= known_ms:
                return None
            deletion = _delete(writer, document_id, kids, deleted_ms)
        if before is None:
            return None
        self.shelf.scrub()
        return deletion

    def is_news(self, document_id: str, told: Stamp) -> bool:
        """Whether that version is newer than what is here, or than the deletion of it."""
        with self.shelf.read() as connection:
            return history.is_news(connection, document_id, told)

    def freshen(self, document_id: str) -> None:
        """Says that a document was registered again just as it is: newer now than what other libraries know of it."""
        with self.shelf.write() as writer:
            connection = writer.connection
            history.restamp(connection, document_id, history.next_ms(connection, document_id))
            history.log(connection, document_id, _rows(connection, document_id))

    def list(
        self,
        visible: Set[str] | None = None,
        source: str | None = None,
        after: DocumentPlace | None = None,
        limit: int = PAGE,
    ) -> tuple[Record, ...]:
        """Documents, or those of one `source`, by collection and source: at most `limit` of those after a place."""
        with self.shelf.read() as connection:
            return record_page(connection, visible, source, after, limit)

    def blocks_among(self, document_ids: Iterable[str], kids: Iterable[str]) -> dict[str, int]:
        """How many blocks each document has of these kids; who has none is left out."""
        with self.shelf.read() as connection:
            return blocks_among(connection, document_ids, kids)

    def page(
        self,
        visible: Set[str] | None = None,
        source: str | None = None,
        kid: str = "",
        after: BlockPlace | None = None,
        limit: int = PAGE,
    ) -> tuple[Block, ...]:
        """Blocks by collection, source and ordinal in the same way; `kid` is the beginning of one."""
        with self.shelf.read() as connection:
            return block_page(connection, visible, source, kid, after, limit)

    def show(self, document_id: str, visible: Set[str] | None = None) -> tuple[Record, tuple[Block, ...]]:
        """One document with its blocks in order. Raises UnknownDocument."""
        with self.shelf.read() as connection:
            record = one_record(connection, document_id, visible)
            rows = connection.execute("SELECT * FROM blocks WHERE document_id = ? ORDER BY ordinal", (document_id,))
            return record, tuple(block_of(row) for row in rows)

    def blocks(self, kids: Iterable[str], visible: Set[str] | None = None) -> dict[str, Block]:
        """The blocks of those `kids` that exist in a visible collection."""
        return self.shelf.blocks(kids, visible)

    def stats(self) -> Stats:
        with self.shelf.read() as connection:
            count = {
                table: int(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])
                for table in ("documents", "blocks", "passages")
            }
            return Stats(epoch=self.epoch, seq=history.head(connection), **count)

    def changes(self, since: Cursor | None = None, limit: int = PAGE) -> Changes:
        """What changed after the cursor, at most `limit` items: each the present state of one (document, kid)."""
        with self.shelf.read() as connection:
            return history.page(connection, self.epoch, since, limit)


def _delete(writer: ShelfWriter, document_id: str, kids: Iterable[str], deleted_ms: int) -> Deletion:
    """`kids`: others that went with the document elsewhere."""
    old = _rows(writer.connection, document_id)
    writer.drop(old.values())
    writer.connection.execute("DELETE FROM documents WHERE id = ?", (document_id,))
    history.bury(writer.connection, document_id, deleted_ms)
    history.log(writer.connection, document_id, dict.fromkeys((*old, *kids)))
    return Deletion(document_id, tuple(old), _orphans(writer.connection, old))


def _rows(connection: sqlite3.Connection, document_id: str) -> dict[str, int]:
    """Row id of each kid of a document, in its order."""
    found = connection.execute("SELECT kid, id FROM blocks WHERE document_id = ? ORDER BY ordinal", (document_id,))
    return {row["kid"]: row["id"] for row in found}


def _orphans(connection: sqlite3.Connection, kids: Iterable[str]) -> tuple[str, ...]:
    held = "SELECT EXISTS (SELECT 1 FROM blocks WHERE kid = ?)"
    return tuple(kid for kid in kids if not connection.execute(held, (kid,)).fetchone()[0])
