from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

import pytest

from knowledge.database import Database
from knowledge.errors import CatalogueError, NewerSchema

FIRST = "CREATE TABLE t(a INTEGER);\nINSERT INTO t VALUES (1);"
SECOND = "ALTER TABLE t ADD COLUMN b TEXT DEFAULT 'new';"


def test_an_old_file_is_brought_forward_and_keeps_its_rows(tmp_path: Path) -> None:
    Database(tmp_path / "x.db", (FIRST,)).close()
    database = Database(tmp_path / "x.db", (FIRST, SECOND))
    with database.read() as connection:
        assert tuple(connection.execute("SELECT a, b FROM t").fetchone()) == (1, "new")
    database.close()


def test_a_migration_that_fails_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    Database(tmp_path / "x.db", (FIRST,)).close()
    with pytest.raises(CatalogueError):
        Database(tmp_path / "x.db", (FIRST, "INSERT INTO t VALUES (2);\nINSERT INTO nowhere VALUES (3);"))
    database = Database(tmp_path / "x.db", (FIRST,))
    with database.read() as connection:
        assert connection.execute("SELECT count(*) FROM t").fetchone()[0] == 1
    database.close()


def test_a_file_of_a_later_version_is_refused(tmp_path: Path) -> None:
    Database(tmp_path / "x.db", (FIRST, SECOND)).close()
    with pytest.raises(NewerSchema, match="schema 2, this program knows up to 1"):
        Database(tmp_path / "x.db", (FIRST,))


def test_a_file_that_is_no_catalogue_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.db").write_bytes(b"certainly no SQLite file, but long enough to look" * 100)
    with pytest.raises(CatalogueError, match=r"x\.db: file is not a database"):
        Database(tmp_path / "x.db", (FIRST,))


def test_a_failure_inside_a_transaction_undoes_all_of_it(tmp_path: Path) -> None:
    database = Database(tmp_path / "x.db", (FIRST,))

    def fail_half_way() -> None:
        with database.write() as connection:
            connection.execute("INSERT INTO t VALUES (2)")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_half_way()
    with database.read() as connection:
        assert connection.execute("SELECT count(*) FROM t").fetchone()[0] == 1
    database.close()


def test_a_reader_keeps_its_snapshot_while_another_thread_writes(tmp_path: Path) -> None:
    database = Database(tmp_path / "x.db", (FIRST,))

    def write() -> None:
        with database.write() as connection:
            connection.execute("INSERT INTO t VALUES (2)")

    with database.read() as connection:
        assert connection.execute("SELECT count(*) FROM t").fetchone()[0] == 1
        writer = threading.Thread(target=write)
        writer.start()
        writer.join(timeout=5)
        assert not writer.is_alive()
        assert connection.execute("SELECT count(*) FROM t").fetchone()[0] == 1
    with database.read() as connection:
        assert connection.execute("SELECT count(*) FROM t").fetchone()[0] == 2
    database.close()


def test_what_is_acknowledged_is_synced_to_disk(tmp_path: Path) -> None:
    database = Database(tmp_path / "x.db", (FIRST,))
    with database.write() as connection:
        pragmas = [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous")]
    assert pragmas == ["wal", 2]
    database.close()
    assert sqlite3.connect(tmp_path / "x.db").execute("PRAGMA integrity_check").fetchone()[0] == "ok"
