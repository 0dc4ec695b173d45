"""The build queue of one KDN on real sockets: what it has taken is built, when engines have time, whatever happens."""

import asyncio
import signal
import sqlite3

import msgspec
import pytest
from fakes.kdn_process import start_process
from fakes.kdn_world import kdn_world, text_of
from fakes.until import until

from cacheroute.kdn.builds import table as build_table
from cacheroute.kdn.builds import turns as build_turns
from cacheroute.wire.control import InstanceLoad


@pytest.fixture
async def world(tmp_path):
    async with kdn_world(tmp_path, store_wait_s=0.2) as world:
        yield world


@pytest.fixture
def eager(monkeypatch):
    monkeypatch.setattr(build_turns, "RETRY_S", (0.01, 0.01))


async def queue(world, *sets, **fields):
    answer = await world.ok("POST", "/v1/builds", {"sets": sets, **fields})
    return answer["ids"]


async def builds(world, **params):
    return {build["id"]: build for build in (await world.ok("GET", "/v1/builds", **params))["items"]}


async def build(world, build_id):
    return (await builds(world))[build_id]


async def ended(world, *ids):
    async def over():
        known = await builds(world)
        return all(known[each]["state"] not in ("queued", "building") for each in ids)

    await until(over)
    known = await builds(world)
    return [known[each]["state"] for each in ids]


async def serving(world, **inflight):
    """Tells the KDN, by its lease, how many requests instances serve."""
    world.scheduler.instances = tuple(
        msgspec.structs.replace(record, load=InstanceLoad(inflight=inflight.get(record.name.replace("-", "_"), 0)))
        for record in world.scheduler.instances
    )
    await world.renewed()


async def test_what_is_queued_is_built_one_after_the_other_in_the_background(world):
    instance = await world.add_instance()
    kids = sorted([await world.add(f"{topic}.md", text_of(22, topic)) for topic in ("alpha", "beta")])
    ids = await queue(world, [kids[0]], kids[::-1])
    assert await ended(world, *ids) == ["built", "built"]
    assert [artifact["kids"] for artifact in (await world.ok("GET", "/v1/artifacts"))["items"]].count(kids) == 1
    assert (instance.prefills, instance.in_background) == (2, 2)
    assert (await build(world, ids[0]))["ms"] > 0
    again = await queue(world, [kids[0]])
    assert await ended(world, *again) == ["present"]
    assert instance.prefills == 2


async def test_whoever_waits_for_a_build_has_it_done_before_others_and_shares_it_with_the_queue(world):
    instance = await world.add_instance()
    kid, other = await world.add("a.md", text_of(22, "alpha")), await world.add("b.md", text_of(22, "beta"))
    instance.gate.clear()
    ids = await queue(world, [kid])
    await until(lambda: instance.prefills == 1)
    waited = [asyncio.create_task(world.built(each)) for each in (kid, other)]
    await until(lambda: instance.prefills == 2)
    instance.gate.set()
    await asyncio.gather(*waited)
    assert await ended(world, *ids) == ["built"]
    assert (instance.prefills, instance.in_background) == (2, 1)


async def test_without_an_instance_it_waits_says_so_and_is_built_when_one_comes(world):
    kid = await world.add("a.md", text_of(22, "alpha"))
    (build_id,) = await queue(world, [kid])
    assert "no live instance" in (await build(world, build_id))["why"]
    (named,) = await queue(world, [kid], fingerprint="f" * 32)
    await world.add_instance()
    assert await ended(world, build_id) == ["built"]
    assert "f" * 32 in (await build(world, named))["why"]


async def test_a_build_waits_while_its_instance_serves(world):
    instance = await world.add_instance()
    await serving(world, instance_1=2)
    (build_id,) = await queue(world, [await world.add("a.md", text_of(22, "alpha"))])
    for _ in range(3):
        await world.renewed()
    assert "instance-1 serves 2" in (await build(world, build_id))["why"]
    assert instance.prefills == 0
    await serving(world)
    assert await ended(world, build_id) == ["built"]


async def test_it_does_not_wait_for_ever(tmp_path):
    async with kdn_world(tmp_path, build_wait_s=0.05) as world:
        await world.add_instance()
        await serving(world, instance_1=2)
        ids = await queue(world, [await world.add("a.md", text_of(22, "alpha"))])
        assert await ended(world, *ids) == ["built"]


async def test_it_is_built_for_every_fingerprint_that_is_live_or_for_the_one_named(world):
    one, two = await world.add_instance(weights="w1"), await world.add_instance(weights="w2")
    kid, other = await world.add("a.md", text_of(22, "alpha")), await world.add("b.md", text_of(22, "beta"))
    ids = [*await queue(world, [kid]), *await queue(world, [other], fingerprint=two.engine.fingerprint.id)]
    assert await ended(world, *ids) == ["built", "built"]
    assert (one.prefills, two.prefills) == (1, 2)


async def test_a_failure_is_tried_again_and_then_told(world, eager):
    instance = await world.add_instance(lose=1)
    kid = await world.add("a.md", text_of(22, "alpha"))
    (build_id,) = await queue(world, [kid])
    assert await ended(world, build_id) == ["failed"]
    assert "1 of 5 chunks" in (await build(world, build_id))["why"]
    assert instance.prefills == 3
    instance.lose = 0
    assert await ended(world, *await queue(world, [kid])) == ["built"]


async def test_a_failure_that_passes_is_no_failure(world, eager):
    instance = await world.add_instance(status=500)
    (build_id,) = await queue(world, [await world.add("a.md", text_of(22, "alpha"))])
    await until(lambda: instance.heads == 1)
    instance.status = 200
    assert await ended(world, build_id) == ["built"]


@pytest.mark.parametrize(
    ("dials", "words", "why"),
    [({}, 1, "shorter than one chunk"), ({"max_model_len": 20}, 22, "no room in the context")],
)
async def test_what_can_never_be_built_is_tried_once(world, dials, words, why):
    """D11: a head shorter than a chunk has no keys, and is no artifact."""
    instance = await world.add_instance(**dials)
    (build_id,) = await queue(world, [await world.add("a.md", text_of(words, "alpha"))])
    assert await ended(world, build_id) == ["failed"]
    assert why in (await build(world, build_id))["why"]
    assert (instance.heads, instance.prefills) == (1, 0)
    assert (await world.ok("GET", "/v1/artifacts"))["items"] == []


async def test_deleting_the_knowledge_cancels_its_builds_also_the_one_under_way(world):
    instance = await world.add_instance()
    kids = [await world.add(f"{topic}.md", text_of(22, topic)) for topic in ("alpha", "beta", "gamma")]
    instance.gate.clear()
    ids = await queue(world, [kids[0]], kids[:2], [kids[2]])
    await until(lambda: instance.prefills == 1)
    await world.ok("DELETE", "/v1/documents", source="alpha.md")
    assert (await build(world, ids[1]))["state"] == "cancelled"
    instance.gate.set()
    assert await ended(world, *ids) == ["cancelled", "cancelled", "built"]


async def test_cancelling_takes_out_what_is_queued_and_lets_the_one_under_way_end(world):
    instance = await world.add_instance()
    kids = [await world.add(f"{topic}.md", text_of(22, topic)) for topic in ("alpha", "beta", "gamma")]
    instance.gate.clear()
    ids = await queue(world, *([kid] for kid in kids))
    await until(lambda: instance.prefills == 1)
    assert (await world.ok("DELETE", f"/v1/builds/{ids[1]}"))["state"] == "cancelled"
    assert (await world.ok("DELETE", f"/v1/builds/{ids[0]}"))["state"] == "building"
    assert (await world.ok("DELETE", "/v1/builds"))["ids"] == [ids[2]]
    instance.gate.set()
    assert await ended(world, *ids) == ["built", "cancelled", "cancelled"]
    assert instance.prefills == 1


async def test_it_is_listed_a_page_at_a_time_and_by_state(world):
    kids = [await world.add(f"{topic}.md", text_of(22, topic)) for topic in ("alpha", "beta", "gamma")]
    ids = await queue(world, *([kid] for kid in kids))
    first = await world.ok("GET", "/v1/builds", limit=2)
    rest = await world.ok("GET", "/v1/builds", limit=2, after=first["next"])
    assert [each["id"] for each in (*first["items"], *rest["items"])] == ids
    assert rest["next"] == ""
    assert list(await builds(world, state="queued")) == ids
    assert list(await builds(world, state="failed")) == []
    assert (await world.ok("GET", "/debug/status"))["builds_queued"] == 3


async def test_what_it_cannot_take_is_refused_whole(world, monkeypatch):
    kid = await world.add("a.md", text_of(22, "alpha"))
    monkeypatch.setattr(build_table, "MAX_QUEUED", 1)
    for body, status, named in (
        ({"sets": [[kid], []]}, 400, "sets[1]"),
        ({"sets": [[kid], ["beef"]]}, 404, "beef"),
        ({"sets": [[kid]], "priority": 1}, 400, "priority"),
    ):
        answered, answer = await world.call("POST", "/v1/builds", body)
        assert (answered, named in answer["error"]["message"]) == (status, True), answer
    assert await builds(world) == {}
    first = await queue(world, [kid], [kid])
    assert first[0] == first[1]
    status, answer = await world.call("POST", "/v1/builds", {"sets": [[kid]], "rendering": "completions"})
    assert (status, "queue" in answer["error"]["message"]) == (429, True)
    for method, path in (("DELETE", "/v1/builds/99"), ("DELETE", "/v1/builds/one")):
        assert (await world.call(method, path))[0] == 404
    assert (await world.call("GET", "/v1/builds?state=lost"))[0] == 400


async def test_what_was_taken_is_built_though_the_kdn_is_killed_meanwhile(world):
    instance = await world.add_instance()
    kids = [await world.add(f"{topic}.md", text_of(22, topic)) for topic in ("alpha", "beta")]
    await world.stop_kdn()
    process = start_process(world)
    try:
        await world.renewed(within_s=20)
        instance.gate.clear()
        ids = await queue(world, *([kid] for kid in kids))
        await until(lambda: instance.prefills == 1)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    with sqlite3.connect(world.data_dir / "kdn" / "kdn-1" / "builds.sqlite") as file:
        assert [row[0] for row in file.execute("SELECT state FROM builds ORDER BY id")] == ["building", "queued"]
    file.close()
    instance.gate.set()
    await world.start_kdn()
    assert await ended(world, *ids) == ["built", "built"]


async def test_a_stop_in_the_middle_of_a_build_is_no_failure(world):
    instance = await world.add_instance()
    instance.gate.clear()
    ids = await queue(world, [await world.add("a.md", text_of(22, "alpha"))])
    await until(lambda: instance.prefills == 1)
    await world.stop_kdn()
    await until(lambda: instance.cancelled == 1)
    instance.gate.set()
    await world.start_kdn()
    assert await ended(world, *ids) == ["built"]


async def test_engines_of_one_fingerprint_that_name_their_keys_differently_get_no_kv_of_each_other(world):
    first = await world.add_instance()
    kid = await world.add("a.md", text_of(22, "alpha"))
    made = await world.built(kid)
    other = await world.add_instance(model_string="/elsewhere")
    await serving(world, instance_1=1)
    (result,) = await world.build(kid)
    assert result["artifact"] is None
    assert other.name in result["reason"]
    assert first.name in result["reason"]
    world.scheduler.instances = world.scheduler.instances[1:]
    await world.renewed()
    again = await world.built(kid)  # the other is gone for good: its keys are nobody's
    assert again["id"] == made["id"]
    assert again["keys"][0].startswith("/elsewhere/")


async def test_wishes_for_kv_become_advice_and_outlive_a_stop(world):
    instance = await world.add_instance()
    kids = sorted([await world.add(f"{topic}.md", text_of(40, topic)) for topic in ("alpha", "beta", "gamma")])
    fingerprint = instance.engine.fingerprint.id

    async def wish(*wanted, times=1):
        for _ in range(times):
            body = {"kids": wanted, "rendering": "chat", "fingerprint": fingerprint}
            await world.ok("POST", "/v1/artifacts/find", body)

    async def advice():
        told = await world.ok("GET", "/v1/advice", limit=5)
        return [(each["kids"], each["requests"]) for each in told]

    await wish(kids[0], kids[1], times=4)
    await wish(kids[0], kids[2], times=1)
    await wish("beef", times=50)
    assert await advice() == [(kids[:2], 4), ([kids[0], kids[2]], 1)]
    await world.stop_kdn()
    await world.start_kdn()
    await world.renewed()
    best, *_ = await advice()
    ids = await queue(world, best[0])
    assert await ended(world, *ids) == ["built"]
    assert await advice() == [([kids[0], kids[2]], 1)]
    assert (await world.ok("GET", "/v1/advice", limit=1))[0]["gain"] > 0
