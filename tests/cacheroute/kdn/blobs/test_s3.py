"""Blobs in an object store: what files never do. A real server."""

import os
from dataclasses import replace

import obstore
import pytest
from fakes.artifacts import CHUNK, built
from fakes.object_store import ACCESS_KEY, SECRET_KEY

from cacheroute.errors import Conflict, Unavailable
from cacheroute.kdn.artifacts.artifacts import Artifacts
from cacheroute.kdn.blobs.blob import checksum
from cacheroute.kdn.blobs.configured import blobs_of
from cacheroute.kdn.blobs.s3 import RANGE_BYTES, S3Blobs
from cacheroute.kdn.blobs.s3_prefix import S3Prefix
from cacheroute.kdn.config import KdnConfig, S3Config

pytestmark = pytest.mark.slow


@pytest.fixture
def place(object_store, tmp_path):
    return object_store.place(f"s3/{tmp_path.name}")


def opened(directory, place, quota_bytes=100 * CHUNK):
    return Artifacts(directory, quota_bytes, lambda path: S3Blobs(path, place))


def keys(object_store, place):
    return sorted(each["path"] for batch in obstore.list(object_store.client(place.prefix)) for each in batch)


def test_artifacts_live_in_an_object_store_as_they_do_on_a_disk(object_store, place, tmp_path):
    artifacts = opened(tmp_path, place, quota_bytes=7 * CHUNK)
    gone, whole, rotten = built(artifacts, "a", chunks=3), built(artifacts, "b"), built(artifacts, "c", chunks=3)
    assert [artifact.id for artifact in artifacts.all()] == [whole.id, rotten.id]
    (key,) = [key for key in keys(object_store, place) if key.startswith(rotten.id)]
    client = object_store.client(place.prefix)
    content = bytearray(obstore.get(client, key).bytes().to_bytes())
    content[2 * CHUNK] ^= 1
    obstore.put(client, key, bytes(content))
    assert artifacts.verify(whole.id).ok
    assert artifacts.verify(rotten.id).kept_tokens == 128
    assert obstore.head(client, key)["size"] == 2 * CHUNK
    artifacts.close()

    artifacts = opened(tmp_path, place)
    assert {artifact.id: artifact.n_tokens for artifact in artifacts.all()} == {whole.id: 128, rotten.id: 128}
    assert not [key for key in keys(object_store, place) if key.startswith(gone.id)]
    artifacts.drop([whole.id, rotten.id])
    assert keys(object_store, place) == ["owner"]
    artifacts.close()


def test_an_object_without_a_row_is_gone_after_a_start(object_store, place, tmp_path):
    opened(tmp_path, place).close()
    obstore.put(object_store.client(place.prefix), "orphan.kv", b"x")
    obstore.put(object_store.client(place.prefix), "deeper/another.kv", b"x")
    opened(tmp_path, place).close()
    assert keys(object_store, place) == ["deeper/another.kv", "owner"]


def test_a_prefix_has_one_owner(place, tmp_path):
    opened(tmp_path / "one", place).close()
    with pytest.raises(Conflict, match=r"another KDN.*remove the object 'owner'"):
        opened(tmp_path / "two", place)
    opened(tmp_path / "one", place).close()


def test_a_store_that_does_not_answer_costs_its_time_limit_and_nothing_is_lost(object_store, place, tmp_path):
    artifacts = opened(tmp_path, replace(place, timeout_s=0.3))
    made = built(artifacts, "a")
    object_store.freeze()
    try:
        with pytest.raises(Unavailable, match=r"s3://artifacts/") as away:
            built(artifacts, "b")
        assert away.value.error_code == "storage_failed"
        with pytest.raises(Unavailable, match=r"s3://artifacts/"), artifacts.reading(made.id) as blob:
            blob.value(0)
        with pytest.raises(Unavailable, match=r"s3://artifacts/"):
            artifacts.verify(made.id)
        artifacts.close()
        artifacts = opened(tmp_path, replace(place, timeout_s=0.3))
        assert "not compared with the catalogue" in artifacts.warnings[0]
        assert artifacts.all() == (made,)
    finally:
        object_store.thaw()
    assert artifacts.verify(made.id).ok
    built(artifacts, "b")
    artifacts.close()


@pytest.mark.parametrize(
    "wrong", [{"secret_key": "wrong-secret"}, {"access_key": "wrong-key"}, {"endpoint": "http://127.0.0.1:9"}]
)
def test_what_is_wrong_with_the_credentials_is_said_without_them(place, tmp_path, wrong):
    wrongly = replace(place, **wrong)
    with pytest.raises(Unavailable, match=r"s3://artifacts/") as refused:
        S3Blobs(tmp_path, wrongly).draft("one")
    said = refused.value.message + repr(wrongly)
    assert [secret for secret in (ACCESS_KEY, SECRET_KEY, "wrong-secret", "wrong-key") if secret in said] == []


def test_many_small_chunks_are_read_by_a_few_requests_in_either_direction(place, tmp_path, monkeypatch):
    blobs = S3Blobs(tmp_path, place)
    chunks = [os.urandom(100_000) for _ in range(100)]
    draft = blobs.draft("one")
    checksums = b"".join(draft.append(memoryview(chunk)) for chunk in chunks)
    draft.commit()
    asked = []
    read_range = S3Prefix.range

    def counted(self, key, start, end):
        asked.append(end - start)
        return read_range(self, key, start, end)

    monkeypatch.setattr(S3Prefix, "range", counted)
    for order in (range(100), range(99, -1, -1)):
        asked.clear()
        with blobs.open("one", checksums, 100_000) as blob:
            for index in order:
                assert checksum(blob.value(index)) == checksum(chunks[index])
        assert sum(asked) == 10_000_000
        assert len(asked) == 3
        assert max(asked) <= RANGE_BYTES


def test_settings_name_the_store_and_the_environment_has_its_keys(object_store, place, tmp_path):
    settings = KdnConfig(
        blobs=f"s3://{place.bucket}/{place.prefix}",
        s3=S3Config(endpoint=place.endpoint, region="us-east-1", access_key_env="MINE", secret_key_env="MY_SECRET"),
    )
    artifacts = Artifacts(
        tmp_path, 100 * CHUNK, blobs_of("kdn-7", settings, {"MINE": ACCESS_KEY, "MY_SECRET": SECRET_KEY})
    )
    made = built(artifacts, "a")
    artifacts.close()
    assert [key.partition(".")[0] for key in keys(object_store, place)] == [f"kdn-7/{made.id}", "kdn-7/owner"]
