"""What became of a library's documents: the log that others follow, and the tombstones of what was deleted.

The log has each (document, kid) once, at its latest change; pages show the present state of it. A tombstone is an id
and a time: no text, no name. Works inside a transaction of the library; knows nothing of who reads.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from datetime import UTC, datetime

from knowledge.catalogue.changes import Change, Changes, Cursor, Stamp
from knowledge.catalogue.shelf import entry_of

TOMBSTONE_DAYS = 30
"""How long a deletion is remembered: longer than a KDN may be away and still come back with old documents."""
MAX_TOMBSTONES = 100_000
"""The newest so many: some 10 MB of ids, and more than anybody deletes in that time by hand."""
FORGOTTEN_MS = 1
"""`Change.deleted_ms` of a deletion too long ago to be remembered: gone here, and nothing said of others."""

MAX_PAGE_BYTES = 8 * 2**20
"""Of text and vectors on one page, unless one block alone has more: who reads it holds all of it at a time."""

_MS_A_DAY = 24 * 3600 * 1000


def now_ms() -> int:
    return int(datetime.now(UTC).timestamp() * 1000)


def stamp(connection: sqlite3.Connection, document_id: str) -> Stamp | None:
    """Of the version that stands here; None where there is none."""
    row = connection.execute("SELECT registered_ms, digest FROM documents WHERE id = ?", (document_id,)).fetchone()
    return Stamp(row["registered_ms"], row["digest"]) if row else None


def deleted_ms(connection: sqlite3.Connection, document_id: str) -> int:
    """When a document that is not here was deleted; 0 where that is not known."""
    row = connection.execute("SELECT deleted_ms FROM tombstones WHERE document_id = ?", (document_id,)).fetchone()
    return row["deleted_ms"] if row else 0


def next_ms(connection: sqlite3.Connection, document_id: str) -> int:
    """The time of a new version: now, and later than all that is known of the document, if the clock went back."""
    before = stamp(connection, document_id)
    known_ms = before.registered_ms if before else deleted_ms(connection, document_id)
    return max(now_ms(), known_ms + 1)


def restamp(connection: sqlite3.Connection, document_id: str, registered_ms: int) -> None:
    """The version that is here was registered again, with nothing else in it."""
    connection.execute("UPDATE documents SET registered_ms = ? WHERE id = ?", (registered_ms, document_id))


def is_news(connection: sqlite3.Connection, document_id: str, told: Stamp) -> bool:
    """Whether a version is newer than what is here, and than its deletion where it is not."""
    before = stamp(connection, document_id)
    return told > before if before else told.registered_ms > deleted_ms(connection, document_id)


def bury(connection: sqlite3.Connection, document_id: str, at_ms: int) -> None:
    """Remembers a deletion, and forgets those that are too old or too many."""
    connection.execute("INSERT OR REPLACE INTO tombstones VALUES (?, ?)", (document_id, at_ms))
    prune(connection)


def prune(connection: sqlite3.Connection) -> None:
    """Forgets tombstones that are too old or too many."""
    connection.execute("DELETE FROM tombstones WHERE deleted_ms < ?", (now_ms() - TOMBSTONE_DAYS * _MS_A_DAY,))
    connection.execute(
        "DELETE FROM tombstones WHERE document_id IN "
        "(SELECT document_id FROM tombstones ORDER BY deleted_ms DESC LIMIT -1 OFFSET ?)",
        (MAX_TOMBSTONES,),
    )


def exhume(connection: sqlite3.Connection, document_id: str) -> None:
    """The document is there again."""
    connection.execute("DELETE FROM tombstones WHERE document_id = ?", (document_id,))


def log(connection: sqlite3.Connection, document_id: str, kids: Iterable[str]) -> None:
    """These kids of the document changed, went or came."""
    connection.executemany("INSERT INTO changes(document_id, kid) VALUES (?, ?)", ((document_id, kid) for kid in kids))


def head(connection: sqlite3.Connection) -> int:
    """The newest change."""
    return connection.execute("SELECT COALESCE(MAX(seq), 0) FROM changes").fetchone()[0]


def page(connection: sqlite3.Connection, epoch: str, since: Cursor | None, limit: int) -> Changes:
    """At most `limit` changes after the cursor, fewer if they are large; from the start where that is of no use."""
    newest = head(connection)
    # A cursor past the head comes from a log that was restored from a backup: of no use either.
    usable = since is not None and since.epoch == epoch and since.seq <= newest
    start = since.seq if since is not None and usable else 0
    rows = connection.execute(
        """SELECT seq, changes.document_id AS of_document, changes.kid AS of_kid, documents.id IS NULL AS is_gone,
            deleted_ms, registered_ms, digest, blocks.*,
            (SELECT count(*) FROM blocks AS each WHERE each.document_id = changes.document_id) AS n_blocks
        FROM changes
        LEFT JOIN blocks ON blocks.document_id = changes.document_id AND blocks.kid = changes.kid
        LEFT JOIN documents ON documents.id = changes.document_id
        LEFT JOIN tombstones ON tombstones.document_id = changes.document_id
        WHERE seq > ? ORDER BY seq LIMIT ?""",
        (start, limit),
    )
    items, nbytes = list[Change](), 0
    for row in rows:
        change = _change(connection, row)
        nbytes += _nbytes(change)
        if items and nbytes > MAX_PAGE_BYTES:
            break
        items.append(change)
    end = items[-1].seq if items else start
    return Changes(epoch, start, end, tuple(items), more=end < newest)


def _change(connection: sqlite3.Connection, row: sqlite3.Row) -> Change:
    entry = None
    if row["id"] is not None:
        entry = entry_of(connection, row, Stamp(row["registered_ms"], row["digest"]), row["n_blocks"])
    gone_ms = (row["deleted_ms"] or FORGOTTEN_MS) if row["is_gone"] else 0
    return Change(row["seq"], row["of_document"], row["of_kid"], entry, gone_ms)


def _nbytes(change: Change) -> int:
    if change.entry is None:
        return 0
    texts = (change.entry.block.text, *(passage.text for passage in change.entry.passages))
    return len(change.entry.vectors) + 2 * sum(map(len, texts))
