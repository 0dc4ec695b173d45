"""Blocks with their passages, vectors and search index in one file: what a Library and a Replica stand on.

Keeps the vectors in memory in step with what is committed. Knows no documents, no origins and no ranking.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import threading
from collections.abc import Generator, Iterable, Iterator, Sequence, Set
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import numpy as np

from knowledge.catalogue.changes import Entry, Stamp
from knowledge.catalogue.vectors import Placed, VectorIndex
from knowledge.database import Database
from knowledge.document import Block, Passage
from knowledge.embedding import DIMENSIONS, Vectors
from knowledge.errors import CatalogueError, DamagedCatalogue, EmbeddingError
from knowledge.text import kid_of

IS_VISIBLE = "(:visible IS NULL OR blocks.collection IN (SELECT value FROM json_each(:visible)))"
"""SQL condition on `blocks`, its parameter made by `visibility`."""

_OPTIMISE = "INSERT INTO passage_fts(passage_fts) VALUES ('optimize')"


class Shelf:
    """`schema` is one of those in schema.py. One writer at a time, any number of readers. Raises CatalogueError."""

    def __init__(self, path: Path, schema: Sequence[str]) -> None:
        self._database = Database(path, schema)
        self._writing = threading.Lock()
        self.vectors = VectorIndex()
        try:
            with self._database.read() as connection:
                self.vectors.update((), _all_vectors(connection))
                _check_texts(connection, path)
            self.rewrite()  # of deletions before a crash
        except EmbeddingError as error:
            self._database.close()
            raise DamagedCatalogue(f"{path} is damaged: {error}") from error
        except CatalogueError:
            self._database.close()
            raise

    def close(self) -> None:
        self._database.close()

    def read(self) -> AbstractContextManager[sqlite3.Connection]:
        return self._database.read()

    @contextmanager
    def write(self) -> Generator[ShelfWriter]:
        """A transaction. The vectors follow once it is committed, in the order of the commits."""
        with self._writing:
            with self._database.write() as connection:
                writer = ShelfWriter(connection)
                yield writer
            self.vectors.update(writer.removed, writer.added)

    def scrub(self) -> None:
        """Rewrites the search index and empties the log: both keep words of deleted texts for a while."""
        with self._writing:
            with self._database.write() as connection:
                connection.execute(_OPTIMISE)
            self._database.truncate_log()

    def rewrite(self) -> bool:
        """Writes the file anew if anything was deleted since it was last done; returns whether it was.

        SQLite overwrites what it deletes, but not each copy that it left behind when it moved rows between pages.
        """
        with self._writing:
            with self._database.read() as connection:
                if not connection.execute("PRAGMA user_version").fetchone()[0]:
                    return False
            with self._database.write() as connection:
                connection.execute(_OPTIMISE)  # the search index names deleted words until its parts are merged
            self._database.rewrite()
            with self._database.write() as connection:
                connection.execute("PRAGMA user_version = 0")
            self._database.truncate_log()
            return True

    def empty_log(self) -> None:
        """For who read so long that a `scrub` meanwhile could not."""
        self._database.truncate_log()

    def blocks(self, kids: Iterable[str], visible: Set[str] | None = None) -> dict[str, Block]:
        """The blocks of those `kids` that exist in a visible collection (None: in any)."""
        with self.read() as connection:
            rows = connection.execute(
                f"""SELECT * FROM blocks WHERE kid IN (SELECT value FROM json_each(:kids)) AND {IS_VISIBLE}
                ORDER BY collection DESC, source DESC""",
                {"kids": json.dumps(list(kids)), "visible": visibility(visible)},
            )
            return {row["kid"]: block_of(row) for row in rows}


class ShelfWriter:
    """What a transaction on a shelf can do, and which passages it added and removed."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        self.added: list[Placed] = []
        self.removed: list[int] = []

    def put(self, block: Block, passages: Sequence[Passage], vectors: Vectors) -> int:
        """Adds a block with its passages ([len(passages), DIMENSIONS] vectors); returns its row id."""
        row = self.connection.execute(
            """INSERT INTO blocks
                (entry, document_id, kid, ordinal, text, tokens, source, title, version, collection, tags)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id""",
            (entry_digest(block), block.document_id, block.kid, block.ordinal, block.text, block.tokens, block.source,
             block.title, block.version, block.collection, json.dumps(block.tags)),
        ).fetchone()["id"]  # fmt: skip
        for passage, vector in zip(passages, vectors, strict=True):
            added = self.connection.execute(
                "INSERT INTO passages(block, ordinal, vector) VALUES (?, ?, ?) RETURNING id",
                (row, passage.ordinal, vector.tobytes()),
            ).fetchone()["id"]
            self.connection.execute(
                "INSERT INTO passage_fts(rowid, title, text) VALUES (?, ?, ?)",
                (added, passage.title, passage.text),
            )
            self.added.append(Placed(added, block.collection, vector))
        return row

    def drop(self, rows: Iterable[int]) -> None:
        """Removes blocks by row id, with their passages, vectors and search rows."""
        for row in rows:
            self.connection.execute("PRAGMA user_version = 1")  # with the deletion or not at all: see `Shelf.rewrite`
            passages = self.connection.execute("SELECT id FROM passages WHERE block = ?", (row,))
            self.removed += [passage["id"] for passage in passages]
            self.connection.execute("DELETE FROM blocks WHERE id = ?", (row,))


def entry_digest(block: Block) -> str:
    """Names a block together with all that a reader sees of its document: equal on KDNs that agree."""
    facts = [block.document_id, block.kid, block.ordinal, block.title, block.version, block.tags, block.tokens]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def visibility(visible: Set[str] | None) -> str | None:
    return None if visible is None else json.dumps(sorted(visible))


def block_of(row: sqlite3.Row) -> Block:
    return Block(
        kid=row["kid"],
        ordinal=row["ordinal"],
        text=row["text"],
        tokens=row["tokens"],
        source=row["source"],
        title=row["title"],
        version=row["version"],
        collection=row["collection"],
        tags=tuple(json.loads(row["tags"])),
    )


def entry_of(connection: sqlite3.Connection, row: sqlite3.Row, stamp: Stamp, n_blocks: int) -> Entry:
    """A row of `blocks` with its passages, as it travels: of that version of its document, with so many blocks."""
    block = block_of(row)
    passages = connection.execute(
        """SELECT passages.ordinal, vector, title, text
        FROM passages JOIN passage_fts ON passage_fts.rowid = passages.id
        WHERE block = ? ORDER BY passages.ordinal""",
        (row["id"],),
    ).fetchall()
    return Entry(
        block=block,
        passages=tuple(Passage(block.kid, found["ordinal"], found["title"], found["text"]) for found in passages),
        vectors=b"".join(found["vector"] for found in passages),
        registered_ms=stamp.registered_ms,
        digest=stamp.digest,
        n_blocks=n_blocks,
    )


def vectors_of(blob: bytes) -> Vectors:
    """Vectors as they are stored and travel, [n, DIMENSIONS]. Raises EmbeddingError for a torn one."""
    if len(blob) % (4 * DIMENSIONS):
        raise EmbeddingError(f"{len(blob)} bytes are no whole number of {DIMENSIONS} float32 vectors")
    return np.frombuffer(blob, "<f4").astype(np.float32, copy=False).reshape(-1, DIMENSIONS)


def _check_texts(connection: sqlite3.Connection, path: Path) -> None:
    """Raises DamagedCatalogue: no rot is ever injected. A tenth of a second for 10,000 blocks."""
    for row in connection.execute("SELECT kid, text FROM blocks"):
        if kid_of(row["text"]) != row["kid"]:
            raise DamagedCatalogue(f"{path} is damaged: block {row['kid']} has another text than it was given")


def _all_vectors(connection: sqlite3.Connection) -> Iterator[Placed]:
    rows = connection.execute("SELECT passages.id, collection, vector FROM passages JOIN blocks ON blocks.id = block")
    for row in rows:
        yield Placed(row["id"], row["collection"], vectors_of(row["vector"])[0])
