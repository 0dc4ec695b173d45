"""A KDN's catalogue: documents with their blocks, versions, collections, and a log that others can follow.

Synchronous, and safe to call from several threads: a server calls it off its event loop. Knows nothing
of KV artifacts; it only says which kids nobody holds any more.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterable, Set
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from knowledge.changes import Change, Changes, Cursor
from knowledge.document import Block, Document, Draft
from knowledge.embedding import Vectors, checked
from knowledge.records import Record, all_records, one_record
from knowledge.schema import LIBRARY
from knowledge.shelf import IS_VISIBLE, Shelf, ShelfWriter, block_of, entry_of, visibility

PAGE = 128


@dataclass(frozen=True, slots=True)
class Registration:
    """What registering a document did to its kids; `orphaned` are those that no document has any more."""

    document_id: str
    status: Literal["created", "replaced", "unchanged"]
    added: tuple[str, ...]
    removed: tuple[str, ...]
    unchanged: tuple[str, ...]
    orphaned: tuple[str, ...]


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
        with self.shelf.read() as connection:
            self.epoch: str = connection.execute("SELECT id FROM epoch").fetchone()["id"]

    def close(self) -> None:
        self.shelf.close()

    def is_current(self, draft: Draft) -> bool:
        """Whether registering this draft would change nothing; asked first, it saves embedding it."""
        with self.shelf.read() as connection:
            return _digest_of(connection, draft.document.id) == _digest(draft)

    def register(self, draft: Draft, vectors: Vectors) -> Registration:
        """Takes in a document with its passages' vectors, in place of any version of it, all or nothing.

        Raises EmbeddingError unless `vectors` holds one unit vector a passage.
        """
        unit = checked(vectors, len(draft.passages))
        document, digest = draft.document, _digest(draft)
        kids = tuple(block.kid for block in draft.blocks)
        with self.shelf.write() as writer:
            before = _digest_of(writer.connection, document.id)
            if before == digest:
                return Registration(document.id, "unchanged", (), (), kids, ())
            old = _rows(writer.connection, document.id)
            writer.drop(old.values())
            _put(writer, draft, unit)
            _describe(writer.connection, document, digest)
            # Also the kids that stay: an entry carries its document's facts, and these have changed.
            _log(writer.connection, document.id, (*old, *(kid for kid in kids if kid not in old)))
            removed = tuple(kid for kid in old if kid not in kids)
            return Registration(
                document.id,
                "created" if before is None else "replaced",
                added=tuple(kid for kid in kids if kid not in old),
                removed=removed,
                unchanged=tuple(kid for kid in kids if kid in old),
                orphaned=_orphans(writer.connection, removed),
            )

    def delete(self, document_id: str, visible: Set[str] | None = None) -> Deletion:
        """Removes a document: text, vectors, search index, and what the file keeps of deleted rows.

        Raises UnknownDocument, also for one outside the visible collections.
        """
        with self.shelf.write() as writer:
            one_record(writer.connection, document_id, visible)
            old = _rows(writer.connection, document_id)
            writer.drop(old.values())
            writer.connection.execute("DELETE FROM documents WHERE id = ?", (document_id,))
            _log(writer.connection, document_id, old)
            deletion = Deletion(document_id, tuple(old), _orphans(writer.connection, old))
        self.shelf.scrub()
        return deletion

    def list(
        self, visible: Set[str] | None = None, limit: int = PAGE, offset: int = 0, source: str | None = None
    ) -> tuple[Record, ...]:
        """Documents by collection and source, a page at a time; of one `source` where that is given."""
        with self.shelf.read() as connection:
            return all_records(connection, visible, source, limit, offset)

    def page(
        self, visible: Set[str] | None, source: str | None, kid: str, limit: int, offset: int
    ) -> tuple[Block, ...]:
        """Blocks by collection, source and place, a page at a time; `kid` is the beginning of one."""
        with self.shelf.read() as connection:
            rows = connection.execute(
                f"""SELECT * FROM blocks WHERE {IS_VISIBLE} AND (:source IS NULL OR source = :source)
                AND kid >= :kid AND kid < :kid || 'g'
                ORDER BY collection, source, ordinal LIMIT :limit OFFSET :offset""",
                {"visible": visibility(visible), "source": source, "kid": kid, "limit": limit, "offset": offset},
            )
            return tuple(block_of(row) for row in rows)

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
            return Stats(epoch=self.epoch, seq=_head(connection), **count)

    def changes(self, since: Cursor | None = None, limit: int = PAGE) -> Changes:
        """What changed after the cursor, at most `limit` items: each the present state of one (document, kid)."""
        with self.shelf.read() as connection:
            head = _head(connection)
            # A cursor past the head comes from a log that was restored from a backup: of no use either.
            usable = since is not None and since.epoch == self.epoch and since.seq <= head
            start = since.seq if since is not None and usable else 0
            rows = connection.execute(
                """SELECT seq, changes.document_id AS of_document, changes.kid AS of_kid, registered_ms, blocks.*
                FROM changes
                LEFT JOIN blocks ON blocks.document_id = changes.document_id AND blocks.kid = changes.kid
                LEFT JOIN documents ON documents.id = changes.document_id
                WHERE seq > ? ORDER BY seq LIMIT ?""",
                (start, limit),
            ).fetchall()
            items = tuple(
                Change(
                    row["seq"],
                    row["of_document"],
                    row["of_kid"],
                    None if row["id"] is None else entry_of(connection, row, row["registered_ms"]),
                )
                for row in rows
            )
            end = items[-1].seq if items else start
            return Changes(self.epoch, start, end, items, more=end < head)


def _digest(draft: Draft) -> str:
    document = draft.document
    facts = [document.title, document.version, document.tags, document.text, [block.kid for block in draft.blocks]]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def _digest_of(connection: sqlite3.Connection, document_id: str) -> str | None:
    row = connection.execute("SELECT digest FROM documents WHERE id = ?", (document_id,)).fetchone()
    return row["digest"] if row else None


def _rows(connection: sqlite3.Connection, document_id: str) -> dict[str, int]:
    """Row id of each kid of a document, in its order."""
    found = connection.execute("SELECT kid, id FROM blocks WHERE document_id = ? ORDER BY ordinal", (document_id,))
    return {row["kid"]: row["id"] for row in found}


def _put(writer: ShelfWriter, draft: Draft, unit: Vectors) -> None:
    end = 0
    for block in draft.blocks:
        start = end
        while end < len(draft.passages) and draft.passages[end].kid == block.kid:
            end += 1
        writer.put(block, draft.passages[start:end], unit[start:end])


def _describe(connection: sqlite3.Connection, document: Document, digest: str) -> None:
    connection.execute(
        """INSERT INTO documents VALUES (?, ?, ?, ?, ?, ?, ?, 1, ?)
        ON CONFLICT (id) DO UPDATE SET title = excluded.title, version = excluded.version, tags = excluded.tags,
            digest = excluded.digest, registered_ms = excluded.registered_ms, revision = revision + 1""",
        (document.id, document.source, document.title, document.version, document.collection,
         json.dumps(document.tags), digest, int(datetime.now(UTC).timestamp() * 1000)),
    )  # fmt: skip


def _log(connection: sqlite3.Connection, document_id: str, kids: Iterable[str]) -> None:
    connection.executemany("INSERT INTO changes(document_id, kid) VALUES (?, ?)", ((document_id, kid) for kid in kids))


def _orphans(connection: sqlite3.Connection, kids: Iterable[str]) -> tuple[str, ...]:
    held = "SELECT EXISTS (SELECT 1 FROM blocks WHERE kid = ?)"
    return tuple(kid for kid in kids if not connection.execute(held, (kid,)).fetchone()[0])


def _head(connection: sqlite3.Connection) -> int:
    return connection.execute("SELECT COALESCE(MAX(seq), 0) FROM changes").fetchone()[0]
