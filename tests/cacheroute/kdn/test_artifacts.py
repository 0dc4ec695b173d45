import os
import sqlite3

import pytest

from cacheroute.errors import Conflict, NotFound, Unavailable
from cacheroute.kdn.artifacts import Artifacts, artifact_id
from cacheroute.kdn.blobs import Rotten
from cacheroute.wire.artifacts import Artifact

CHUNK = 1000


@pytest.fixture
def opened(tmp_path):
    """Opens the artifacts of one directory, again and again; closes what is open at the end."""
    held = []

    def open_(quota_bytes=10 * CHUNK):
        while held:
            held.pop().close()
        held.append(Artifacts(tmp_path / "kdn", quota_bytes))
        return held[0]

    yield open_
    while held:
        held.pop().close()


def built(artifacts, *kids, rendering="chat", fingerprint="f1", chunks=2, wanted=True):
    artifact = Artifact(
        id=artifact_id(kids, rendering, fingerprint),
        kids=kids,
        rendering=rendering,
        fingerprint=fingerprint,
        n_tokens=64 * chunks,
        keys=tuple(f"{fingerprint}@{kids}@{index}" for index in range(chunks)),
        nbytes=chunks * CHUNK,
    )
    with artifacts.building(artifact.id, artifact.nbytes) as draft:
        checksums = b"".join(draft.append(memoryview(os.urandom(CHUNK))) for _ in range(chunks))
        return artifacts.publish(artifact, draft, checksums, lambda: wanted)


def ids(artifacts):
    return {artifact.kids[0] for artifact in artifacts.all()}


def test_other_users_of_the_machine_cannot_read_what_is_kept(opened, tmp_path):
    opened()
    assert (tmp_path / "kdn").stat().st_mode & 0o077 == 0


def test_what_was_published_is_there_after_a_restart_with_its_bytes(opened):
    artifacts = opened()
    made = built(artifacts, "a", "b")
    artifacts.pin(made.id, True)
    with artifacts.reading(made.id) as blob:
        extent = blob.value(1)
        before = os.pread(extent.file.fileno(), extent.nbytes, extent.offset)
    artifacts.used(made.id)
    again = opened()
    kept = again.get(made.id)
    assert (kept.kids, kept.keys, kept.pinned, kept.hits) == (made.kids, made.keys, True, 1)
    with again.reading(made.id) as blob:
        extent = blob.value(1)
        assert os.pread(extent.file.fileno(), extent.nbytes, extent.offset) == before


def test_an_id_names_texts_in_their_order_rendering_and_fingerprint():
    first = artifact_id(("a", "b"), "chat", "f1")
    others = {
        artifact_id(("b", "a"), "chat", "f1"),
        artifact_id(("a", "b"), "completions", "f1"),
        artifact_id(("a", "b"), "chat", "f2"),
        artifact_id(("a",), "chat", "f1"),
    }
    assert len(others | {first}) == 5
    assert first == artifact_id(["a", "b"], "chat", "f1")


def test_the_longest_prefix_is_found_and_nothing_of_another_fingerprint_or_rendering(opened):
    """D12, D14."""
    artifacts = opened()
    one, two = built(artifacts, "a"), built(artifacts, "a", "b")
    other = built(artifacts, "a", fingerprint="f2")
    assert artifacts.find(("a", "b", "c"), "chat", "f1") == two
    assert artifacts.find(("a", "c"), "chat", "f1") == one
    assert artifacts.find(("a", "b"), "chat", "f2") == other
    assert artifacts.find(("b", "a"), "chat", "f1") is None
    assert artifacts.find(("a",), "completions", "f1") is None
    assert artifacts.find(("a",), "chat", "f3") is None
    assert artifacts.find((), "chat", "f1") is None


def test_beyond_the_quota_the_least_recently_used_goes_first(opened):
    artifacts = opened(quota_bytes=6 * CHUNK)
    first = built(artifacts, "a")
    built(artifacts, "b")
    built(artifacts, "c")
    artifacts.used(first.id)
    built(artifacts, "d")
    assert ids(artifacts) == {"a", "c", "d"}
    assert artifacts.nbytes == 6 * CHUNK


def test_recency_outlives_a_restart(opened):
    artifacts = opened(quota_bytes=4 * CHUNK)
    first = built(artifacts, "a")
    built(artifacts, "b")
    artifacts.used(first.id)
    artifacts = opened(quota_bytes=4 * CHUNK)
    built(artifacts, "c")
    assert ids(artifacts) == {"a", "c"}


def test_what_is_pinned_or_being_read_is_not_evicted(opened):
    artifacts = opened(quota_bytes=4 * CHUNK)
    pinned, read = built(artifacts, "a"), built(artifacts, "b")
    artifacts.pin(pinned.id, True)
    with artifacts.reading(read.id):
        with pytest.raises(Unavailable, match="quota"):
            built(artifacts, "c")
        assert ids(artifacts) == {"a", "b"}
    built(artifacts, "c")
    assert ids(artifacts) == {"a", "c"}
    artifacts.pin(pinned.id, False)
    built(artifacts, "d")
    assert ids(artifacts) == {"c", "d"}


def test_builds_at_the_same_time_share_the_quota_and_give_back_what_they_did_not_use(opened):
    artifacts = opened(quota_bytes=4 * CHUNK)
    with artifacts.building("x", 3 * CHUNK), pytest.raises(Unavailable, match="quota"), artifacts.building("y", 2000):
        pass
    with artifacts.building("y", 4 * CHUNK):
        pass
    assert len(artifacts) == 0


def test_nothing_is_evicted_for_what_cannot_fit_anyway(opened):
    artifacts = opened(quota_bytes=4 * CHUNK)
    built(artifacts, "a")
    with pytest.raises(Unavailable, match="quota"):
        built(artifacts, "b", chunks=5)
    assert ids(artifacts) == {"a"}


def broken_off(artifacts):
    with artifacts.building("x", 2 * CHUNK) as draft:
        draft.append(memoryview(bytes(CHUNK)))
        raise RuntimeError("the store went away")


def test_a_draft_that_was_not_published_leaves_neither_row_nor_file(opened, tmp_path):
    artifacts = opened()
    with pytest.raises(RuntimeError):
        broken_off(artifacts)
    assert len(artifacts) == 0
    assert [path for path in (tmp_path / "kdn" / "blobs").rglob("*") if path.is_file()] == []


def test_kv_of_a_text_that_was_deleted_meanwhile_is_not_published(opened, tmp_path):
    artifacts = opened()
    with pytest.raises(NotFound, match="deleted"):
        built(artifacts, "a", wanted=False)
    assert len(artifacts) == 0
    assert list((tmp_path / "kdn" / "blobs").glob("*.kv")) == []


def test_files_without_a_row_and_rows_without_a_file_are_gone_after_a_start(opened, tmp_path):
    artifacts = opened()
    kept, lost = built(artifacts, "a"), built(artifacts, "b")
    directory = tmp_path / "kdn" / "blobs"
    (directory / "orphan.kv").write_bytes(b"x")
    (directory / f"{lost.id}.kv").unlink()
    artifacts = opened()
    assert artifacts.all() == (kept,)
    assert [path.name for path in directory.glob("*.kv")] == [f"{kept.id}.kv"]


def test_rot_is_reported_and_offered_no_more(opened, tmp_path):
    artifacts = opened()
    good, bad = built(artifacts, "a"), built(artifacts, "b")
    path = tmp_path / "kdn" / "blobs" / f"{bad.id}.kv"
    content = bytearray(path.read_bytes())
    content[CHUNK + 7] ^= 1
    path.write_bytes(content)
    assert artifacts.verify(good.id).ok
    verdict = artifacts.verify(bad.id)
    assert not verdict.ok
    assert "chunk 1" in verdict.why
    assert artifacts.all() == (good,)
    assert not path.exists()
    with pytest.raises(NotFound):
        artifacts.verify(bad.id)


def test_a_file_that_vanished_is_found_on_reading(opened, tmp_path):
    artifacts = opened()
    made = built(artifacts, "a")
    (tmp_path / "kdn" / "blobs" / f"{made.id}.kv").unlink()
    with pytest.raises(Rotten), artifacts.reading(made.id):
        pass
    assert len(artifacts) == 0


def test_dropping_takes_row_and_file_even_if_pinned(opened, tmp_path):
    artifacts = opened()
    made = built(artifacts, "a", "b")
    artifacts.pin(made.id, True)
    assert artifacts.holding(["b", "z"]) == (artifacts.get(made.id),)
    assert [artifact.id for artifact in artifacts.drop([made.id, "unknown"])] == [made.id]
    assert list((tmp_path / "kdn" / "blobs").glob("*.kv")) == []
    assert len(opened()) == 0


def test_a_directory_has_one_owner(opened, tmp_path):
    opened()
    with pytest.raises(Conflict, match="another process"):
        Artifacts(tmp_path / "kdn", 10)


def test_rows_are_safe_from_a_later_programs_schema(opened, tmp_path):
    opened().close()
    with sqlite3.connect(tmp_path / "kdn" / "artifacts.sqlite") as connection:
        connection.execute("INSERT INTO schema_version VALUES (99)")
    connection.close()
    from knowledge.errors import NewerSchema

    with pytest.raises(NewerSchema):
        opened()
