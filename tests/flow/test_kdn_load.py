"""What a KDN's lease says of its load: what is so now, whatever became of those who asked (D20)."""

import asyncio

from fakes.kdn_world import KdnWorld, kdn_world, text_of
from fakes.until import until

MB = 2**20


async def large(world: KdnWorld, topic: str):
    """An artifact of 16 MB, built, and out of the store again: more than the sockets' buffers hold."""
    artifact = await world.built(await world.add(f"{topic}.md", text_of(64, topic)))
    await world.store.purge(artifact["keys"])
    return artifact["id"]


async def told(world: KdnWorld, injecting: int, waiting: int):
    """The scheduler has been told just that, by a lease of now."""
    await until(
        lambda: (world.scheduler.last.load.injecting, world.scheduler.last.load.waiting) == (injecting, waiting)
    )


async def test_the_load_that_the_scheduler_sees_is_0_again_after_all_clients_were_killed_in_mid_injection(tmp_path):
    async with kdn_world(tmp_path, gated=True, max_injections=2) as world:
        await world.add_instance(chunk_nbytes=MB)
        ids = [await large(world, topic) for topic in ("alpha", "beta", "gamma")]
        await told(world, 0, 0)
        world.relay.hold_after(4 * MB)
        clients = [asyncio.create_task(world.inject(each)) for each in ids]
        await told(world, 2, 1)
        for client in clients:
            client.cancel()
        await asyncio.gather(*clients, return_exceptions=True)
        await told(world, 0, 0)
        assert world.scheduler.last.load.requests_1m == 3
        assert world.scheduler.last.load.inject_ms is None
        world.relay.hold_after(1 << 60)
        world.relay.release.set()
        status, receipt = await world.inject(ids[0])
        assert (status, receipt["error"]) == (200, "")
        await until(lambda: world.scheduler.last.load.requests_1m == 4)
        await until(lambda: (world.scheduler.last.load.inject_ms or 0) > 0)
        assert (await world.ok("GET", "/debug/status"))["load"]["requests_1m"] == 4


async def test_a_build_is_told_while_it_is_under_way(tmp_path):
    async with kdn_world(tmp_path) as world:
        instance = await world.add_instance()
        kid = await world.add("a", text_of(64, "alpha"))
        instance.gate.clear()
        building = asyncio.create_task(world.built(kid))
        await until(lambda: world.scheduler.last.load.building == 1)
        instance.gate.set()
        await building
        await until(lambda: world.scheduler.last.load.building == 0)
