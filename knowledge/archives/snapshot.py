"""A whole library as it was at one moment, document by document: what an archive is made of. Reads only."""

from __future__ import annotations

import sqlite3
from collections.abc import Generator, Iterator, Set
from contextlib import contextmanager
from datetime import UTC, datetime

from knowledge.archives.archive import Header
from knowledge.archives.line import Archived
from knowledge.catalogue.library import Library
from knowledge.catalogue.records import Record, record_page
from knowledge.catalogue.shelf import block_of, vectors_of, visibility
from knowledge.document import Document, Draft, Passage

_PAGE = 128


@contextmanager
def snapshot(library: Library, collection: str | None) -> Generator[tuple[Header, Iterator[Archived]]]:
    """The documents of a collection (None: of all) by place, one in memory at a time, and what they come to.

    Raises CatalogueError, also while they are read.
    """
    visible = None if collection is None else frozenset([collection])
    try:
        with library.shelf.read() as connection:
            yield _header(connection, collection, visible), _documents(connection, visible)
    finally:
        library.shelf.empty_log()  # a text deleted meanwhile was kept for this reader


def _header(connection: sqlite3.Connection, collection: str | None, visible: Set[str] | None) -> Header:
    within = "(:visible IS NULL OR collection IN (SELECT value FROM json_each(:visible)))"

    def count(rows: str) -> int:
        which = {"visible": visibility(visible)}
        return connection.execute(f"SELECT count(*) FROM {rows} WHERE {within}", which).fetchone()[0]

    return Header(
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        collection=collection,
        documents=count("documents"),
        blocks=count("blocks"),
        passages=count("passages JOIN blocks ON blocks.id = block"),
    )


def _documents(connection: sqlite3.Connection, visible: Set[str] | None) -> Iterator[Archived]:
    after = None
    while page := record_page(connection, visible, None, after, _PAGE):
        for record in page:
            yield _document(connection, record)
        after = (page[-1].collection, page[-1].source)


def _document(connection: sqlite3.Connection, record: Record) -> Archived:
    rows = connection.execute("SELECT * FROM blocks WHERE document_id = ? ORDER BY ordinal", (record.document_id,))
    blocks = tuple(map(block_of, rows))
    passages = connection.execute(
        """SELECT kid, passages.ordinal, passage_fts.title, passage_fts.text, vector
        FROM blocks JOIN passages ON passages.block = blocks.id JOIN passage_fts ON passage_fts.rowid = passages.id
        WHERE document_id = ? ORDER BY blocks.ordinal, passages.ordinal""",
        (record.document_id,),
    ).fetchall()
    document = Document(
        source=record.source,
        title=record.title,
        text="\n\n".join(block.text for block in blocks),
        version=record.version,
        collection=record.collection,
        tags=record.tags,
    )
    found = tuple(Passage(row["kid"], row["ordinal"], row["title"], row["text"]) for row in passages)
    return Archived(Draft(document, blocks, found), vectors_of(b"".join(row["vector"] for row in passages)))
