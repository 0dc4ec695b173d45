"""One KDN on real sockets: knowledge in, KV built on instances, injected into a kv store that has lost it."""

import asyncio

import pytest
from fakes.kdn_world import kdn_world, text_of
from fakes.until import until


@pytest.fixture
async def world(tmp_path):
    async with kdn_world(tmp_path, store_wait_s=0.2) as world:
        yield world


async def test_what_an_instance_computed_comes_back_byte_for_byte_after_the_store_lost_it(world):
    instance = await world.add_instance()
    text = text_of(22, "alpha")
    artifact = await world.built(await world.add("a.md", text))
    assert artifact["keys"] == list(instance.keys([text]))
    assert (artifact["n_tokens"], len(artifact["keys"])) == (20, 5)
    assert artifact["nbytes"] == 5 * instance.chunk_nbytes

    world.valkey.kill()
    world.valkey.start()
    status, receipt = await world.inject(artifact["id"])
    assert status == 200
    assert (receipt["present"], receipt["pushed"], receipt["nbytes"]) == (0, 5, artifact["nbytes"])
    assert await world.store.read(artifact["keys"]) == [instance.value(key) for key in artifact["keys"]]


async def test_only_what_is_missing_is_pushed(world):
    """D10: a resident artifact costs one touch; a partly evicted one, its missing chunks."""
    await world.add_instance()
    artifact = await world.built(await world.add("a.md", text_of(22, "alpha")))
    _, receipt = await world.inject(artifact["id"])
    assert (receipt["present"], receipt["pushed"], receipt["nbytes"]) == (5, 0, 0)
    await world.store.purge([artifact["keys"][1], artifact["keys"][4]])
    _, receipt = await world.inject(artifact["id"])
    assert (receipt["present"], receipt["pushed"]) == (3, 2)
    assert await world.store.missing(artifact["keys"]) == []


async def test_chunks_that_are_in_the_store_already_are_taken_without_computing(world):
    instance = await world.add_instance()
    text = text_of(22, "alpha")
    await world.store.write([(key, instance.value(key)) for key in instance.keys([text])])
    await world.built(await world.add("a.md", text))
    assert instance.prefills == 0


async def test_building_again_finds_it_present(world):
    instance = await world.add_instance()
    kid = await world.add("a.md", text_of(22, "alpha"))
    made = await world.built(kid)
    (again,) = await world.build(kid)
    assert (again["artifact"]["id"], again["reason"]) == (made["id"], "present")
    assert (instance.heads, instance.prefills) == (1, 1)


async def test_many_who_ask_for_one_build_make_the_engine_compute_once(world):
    instance = await world.add_instance()
    kid = await world.add("a.md", text_of(22, "alpha"))
    instance.gate.clear()
    asked = [asyncio.create_task(world.build(kid)) for _ in range(5)]
    await until(lambda: instance.prefills == 1)
    instance.gate.set()
    assert len({result["artifact"]["id"] for (result,) in await asyncio.gather(*asked)}) == 1
    assert instance.prefills == 1


async def test_a_build_that_everybody_has_left_stops_the_engine_and_leaves_nothing(world):
    instance = await world.add_instance()
    kid = await world.add("a.md", text_of(22, "alpha"))
    instance.gate.clear()
    asked = [asyncio.create_task(world.build(kid)) for _ in range(2)]
    await until(lambda: instance.prefills == 1)
    for each in asked:
        each.cancel()
    await until(lambda: instance.cancelled == 1)
    instance.gate.set()
    assert (await world.ok("GET", "/v1/artifacts"))["items"] == []
    await world.built(kid)


async def test_a_text_shorter_than_a_chunk_is_no_artifact_however_full_the_store_is(world):
    """D11: zero keys are an error, and what others have in the store is none of ours."""
    instance = await world.add_instance()
    await world.store.write([("/models/foreign@1@0@abc", b"x" * instance.chunk_nbytes)])
    (result,) = await world.build(await world.add("a.md", "two words"))
    assert result["artifact"] is None
    assert "shorter than one chunk" in result["reason"]
    assert instance.prefills == 0
    assert (await world.ok("GET", "/v1/artifacts"))["items"] == []


async def test_traffic_beside_a_build_is_neither_captured_nor_touched(world):
    """D11."""
    instance = await world.add_instance()
    text = text_of(22, "alpha")
    kid = await world.add("a.md", text)
    instance.gate.clear()
    building = asyncio.create_task(world.built(kid))
    await until(lambda: instance.prefills == 1)
    foreign = [(key, instance.value(key)) for key in instance.keys([text_of(40, "beta")])]
    await world.store.write(foreign)
    instance.gate.set()
    assert (await building)["keys"] == list(instance.keys([text]))
    assert await world.store.missing([key for key, _ in foreign]) == []


@pytest.mark.parametrize(
    ("dials", "reason"),
    [
        ({"lose": 1}, "1 of 5 chunks"),
        ({"uneven": True}, "one length"),
        ({"status": 500}, "HTTP 500"),
    ],
)
async def test_what_is_not_complete_is_never_offered(world, dials, reason):
    await world.add_instance(**dials)
    kid = await world.add("a.md", text_of(22, "alpha"))
    (result,) = await world.build(kid)
    assert result["artifact"] is None
    assert reason in result["reason"]
    assert (await world.ok("GET", "/v1/artifacts"))["items"] == []
    assert list((world.data_dir / "kdn").rglob("*.kv*")) == []


async def test_two_fingerprints_stand_side_by_side_and_never_mix(world):
    """D12: one text, two engines: two artifacts, each with the bytes of its own engine."""
    one, two = await world.add_instance(weights="w1"), await world.add_instance(weights="w2")
    kid = await world.add("a.md", text_of(22, "alpha"))
    results = await world.build(kid)
    made = {result["fingerprint"]: result["artifact"] for result in results}
    assert set(made) == {one.engine.fingerprint.id, two.engine.fingerprint.id}
    for instance in (one, two):
        artifact = made[instance.engine.fingerprint.id]
        asked = {"kids": [kid], "rendering": "chat", "fingerprint": instance.engine.fingerprint.id}
        assert (await world.ok("POST", "/v1/artifacts/find", asked))["artifact"]["id"] == artifact["id"]
        await world.store.purge(artifact["keys"])
        await world.inject(artifact["id"])
        assert await world.store.read(artifact["keys"]) == [instance.value(key) for key in artifact["keys"]]
    asked["fingerprint"] = "another"
    assert (await world.ok("POST", "/v1/artifacts/find", asked))["artifact"] is None


async def test_one_fingerprint_can_be_asked_for(world):
    await world.add_instance(weights="w1")
    two = await world.add_instance(weights="w2")
    kid = await world.add("a.md", text_of(22, "alpha"))
    (result,) = await world.build(kid, fingerprint=two.engine.fingerprint.id)
    assert result["instance"] == two.name
    status, answer = await world.call("POST", "/v1/artifacts", {"kids": [kid], "fingerprint": "another"})
    assert (status, "'another'" in answer["error"]["message"]) == (503, True)


async def test_an_instance_that_fails_does_not_hinder_another(world):
    await world.add_instance(weights="w1", status=500)
    await world.add_instance(weights="w2")
    results = await world.build(await world.add("a.md", text_of(22, "alpha")))
    assert sorted(result["reason"] == "built" for result in results) == [False, True]


async def test_several_kids_are_one_artifact_in_canonical_order_and_a_prefix_serves_a_longer_list(world):
    """D14."""
    instance = await world.add_instance()
    kids = sorted([await world.add(f"{topic}.md", text_of(23, topic)) for topic in ("alpha", "beta", "gamma")])
    pair = await world.built(kids[1], kids[0])
    assert pair["kids"] == kids[:2]
    single = await world.built(kids[0])
    fingerprint = instance.engine.fingerprint.id

    async def found(*asked):
        body = {"kids": asked, "rendering": "chat", "fingerprint": fingerprint}
        artifact = (await world.ok("POST", "/v1/artifacts/find", body))["artifact"]
        return artifact and artifact["id"]

    assert await found(*kids) == pair["id"]
    assert await found(kids[0], kids[2]) == single["id"]
    assert await found(kids[1], kids[2]) is None
    assert pair["keys"][: len(single["keys"])] == single["keys"]


async def test_renderings_are_artifacts_of_their_own(world):
    await world.add_instance()
    kid = await world.add("a.md", text_of(22, "alpha"))
    (chat,) = await world.build(kid, rendering="chat")
    (raw,) = await world.build(kid, rendering="completions")
    assert chat["artifact"]["id"] != raw["artifact"]["id"]


async def test_nobody_is_called_whom_the_grant_does_not_name(world):
    """D19: an instance that exists but is not in the lease's grant, or cannot take KV, is left alone."""
    stranger = await world.add_instance()
    barred = await world.add_instance(weights="w2", no_kv_reason="its template has a date in it")
    world.scheduler.instances = (barred.record,)
    await world.renewed()
    kid = await world.add("a.md", text_of(22, "alpha"))
    status, answer = await world.call("POST", "/v1/artifacts", {"kids": [kid]})
    assert status == 503
    assert "date" in answer["error"]["message"]
    assert (stranger.heads, barred.heads) == (0, 0)


async def test_no_address_can_be_smuggled_into_a_request(world):
    """D19."""
    await world.add_instance()
    kid = await world.add("a.md", text_of(22, "alpha"))
    artifact = await world.built(kid)
    evil = {"url": "http://127.0.0.1:1", "redis_host": "127.0.0.1", "password": "p"}
    for path, body in (
        ("/v1/artifacts", {"kids": [kid]}),
        ("/v1/inject", {"request_id": "r", "artifact_id": artifact["id"], "store": "kv-1"}),
    ):
        for field, value in evil.items():
            status, answer = await world.call("POST", path, {**body, field: value})
            assert (status, field in answer["error"]["message"]) == (400, True)
    status, answer = await world.inject(artifact["id"], store="redis://127.0.0.1:1")
    assert (status, "kv-1" in answer["error"]["message"]) == (404, True)


async def test_a_document_deleted_while_its_kv_is_built_leaves_no_kv(world):
    instance = await world.add_instance()
    kid = await world.add("a.md", text_of(22, "alpha"))
    instance.gate.clear()
    building = asyncio.create_task(world.build(kid))
    await until(lambda: instance.prefills == 1)
    await world.ok("DELETE", "/v1/documents", source="a.md")
    instance.gate.set()
    ((result),) = await building
    assert (result["artifact"], "deleted" in result["reason"]) == (None, True)
    assert (await world.ok("GET", "/v1/artifacts"))["items"] == []


async def test_deleting_a_document_takes_text_artifacts_blobs_and_chunks_of_every_store(tmp_path):
    async with kdn_world(tmp_path, stores=2) as world:
        instance = await world.add_instance()
        kid, other = await world.add("a.md", text_of(22, "alpha")), await world.add("b.md", text_of(22, "beta"))
        artifact, kept = await world.built(kid), await world.built(other)
        await world.inject(artifact["id"], store="kv-2")
        gone = await world.ok("DELETE", "/v1/documents", source="a.md")
        assert (gone["kids"], gone["artifacts"]) == ([kid], [artifact["id"]])
        assert gone["purged"] == {"kv-1": 5, "kv-2": 5}
        for store in world.stores.values():
            assert await store.missing(artifact["keys"]) == list(range(5))
        assert await world.store.missing(kept["keys"]) == []
        blobs = (world.data_dir / "kdn").rglob("*.kv")
        assert [path.name.partition(".")[0] for path in blobs] == [kept["id"]]
        assert (await world.call("GET", f"/v1/blocks/{kid}"))[0] == 404
        assert (await world.inject(artifact["id"]))[0] == 404
        assert instance.prefills == 2


async def test_a_store_that_is_away_is_named_when_a_document_is_deleted(tmp_path):
    async with kdn_world(tmp_path, stores=2) as world:
        await world.add_instance()
        await world.built(await world.add("a.md", text_of(22, "alpha")))
        world.valkeys["kv-2"].kill()
        gone = await world.ok("DELETE", "/v1/documents", source="a.md")
        assert gone["purged"]["kv-1"] == 5
        assert "kv-2" in gone["notes"][0]


async def test_a_new_version_of_a_document_takes_the_old_ones_kv_with_it(world):
    await world.add_instance()
    artifact = await world.built(await world.add("a.md", text_of(22, "alpha")))
    await world.add("a.md", text_of(22, "other"))
    assert (await world.ok("GET", "/v1/artifacts"))["items"] == []
    await until(lambda: world.lacks(artifact["keys"]))


async def test_a_text_that_another_document_still_has_keeps_its_kv(world):
    await world.add_instance()
    kid = await world.add("a.md", text_of(22, "alpha"))
    assert await world.add("copy.md", text_of(22, "alpha")) == kid
    artifact = await world.built(kid)
    await world.ok("DELETE", "/v1/documents", source="a.md")
    assert [each["id"] for each in (await world.ok("GET", "/v1/artifacts"))["items"]] == [artifact["id"]]


async def test_dropping_an_artifact_spares_the_chunks_that_another_one_shares(world):
    await world.add_instance()
    kids = sorted([await world.add(f"{topic}.md", text_of(24, topic)) for topic in ("alpha", "beta")])
    single, pair = await world.built(kids[0]), await world.built(*kids)
    await world.ok("DELETE", f"/v1/artifacts/{pair['id']}")
    assert await world.store.missing(single["keys"]) == []
    assert len(await world.store.missing(pair["keys"])) == len(pair["keys"]) - len(single["keys"])
