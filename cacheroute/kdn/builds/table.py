"""The build queue on disk: what it has taken is not lost, whatever happens to the process. Knows no engine.

A row is queued, being built, or over. At most `KEEP_OVER` that are over are kept, those that ended last.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from sqlite3 import Connection, Row

from cacheroute.errors import Overloaded
from cacheroute.wire.artifacts import Build, BuildState, Rendering
from knowledge.database import Database

MAX_QUEUED = 10_000
KEEP_OVER = 1_000

_SCHEMA = (
    """
CREATE TABLE builds(
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    kids TEXT NOT NULL,
    rendering TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    state TEXT NOT NULL DEFAULT 'queued',
    why TEXT NOT NULL DEFAULT '',
    ms REAL NOT NULL DEFAULT 0,
    tries INTEGER NOT NULL DEFAULT 0,
    ended INTEGER
);
CREATE INDEX builds_queued ON builds(kids, rendering, fingerprint) WHERE state = 'queued';
CREATE INDEX builds_state ON builds(state);
CREATE INDEX builds_ended ON builds(ended) WHERE ended IS NOT NULL;
""",
)


@dataclass(frozen=True, slots=True)
class Kept:
    """A row: the build, and how often it was tried in vain."""

    build: Build
    tries: int = 0


class BuildTable:
    """The rows in the file at `path`. Synchronous, for any thread. Raises CatalogueError where the file fails."""

    def __init__(self, path: Path) -> None:
        self._database = Database(path, _SCHEMA)
        with self._database.write() as connection:  # the process that built them is gone
            connection.execute("UPDATE builds SET state = 'queued' WHERE state = 'building'")

    def close(self) -> None:
        self._database.close()

    def queued(self) -> tuple[Kept, ...]:
        """In the order of their turn."""
        with self._database.read() as connection:
            rows = connection.execute("SELECT * FROM builds WHERE state = 'queued' ORDER BY id")
            return tuple(Kept(_build(row), row["tries"]) for row in rows)

    def add(
        self, sets: Iterable[Sequence[str]], rendering: Rendering, fingerprint: str
    ) -> tuple[tuple[int, ...], tuple[Kept, ...]]:
        """An id for each set, the one it has if it is queued already; and the rows that are new.

        All or nothing: raises Overloaded where the queue has no room for all of them.
        """
        ids: list[int] = []
        new: list[Kept] = []
        with self._database.write() as connection:
            queued: int = connection.execute("SELECT count(*) FROM builds WHERE state = 'queued'").fetchone()[0]
            for kids in sets:
                what = (json.dumps(kids), rendering, fingerprint)
                row = connection.execute(_SAME, what).fetchone() or connection.execute(_INSERT, what).fetchone()
                ids.append(row["id"])
                if row["is_new"]:
                    new.append(Kept(_build(row)))
            if queued + len(new) > MAX_QUEUED:
                raise Overloaded(
                    f"the queue takes {MAX_QUEUED:,} builds; {queued:,} are in it and {len(new):,} more were sent: "
                    "send fewer, or wait",
                    retry_after_s=60.0,
                )
        return tuple(ids), tuple(new)

    def put(self, kept: Kept) -> None:
        """Brings a row to the present state."""
        self.put_all([kept])

    def put_all(self, many: Iterable[Kept]) -> None:
        with self._database.write() as connection:
            for kept in many:
                build = kept.build
                over = build.state not in ("queued", "building")
                connection.execute(
                    "UPDATE builds SET state = ?, why = ?, ms = ?, tries = ?, "
                    f"ended = {'(SELECT COALESCE(MAX(ended), 0) + 1 FROM builds)' if over else 'NULL'} WHERE id = ?",
                    (build.state, build.why, build.ms, kept.tries, build.id),
                )
            _forget_oldest(connection)

    def get(self, build_id: int) -> Build | None:
        with self._database.read() as connection:
            row = connection.execute("SELECT * FROM builds WHERE id = ?", (build_id,)).fetchone()
        return _build(row) if row is not None else None

    def page(self, state: BuildState | None, after: int, limit: int) -> tuple[Build, ...]:
        """Up to `limit` of them with ids above `after`, in the order of their ids."""
        with self._database.read() as connection:
            rows = connection.execute(
                "SELECT * FROM builds WHERE id > :after AND (:state IS NULL OR state = :state) "
                "ORDER BY id LIMIT :limit",
                {"after": after, "state": state, "limit": limit},
            )
            return tuple(_build(row) for row in rows)


_SAME = """SELECT *, 0 AS is_new FROM builds
WHERE kids = ? AND rendering = ? AND fingerprint = ? AND state = 'queued'"""
_INSERT = "INSERT INTO builds(kids, rendering, fingerprint) VALUES (?, ?, ?) RETURNING *, 1 AS is_new"


def _forget_oldest(connection: Connection) -> None:
    connection.execute(
        "DELETE FROM builds WHERE ended <= (SELECT ended FROM builds WHERE ended IS NOT NULL "
        "ORDER BY ended DESC LIMIT 1 OFFSET ?)",
        (KEEP_OVER,),
    )


def _build(row: Row) -> Build:
    return Build(
        id=row["id"],
        kids=tuple(json.loads(row["kids"])),
        rendering=row["rendering"],
        fingerprint=row["fingerprint"],
        state=row["state"],
        why=row["why"],
        ms=row["ms"],
    )
