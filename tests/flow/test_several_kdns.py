"""Several KDNs as one library: what one was told all have, the newest version of it, and what was deleted is gone."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from fakes.roles import Roles, config_for, running_with_knowledge
from fakes.until import until


class Kdns:
    """Real KDNs with a real scheduler; no pools, no engines."""

    def __init__(self, roles: Roles) -> None:
        self._roles = roles

    async def call(self, kdn: str, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {self._roles.token}"}
        url = self._roles.kdn_url(kdn) + path
        async with self._roles.session.request(method, url, json=body, headers=headers) as answer:
            return answer.status, await answer.json(content_type=None)

    async def ok(self, kdn: str, method: str, path: str, body: Any = None) -> Any:
        status, answer = await self.call(kdn, method, path, body)
        assert status == 200, answer
        return answer

    async def add(self, kdn: str, source: str, text: str, **facts: str) -> str:
        """Registers a document; returns what happened to it."""
        added = await self.ok(kdn, "POST", "/v1/documents", {"source": source, "text": text, **facts})
        await asyncio.sleep(0.002)  # the next one is later by the clock, too
        return added["status"]

    async def delete(self, kdn: str, source: str) -> None:
        await self.ok(kdn, "DELETE", f"/v1/documents?source={source}")
        await asyncio.sleep(0.002)

    async def sync(self, kdn: str, origin: str) -> tuple[int, int, int]:
        """(taken, deleted, kept)."""
        report = await self.ok(kdn, "POST", "/v1/sync", {"origin": origin})
        assert report["origin"] == origin
        return report["taken"], report["deleted"], report["kept"]

    async def texts(self, kdn: str) -> dict[str, str]:
        """Of each source the text of its one block."""
        blocks = (await self.ok(kdn, "GET", "/v1/blocks"))["items"]
        return {block["source"]: (await self.ok(kdn, "GET", f"/v1/blocks/{block['kid']}"))["text"] for block in blocks}

    async def known_to_all(self) -> None:
        """Each KDN has been granted the addresses of all."""

        async def granted() -> bool:
            names = list(self._roles.config.kdn)
            answers = [
                await self.call(name, "POST", "/v1/sync", {"origin": other})
                for name in names
                for other in names
                if other != name
            ]
            return all(status == 200 for status, _ in answers)

        await until(granted)

    async def start(self, name: str) -> None:
        await self._roles.start(name)

    async def stop(self, name: str) -> None:
        await self._roles.stop(name)


@asynccontextmanager
async def running_kdns(tmp_path: Path, count: int, **kdn: Any) -> AsyncGenerator[Kdns]:
    async with aiohttp.ClientSession() as session:
        roles = Roles(config_for(tmp_path, kdns=count, kdn={"sync_every_s": 0.0, **kdn}), session)
        try:
            await roles.start("embedder", "scheduler", *roles.config.kdn)
            kdns = Kdns(roles)
            if count > 1:
                await kdns.known_to_all()
            yield kdns
        finally:
            await roles.stop_all()


@pytest.fixture
async def kdns(tmp_path):
    async with running_kdns(tmp_path, 2) as kdns:
        yield kdns


async def test_after_a_sync_both_ways_two_kdns_hold_the_same_the_newer_of_each(kdns):
    await kdns.add("kdn-1", "same", "as both have it")
    await kdns.add("kdn-2", "same", "as both have it")
    await kdns.add("kdn-1", "edited-at-2", "old")
    await kdns.add("kdn-2", "edited-at-2", "new", title="Edited")
    await kdns.add("kdn-2", "edited-at-1", "old")
    await kdns.add("kdn-1", "edited-at-1", "new")
    await kdns.add("kdn-1", "only-at-1", "one")
    await kdns.add("kdn-2", "only-at-2", "two")
    await kdns.add("kdn-1", "deleted-at-2", "gone")
    await kdns.add("kdn-2", "deleted-at-2", "gone")
    await kdns.delete("kdn-2", "deleted-at-2")
    await kdns.add("kdn-2", "deleted-at-1", "gone")
    await kdns.add("kdn-1", "deleted-at-1", "gone")
    await kdns.delete("kdn-1", "deleted-at-1")
    await kdns.add("kdn-1", "deleted-then-edited", "old")
    await kdns.add("kdn-2", "deleted-then-edited", "old")
    await kdns.delete("kdn-1", "deleted-then-edited")
    await kdns.add("kdn-2", "deleted-then-edited", "new")

    assert await kdns.sync("kdn-1", "kdn-2") == (3, 1, 3)
    assert await kdns.sync("kdn-2", "kdn-1") == (2, 1, 4)
    expected = {
        "same": "as both have it",
        "edited-at-2": "new",
        "edited-at-1": "new",
        "only-at-1": "one",
        "only-at-2": "two",
        "deleted-then-edited": "new",
    }
    assert await kdns.texts("kdn-1") == await kdns.texts("kdn-2") == expected
    for kdn, other in (("kdn-1", "kdn-2"), ("kdn-2", "kdn-1")):
        assert await kdns.sync(kdn, other) == (0, 0, 6)
    listed = [(await kdns.ok(kdn, "GET", "/v1/documents"))["items"] for kdn in ("kdn-1", "kdn-2")]
    stamps = [{each["source"]: (each["title"], each["registered_at"]) for each in items} for items in listed]
    assert stamps[0].items() >= {key: value for key, value in stamps[1].items() if key != "same"}.items()


async def test_what_is_taken_over_is_not_embedded_again_and_is_found(kdns):
    for number in range(70):  # more than a page of the log
        await kdns.ok("kdn-1", "POST", "/v1/documents", {"source": f"{number}", "text": f"word{number} " * 20})
    await kdns.stop("embedder")
    assert await kdns.sync("kdn-2", "kdn-1") == (70, 0, 0)
    await kdns.start("embedder")
    found = await kdns.ok("kdn-2", "POST", "/v1/search", {"query": "word17"})
    assert found["considered"][0]["kid"] in {
        block["kid"] for block in (await kdns.ok("kdn-2", "GET", "/v1/blocks?source=17"))["items"]
    }


async def test_a_document_of_many_blocks_is_taken_over_whole(kdns):
    text = "\n\n".join(f"paragraph {number} " + "word " * 900 for number in range(80))
    await kdns.add("kdn-1", "book", text)
    assert await kdns.sync("kdn-2", "kdn-1") == (1, 0, 0)
    pages = [(await kdns.ok(kdn, "GET", "/v1/blocks?source=book"))["items"] for kdn in ("kdn-1", "kdn-2")]
    assert len(pages[0]) > 64
    assert pages[0] == pages[1]
    assert await kdns.add("kdn-2", "book", text) == "unchanged"


@pytest.mark.parametrize(
    ("origin", "status", "words"),
    [
        ("kdn-1", 400, "this KDN itself"),
        ("kdn-9", 404, "live besides this one: kdn-2"),
        ("http://127.0.0.1:1", 404, "no live KDN"),
    ],
)
async def test_only_another_live_kdn_can_be_named(kdns, origin, status, words):
    answered, answer = await kdns.call("kdn-1", "POST", "/v1/sync", {"origin": origin})
    assert answered == status
    assert words in answer["error"]["message"]


async def test_a_deleted_source_that_is_registered_again_lives_everywhere(kdns):
    await kdns.add("kdn-1", "a", "text")
    await kdns.sync("kdn-2", "kdn-1")
    await kdns.delete("kdn-2", "a")
    assert await kdns.add("kdn-1", "a", "text") == "unchanged"
    assert await kdns.sync("kdn-1", "kdn-2") == (0, 0, 0)
    assert await kdns.sync("kdn-2", "kdn-1") == (1, 0, 0)
    assert await kdns.texts("kdn-1") == await kdns.texts("kdn-2") == {"a": "text"}


async def test_a_fresh_kdn_heals_by_itself_and_a_deletion_reaches_all(tmp_path):
    async with running_kdns(tmp_path, 3, sync_every_s=0.1) as kdns:
        for number in range(3):
            await kdns.add("kdn-1", f"{number}", f"text {number}")

        async def holds(name: str, *numbers: int) -> bool:
            return await kdns.texts(name) == {f"{number}": f"text {number}" for number in numbers}

        await until(lambda: holds("kdn-2", 0, 1, 2))
        await until(lambda: holds("kdn-3", 0, 1, 2))
        await kdns.stop("kdn-1")
        await kdns.delete("kdn-2", "1")
        await until(lambda: holds("kdn-3", 0, 2))
        await kdns.start("kdn-1")
        await until(lambda: holds("kdn-1", 0, 2))


async def test_kv_is_asked_of_a_live_holder_and_the_trace_says_why(tmp_path):
    async with running_with_knowledge(config_for(tmp_path, kdns=2, kdn={"sync_every_s": 0.0})) as roles:
        [kid] = await roles.learn("a", "alpha " * 40, kdn="kdn-1")

        async def chosen(**options: str) -> Any:
            status, _, _ = await roles.chat(knowledge_ids=[kid], **options)
            assert status == 200
            newest = (await roles.control("GET", "/debug/requests?limit=1"))["requests"][0]
            return newest["hops"][0]["kdn"]

        only = await chosen()
        assert only["target"] == "kdn-1"
        assert only["reason"].startswith("the only holder: 0 waiting, 0 injecting, ")
        assert await chosen(Injection_type="text") is None  # what is not asked of it is no load either
        synced = await roles.control("POST", "/v1/sync", {"origin": "kdn-1"}, url=roles.kdn_url("kdn-2"))
        assert synced["taken"] == 1

        async def both() -> bool:
            decisions = [await chosen() for _ in range(4)]
            return {each["target"] for each in decisions} == {"kdn-1", "kdn-2"} and all(
                "of 2 holders: 0 waiting, 0 injecting" in each["reason"] for each in decisions
            )

        await until(both)
        kdns = (await roles.control("GET", "/debug/status"))["kdns"]
        assert {name: kdn["load"]["waiting"] for name, kdn in kdns.items()} == {"kdn-1": 0, "kdn-2": 0}
        await roles.stop("kdn-1")

        async def the_other() -> bool:
            return (await chosen())["target"] == "kdn-2"

        await until(the_other)
