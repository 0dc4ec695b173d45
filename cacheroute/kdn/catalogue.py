"""Which artifacts there are, as rows of a SQLite file. Knows nothing of where their bytes lie, or of quotas."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from sqlite3 import Row

from cacheroute.kdn.blobs import CHECKSUM_BYTES
from cacheroute.wire.artifacts import Artifact
from knowledge.database import Database

_SCHEMA = (
    """
CREATE TABLE artifacts(
    id TEXT PRIMARY KEY,
    kids TEXT NOT NULL,
    rendering TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    n_tokens INTEGER NOT NULL,
    keys TEXT NOT NULL,
    nbytes INTEGER NOT NULL,
    checksums BLOB NOT NULL,
    created_at TEXT NOT NULL,
    last_used TEXT NOT NULL,
    hits INTEGER NOT NULL,
    pinned INTEGER NOT NULL,
    turn INTEGER NOT NULL
);
""",
)


@dataclass(frozen=True, slots=True)
class Stored:
    """An artifact with what only its keeper needs: checksums (16 bytes a chunk), and the turn it was last used at.

    Turns count uses; they order artifacts by recency without a clock.
    """

    artifact: Artifact
    checksums: bytes
    turn: int

    @property
    def chunk_nbytes(self) -> int:
        return self.artifact.nbytes // (len(self.checksums) // CHECKSUM_BYTES)


class Catalogue:
    """The rows in the file at `path`. Synchronous. Raises CatalogueError where the file cannot be used."""

    def __init__(self, path: Path) -> None:
        self._database = Database(path, _SCHEMA)

    def close(self) -> None:
        self._database.close()

    def all(self) -> tuple[Stored, ...]:
        with self._database.read() as connection:
            return tuple(_stored(row) for row in connection.execute("SELECT * FROM artifacts ORDER BY turn"))

    def put(self, stored: Stored) -> None:
        """Adds a row, or brings it to the present state."""
        artifact = stored.artifact
        with self._database.write() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO artifacts VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (artifact.id, json.dumps(artifact.kids), artifact.rendering, artifact.fingerprint, artifact.n_tokens,
                 json.dumps(artifact.keys), artifact.nbytes, stored.checksums, artifact.created_at,
                 artifact.last_used, artifact.hits, artifact.pinned, stored.turn),
            )  # fmt: skip

    def drop(self, ids: Iterable[str]) -> None:
        with self._database.write() as connection:
            connection.executemany("DELETE FROM artifacts WHERE id = ?", ((each,) for each in ids))


def _stored(row: Row) -> Stored:
    artifact = Artifact(
        id=row["id"],
        kids=tuple(json.loads(row["kids"])),
        rendering=row["rendering"],
        fingerprint=row["fingerprint"],
        n_tokens=row["n_tokens"],
        keys=tuple(json.loads(row["keys"])),
        nbytes=row["nbytes"],
        created_at=row["created_at"],
        last_used=row["last_used"],
        hits=row["hits"],
        pinned=bool(row["pinned"]),
    )
    return Stored(artifact, row["checksums"], row["turn"])
