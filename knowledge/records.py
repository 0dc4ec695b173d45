"""Documents as a catalogue lists them: one row each, with the sums over its blocks. Reads only."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Set
from dataclasses import dataclass

from knowledge.errors import UnknownDocument
from knowledge.shelf import visibility


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


def all_records(
    connection: sqlite3.Connection, visible: Set[str] | None, source: str | None, limit: int, offset: int
) -> tuple[Record, ...]:
    """A page of the visible documents, or of those with one source, by collection and source."""
    rows = connection.execute(
        _RECORDS + "AND (:source IS NULL OR documents.source = :source) "
        "GROUP BY documents.id ORDER BY documents.collection, documents.source LIMIT :limit OFFSET :offset",
        {"visible": visibility(visible), "source": source, "limit": limit, "offset": offset},
    )
    return tuple(_record_of(row) for row in rows)


def one_record(connection: sqlite3.Connection, document_id: str, visible: Set[str] | None) -> Record:
    """Raises UnknownDocument, also for one outside the visible collections."""
    row = connection.execute(
        _RECORDS + "AND documents.id = :id GROUP BY documents.id",
        {"visible": visibility(visible), "id": document_id},
    ).fetchone()
    if row is None:
        raise UnknownDocument(f"no document {document_id}")
    return _record_of(row)


_RECORDS = """SELECT documents.*, count(*) AS blocks, sum(tokens) AS tokens
FROM documents JOIN blocks ON blocks.document_id = documents.id
WHERE (:visible IS NULL OR documents.collection IN (SELECT value FROM json_each(:visible))) """


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
