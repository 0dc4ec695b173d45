"""The union of several libraries, as one process's own copy: searched like one, and it knows who holds what.

Fed with pages of each origin's changes. Where origins have a document in different versions the newest is what is
there; one origin's loss takes away only what it alone holds, or brings back the version that was the newest before.
A deletion at one of them takes older versions away from all. Synchronous, safe to call from several threads. Knows no
network: whoever fetches the pages names the origin.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Set
from pathlib import Path

from knowledge.catalogue import history
from knowledge.catalogue.changes import Changes, Cursor, sound
from knowledge.catalogue.schema import REPLICA
from knowledge.catalogue.shelf import Shelf, ShelfWriter
from knowledge.document import Block
from knowledge.errors import DamagedCatalogue, NewerSchema, OutOfStep
from knowledge.replication.holdings import Holdings

_LAST_GENERATION = 2**62


class Replica:
    """The copy in the SQLite file at `path`, which may be thrown away: it fills again from the origins.

    An entry that several origins have in the same form is stored once. What an origin has of a document counts once
    it is whole. A damaged file is thrown away. Raises CatalogueError.
    """

    def __init__(self, path: Path) -> None:
        try:
            self.shelf = Shelf(path, REPLICA)
        except (DamagedCatalogue, NewerSchema):
            for left in path.parent.glob(f"{path.name}*"):
                left.unlink()
            self.shelf = Shelf(path, REPLICA)

    def close(self) -> None:
        self.shelf.close()

    def cursor(self, origin: str) -> Cursor | None:
        """From where to ask `origin` for changes; None: from the start."""
        with self.shelf.read() as connection:
            row = connection.execute("SELECT epoch, seq FROM cursors WHERE origin = ?", (origin,)).fetchone()
            return Cursor(row["epoch"], row["seq"]) if row else None

    def origins(self) -> dict[str, int]:
        """Every origin that was heard of, and how many blocks it holds, in whatever version."""
        with self.shelf.read() as connection:
            rows = connection.execute(
                """SELECT origin, (SELECT count(DISTINCT entry) FROM holders JOIN versions ON versions.id = version
                    WHERE versions.origin = cursors.origin) AS blocks
                FROM cursors ORDER BY origin"""
            )
            return {row["origin"]: row["blocks"] for row in rows}

    def apply(self, changes: Changes, origin: str) -> None:
        """Takes in a page that follows the last one from `origin`, or starts anew (`changes.start` 0).

        Starting anew does not blink: what the origin held stays until the last page, and then only what was
        not heard of again goes. Raises OutOfStep (ask from `cursor(origin)`), BrokenPage, EmbeddingError: then the
        copy is as it was.
        """
        sound(changes)
        with self.shelf.write() as writer:
            generation = self._generation(writer, changes, origin)
            holdings = Holdings(writer)
            for change in changes.items:
                holdings.take(change, origin, generation)
            if not changes.more:
                holdings.let_go(origin, generation)
                history.prune(writer.connection)
            writer.connection.execute(
                "INSERT OR REPLACE INTO cursors VALUES (?, ?, ?, ?)",
                (origin, changes.epoch, changes.next, generation),
            )
            dropped = holdings.settle()
        if dropped:
            self.shelf.scrub()

    def forget(self, origin: str) -> None:
        """Drops an origin and what it alone holds. What was deleted there stays deleted."""
        with self.shelf.write() as writer:
            holdings = Holdings(writer)
            holdings.let_go(origin, _LAST_GENERATION)
            writer.connection.execute("DELETE FROM cursors WHERE origin = ?", (origin,))
            dropped = holdings.settle()
        if dropped:
            self.shelf.scrub()

    def holders(self, kids: Iterable[str]) -> dict[str, frozenset[str]]:
        """Which origins hold each kid that is here, in this version of its document or another: a kid is its text."""
        wanted = list(kids)
        held: dict[str, set[str]] = {kid: set() for kid in wanted}
        with self.shelf.read() as connection:
            rows = connection.execute(
                """SELECT DISTINCT kid, origin FROM entries
                JOIN holders ON holders.entry = entries.id JOIN versions ON versions.id = version
                WHERE kid IN (SELECT value FROM json_each(?))
                AND EXISTS (SELECT 1 FROM blocks WHERE blocks.kid = entries.kid)""",
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
