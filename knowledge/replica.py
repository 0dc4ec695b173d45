"""The union of several libraries, as one process's own copy: searched like one, and it knows who holds what.

Fed with pages of each origin's changes; one origin's loss takes away only what it alone holds. Synchronous, safe to
call from several threads. Knows no network: whoever fetches the pages names the origin.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Set
from pathlib import Path

from knowledge.changes import Change, Changes, Cursor, Entry
from knowledge.document import Block
from knowledge.embedding import checked
from knowledge.errors import OutOfStep
from knowledge.schema import REPLICA
from knowledge.shelf import Shelf, ShelfWriter, entry_digest, vectors_of


class Replica:
    """The copy in the SQLite file at `path`, which may be thrown away: it fills again from the origins.

    An entry that several origins have in the same form is stored once. Raises CatalogueError.
    """

    def __init__(self, path: Path) -> None:
        self.shelf = Shelf(path, REPLICA)

    def close(self) -> None:
        self.shelf.close()

    def cursor(self, origin: str) -> Cursor | None:
        """From where to ask `origin` for changes; None: from the start."""
        with self.shelf.read() as connection:
            row = connection.execute("SELECT epoch, seq FROM cursors WHERE origin = ?", (origin,)).fetchone()
            return Cursor(row["epoch"], row["seq"]) if row else None

    def origins(self) -> dict[str, int]:
        """Every origin that was heard of, and how many blocks it holds."""
        with self.shelf.read() as connection:
            rows = connection.execute(
                """SELECT origin, (SELECT count(*) FROM holders WHERE holders.origin = cursors.origin) AS blocks
                FROM cursors ORDER BY origin"""
            )
            return {row["origin"]: row["blocks"] for row in rows}

    def apply(self, changes: Changes, origin: str) -> None:
        """Takes in a page that follows the last one from `origin`, or starts anew (`changes.start` 0).

        Starting anew does not blink: what the origin held stays until the last page, and then only what was
        not heard of again goes. Raises OutOfStep (ask from `cursor(origin)`), EmbeddingError.
        """
        with self.shelf.write() as writer:
            generation = self._generation(writer, changes, origin)
            loose: set[int] = set()
            for change in changes.items:
                loose |= _apply_one(writer, change, origin, generation)
            if not changes.more:
                loose |= _let_go(writer, "origin = ? AND generation < ?", (origin, generation))
            writer.connection.execute(
                "INSERT OR REPLACE INTO cursors VALUES (?, ?, ?, ?)",
                (origin, changes.epoch, changes.next, generation),
            )
            dropped = _drop_unheld(writer, loose)
        if dropped:
            self.shelf.scrub()

    def forget(self, origin: str) -> None:
        """Drops an origin and what it alone holds."""
        with self.shelf.write() as writer:
            loose = _let_go(writer, "origin = ?", (origin,))
            writer.connection.execute("DELETE FROM cursors WHERE origin = ?", (origin,))
            _drop_unheld(writer, loose)
        self.shelf.scrub()

    def holders(self, kids: Iterable[str]) -> dict[str, frozenset[str]]:
        """Which origins hold each kid; an empty set where none does."""
        wanted = list(kids)
        held: dict[str, set[str]] = {kid: set() for kid in wanted}
        with self.shelf.read() as connection:
            rows = connection.execute(
                """SELECT DISTINCT kid, origin FROM blocks JOIN holders ON holders.block = blocks.id
                WHERE kid IN (SELECT value FROM json_each(?))""",
                (json.dumps(wanted),),
            )
            for row in rows:
                held[row["kid"]].add(row["origin"])
        return {kid: frozenset(origins) for kid, origins in held.items()}

    def blocks(self, kids: Iterable[str], visible: Set[str] | None = None) -> dict[str, Block]:
        """The blocks of those `kids` that exist in a visible collection."""
        return self.shelf.blocks(kids, visible)

    def _generation(self, writer: ShelfWriter, changes: Changes, origin: str) -> int:
        row = writer.connection.execute("SELECT * FROM cursors WHERE origin = ?", (origin,)).fetchone()
        if changes.start == 0:
            return row["generation"] + 1 if row else 1
        if row is None or (row["epoch"], row["seq"]) != (changes.epoch, changes.start):
            at = f"{row['epoch']}:{row['seq']}" if row else "the start"
            raise OutOfStep(f"{origin}: changes from {changes.epoch}:{changes.start} do not follow {at}")
        return row["generation"]


def _apply_one(writer: ShelfWriter, change: Change, origin: str, generation: int) -> set[int]:
    """Returns the rows that the origin has let go: another form of the entry, or the entry itself."""
    row = None if change.entry is None else _hold(writer, change.entry, origin, generation)
    return _let_go(
        writer,
        "origin = ? AND block IS NOT ? AND block IN (SELECT id FROM blocks WHERE document_id = ? AND kid = ?)",
        (origin, row, change.document_id, change.kid),
    )


def _hold(writer: ShelfWriter, entry: Entry, origin: str, generation: int) -> int:
    found = writer.connection.execute("SELECT id FROM blocks WHERE entry = ?", (entry_digest(entry.block),)).fetchone()
    row = found["id"] if found else _put(writer, entry)
    writer.connection.execute(
        "INSERT OR REPLACE INTO holders VALUES (?, ?, ?, ?)", (row, origin, generation, entry.registered_ms)
    )
    return row


def _put(writer: ShelfWriter, entry: Entry) -> int:
    return writer.put(entry.block, entry.passages, checked(vectors_of(entry.vectors), len(entry.passages)))


def _let_go(writer: ShelfWriter, which: str, parameters: tuple[object, ...]) -> set[int]:
    rows = writer.connection.execute(f"DELETE FROM holders WHERE {which} RETURNING block", parameters).fetchall()
    return {row["block"] for row in rows}


def _drop_unheld(writer: ShelfWriter, rows: Iterable[int]) -> bool:
    held = "SELECT EXISTS (SELECT 1 FROM holders WHERE block = ?)"
    unheld = [row for row in rows if not writer.connection.execute(held, (row,)).fetchone()[0]]
    writer.drop(unheld)
    return bool(unheld)
