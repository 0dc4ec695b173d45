import os
import resource
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
from fakes.artifacts import CHUNK, blob_path, blob_paths, built

from cacheroute.errors import Conflict, NotFound, Unavailable
from cacheroute.kdn.artifacts.artifacts import Artifacts, artifact_id
from knowledge.errors import NewerSchema


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


def test_an_artifact_larger_than_the_quota_is_refused_with_what_to_do(opened):
    artifacts = opened(quota_bytes=4 * CHUNK)
    artifacts.pin(built(artifacts, "a").id, True)
    with pytest.raises(Unavailable, match=r"2,000 are pinned, 0 being read.*unpin some, or raise") as full:
        built(artifacts, "b", chunks=3)
    assert full.value.error_code == "quota_exceeded"


def test_a_quota_lowered_at_a_restart_evicts_down_to_it(opened):
    artifacts = opened()
    first = built(artifacts, "a")
    for name in "bcd":
        built(artifacts, name)
    artifacts.used(first.id)
    artifacts = opened(quota_bytes=5 * CHUNK)
    assert ids(artifacts) == {"a", "d"}
    assert artifacts.warnings == ()
    assert ids(opened()) == {"a", "d"}


def test_pinned_artifacts_beyond_a_lowered_quota_stay_and_that_is_said(opened):
    artifacts = opened()
    for name in "ab":
        artifacts.pin(built(artifacts, name).id, True)
    built(artifacts, "c")
    artifacts = opened(quota_bytes=3 * CHUNK)
    assert ids(artifacts) == {"a", "b"}
    assert "pinned artifacts alone take 4,000 bytes" in artifacts.warnings[0]
    for artifact in artifacts.all():
        artifacts.pin(artifact.id, False)
    built(artifacts, "d", chunks=1)
    assert ids(artifacts) == {"b", "d"}


def test_builds_readers_and_pins_in_many_threads_never_exceed_the_quota_nor_lose_a_reader(opened, tmp_path):
    artifacts = opened(quota_bytes=8 * CHUNK)
    pinned = built(artifacts, "pinned")
    artifacts.pin(pinned.id, True)

    def build(number):
        with suppress(Unavailable, NotFound):  # where others read, build or evict just then
            made = built(artifacts, f"k{number % 7}", chunks=1 + number % 2)
            artifacts.used(made.id)
            artifacts.pin(made.id, number % 5 == 0)
            artifacts.pin(made.id, False)

    def read(number):
        for artifact in artifacts.all():
            with suppress(Unavailable, NotFound), artifacts.reading(artifact.id) as blob:
                blob.value(0)  # unless it was replaced or evicted just then

    with ThreadPoolExecutor(6) as threads:
        for done in [threads.submit(build if number % 3 else read, number) for number in range(150)]:
            done.result()
    assert artifacts.get(pinned.id).pinned
    assert artifacts.nbytes == sum(artifact.nbytes for artifact in artifacts.all()) <= 8 * CHUNK
    assert sum(path.stat().st_size for path in blob_paths(tmp_path / "kdn")) == artifacts.nbytes
    with artifacts.building("x", artifacts.quota_bytes - pinned.nbytes):
        assert artifacts.all() == (artifacts.get(pinned.id),)
    before = artifacts.all()
    assert opened(quota_bytes=8 * CHUNK).all() == before


def broken_off(artifacts):
    with artifacts.building("x", 2 * CHUNK) as draft:
        draft.append(memoryview(bytes(CHUNK)))
        raise RuntimeError("the store went away")


def test_a_draft_that_was_not_published_leaves_neither_row_nor_file(opened, tmp_path):
    artifacts = opened()
    with pytest.raises(RuntimeError):
        broken_off(artifacts)
    assert len(artifacts) == 0
    assert blob_paths(tmp_path / "kdn") == []
    assert list((tmp_path / "kdn" / "blobs" / "drafts").iterdir()) == []


def test_kv_of_a_text_that_was_deleted_meanwhile_is_not_published(opened, tmp_path):
    artifacts = opened()
    with pytest.raises(NotFound, match="deleted"):
        built(artifacts, "a", wanted=False)
    assert len(artifacts) == 0
    assert blob_paths(tmp_path / "kdn") == []


def test_files_without_a_row_and_rows_without_a_file_are_gone_after_a_start(opened, tmp_path):
    artifacts = opened()
    kept, lost = built(artifacts, "a"), built(artifacts, "b")
    path = blob_path(tmp_path / "kdn", kept)
    path.with_name("orphan.kv").write_bytes(b"x")
    blob_path(tmp_path / "kdn", lost).unlink()
    artifacts = opened()
    assert artifacts.all() == (kept,)
    assert blob_paths(tmp_path / "kdn") == [path]


def test_the_same_artifact_built_anew_replaces_the_old_one_and_keeps_its_pin_and_hits(opened, tmp_path):
    artifacts = opened()
    first = built(artifacts, "a")
    artifacts.pin(first.id, True)
    artifacts.used(first.id)
    with artifacts.reading(first.id) as blob:
        again = built(artifacts, "a")
        blob.value(1)
    assert (again.pinned, again.hits, artifacts.nbytes) == (True, 1, 2 * CHUNK)
    assert len(blob_paths(tmp_path / "kdn")) == 1
    assert artifacts.verify(again.id).ok


def test_a_partial_artifact_does_not_replace_a_longer_one(opened, tmp_path):
    artifacts = opened()
    whole = built(artifacts, "a", chunks=3)
    assert built(artifacts, "a", chunks=2, whole_chunks=3) == whole
    assert artifacts.all() == (whole,)
    assert blob_paths(tmp_path / "kdn") == [blob_path(tmp_path / "kdn", whole)]
    assert artifacts.nbytes == 3 * CHUNK


def test_of_partial_artifacts_the_one_with_the_most_tokens_is_found(opened):
    artifacts = opened()
    built(artifacts, "a", "b", "c", chunks=1, whole_chunks=6)
    two = built(artifacts, "a", "b", chunks=3, whole_chunks=4)
    one = built(artifacts, "a", chunks=2)
    assert artifacts.find(("a", "b", "c"), "chat", "f1") == two
    assert artifacts.find(("a", "c"), "chat", "f1") == one
    assert two.whole_tokens == 256
    as_long = built(artifacts, "a", "b", "c", chunks=3, whole_chunks=6)
    assert artifacts.find(("a", "b", "c"), "chat", "f1") == as_long


def test_a_partial_artifact_is_one_after_a_restart(opened):
    made = built(opened(), "a", chunks=2, whole_chunks=5)
    kept = opened().get(made.id)
    assert (kept.n_tokens, kept.whole_tokens) == (128, 320)


def test_a_full_disk_under_the_catalogue_offers_nothing_and_frees_the_blob(opened, tmp_path):
    artifacts = opened()
    before = built(artifacts, "a")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    log_nbytes = (tmp_path / "kdn" / "artifacts.sqlite-wal").stat().st_size
    resource.setrlimit(resource.RLIMIT_FSIZE, (max(log_nbytes, 2 * CHUNK), hard))
    try:
        with pytest.raises(Unavailable, match="storage") as full:
            built(artifacts, "b")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert full.value.error_code == "storage_failed"
    assert artifacts.all() == (before,)
    assert blob_paths(tmp_path / "kdn") == [blob_path(tmp_path / "kdn", before)]
    assert len(built(artifacts, "b").keys) == 2
    assert ids(opened()) == {"a", "b"}


def test_a_full_disk_under_a_blob_offers_nothing_and_frees_the_room(opened, tmp_path):
    artifacts = opened(quota_bytes=3 * CHUNK)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1500, hard))
    try:
        with pytest.raises(Unavailable, match="storage"):
            built(artifacts, "b")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (len(artifacts), blob_paths(tmp_path / "kdn")) == (0, [])
    built(artifacts, "b", chunks=3)


def test_dropping_takes_row_and_file_even_if_pinned(opened, tmp_path):
    artifacts = opened()
    made = built(artifacts, "a", "b")
    artifacts.pin(made.id, True)
    assert artifacts.holding(["b", "z"]) == (artifacts.get(made.id),)
    assert [artifact.id for artifact in artifacts.drop([made.id, "unknown"])] == [made.id]
    assert blob_paths(tmp_path / "kdn") == []
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
    with pytest.raises(NewerSchema):
        opened()
