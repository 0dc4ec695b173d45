"""A KDN when things go wrong or come all at once: stores that die or hang, crowds, cancelled callers, rot, crashes."""

import asyncio
import signal
import time

import pytest
from fakes.kdn_process import start_process
from fakes.kdn_world import KdnWorld, kdn_world, text_of
from fakes.until import until

MB = 2**20


@pytest.fixture
async def world(tmp_path):
    async with kdn_world(tmp_path, inject_timeout_s=2.0) as world:
        yield world


async def large(world: KdnWorld, chunks: int = 24, topic: str = "alpha"):
    """An artifact of `chunks` MB, built, and out of the store again: more than the sockets' buffers hold."""
    if not world.scheduler.instances:
        await world.add_instance(chunk_nbytes=MB)
    artifact = await world.built(await world.add(f"{topic}.md", text_of(4 * chunks, topic)))
    assert len(artifact["keys"]) == chunks
    await world.store.purge(artifact["keys"])
    return artifact


async def injecting(world: KdnWorld, count: int = 1):
    async def so_many():
        return (await world.ok("GET", "/debug/status"))["injecting"] == count

    await until(so_many)


async def test_two_who_want_the_same_have_it_pushed_once(world):
    """D10. The store is frozen until both have asked, so neither can find the other's work done."""
    artifact = await large(world)
    world.valkey.freeze()
    asked = [asyncio.create_task(world.inject(artifact["id"])) for _ in range(3)]
    await injecting(world)
    await asyncio.sleep(0.05)
    world.valkey.thaw()
    receipts = [receipt for _, receipt in await asyncio.gather(*asked)]
    assert sum(receipt["nbytes"] for receipt in receipts) == artifact["nbytes"]
    assert all(receipt["present"] + receipt["pushed"] == 24 for receipt in receipts)
    written = (await world.store.info())["total_net_input_bytes"]
    assert int(written) < 3 * artifact["nbytes"]  # once by the engine, once by the KDN


async def test_one_caller_who_leaves_does_not_take_the_injection_from_the_other(world):
    artifact = await large(world)
    world.valkey.freeze()
    leaves, stays = [asyncio.create_task(world.inject(artifact["id"])) for _ in range(2)]
    await injecting(world)
    leaves.cancel()
    await asyncio.wait([leaves])
    world.valkey.thaw()
    status, _ = await stays
    assert status == 200
    assert await world.store.missing(artifact["keys"]) == []


async def test_an_injection_that_everybody_has_left_ends(world):
    artifact = await large(world)
    world.valkey.freeze()
    asked = [asyncio.create_task(world.inject(artifact["id"])) for _ in range(2)]
    await injecting(world)
    for each in asked:
        each.cancel()
    await injecting(world, 0)
    world.valkey.thaw()
    assert (await world.inject(artifact["id"]))[0] == 200
    assert await world.store.missing(artifact["keys"]) == []


@pytest.fixture
async def gated(tmp_path):
    """A world whose KDN reaches its store through a relay that can stop it in the middle of a push."""
    async with kdn_world(tmp_path, gated=True) as world:
        yield world


async def held_in_the_middle(world: KdnWorld, artifact, after_mb: float = 10.5):
    """An injection of which so much has reached the store, and nothing more does."""
    world.relay.hold_after(int(after_mb * MB))
    asked = asyncio.create_task(world.inject(artifact["id"]))
    await asyncio.wait_for(world.relay.held.wait(), 10)
    return asked


async def test_a_store_killed_in_the_middle_is_503_and_the_next_injection_heals(gated):
    artifact = await large(gated)
    asked = await held_in_the_middle(gated, artifact)
    gated.valkey.kill()
    status, answer = await asked
    assert (status, "kv-1" in answer["error"]["message"]) == (503, True)
    gated.relay.hold_after(1 << 60)
    status, _ = await gated.inject(artifact["id"])
    assert status == 503
    gated.valkey.start()
    status, receipt = await gated.inject(artifact["id"])
    assert (status, receipt["pushed"]) == (200, 24)
    assert all(value is not None and len(value) == MB for value in await gated.store.read(artifact["keys"]))


async def test_an_injection_broken_off_leaves_whole_chunks_from_the_tail_on(gated):
    artifact = await large(gated)
    asked = await held_in_the_middle(gated, artifact)
    asked.cancel()
    await injecting(gated, 0)

    async def ten_there():
        return len(await gated.store.missing(artifact["keys"])) == 14

    await until(ten_there)
    values = await gated.store.read(artifact["keys"])
    assert values[:14] == [None] * 14
    assert all(value is not None and len(value) == MB for value in values[14:])
    gated.relay.hold_after(1 << 60)
    _, receipt = await gated.inject(artifact["id"])
    assert (receipt["present"], receipt["pushed"]) == (10, 14)


async def test_a_document_deleted_while_its_kv_is_injected_leaves_none_of_it(gated):
    artifact = await large(gated)
    await gated.renewed()
    asked = await held_in_the_middle(gated, artifact)
    deleting = asyncio.create_task(gated.ok("DELETE", "/v1/documents", source="alpha.md"))
    await until(lambda: gated.scheduler.last.artifacts == 0)
    await asyncio.wait([deleting], timeout=0.1)
    gated.relay.release.set()
    await asyncio.gather(asked, deleting)
    assert await gated.store.missing(artifact["keys"]) == list(range(24))


async def test_a_deletion_goes_on_to_its_end_when_its_caller_leaves(gated):
    """Else the text would be gone, and its KV would stay in the store with nobody who knows of it."""
    artifact = await large(gated)
    await gated.renewed()
    asked = await held_in_the_middle(gated, artifact)
    deleting = asyncio.create_task(gated.ok("DELETE", "/v1/documents", source="alpha.md"))
    await until(lambda: gated.scheduler.last.artifacts == 0)
    deleting.cancel()
    await asyncio.wait([deleting], timeout=0.1)
    gated.relay.release.set()
    await asked

    async def purged():
        return await gated.store.missing(artifact["keys"]) == list(range(24))

    await until(purged)


async def test_a_frozen_store_costs_an_injections_time_and_holds_up_neither_lease_nor_health(tmp_path):
    """D13: with an injection and a build hanging, heartbeats and health go on."""
    async with kdn_world(tmp_path, stores=2, inject_timeout_s=1.0, max_injections=1) as world:
        artifact = await large(world)
        engine = await world.add_instance(weights="w2", store=world.stores["kv-2"])
        engine.gate.clear()
        building = asyncio.create_task(world.build(await world.add("b.md", text_of(30, "beta"))))
        await until(lambda: engine.prefills == 1)
        world.valkey.freeze()
        start_s, renewals = time.monotonic(), len(world.scheduler.records)
        asked = [asyncio.create_task(world.inject(artifact["id"])) for _ in range(2)]
        slowest_s = 0.0
        while not all(each.done() for each in asked):
            began_s = time.monotonic()
            await world.ok("GET", "/healthz")
            slowest_s = max(slowest_s, time.monotonic() - began_s)
            await asyncio.sleep(0.01)
        lasted_s = time.monotonic() - start_s
        for each in asked:
            status, answer = each.result()
            assert (status, "kv-1" in answer["error"]["message"]) == (503, True)
        assert lasted_s < 5
        assert slowest_s < 3  # a build or an injection on the loop would take all of its time
        assert len(world.scheduler.records) - renewals > lasted_s / world.scheduler.renew_s / 5
        assert world.scheduler.last.load.injecting <= 1
        world.valkey.thaw()
        engine.gate.set()
        assert [result["reason"] for result in await building if result["instance"] == engine.name] == ["built"]


async def test_registering_a_long_document_does_not_hold_up_the_lease(world):
    """D13."""
    renewals, start_s = len(world.scheduler.records), time.monotonic()
    await world.ok(
        "POST", "/v1/documents", {"source": "long.md", "text": "\n\n".join(text_of(150, f"t{n}x") for n in range(200))}
    )
    expected = (time.monotonic() - start_s) / world.scheduler.renew_s
    assert len(world.scheduler.records) - renewals > expected / 5


async def test_more_injections_than_may_wait_are_429_with_the_time_to_come_back(tmp_path):
    async with kdn_world(tmp_path, max_injections=1, max_waiting=1) as world:
        artifacts = [await large(world, 8, topic) for topic in ("alpha", "beta", "gamma")]
        world.valkey.freeze()
        first, second = [asyncio.create_task(world.inject(artifact["id"])) for artifact in artifacts[:2]]
        await injecting(world, 2)
        body = {"request_id": "r", "artifact_id": artifacts[2]["id"], "store": "kv-1"}
        async with world.session.post(f"{world.url}/v1/inject", json=body) as refused:
            assert refused.status == 429
            assert int(refused.headers["Retry-After"]) >= 1
        joining = asyncio.create_task(world.inject(artifacts[0]["id"]))
        await asyncio.sleep(0.02)
        world.valkey.thaw()
        assert [status for status, _ in await asyncio.gather(first, second, joining)] == [200, 200, 200]


async def test_beyond_the_quota_the_oldest_goes_and_a_pinned_one_stays(tmp_path):
    async with kdn_world(tmp_path, quota_mb=8) as world:
        first, second = await large(world, 3, "alpha"), await large(world, 3, "beta")
        await world.ok("POST", f"/v1/artifacts/{first['id']}/pin", {"pinned": True})
        third = await large(world, 3, "gamma")
        left = {artifact["id"] for artifact in (await world.ok("GET", "/v1/artifacts"))["items"]}
        assert left == {first["id"], third["id"]}
        assert (await world.inject(second["id"]))[0] == 404
        (result,) = await world.build(await world.add("big.md", text_of(4 * 6, "delta")))
        assert (result["artifact"], "quota" in result["reason"]) == (None, True)
        status = (await world.ok("GET", "/debug/status"))["artifacts"]
        assert (status["count"], status["pinned"], status["nbytes"]) == (2, 1, 6 * MB)


async def test_everything_is_there_again_after_a_restart(world):
    artifact = await large(world, chunks=3)
    await world.ok("POST", f"/v1/artifacts/{artifact['id']}/pin", {"pinned": True})
    before = world.scheduler.last
    await world.stop_kdn()
    await world.start_kdn()
    await world.renewed()
    (kept,) = (await world.ok("GET", "/v1/artifacts"))["items"]
    assert (kept["id"], kept["pinned"]) == (artifact["id"], True)
    after = world.scheduler.last
    assert (after.epoch, after.seq, after.blocks, after.artifacts) == (before.epoch, before.seq, 1, 1)
    assert after.boot_id != before.boot_id
    assert (await world.inject(artifact["id"]))[0] == 200


async def test_killed_in_the_middle_of_a_build_it_comes_back_without_half_an_artifact(tmp_path):
    async with kdn_world(tmp_path) as world:
        instance = await world.add_instance(chunk_tokens=1, chunk_nbytes=MB)
        kid = await world.add("a.md", text_of(96, "alpha"))
        done = await world.built(await world.add("b.md", text_of(3, "beta")))
        await world.stop_kdn()

        process = start_process(world)
        try:
            await world.renewed(within_s=20)
            building = asyncio.create_task(world.build(kid))
            drafts = world.data_dir / "kdn" / "kdn-1" / "blobs" / "drafts"
            await until(lambda: any(path.stat().st_size for path in drafts.iterdir()))
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
        await asyncio.wait([building])
        assert building.exception() is not None

        await world.start_kdn()
        assert [artifact["id"] for artifact in (await world.ok("GET", "/v1/artifacts"))["items"]] == [done["id"]]
        blobs = [path for path in (world.data_dir / "kdn").rglob("*.kv*") if path.is_file()]
        assert [path.name.partition(".")[0] for path in blobs] == [done["id"]]
        await world.renewed()
        made = await world.built(kid)
        await world.store.purge(made["keys"])
        await world.inject(made["id"])
        assert await world.store.read(made["keys"][:2]) == [instance.value(key) for key in made["keys"][:2]]


async def test_a_scheduler_that_comes_late_and_again_is_found(world):
    """D5: registering is renewing; nobody has to be restarted."""
    await world.stop_kdn()
    await world.stop_scheduler()
    await world.start_kdn()
    assert (await world.ok("GET", "/debug/status"))["registered"] is False
    for _ in range(2):
        await world.start_scheduler()
        await world.renewed()
        assert (world.scheduler.last.name, world.scheduler.last.url) == ("kdn-1", world.url)
        assert (await world.ok("GET", "/debug/status"))["registered"] is True
        await world.stop_scheduler()
        await until(lambda: _unregistered(world))


async def _unregistered(world: KdnWorld) -> bool:
    return not (await world.ok("GET", "/debug/status"))["registered"]
