"""Rot, on reading and on verifying: what is sound stays on offer, the rest does not, and it is built again."""

import os

import pytest
from fakes.artifacts import CHUNK, blob_path, blob_paths, built

from cacheroute.errors import NotFound, Unavailable
from cacheroute.kdn.artifacts.artifacts import Artifacts
from cacheroute.kdn.artifacts.rebuilds import Rotted
from cacheroute.wire.artifacts import Verdict


class Orders:
    """Whoever rebuilds: numbers the orders."""

    def __init__(self):
        self.taken = []

    def rebuild(self, artifact):
        self.taken.append(artifact)
        return 40 + len(self.taken)


@pytest.fixture
def directory(tmp_path):
    return tmp_path / "kdn"


@pytest.fixture
def artifacts(directory):
    artifacts = Artifacts(directory, 100 * CHUNK)
    artifacts.rebuilds = Orders()
    yield artifacts
    artifacts.close()


def flip(path, at):
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


def test_what_is_sound_is_said_to_be(artifacts):
    made = built(artifacts, "a", chunks=5)
    assert artifacts.verify(made.id) == Verdict(artifact_id=made.id, ok=True)
    assert artifacts.rebuilds.taken == []


@pytest.mark.parametrize("chunk", [1, 3, 4])
def test_chunks_before_a_flipped_bit_stay_as_a_partial_artifact_and_the_whole_is_ordered(artifacts, directory, chunk):
    made = built(artifacts, "a", chunks=5)
    flip(blob_path(directory, made), chunk * CHUNK + 7)
    verdict = artifacts.verify(made.id)
    assert (verdict.ok, verdict.kept_tokens, verdict.rebuild) == (False, 64 * chunk, 41)
    assert f"chunk {chunk}" in verdict.why
    kept = artifacts.get(made.id)
    assert (kept.n_tokens, kept.whole_tokens, kept.keys) == (64 * chunk, 64 * 5, made.keys[:chunk])
    assert kept.nbytes == artifacts.nbytes == blob_path(directory, made).stat().st_size == chunk * CHUNK
    assert [artifact.id for artifact in artifacts.rebuilds.taken] == [made.id]
    assert artifacts.verify(made.id).ok
    with artifacts.reading(made.id) as blob:
        for index in range(chunk):
            blob.value(index)


def test_a_partial_artifact_stays_one_over_a_restart_and_becomes_whole_when_it_is_built_again(artifacts, directory):
    made = built(artifacts, "a", chunks=3)
    artifacts.pin(made.id, True)
    flip(blob_path(directory, made), 2 * CHUNK)
    artifacts.verify(made.id)
    artifacts.close()
    again = Artifacts(directory, 100 * CHUNK)
    assert (again.get(made.id).n_tokens, again.get(made.id).whole_tokens) == (128, 192)
    assert again.verify(made.id).ok
    whole = built(again, "a", chunks=3)
    assert (whole.n_tokens, whole.pinned, again.nbytes) == (192, True, 3 * CHUNK)
    assert len(blob_paths(directory)) == 1
    again.close()


def ruined(path, how):
    match how:
        case "first chunk":
            flip(path, 0)
        case "emptied":
            os.truncate(path, 0)
        case "cut in its first chunk":
            os.truncate(path, CHUNK - 1)
        case "another's bytes":
            path.write_bytes(os.urandom(3 * CHUNK))
        case "gone":
            path.unlink()
        case "no file":
            path.unlink()
            path.symlink_to(path.parent)


@pytest.mark.parametrize(
    "how", ["first chunk", "emptied", "cut in its first chunk", "another's bytes", "gone", "no file"]
)
def test_what_has_no_sound_beginning_is_dropped_and_ordered(artifacts, directory, how):
    good, made = built(artifacts, "b"), built(artifacts, "a", chunks=3)
    ruined(blob_path(directory, made), how)
    verdict = artifacts.verify(made.id)
    assert (verdict.ok, verdict.kept_tokens, verdict.rebuild) == (False, 0, 41)
    assert artifacts.all() == (good,)
    assert blob_paths(directory) == [blob_path(directory, good)]
    with pytest.raises(NotFound):
        artifacts.verify(made.id)


@pytest.mark.parametrize("nbytes", [2 * CHUNK, 3 * CHUNK - 1])
def test_a_truncated_file_is_sound_up_to_where_it_ends(artifacts, directory, nbytes):
    made = built(artifacts, "a", chunks=5)
    os.truncate(blob_path(directory, made), nbytes)
    assert artifacts.verify(made.id).kept_tokens == 128


def test_one_rotten_reading_from_the_end_finds_all_that_is_rotten(artifacts, directory):
    """An injection reads tail to head: it must not find a truncated file one chunk at a time."""
    made = built(artifacts, "a", chunks=9)
    os.truncate(blob_path(directory, made), 4 * CHUNK)
    with (
        pytest.raises(Rotted, match="the first 256 of 576 tokens stay; queued to be built again as 41") as rotted,
        artifacts.reading(made.id) as blob,
    ):
        blob.value(8)
    assert rotted.value.verdict.kept_tokens == artifacts.get(made.id).n_tokens == 256
    with artifacts.reading(made.id) as blob:
        for index in (3, 2, 1, 0):
            blob.value(index)


def test_two_who_find_the_same_rot_keep_the_same(artifacts, directory):
    made = built(artifacts, "a", chunks=4)
    flip(blob_path(directory, made), 2 * CHUNK)
    with pytest.raises(Rotted), artifacts.reading(made.id) as first:
        first.value(2 if artifacts.verify(made.id).kept_tokens == 128 else 0)
    assert artifacts.get(made.id).n_tokens == 128


def test_rot_in_what_was_replaced_meanwhile_takes_nothing_from_the_new_one(artifacts, directory):
    made = built(artifacts, "a", chunks=4)
    flip(blob_path(directory, made), 0)
    with pytest.raises(Unavailable, match="replaced"), artifacts.reading(made.id) as blob:
        blob.value(len(built(artifacts, "a", chunks=4).keys) - 4)
    (whole,) = artifacts.all()
    assert whole.n_tokens == 256
    assert artifacts.verify(whole.id).ok


def test_without_anybody_who_rebuilds_the_order_is_0(directory):
    artifacts = Artifacts(directory, 100 * CHUNK)
    made = built(artifacts, "a")
    ruined(blob_path(directory, made), "gone")
    assert artifacts.verify(made.id).rebuild == 0
    artifacts.close()
