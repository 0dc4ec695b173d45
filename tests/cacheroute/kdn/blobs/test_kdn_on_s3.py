"""A whole KDN whose blobs lie in a real object store, and what is left of it when that is away."""

import pytest
from fakes.kdn_world import kdn_world, text_of
from fakes.object_store import ACCESS_KEY, BUCKET, SECRET_KEY

from cacheroute.kdn.config import S3Config

pytestmark = pytest.mark.slow
KB = 2**10


@pytest.fixture
async def world(object_store, tmp_path, monkeypatch):
    monkeypatch.setenv("KDN_ACCESS_KEY", ACCESS_KEY)
    monkeypatch.setenv("KDN_SECRET_KEY", SECRET_KEY)
    s3 = S3Config(
        endpoint=object_store.endpoint,
        region="us-east-1",
        access_key_env="KDN_ACCESS_KEY",
        secret_key_env="KDN_SECRET_KEY",
        timeout_s=0.5,
    )
    async with kdn_world(tmp_path, blobs=f"s3://{BUCKET}/{tmp_path.name}", s3=s3) as world:
        await world.add_instance(chunk_nbytes=256 * KB)
        yield world


async def test_kv_is_built_into_it_and_injected_out_of_it_over_a_restart(world):
    artifact = await world.built(await world.add("a.md", text_of(4 * 40, "alpha")))
    values = await world.store.read(artifact["keys"])
    assert artifact["nbytes"] == 40 * 256 * KB
    assert list((world.data_dir / "kdn").rglob("*.kv")) == []
    await world.stop_kdn()
    await world.start_kdn()
    await world.renewed()
    await world.store.purge([*artifact["keys"][:7], *artifact["keys"][30:]])
    status, receipt = await world.inject(artifact["id"])
    assert (status, receipt["pushed"], receipt["present"]) == (200, 17, 23)
    assert await world.store.read(artifact["keys"]) == values
    assert (await world.ok("POST", f"/v1/artifacts/{artifact['id']}/verify"))["ok"]


async def test_while_it_is_away_knowledge_is_served_and_kv_is_refused_in_time(world, object_store):
    artifact = await world.built(await world.add("a.md", text_of(24, "alpha")))
    await world.store.purge(artifact["keys"])
    object_store.freeze()
    try:
        status, answer = await world.inject(artifact["id"])
        assert (status, answer["error"]["code"]) == (503, "storage_failed")
        assert "s3://" in answer["error"]["message"]
        assert SECRET_KEY not in answer["error"]["message"]
        kid = await world.add("b.md", text_of(24, "beta"))
        assert (await world.ok("GET", f"/v1/blocks/{kid}"))["kid"] == kid
        (result,) = await world.build(kid)
        assert (result["artifact"], "s3://" in result["reason"]) == (None, True)
        await world.stop_kdn()
        await world.start_kdn()
        await world.renewed()
        assert "not compared" in (await world.ok("GET", "/debug/status"))["artifacts"]["warnings"][0]
    finally:
        object_store.thaw()
    assert (await world.inject(artifact["id"]))[0] == 200
    await world.built(kid)
