"""What is still to be purged, and where: written down before a text goes, kept until it is done.

A row a place, however many texts went: what a place must not hold any more follows from what there still is. No row
names a text or holds a word of it. Knows no store, no engine and no clock but the date.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from sqlite3 import Connection, Row
from typing import Literal

from knowledge.database import Database
from knowledge.errors import DamagedCatalogue

_SCHEMA = (
    """
CREATE TABLE purges(
    place TEXT PRIMARY KEY,
    asked INTEGER NOT NULL,
    stage TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    why TEXT NOT NULL
);
CREATE TABLE plans(number INTEGER PRIMARY KEY AUTOINCREMENT);
CREATE TABLE engines(name TEXT PRIMARY KEY, seen_on TEXT NOT NULL);
CREATE TABLE models(model TEXT PRIMARY KEY);
""",
)

ENGINE_DAYS = 7
"""An engine that was not seen for so long is taken for gone, and its memory with it."""

ENGINE, STORE = "engine ", "kv store "
"""How the names of places begin: the prefix cache of the engine behind an instance, and a kv store."""

Stage = Literal["due", "again"]


@dataclass(frozen=True, slots=True)
class Entry:
    """A place that is `due`, or to be purged `again` when no request that had the text can be under way.

    `asked` numbers the latest deletion that wants it; `why` is the last failure.
    """

    place: str
    asked: int
    stage: Stage
    attempts: int
    why: str


class PurgeJournal:
    """The journal in the SQLite file at `path`. Synchronous. Raises CatalogueError where the file cannot be used."""

    def __init__(self, path: Path) -> None:
        try:
            self._database = Database(path, _SCHEMA)
        except DamagedCatalogue as error:  # begun anew by itself, it would promise what it does not know of
            raise DamagedCatalogue(
                f"{error}; what was still to be purged is not known any more: move it away with its -wal, empty the kv "
                "stores, restart the engines, and start this KDN again"
            ) from error
        self._met = frozenset[tuple[str, str]]()
        oldest = (datetime.now(UTC) - timedelta(days=ENGINE_DAYS)).date().isoformat()
        with self._database.write() as connection:
            gone = connection.execute("DELETE FROM engines WHERE seen_on < ? RETURNING name", (oldest,)).fetchall()
            connection.executemany("DELETE FROM purges WHERE place = ?", ((ENGINE + row["name"],) for row in gone))
            self._asked: int = connection.execute("SELECT COALESCE(MAX(asked), 0) FROM purges").fetchone()[0]

    def close(self) -> None:
        self._database.close()

    def meet(self, engines: Iterable[str], models: Iterable[str]) -> None:
        """Remembers engines that live today, and model strings that chunks' keys begin with."""
        today = datetime.now(UTC).date().isoformat()
        met = frozenset([*((name, today) for name in engines), *((model, "") for model in models)])
        if met <= self._met:
            return
        with self._database.write() as connection:
            for name, day in met - self._met:
                if day:
                    connection.execute("INSERT OR REPLACE INTO engines VALUES (?, ?)", (name, day))
                else:
                    connection.execute("INSERT OR IGNORE INTO models VALUES (?)", (name,))
        self._met = met

    def met(self) -> tuple[frozenset[str], frozenset[str]]:
        """All engines and model strings that it remembers."""
        with self._database.read() as connection:
            engines = connection.execute("SELECT name FROM engines")
            models = connection.execute("SELECT model FROM models")
            return frozenset(row["name"] for row in engines), frozenset(row["model"] for row in models)

    def plan(self) -> int:
        """Says that a text is about to go; returns the plan's number. If nothing follows, `adopt` takes it up."""
        with self._database.write() as connection:
            return connection.execute("INSERT INTO plans DEFAULT VALUES RETURNING number").fetchone()["number"]

    def withdraw(self, plan: int) -> None:
        """The text stays."""
        with self._database.write() as connection:
            connection.execute("DELETE FROM plans WHERE number = ?", (plan,))

    def ask(self, plan: int, places: Iterable[str]) -> None:
        """The text of a plan has gone: the places are due."""
        with self._database.write() as connection:
            self._due(connection, places)
            connection.execute("DELETE FROM plans WHERE number = ?", (plan,))

    def adopt(self, places: Iterable[str]) -> None:
        """Makes the places due if there is a plan of which nobody knows what came of it: a crash was quicker."""
        with self._database.write() as connection:
            if connection.execute("DELETE FROM plans RETURNING number").fetchall():
                self._due(connection, places)

    def purged(self, place: str, asked: int) -> bool:
        """What was `asked` for is done, once: requests that had the text may still be under way.

        False where it was asked for anew meanwhile, and is still due.
        """
        with self._database.write() as connection:
            return bool(
                connection.execute(
                    """INSERT INTO purges VALUES (?, ?, 'again', 0, '')
                    ON CONFLICT (place) DO UPDATE SET stage = 'again', attempts = 0, why = ''
                    WHERE purges.asked = excluded.asked RETURNING place""",
                    (place, asked),
                ).fetchall()
            )

    def done(self, entry: Entry) -> None:
        """It is done for good, unless it was asked for anew meanwhile."""
        with self._database.write() as connection:
            connection.execute(
                "DELETE FROM purges WHERE place = ? AND asked = ? AND stage = ?",
                (entry.place, entry.asked, entry.stage),
            )

    def failed(self, place: str, why: str) -> None:
        with self._database.write() as connection:
            connection.execute("UPDATE purges SET attempts = attempts + 1, why = ? WHERE place = ?", (why, place))

    def drop(self, place: str) -> None:
        """Gives a place up."""
        with self._database.write() as connection:
            connection.execute("DELETE FROM purges WHERE place = ?", (place,))

    def entries(self) -> tuple[Entry, ...]:
        with self._database.read() as connection:
            return tuple(_entry(row) for row in connection.execute("SELECT * FROM purges ORDER BY place"))

    def _due(self, connection: Connection, places: Iterable[str]) -> None:
        self._asked += 1
        connection.executemany(
            """INSERT INTO purges VALUES (?, ?, 'due', 0, '')
            ON CONFLICT (place) DO UPDATE SET asked = excluded.asked, stage = 'due'""",
            ((place, self._asked) for place in places),
        )


def _entry(row: Row) -> Entry:
    return Entry(row["place"], row["asked"], row["stage"], row["attempts"], row["why"])
