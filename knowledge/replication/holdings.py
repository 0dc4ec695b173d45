"""What each origin holds of each document, and which one version of it is on the shelf for all to search.

The newest whole version of any origin is on the shelf. The others are kept beside it, packed, for the day when the
origin of the newest is gone; a version stays until the one that follows it at its origin is whole, so nothing blinks
while pages come in. What was deleted anywhere is kept nowhere. Works inside a transaction of a replica.
"""

from __future__ import annotations

import sqlite3
from typing import NamedTuple

from knowledge.catalogue import history
from knowledge.catalogue.changes import Change, Entry, Stamp
from knowledge.catalogue.shelf import ShelfWriter, entry_digest, entry_of, vectors_of
from knowledge.embedding import checked
from knowledge.replication.packing import packed, unpacked


class _Held(NamedTuple):
    """A version at an origin. `generation`: in which telling of its whole log it was heard of last."""

    id: int
    origin: str
    generation: int
    stamp: Stamp
    is_whole: bool

    @property
    def recency(self) -> tuple[int, Stamp]:
        """What an origin says now goes before what it said in another life, whatever their times."""
        return self.generation, self.stamp


class Holdings:
    """The changes of one transaction. After the last one, `settle` brings the shelf in line."""

    def __init__(self, writer: ShelfWriter) -> None:
        self._writer = writer
        self._connection = writer.connection
        self._touched: set[str] = set()
        self._fresh: dict[str, Entry] = {}

    def take(self, change: Change, origin: str, generation: int) -> None:
        """Raises EmbeddingError for vectors that do not fit."""
        if change.entry is not None:
            self._hold(change.document_id, change.entry, origin, generation)
        elif change.deleted_ms:
            self._bury(change.document_id, change.deleted_ms, origin)
        # else the document lives on without this kid: the version that says so is further on in the log

    def let_go(self, origin: str, before_generation: int) -> None:
        """The origin's versions that it has not spoken of in this generation or later."""
        gone = self._connection.execute(
            "DELETE FROM versions WHERE origin = ? AND generation < ? RETURNING document_id",
            (origin, before_generation),
        )
        self._touched.update(row["document_id"] for row in gone.fetchall())

    def settle(self) -> bool:
        """Whether any text went for good."""
        dropped = [self._settle(document_id) for document_id in sorted(self._touched)]
        return any(dropped)

    def _hold(self, document_id: str, entry: Entry, origin: str, generation: int) -> None:
        checked(vectors_of(entry.vectors), len(entry.passages))
        version = self._connection.execute(
            """INSERT INTO versions(origin, document_id, registered_ms, digest, n_blocks, generation)
            VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET generation = excluded.generation RETURNING id""",
            (origin, document_id, entry.registered_ms, entry.digest, entry.n_blocks, generation),
        ).fetchone()["id"]
        name = entry_digest(entry.block)
        row = self._connection.execute("SELECT id FROM entries WHERE name = ?", (name,)).fetchone()
        if row is None:
            row = self._connection.execute(
                "INSERT INTO entries(name, document_id, kid) VALUES (?, ?, ?) RETURNING id",
                (name, document_id, entry.block.kid),
            ).fetchone()
            self._fresh[name] = entry
        self._connection.execute("INSERT OR IGNORE INTO holders VALUES (?, ?)", (version, row["id"]))
        self._touched.add(document_id)

    def _bury(self, document_id: str, deleted_ms: int, origin: str) -> None:
        if deleted_ms > max(history.FORGOTTEN_MS, history.deleted_ms(self._connection, document_id)):
            history.bury(self._connection, document_id, deleted_ms)
        self._connection.execute("DELETE FROM versions WHERE origin = ? AND document_id = ?", (origin, document_id))
        self._touched.add(document_id)

    def _settle(self, document_id: str) -> bool:
        versions = self._versions(document_id)
        newest: dict[str, _Held] = {}
        for held in sorted(versions, key=lambda each: each.recency):
            if held.is_whole:
                newest[held.origin] = held
        deleted_ms = history.deleted_ms(self._connection, document_id)
        for held in versions:
            is_followed = held.origin in newest and held.recency < newest[held.origin].recency
            if is_followed or held.stamp.registered_ms <= deleted_ms:
                self._connection.execute("DELETE FROM versions WHERE id = ?", (held.id,))
        living = [held for held in newest.values() if held.stamp.registered_ms > deleted_ms]
        self._show(document_id, max(living, key=lambda each: each.stamp) if living else None)
        return self._drop_unheld(document_id)

    def _versions(self, document_id: str) -> list[_Held]:
        rows = self._connection.execute(
            """SELECT *, n_blocks <= (SELECT count(*) FROM holders WHERE version = versions.id) AS is_whole
            FROM versions WHERE document_id = ?""",
            (document_id,),
        )
        return [
            _Held(row["id"], row["origin"], row["generation"], Stamp(row["registered_ms"], row["digest"]),
                  bool(row["is_whole"]))
            for row in rows
        ]  # fmt: skip

    def _show(self, document_id: str, version: _Held | None) -> None:
        """Puts this version's blocks on the shelf, and what else is there of the document beside it."""
        rows = self._connection.execute(
            """SELECT entries.*, EXISTS (SELECT 1 FROM holders WHERE version = ? AND entry = entries.id) AS is_wanted
            FROM entries WHERE document_id = ?""",
            (version.id if version else None, document_id),
        ).fetchall()
        shelved = {
            row["entry"]: row
            for row in self._connection.execute("SELECT * FROM blocks WHERE document_id = ?", (document_id,)).fetchall()
        }
        for row in rows:
            if row["is_wanted"] and row["name"] not in shelved:
                entry = self._entry(row)
                self._writer.put(entry.block, entry.passages, checked(vectors_of(entry.vectors), len(entry.passages)))
                self._keep(row, None)
            elif not row["is_wanted"] and row["packed"] is None:
                block = shelved.get(row["name"])
                self._keep(row, self._entry(row) if block is None else self._unshelved(block))

    def _entry(self, row: sqlite3.Row) -> Entry:
        return self._fresh[row["name"]] if row["packed"] is None else unpacked(row["packed"], row["vectors"])

    def _unshelved(self, block: sqlite3.Row) -> Entry:
        entry = entry_of(self._connection, block, Stamp(0, ""), 0)
        self._writer.drop([block["id"]])
        return entry

    def _keep(self, row: sqlite3.Row, entry: Entry | None) -> None:
        """Packs an entry into its row; None: it is on the shelf."""
        self._connection.execute(
            "UPDATE entries SET packed = ?, vectors = ? WHERE id = ?",
            (packed(entry) if entry else None, entry.vectors if entry else None, row["id"]),
        )

    def _drop_unheld(self, document_id: str) -> bool:
        """Whether there was any."""
        gone = self._connection.execute(
            """DELETE FROM entries WHERE document_id = ? AND NOT EXISTS (SELECT 1 FROM holders WHERE entry = entries.id)
            RETURNING name""",
            (document_id,),
        ).fetchall()
        for row in gone:
            shelved = self._connection.execute("SELECT id FROM blocks WHERE entry = ?", (row["name"],)).fetchall()
            self._writer.drop(each["id"] for each in shelved)
        return bool(gone)
