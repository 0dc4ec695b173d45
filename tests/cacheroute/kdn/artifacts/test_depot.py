"""What crash, corruption and outage leave of a KDN's rows and blobs."""

import asyncio
import sqlite3
from contextlib import contextmanager

import pytest
from fakes.artifacts import CHUNK, blob_path, blob_paths, built, rows
from fakes.until import until

from cacheroute.background import in_background
from cacheroute.errors import Unavailable
from cacheroute.kdn.artifacts.artifacts import Artifacts
from cacheroute.kdn.artifacts.sweeper import sweeping
from cacheroute.kdn.blobs.files import FileBlobs
from cacheroute.kdn.worker import Worker

VERSION_1 = """
CREATE TABLE schema_version(version INTEGER PRIMARY KEY);
INSERT INTO schema_version VALUES (1);
CREATE TABLE artifacts(
    id TEXT PRIMARY KEY, kids TEXT NOT NULL, rendering TEXT NOT NULL, fingerprint TEXT NOT NULL,
    n_tokens INTEGER NOT NULL, keys TEXT NOT NULL, nbytes INTEGER NOT NULL, checksums BLOB NOT NULL,
    created_at TEXT NOT NULL, last_used TEXT NOT NULL, hits INTEGER NOT NULL, pinned INTEGER NOT NULL,
    turn INTEGER NOT NULL
);
"""


@pytest.fixture
def directory(tmp_path):
    return tmp_path / "kdn"


@contextmanager
def opened(directory, blobs=FileBlobs):
    artifacts = Artifacts(directory, 100 * CHUNK, blobs)
    try:
        yield artifacts
    finally:
        artifacts.close()


def test_a_catalogue_of_before_partial_artifacts_is_read(directory):
    with opened(directory) as artifacts:
        made = built(artifacts, "a", "b")
    (row,) = rows(directory)
    blob_path(directory, made).rename(directory / "blobs" / f"{made.id}.kv")
    (directory / "artifacts.sqlite").unlink()
    with sqlite3.connect(directory / "artifacts.sqlite") as connection:
        connection.executescript(VERSION_1)
        connection.execute(
            "INSERT INTO artifacts VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [row[name] for name in row.keys() if name not in ("whole_tokens", "blob")],  # noqa: SIM118
        )
    connection.close()
    with opened(directory) as artifacts:
        assert artifacts.all() == (made,)
        assert artifacts.verify(made.id).ok
        assert artifacts.warnings == ()


def broken(path, how):
    content = bytearray(path.read_bytes())
    match how:
        case "no database":
            content[:] = b"this is no database, however long one looks at it. " * 200
        case "torn pages":
            content[4096:] = b"\xff" * (len(content) - 4096)
        case "empty":
            content.clear()
        case "cut":
            del content[len(content) // 2 :]
        case "rubbish over its header":
            content[16:100] = bytes(84)
    path.write_bytes(content)


@pytest.mark.parametrize("how", ["no database", "torn pages", "empty", "cut", "rubbish over its header"])
def test_a_broken_catalogue_is_moved_aside_and_a_new_one_begun(directory, how):
    with opened(directory) as artifacts:
        for name in "abcdefgh":
            built(artifacts, name, chunks=8)
    broken(directory / "artifacts.sqlite", how)
    content = (directory / "artifacts.sqlite").read_bytes()
    with opened(directory) as artifacts:
        assert artifacts.all() == ()
        assert blob_paths(directory) == []
        (aside,) = directory.glob("artifacts.sqlite.corrupt-*")
        assert aside.read_bytes() == content
        assert str(aside) in artifacts.warnings[0]
        assert "built again" in artifacts.warnings[0]
        made = built(artifacts, "a")
    with opened(directory) as artifacts:
        assert artifacts.all() == (made,)
        assert artifacts.warnings == ()


@pytest.mark.parametrize(
    ("column", "value"),
    [("kids", "[3"), ("keys", '["one"]'), ("checksums", b""), ("rendering", "sung"), ("nbytes", 1999)],
)
def test_a_row_that_does_not_fit_itself_is_forgotten_with_its_blob(directory, column, value):
    with opened(directory) as artifacts:
        good, bad = built(artifacts, "a"), built(artifacts, "b")
    with sqlite3.connect(directory / "artifacts.sqlite") as connection:
        connection.execute(f"UPDATE artifacts SET {column} = ? WHERE id = ?", (value, bad.id))
    connection.close()
    with opened(directory) as artifacts:
        assert artifacts.all() == (good,)
        assert blob_paths(directory) == [blob_path(directory, good)]
        assert [row["id"] for row in rows(directory)] == [good.id]


class Outage:
    """Files whose medium can be away."""

    def __init__(self, directory):
        self._files = FileBlobs(directory)
        self.away = False

    def __getattr__(self, name):
        if self.away:
            raise Unavailable("the object store does not answer", code="storage_failed")
        return getattr(self._files, name)


def test_what_cannot_be_removed_now_is_offered_no_more_and_removed_later(directory):
    with opened(directory, Outage) as artifacts:
        medium = artifacts._depot.blobs
        gone, kept = built(artifacts, "a"), built(artifacts, "b")
        medium.away = True
        assert [artifact.id for artifact in artifacts.drop([gone.id])] == [gone.id]
        assert artifacts.all() == (kept,)
        assert "1 blobs" in artifacts.warnings[0]
        medium.away = False
        assert len(blob_paths(directory)) == 2
        again = built(artifacts, "a")
        assert artifacts.verify(again.id).ok
        assert len(blob_paths(directory)) == 2
        assert artifacts.warnings == ()


def test_a_proof_of_what_is_left_counts_what_could_not_be_removed(directory):
    with opened(directory, Outage) as artifacts:
        medium = artifacts._depot.blobs
        gone, other, kept = built(artifacts, "a"), built(artifacts, "b"), built(artifacts, "c")
        artifacts.drop([other.id])
        medium.away = True
        artifacts.drop([gone.id])
        assert artifacts.blobs_of([gone.id]) == 1
        with pytest.raises(Unavailable):
            artifacts.blobs_of([other.id])
        medium.away = False
        assert artifacts.blobs_of([other.id]) == 0
        assert artifacts.blobs_of([kept.id, other.id]) == 1
        assert not artifacts.is_swept
        artifacts.sweep()
        assert artifacts.is_swept
        assert artifacts.blobs_of([gone.id]) == 0


async def test_sweeping_waits_for_the_medium_and_then_is_done(directory):
    thread = Worker("verify")
    with opened(directory, Outage) as artifacts:
        medium = artifacts._depot.blobs
        gone = built(artifacts, "a")
        medium.away = True
        artifacts.drop([gone.id])
        async with in_background(sweeping(artifacts, thread, every_s=0.01)):
            await asyncio.sleep(0.05)
            assert len(blob_paths(directory)) == 1
            medium.away = False
            await until(lambda: blob_paths(directory) == [])
    thread.close()


def test_where_blobs_cannot_be_listed_at_the_start_the_rows_are_believed_and_the_rest_is_swept_later(directory):
    with opened(directory) as artifacts:
        made = built(artifacts, "a")
    blob_path(directory, made).with_name("orphan.kv").touch()

    def away(path):
        medium = Outage(path)
        medium.away = True
        return medium

    with opened(directory, away) as artifacts:
        assert artifacts.all() == (made,)
        assert "does not answer" in artifacts.warnings[0]
        with pytest.raises(Unavailable):
            artifacts.verify(made.id)
        with pytest.raises(Unavailable):
            artifacts.sweep()
        assert artifacts.all() == (made,)
        artifacts._depot.blobs.away = False
        new = built(artifacts, "b")
        with artifacts.building("c" * 32, CHUNK) as draft:
            draft.append(memoryview(bytes(CHUNK)))
            draft.commit()  # on its way to being published
            artifacts.sweep()
            assert {path.name.partition(".")[0] for path in blob_paths(directory)} == {made.id, new.id, "c" * 32}
        assert artifacts.warnings == ()
        assert artifacts.verify(made.id).ok
        assert artifacts.verify(new.id).ok
