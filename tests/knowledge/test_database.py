from __future__ import annotations

import random
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from fakes.full_disk import no_file_larger_than

from knowledge.database import Database
from knowledge.errors import CatalogueError, DamagedCatalogue, NewerSchema

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


def _filled(path: Path) -> bytes:
    """A catalogue of some hundred pages that was closed in order."""
    database = Database(path, (FIRST,))
    with database.write() as connection:
        connection.executemany("INSERT INTO t VALUES (?)", ((number,) for number in range(50_000)))
    database.close()
    return path.read_bytes()


def _no_catalogue(whole: bytes) -> bytes:
    return b"certainly no SQLite file, but long enough to look" * 100


def _empty(whole: bytes) -> bytes:
    return b""


def _cut_off(whole: bytes) -> bytes:
    return whole[: len(whole) // 2]


def _random_page(whole: bytes) -> bytes:
    page = 40 * 4096
    return whole[:page] + random.Random(7).randbytes(4096) + whole[page + 4096 :]


@pytest.mark.parametrize("damage", [_no_catalogue, _empty, _cut_off, _random_page])
def test_a_damaged_file_is_named_and_left_as_it_is(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    path = tmp_path / "x.db"
    damaged = damage(_filled(path))
    path.write_bytes(damaged)
    with pytest.raises(DamagedCatalogue, match=r"x\.db is damaged: \w+") as caught:
        Database(path, (FIRST,))
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == damaged


def test_what_breaks_while_it_is_open_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    _filled(tmp_path / "x.db")
    database = Database(tmp_path / "x.db", (FIRST,))
    (tmp_path / "x.db").write_bytes(_random_page((tmp_path / "x.db").read_bytes()))
    with pytest.raises(DamagedCatalogue, match=r"x\.db is damaged"), database.read() as connection:
        connection.execute("SELECT sum(a) FROM t").fetchone()
    database.close()


def test_a_file_in_the_making_is_no_catalogue_yet(tmp_path: Path) -> None:
    """A process that is killed before a catalogue is whole leaves none; nor does the log of one that was moved away."""
    for name in ("x.db.new", "x.db.new-wal", "x.db-wal", "x.db-shm"):
        (tmp_path / name).write_bytes(b"left behind")
    database = Database(tmp_path / "x.db", (FIRST,))
    with database.read() as connection:
        assert connection.execute("SELECT count(*) FROM t").fetchone()[0] == 1
    database.close()
    assert [path.name for path in tmp_path.iterdir()] == ["x.db"]


def test_a_full_disk_loses_nothing_and_is_over_once_there_is_room(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    _filled(path)
    database = Database(path, (FIRST,))

    def write() -> None:
        with database.write() as connection:
            connection.executemany("INSERT INTO t VALUES (?)", ((number,) for number in range(50_000)))

    with no_file_larger_than(path.stat().st_size), pytest.raises(CatalogueError, match=r"x\.db: .*room on its disk"):
        write()
    write()
    with database.read() as connection:
        assert connection.execute("SELECT count(*) FROM t").fetchone()[0] == 100_001
    database.close()


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
