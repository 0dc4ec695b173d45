"""Documents and blocks as a catalogue lists them: by place, a page after the one before. Reads only.

A place is where an entry stands in that order, so a page that follows is right whatever was added or deleted meanwhile.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Set
from dataclasses import dataclass

from knowledge.catalogue.shelf import IS_VISIBLE, block_of, visibility
from knowledge.document import Block
from knowledge.errors import UnknownDocument

DocumentPlace = tuple[str, str]
"""Collection, source."""
BlockPlace = tuple[str, str, int]
"""Collection, source, ordinal."""


@dataclass(frozen=True, slots=True)
class Record:
    """A document as listed. `revision` counts its registrations; `registered_ms` is wall clock, since 1970."""

    document_id: str
    source: str
    title: str
    version: str
    collection: str
    tags: tuple[str, ...]
    revision: int
    registered_ms: int
    blocks: int
    tokens: int


def record_page(
    connection: sqlite3.Connection,
    visible: Set[str] | None,
    source: str | None,
    after: DocumentPlace | None,
    limit: int,
) -> tuple[Record, ...]:
    """The visible documents, or those with one source, that come after a place."""
    collection_after, source_after = after or ("", "")
    rows = connection.execute(
        _RECORDS + "AND (:source IS NULL OR source = :source) "
        "AND (collection, source) > (:collection_after, :source_after) ORDER BY collection, source LIMIT :limit",
        {"visible": visibility(visible), "source": source, "collection_after": collection_after,
         "source_after": source_after, "limit": limit},
    )  # fmt: skip
    return tuple(_record_of(row) for row in rows)


def block_page(
    connection: sqlite3.Connection,
    visible: Set[str] | None,
    source: str | None,
    kid: str,
    after: BlockPlace | None,
    limit: int,
) -> tuple[Block, ...]:
    """The visible blocks, or those of one source or whose kid begins with `kid`, that come after a place."""
    collection_after, source_after, ordinal_after = after or ("", "", -1)
    rows = connection.execute(
        f"""SELECT * FROM blocks WHERE {IS_VISIBLE} AND (:source IS NULL OR source = :source)
        AND kid >= :kid AND kid < :kid || 'g'
        AND (collection, source, ordinal) > (:collection_after, :source_after, :ordinal_after)
        ORDER BY collection, source, ordinal LIMIT :limit""",
        {"visible": visibility(visible), "source": source, "kid": kid, "collection_after": collection_after,
         "source_after": source_after, "ordinal_after": ordinal_after, "limit": limit},
    )  # fmt: skip
    return tuple(block_of(row) for row in rows)


def blocks_among(connection: sqlite3.Connection, document_ids: Iterable[str], kids: Iterable[str]) -> dict[str, int]:
    """How many blocks each document has of these kids; who has none is left out."""
    rows = connection.execute(
        """SELECT document_id, count(*) AS blocks FROM blocks
        WHERE document_id IN (SELECT value FROM json_each(?)) AND kid IN (SELECT value FROM json_each(?))
        GROUP BY document_id""",
        (json.dumps(list(document_ids)), json.dumps(list(kids))),
    )
    return {row["document_id"]: row["blocks"] for row in rows}


def one_record(connection: sqlite3.Connection, document_id: str, visible: Set[str] | None) -> Record:
    """Raises UnknownDocument, also for one outside the visible collections."""
    row = connection.execute(
        _RECORDS + "AND id = :id",
        {"visible": visibility(visible), "id": document_id},
    ).fetchone()
    if row is None:
        raise UnknownDocument(f"no document {document_id}")
    return _record_of(row)


_RECORDS = """SELECT documents.*,
    (SELECT count(*) FROM blocks WHERE document_id = documents.id) AS blocks,
    (SELECT sum(tokens) FROM blocks WHERE document_id = documents.id) AS tokens
FROM documents
WHERE (:visible IS NULL OR collection IN (SELECT value FROM json_each(:visible))) """


def _record_of(row: sqlite3.Row) -> Record:
    return Record(
        document_id=row["id"],
        source=row["source"],
        title=row["title"],
        version=row["version"],
        collection=row["collection"],
        tags=tuple(json.loads(row["tags"])),
        revision=row["revision"],
        registered_ms=row["registered_ms"],
        blocks=row["blocks"],
        tokens=row["tokens"],
    )
