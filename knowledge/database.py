"""One SQLite file in WAL mode: a pool of connections, transactions as `with` blocks, numbered migrations.

Synchronous: callers run it in a thread. A connection is used by one thread at a time; readers never wait for
the writer. Knows nothing of what the tables mean.
"""

from __future__ import annotations

import os
import sqlite3
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from knowledge.errors import CatalogueError, DamagedCatalogue, NewerSchema

_BUSY_MS = 10_000
_LOG_BUSY_MS = 1_000  # writers wait meanwhile
_ADVICE = {
    sqlite3.SQLITE_FULL: "; make room on its disk",
    sqlite3.SQLITE_IOERR: "; is there room on its disk, and is the disk sound?",
    sqlite3.SQLITE_READONLY: "; may this user write to it?",
}


class Database:
    """Opens (or makes) the file at `path`, checks that it is whole, and brings it to the newest schema.

    `migrations[n]` is the SQL that leads from schema version n to n + 1. Raises CatalogueError where the file cannot be
    read or written, is a DamagedCatalogue, or has a NewerSchema.
    """

    def __init__(self, path: Path, migrations: Sequence[str]) -> None:
        self._path = path
        self._idle: deque[sqlite3.Connection] = deque()
        with self._errors_named():
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.exists():
                self._check()
            else:
                self._make(migrations)
            connection = _connect(path)
            try:
                self._migrate(connection, migrations)
            except BaseException:
                connection.close()
                raise
            self._idle.append(connection)

    @contextmanager
    def read(self) -> Generator[sqlite3.Connection]:
        """One consistent snapshot, however many statements read it."""
        with self._transaction("BEGIN") as connection:
            yield connection

    @contextmanager
    def write(self) -> Generator[sqlite3.Connection]:
        """All or nothing; on disk when the block has been left (synchronous=FULL)."""
        with self._transaction("BEGIN IMMEDIATE") as connection:
            yield connection

    def truncate_log(self) -> None:
        """Moves the write-ahead log into the file and empties it, so that it keeps no deleted text.

        A reader that holds an older state keeps the log, too: who reads for long calls this at the end.
        """
        with self._errors_named():
            connection = self._checkout()
            try:
                connection.execute(f"PRAGMA busy_timeout = {_LOG_BUSY_MS}")
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            finally:
                connection.execute(f"PRAGMA busy_timeout = {_BUSY_MS}")
                self._idle.append(connection)

    def rewrite(self) -> None:
        """Writes the whole file anew, without anything that no row holds. Readers go on meanwhile, writers wait."""
        with self._errors_named():
            connection = self._checkout()
            try:
                connection.execute("VACUUM")
            finally:
                self._idle.append(connection)

    def close(self) -> None:
        while self._idle:
            self._idle.pop().close()

    @contextmanager
    def _transaction(self, begin: str) -> Generator[sqlite3.Connection]:
        with self._errors_named():
            connection = self._checkout()
            try:
                connection.execute(begin)
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
            finally:
                self._idle.append(connection)

    def _checkout(self) -> sqlite3.Connection:
        try:
            return self._idle.pop()
        except IndexError:
            return _connect(self._path)

    def _make(self, migrations: Sequence[str]) -> None:
        """Beside its place, and moved there when it is whole: an empty file there is never a new catalogue."""
        draft = self._path.with_name(f"{self._path.name}.new")
        draft.unlink(missing_ok=True)
        for path in (draft, self._path):
            for left in (f"{path}-wal", f"{path}-shm"):  # of a file that was moved away: not this one's log
                Path(left).unlink(missing_ok=True)
        with closing(_connect(draft)) as connection:
            self._migrate(connection, migrations)
        draft.replace(self._path)
        directory = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)  # or a log that is written later could outlive its file
        finally:
            os.close(directory)

    def _check(self) -> None:
        """Raises DamagedCatalogue. Takes a quarter of a second for 10,000 blocks: it reads the file once."""
        if not self._path.stat().st_size:
            raise DamagedCatalogue(f"{self._path} is damaged: it is empty")
        with closing(sqlite3.connect(self._path)) as connection:
            found: str = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if found != "ok":
            raise DamagedCatalogue(f"{self._path} is damaged: {found.removeprefix('*** in database main ***').strip()}")

    def _migrate(self, connection: sqlite3.Connection, migrations: Sequence[str]) -> None:
        connection.execute("BEGIN IMMEDIATE")
        try:
            connection.execute("CREATE TABLE IF NOT EXISTS schema_version(version INTEGER PRIMARY KEY)")
            version: int = connection.execute("SELECT COALESCE(MAX(version), 0) FROM schema_version").fetchone()[0]
            if version > len(migrations):
                raise NewerSchema(f"{self._path} has schema {version}, this program knows up to {len(migrations)}")
            for number, script in enumerate(migrations[version:], start=version + 1):
                for statement in _statements(script):
                    connection.execute(statement)
                connection.execute("INSERT INTO schema_version VALUES (?)", (number,))
            connection.execute("COMMIT")
        except BaseException:
            connection.execute("ROLLBACK")
            raise

    @contextmanager
    def _errors_named(self) -> Generator[None]:
        try:
            yield
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_OK) & 0xFF  # an error of the module has none
            undecodable = str(error).startswith("Could not decode")
            if undecodable or code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
                raise DamagedCatalogue(f"{self._path} is damaged: {error}") from error
            raise CatalogueError(f"{self._path}: {error}{_ADVICE.get(code, '')}") from error
        except OSError as error:
            raise CatalogueError(f"{self._path}: {error}") from error


def set_aside(path: Path) -> Path:
    """Moves a damaged file with its log beside its place, for whoever wants to know; returns where it is now."""
    aside = path.with_name(f"{path.name}.corrupt-{datetime.now(UTC):%Y%m%dT%H%M%S}")
    for ending in ("", "-wal", "-shm"):
        if (part := path.with_name(path.name + ending)).exists():
            part.rename(aside.with_name(aside.name + ending))
    return aside


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=_BUSY_MS / 1000)
    connection.row_factory = sqlite3.Row
    for pragma in (
        "journal_mode = WAL",
        "synchronous = FULL",
        "foreign_keys = ON",
        "cache_size = -32768",  # KiB; with SQLite's own 2 MiB a search over 10,000 passages takes twice as long
        "secure_delete = ON",  # what is deleted is overwritten, not only unlinked
    ):
        connection.execute(f"PRAGMA {pragma}").fetchall()
    return connection


def _statements(script: str) -> Iterator[str]:
    """`executescript` would commit on its own; one statement at a time stays inside the transaction."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
