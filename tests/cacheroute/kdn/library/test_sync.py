"""A KDN that takes over what another has: what goes with it, and another that cannot be relied on."""

import asyncio

import pytest
from fakes.hash_embedder import register
from fakes.kdn_world import kdn_world, text_of
from fakes.telling_kdn import TellingKdn
from fakes.until import until

from cacheroute import changes_client
from knowledge.catalogue.library import Library
from knowledge.document import document_id

LONG = "\n\n".join(f"part {number} " + "of a long text " * 120 for number in range(24))


@pytest.fixture
async def world(tmp_path):
    async with kdn_world(tmp_path, sync_every_s=0.0) as world:
        yield world


@pytest.fixture
async def other(tmp_path, world):
    async with TellingKdn("kdn-2", Library(tmp_path / "other.db")).running() as other:
        world.scheduler.kdns = {"kdn-1": world.url, "kdn-2": other.record.url}
        await world.renewed()
        yield other


async def sync(world):
    return await world.call("POST", "/v1/sync", {"origin": "kdn-2"})


async def sources(world):
    return {each["source"] for each in (await world.ok("GET", "/v1/documents"))["items"]}


async def test_kv_of_what_is_replaced_or_deleted_elsewhere_goes_with_it(world, other):
    await world.add_instance()
    kept, edited, deleted = [
        await world.built(await world.add(name, text_of(32, name))) for name in ("kept", "edited", "deleted")
    ]
    await asyncio.sleep(0.002)
    register(other.library, "edited", "another text")
    gone = register(other.library, "deleted", "another text")
    other.library.delete(gone.document_id)
    assert (await sync(world))[1]["taken"] == 1
    assert await sources(world) == {"kept", "edited"}
    artifacts = (await world.ok("GET", "/v1/artifacts"))["items"]
    assert [each["id"] for each in artifacts] == [kept["id"]]

    async def purged():
        missing = await world.store.missing([*edited["keys"], *deleted["keys"]])
        return len(missing) == len(edited["keys"]) + len(deleted["keys"])

    await until(purged)
    assert await world.store.missing(kept["keys"]) == []


@pytest.mark.parametrize("mood", ["html", "torn", "endless", "stall"])
async def test_one_that_answers_garbage_or_stalls_leaves_everything_as_it_was(world, other, mood, monkeypatch):
    monkeypatch.setattr(changes_client, "STALL_S", 0.2)
    await world.add("mine", "my text")
    register(other.library, "theirs", LONG)
    other.mood = mood
    status, answer = await sync(world)
    assert status in (502, 503)
    assert answer["error"]["message"].startswith("kdn-2: ")
    assert await sources(world) == {"mine"}
    other.mood = "sound"
    other.gate.set()
    assert (await sync(world))[1]["taken"] == 1
    assert await sources(world) == {"mine", "theirs"}


async def test_one_that_breaks_off_in_the_middle_of_a_document_leaves_none_of_it(world, other):
    register(other.library, "short", "a short one")
    register(other.library, "long", LONG)
    other.breaks_after = 2
    status, _ = await sync(world)
    assert status == 502
    assert await sources(world) == {"short"}
    other.breaks_after = None
    assert (await sync(world))[1] | {"ms": 0} == {"origin": "kdn-2", "taken": 1, "deleted": 0, "kept": 1, "ms": 0}
    blocks = (await world.ok("GET", "/v1/blocks?source=long"))["items"]
    assert [block["ordinal"] for block in blocks] == list(range(len(blocks)))
    assert len(blocks) == len(other.library.show(document_id("default", "long"))[1])


async def test_two_who_ask_at_once_take_it_over_once(world, other):
    for number in range(12):
        register(other.library, f"{number}", f"text {number}")
    answers = [answer for _, answer in await asyncio.gather(*(sync(world) for _ in range(3)))]
    assert sorted(answer["taken"] for answer in answers) == [0, 0, 12]


async def test_a_caller_who_leaves_stops_the_reading_and_breaks_nothing(world, other):
    register(other.library, "theirs", "their text")
    other.mood = "stall"
    asking = asyncio.create_task(sync(world))
    await until(lambda: other.stalled == 1)
    asking.cancel()
    other.mood = "sound"
    other.gate.set()
    assert (await sync(world))[1]["taken"] == 1


async def test_a_round_that_fails_is_told_once_and_seen_in_the_status(tmp_path, caplog):
    async with (
        kdn_world(tmp_path, sync_every_s=0.05) as world,
        TellingKdn("kdn-2", Library(tmp_path / "other.db")).running() as other,
    ):
        other.mood = "html"
        register(other.library, "theirs", "their text")
        world.scheduler.kdns = {"kdn-1": world.url, "kdn-2": other.record.url}
        await until(lambda: other.asked > 3)
        assert len([line for line in caplog.messages if line.startswith("not synced")]) == 1
        assert "kdn-2" in (await world.ok("GET", "/debug/status"))["not_synced"]
        other.mood = "sound"

        async def healed():
            return await sources(world) == {"theirs"}

        await until(healed)
        await until(lambda: other.asked > 8)
        assert (await world.ok("GET", "/debug/status"))["not_synced"] == {}
        assert other.read_again == 0
