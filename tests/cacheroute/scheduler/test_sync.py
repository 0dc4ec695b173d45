"""How the scheduler follows KDNs over HTTP; what a page does to the copy is told of the replica itself."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

import aiohttp
import pytest
from fakes.hash_embedder import register
from fakes.telling_kdn import TellingKdn
from fakes.until import until

from cacheroute.changes_client import ChangesClient
from cacheroute.scheduler import sync
from cacheroute.scheduler.sync import Follower
from knowledge.catalogue.library import Library
from knowledge.document import document_id
from knowledge.replication.replica import Replica

DOCUMENTS = 8


class Following:
    """A copy that follows KDNs with `DOCUMENTS` documents each, and looks at itself all the while."""

    def __init__(self, tmp_path: Path, session: aiohttp.ClientSession) -> None:
        self.tmp_path = tmp_path
        self.replica = Replica(tmp_path / "replica.db")
        self.follower = Follower(self.replica, ChangesClient(session, "token"))
        self.kdns: dict[str, TellingKdn] = {}
        self.stay: set[str] = set()
        self.looks = 0

    def library(self, name: str) -> Library:
        library = Library(self.tmp_path / f"{name}.db")
        for number in range(DOCUMENTS):
            register(library, f"{name}-{number}", f"text {number} of {name}")
        return library

    async def follow_all(self) -> None:
        for kdn in self.kdns.values():
            self.follower.renewed(kdn.record)

    async def level(self) -> None:
        """All that is told has been taken in."""

        async def is_level() -> bool:
            await self.follow_all()
            cursors = {name: await asyncio.to_thread(self.replica.cursor, name) for name in self.kdns}
            return (
                all(
                    (cursor.epoch, cursor.seq) == (kdn.record.epoch, kdn.record.seq)
                    for name, kdn in self.kdns.items()
                    if (cursor := cursors[name]) is not None
                )
                and None not in cursors.values()
            )

        await until(is_level)

    async def texts(self) -> set[str]:
        def read() -> set[str]:
            with self.replica.shelf.read() as connection:
                return {row["text"] for row in connection.execute("SELECT text FROM blocks")}

        return await asyncio.to_thread(read)

    async def watch(self) -> None:
        """Fails as soon as anything that must stay is not there."""
        while True:
            missing = self.stay - await self.texts()
            assert not missing
            self.looks += 1
            await asyncio.sleep(0)


@asynccontextmanager
async def following(tmp_path: Path, *names: str) -> AsyncGenerator[Following]:
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(aiohttp.ClientSession())
        world = Following(tmp_path, session)
        for name in names:
            kdn = TellingKdn(name, world.library(name))
            world.kdns[name] = await stack.enter_async_context(kdn.running())
        try:
            yield world
        finally:
            await world.follower.close()
            world.replica.close()


def texts_of(name: str, count: int = DOCUMENTS) -> set[str]:
    return {f"text {number} of {name}" for number in range(count)}


async def test_the_union_never_blinks_whatever_one_kdn_does(tmp_path):
    """D6: different sets over many rounds; one stalls within a page, one starts anew, one answers garbage."""
    async with following(tmp_path, "steady", "stalls", "anew", "garbage") as world:
        await world.level()
        world.stay = set().union(*map(texts_of, world.kdns))
        assert await world.texts() == world.stay
        watching = asyncio.create_task(world.watch())
        stalls, anew, garbage, steady = (world.kdns[name] for name in ("stalls", "anew", "garbage", "steady"))
        try:
            stalls.mood = "stall"
            register(stalls.library, "late", "told after the stall")
            for mood in ("html", "torn", "endless", "html"):
                garbage.mood = mood
                register(garbage.library, mood, f"told after {mood}")
                for round in range(5):
                    register(steady.library, f"{mood}-{round}", f"round {round} of {mood}")
                    await until(lambda text=f"round {round} of {mood}": _told(world, text))
                await until(lambda: "garbage" in world.follower.failures)
            await until(lambda: stalls.stalled == 1)
            anew.start_anew(tmp_path / "anew-2.db", **{f"anew-{n}": f"text {n} of anew" for n in range(DOCUMENTS)})
            await until(lambda: _read(world, anew))
            for kdn in (stalls, garbage):
                kdn.mood = "sound"
            stalls.gate.set()
            await world.level()
            assert not world.follower.failures
            assert {"told after the stall", "told after torn"} <= await world.texts()
        finally:
            watching.cancel()
            with suppress(asyncio.CancelledError):
                await watching
        assert world.looks > 50


async def _told(world: Following, text: str) -> bool:
    """One more round of leases, and whether the copy has this now."""
    await world.follow_all()
    return text in await world.texts()


async def _read(world: Following, kdn: TellingKdn) -> bool:
    await world.follow_all()
    cursor = await asyncio.to_thread(world.replica.cursor, kdn.name)
    return cursor is not None and cursor.epoch == kdn.record.epoch


async def test_a_request_that_lacks_something_does_not_wait_for_a_kdn_that_stalls(tmp_path, monkeypatch):
    monkeypatch.setattr(sync, "REFRESH_S", 0.2)
    async with following(tmp_path, "steady", "stalls") as world:
        await world.level()
        world.kdns["stalls"].mood = "stall"
        register(world.kdns["steady"].library, "new", "a new text")
        async with asyncio.timeout(5):
            await world.follower.refresh([kdn.record for kdn in world.kdns.values()])
        assert "a new text" in await world.texts()
        assert world.kdns["stalls"].stalled == 1


async def test_a_refresh_asks_a_kdn_whose_lease_is_older_than_the_copy(tmp_path):
    async with following(tmp_path, "kdn") as world:
        await world.level()
        kdn = world.kdns["kdn"]
        as_renewed_last = kdn.record
        for number in range(3):
            register(kdn.library, f"new-{number}", f"a new text {number}")
            await world.follower.refresh([as_renewed_last])
            assert f"a new text {number}" in await world.texts()


async def test_a_kdn_that_renews_faster_than_it_tells_is_asked_once_at_a_time(tmp_path):
    async with following(tmp_path, "slow") as world:
        slow = world.kdns["slow"]
        slow.mood = "stall"
        for _ in range(6):
            await world.follow_all()
        await until(lambda: slow.stalled == 1)
        for _ in range(6):
            await world.follow_all()
        assert slow.asked == 1
        slow.mood = "sound"
        slow.gate.set()
        await world.level()


async def test_an_origin_that_is_no_longer_configured_is_forgotten_and_its_older_sisters_come_back(tmp_path):
    async with following(tmp_path, "old", "new") as world:
        register(world.kdns["old"].library, "shared", "as the old one has it")
        await asyncio.sleep(0.002)
        register(world.kdns["new"].library, "shared", "as the new one has it")
        await world.level()
        texts = await world.texts()
        assert "as the new one has it" in texts
        assert "as the old one has it" not in texts
        await world.follower.keep_to(["old"])
        assert await world.texts() == texts_of("old") | {"as the old one has it"}


@pytest.mark.parametrize("first", ["holder", "deleter"])
async def test_what_one_kdn_deleted_is_not_found_through_another(tmp_path, first):
    async with following(tmp_path, "holder", "deleter") as world:
        for kdn in world.kdns.values():
            register(kdn.library, "shared", "to be deleted")
            await asyncio.sleep(0.002)
        second = {"holder": "deleter", "deleter": "holder"}[first]
        world.kdns["deleter"].library.delete(document_id("default", "shared"))
        for name in (first, second):
            await world.follower.follow(world.kdns[name].record)
        assert "to be deleted" not in await world.texts()
        await asyncio.sleep(0.002)
        world.kdns["holder"].library.freshen(document_id("default", "shared"))
        await world.level()
        assert "to be deleted" in await world.texts()
