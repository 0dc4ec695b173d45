"""Which artifacts there are, as rows of a SQLite file. Knows nothing of where their bytes lie, or of quotas."""

import json
import logging
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from cacheroute.kdn.blobs.blob import CHECKSUM_BYTES
from cacheroute.wire.artifacts import Artifact
from knowledge.database import Database, set_aside
from knowledge.errors import DamagedCatalogue

log = logging.getLogger(__name__)

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
    """
ALTER TABLE artifacts ADD COLUMN whole_tokens INTEGER NOT NULL DEFAULT 0;
ALTER TABLE artifacts ADD COLUMN blob TEXT NOT NULL DEFAULT '';
UPDATE artifacts SET blob = id;
""",
)


@dataclass(frozen=True, slots=True)
class Stored:
    """An artifact with what only its keeper needs: checksums (16 bytes a chunk), the turn it was last used at, and its
    blob's name, another one each time it is built.

    Turns count uses; they order artifacts by recency without a clock.
    """

    artifact: Artifact
    checksums: bytes
    turn: int
    blob: str

    @property
    def chunks(self) -> int:
        return len(self.checksums) // CHECKSUM_BYTES

    @property
    def chunk_nbytes(self) -> int:
        return self.artifact.nbytes // self.chunks

    def shortened(self, chunks: int) -> "Stored":
        """The partial artifact of the first `chunks`, at least one: each chunk stands for itself."""
        artifact = self.artifact
        shorter = msgspec.structs.replace(
            artifact,
            n_tokens=artifact.n_tokens // self.chunks * chunks,
            keys=artifact.keys[:chunks],
            nbytes=self.chunk_nbytes * chunks,
            whole_tokens=max(artifact.whole_tokens, artifact.n_tokens),
        )
        return Stored(shorter, self.checksums[: chunks * CHECKSUM_BYTES], self.turn, self.blob)


class Catalogue:
    """The rows in the file at `path`. Synchronous. Raises CatalogueError where the file cannot be used."""

    def __init__(self, path: Path) -> None:
        self._database = Database(path, _SCHEMA)
        with self._database.read() as connection:
            rows = connection.execute("SELECT * FROM artifacts ORDER BY turn").fetchall()
        read = [(row["id"], _stored(row)) for row in rows]
        self.at_start = tuple(stored for _, stored in read if stored)
        self.drop(artifact_id for artifact_id, stored in read if not stored)

    def close(self) -> None:
        self._database.close()

    def put(self, stored: Stored) -> None:
        """Adds a row, or brings it to the present state."""
        artifact = stored.artifact
        values = {
            "id": artifact.id,
            "kids": json.dumps(artifact.kids),
            "rendering": artifact.rendering,
            "fingerprint": artifact.fingerprint,
            "n_tokens": artifact.n_tokens,
            "whole_tokens": artifact.whole_tokens,
            "keys": json.dumps(artifact.keys),
            "nbytes": artifact.nbytes,
            "checksums": stored.checksums,
            "created_at": artifact.created_at,
            "last_used": artifact.last_used,
            "hits": artifact.hits,
            "pinned": artifact.pinned,
            "turn": stored.turn,
            "blob": stored.blob,
        }
        columns, marks = ", ".join(values), ", ".join(f":{name}" for name in values)
        with self._database.write() as connection:
            connection.execute(f"INSERT OR REPLACE INTO artifacts({columns}) VALUES ({marks})", values)

    def used(self, stored: Stored) -> None:
        """Brings what changes with each use to the present state."""
        artifact = stored.artifact
        with self._database.write() as connection:
            connection.execute(
                "UPDATE artifacts SET hits = ?, last_used = ?, turn = ? WHERE id = ?",
                (artifact.hits, artifact.last_used, stored.turn, artifact.id),
            )

    def drop(self, ids: Iterable[str]) -> None:
        with self._database.write() as connection:
            connection.executemany("DELETE FROM artifacts WHERE id = ?", ((each,) for each in ids))


def opened(path: Path) -> tuple[Catalogue, str]:
    """The catalogue at `path`, and a warning where it had to begin anew: what it named can be built again.

    A broken file is kept beside it, for whoever wants to know. Raises CatalogueError.
    """
    try:
        return Catalogue(path), ""
    except DamagedCatalogue as error:
        warning = (
            f"the catalogue of artifacts was broken and is now {set_aside(path)}; all KV must be built again: {error}"
        )
        log.error("%s", warning)
        return Catalogue(path), warning


def _stored(row: sqlite3.Row) -> Stored | None:
    """None for a row that cannot be an artifact: what cannot be trusted is not offered."""
    try:
        artifact = msgspec.convert(
            {name: row[name] for name in row.keys() if name in Artifact.__struct_fields__}  # noqa: SIM118
            | {"kids": json.loads(row["kids"]), "keys": json.loads(row["keys"]), "pinned": bool(row["pinned"])},
            Artifact,
        )
        stored = Stored(artifact, row["checksums"], row["turn"], row["blob"])
        chunks = stored.chunks
    except (ValueError, TypeError) as error:
        log.error("a row of the catalogue of artifacts is forgotten: %s", error)
        return None
    if not chunks or chunks != len(artifact.keys) or artifact.nbytes % chunks or artifact.n_tokens % chunks:
        log.error("the row of artifact %s does not fit itself and is forgotten", artifact.id)
        return None
    return stored
