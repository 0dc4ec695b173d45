"""A cut document with its vectors as rows of a catalogue, and what taking it in changed."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from knowledge.catalogue import duplicates
from knowledge.catalogue.changes import Stamp
from knowledge.catalogue.duplicates import NearDuplicate, Sketch
from knowledge.catalogue.shelf import ShelfWriter
from knowledge.document import Document, Draft
from knowledge.embedding import Vectors


@dataclass(frozen=True, slots=True)
class Registration:
    """What registering a document did to its kids; `orphaned` are those that no document has any more.

    `near_duplicates`: what else was here that says almost the same as one of the kids added.
    """

    document_id: str
    status: Literal["added", "replaced", "unchanged"]
    added: tuple[str, ...]
    removed: tuple[str, ...]
    unchanged: tuple[str, ...]
    orphaned: tuple[str, ...]
    near_duplicates: tuple[NearDuplicate, ...] = ()


def unchanged(draft: Draft) -> Registration:
    """Of a document that stands here just so."""
    return Registration(draft.document.id, "unchanged", (), (), tuple(block.kid for block in draft.blocks), ())


def digest(draft: Draft) -> str:
    """Names all that would be stored of a document: the same from its text and from an archive of what was stored."""
    document = draft.document
    blocks = [(block.kid, block.tokens) for block in draft.blocks]
    passages = [(passage.kid, passage.title, passage.text) for passage in draft.passages]
    facts = [document.title, document.version, document.tags, blocks, passages]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def stored_digest(connection: sqlite3.Connection, document_id: str) -> str | None:
    row = connection.execute("SELECT digest FROM documents WHERE id = ?", (document_id,)).fetchone()
    return row["digest"] if row else None


def put(writer: ShelfWriter, draft: Draft, unit: Vectors, sketches: Mapping[str, Sketch]) -> None:
    """Adds the blocks with their passages, [len(draft.passages), DIMENSIONS] vectors, and sketches (by kid)."""
    end = 0
    for block in draft.blocks:
        start = end
        while end < len(draft.passages) and draft.passages[end].kid == block.kid:
            end += 1
        row = writer.put(block, draft.passages[start:end], unit[start:end])
        duplicates.keep(writer.connection, row, sketches[block.kid])


def describe(connection: sqlite3.Connection, document: Document, stamp: Stamp) -> None:
    """The document's own row."""
    connection.execute(
        """INSERT INTO documents VALUES (?, ?, ?, ?, ?, ?, ?, 1, ?)
        ON CONFLICT (id) DO UPDATE SET title = excluded.title, version = excluded.version, tags = excluded.tags,
            digest = excluded.digest, registered_ms = excluded.registered_ms, revision = revision + 1""",
        (document.id, document.source, document.title, document.version, document.collection,
         json.dumps(document.tags), stamp.digest, stamp.registered_ms),
    )  # fmt: skip
