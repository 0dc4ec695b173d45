"""An API key sees its collections and nothing of any other: not a text, a title or a kid, not that there is one."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from fakes.roles import Roles, config_for, running_with_knowledge
from fakes.until import until

from cacheroute.config import ApiKey
from knowledge.text import kid_of

VALVES = "The Kelmar valve opens at seven bar. It was tested in the Dunlin harbour by two engineers."
FERRIES = "The Dunlin ferry leaves at noon. It carries forty carts and a brass bell to the Kelmar island."
SHARED = "The Orlo bridge bears nine tons. Its keeper rings twice before the Orlo bridge is raised at dusk."
ABOUT_VALVES = "At how many bar does the Kelmar valve open?"
ABOUT_FERRIES = "When does the Dunlin ferry leave with its forty carts?"
ABOUT_SHARED = "How many tons does the Orlo bridge bear?"
KEYS = {
    "red": ApiKey(key="red-key", collections=("red",)),
    "blue": ApiKey(key="blue-key", collections=("blue",)),
    "none": ApiKey(key="none-key", collections=("no-such-collection",)),
    "all": ApiKey(key="all-key"),
}
SECRETS = ("Kelmar", "valve", "valves.md", "Valves of Kelmar", "red", kid_of(VALVES))
"""What of the red collection nobody else may read: words, source, title, collection, kid."""
ROUTES = ("/v1/chat/completions", "/v1/completions")


class Client:
    """Asks with one API key, on any route, and sees all that comes back."""

    def __init__(self, roles: Roles, key: str) -> None:
        self._roles = roles
        self._key = key

    async def send(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, str, dict[str, str]]:
        """(status, everything that came back as one text, headers)."""
        headers["Authorization"] = f"Bearer {self._key}"
        async with self._roles.session.request(method, self._roles.url + path, json=body, headers=headers) as answer:
            seen = "\n".join((*(f"{name}: {value}" for name, value in answer.headers.items()), await answer.text()))
            return answer.status, seen, dict(answer.headers)

    async def ask(self, question: str, path: str = ROUTES[0], *, headers: dict[str, str] | None = None, **fields: Any):
        asked = {"messages": [{"role": "user", "content": question}]} if "chat" in path else {"prompt": question}
        return await self.send("POST", path, {"model": "fake-model", **asked, **fields}, **(headers or {}))


@pytest.fixture
async def roles(tmp_path) -> AsyncGenerator[Roles]:
    async with running_with_knowledge(config_for(tmp_path, security={"api_keys": KEYS})) as roles:
        for source, text, title, collection in (
            ("valves.md", VALVES, "Valves of Kelmar", "red"),
            ("ferries.md", FERRIES, "Ferries", "blue"),
            ("bridge-red.md", SHARED, "The red bridge", "red"),
            ("bridge-blue.md", SHARED, "The blue bridge", "blue"),
        ):
            body = {"source": source, "text": text, "title": title, "collection": collection}
            (kid,) = (await roles.control("POST", "/v1/documents", body, url=roles.kdn_url()))["kids"]
            await roles.control("POST", "/v1/artifacts", {"kids": [kid]}, url=roles.kdn_url())

        async def copied() -> bool:
            kids = [kid_of(text) for text in (VALVES, FERRIES, SHARED)]
            return (await Client(roles, "all-key").ask("why?", knowledge_ids=kids))[0] == 200

        await until(copied)
        roles.engine.bodies.clear()
        yield roles


def client(roles: Roles, name: str) -> Client:
    return Client(roles, KEYS[name].key)


def sent(roles: Roles) -> str:
    """All that reached the engine."""
    return str(roles.engine.bodies)


def leaks(seen: str) -> list[str]:
    return [secret for secret in SECRETS if secret in seen]


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize("mode", ["auto", "text", "kv"])
async def test_retrieval_finds_what_the_key_sees(roles, path, mode):
    for name, kids in (("red", kid_of(VALVES)), ("all", kid_of(VALVES)), ("blue", ""), ("none", "")):
        roles.engine.bodies.clear()
        status, seen, headers = await client(roles, name).ask(ABOUT_VALVES, path, Injection_type=mode)
        assert (status, headers["X-CacheRoute-Knowledge"]) == (200, kids), name
        if not kids:
            assert leaks(seen) == []
            assert "tested in" not in sent(roles)


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize("mode", ["auto", "text", "kv"])
async def test_a_foreign_kid_is_answered_as_one_that_does_not_exist(roles, path, mode):
    foreign, nowhere = kid_of(VALVES), kid_of("nothing that anybody has")
    answers = []
    for kid in (foreign, nowhere):
        for kids in ([kid], [kid_of(FERRIES), kid]):
            status, seen, headers = await client(roles, "blue").ask(
                "why?", path, knowledge_ids=kids, Injection_type=mode
            )
            varying = (headers["Date"], headers["X-Request-ID"], kid)
            for text in varying:
                seen = seen.replace(text, "-")
            answers.append((status, seen, tuple(headers)))
    assert answers[:2] == answers[2:]
    assert answers[0][0] == 404
    assert sent(roles) == "[]"


async def test_one_text_in_two_collections_shows_each_key_its_own(roles):
    kid = kid_of(SHARED)
    for name, other in (("red", "blue"), ("blue", "red")):
        for fields in ({}, {"knowledge_ids": [kid]}):
            _, seen, headers = await client(roles, name).ask(ABOUT_SHARED, **fields)
            assert headers["X-CacheRoute-Knowledge"] == kid
            assert f"{other} bridge" not in seen + sent(roles)
            assert f"bridge-{other}" not in seen + sent(roles)


async def test_a_text_that_leaves_a_collection_leaves_its_keys(roles):
    kid = kid_of(SHARED)
    path = "/v1/documents?source=bridge-blue.md"
    gone = await roles.control("DELETE", path, url=roles.kdn_url())
    assert (gone["kids"], gone["artifacts"], gone["proof"]) == ([kid], [], [])

    async def closed() -> bool:
        return (await client(roles, "blue").ask("why?", knowledge_ids=[kid]))[0] == 404

    await until(closed)
    assert (await client(roles, "blue").ask(ABOUT_SHARED))[2]["X-CacheRoute-Knowledge"] == ""
    assert (await client(roles, "red").ask(ABOUT_SHARED))[2]["X-CacheRoute-Knowledge"] == kid


@pytest.mark.parametrize("headers", [{}, {"X-Session-ID": "shared-session"}])
async def test_another_keys_conversation_is_not_gone_on_with(roles, headers):
    opening = [{"role": "user", "content": ABOUT_VALVES}]
    following = [*opening, {"role": "assistant", "content": "ok"}, {"role": "user", "content": "And who tested it?"}]
    _, _, said = await client(roles, "red").ask("", messages=opening, headers=headers)
    assert said["X-CacheRoute-Knowledge"] == kid_of(VALVES)
    _, _, said = await client(roles, "red").ask("", messages=following, headers=headers)
    assert said["X-CacheRoute-Knowledge"] == kid_of(VALVES)
    for name in ("blue", "none"):
        for messages in (opening, following):
            roles.engine.bodies.clear()
            status, seen, said = await client(roles, name).ask("", messages=messages, headers=headers)
            assert (status, said["X-CacheRoute-Knowledge"]) == (200, "")
            assert leaks(seen) == []
            assert "harbour" not in sent(roles)


async def test_what_a_key_is_told_does_not_depend_on_what_others_have(roles):
    """Not even in why nothing was found, in the number of documents, or in what answers beside the knowledge."""

    async def told() -> list[tuple[int, str, str]]:
        said = []
        for path in ROUTES:
            for name in ("none", "blue"):
                for question in (ABOUT_VALVES, ABOUT_FERRIES, "Please write a haiku about autumn leaves"):
                    status, _, headers = await client(roles, name).ask(question, path)
                    said.append((status, headers["X-CacheRoute-Retrieval"], headers["X-CacheRoute-Reason"]))
        return said

    before = await told()
    for number in range(5):
        body = {"source": f"{number}.md", "text": f"{VALVES} Note {number} about haiku.", "collection": "red"}
        added = await roles.control("POST", "/v1/documents", body, url=roles.kdn_url())

    async def copied() -> bool:
        return (await client(roles, "red").ask("why?", knowledge_ids=added["kids"]))[0] == 200

    await until(copied)
    assert await told() == before
    for path in ("/v1/models", "/v1/models/fake-model", "/healthz"):
        status, seen, _ = await client(roles, "none").send("GET", path)
        assert (status, leaks(seen)) == (200, [])


async def test_every_route_for_clients_wants_a_key_and_tells_nothing_without_one(roles):
    for key in ("", "wrong", "red", "red-ke", "red-key\tx", "red-keyx", "RED-KEY"):
        for method, path in (("GET", "/v1/models"), ("GET", "/v1/models/x"), *(("POST", path) for path in ROUTES)):
            body = {"model": "fake-model", "messages": [], "knowledge_ids": [kid_of(VALVES)]} if "com" in path else None
            status, seen, _ = await Client(roles, key).send(method, path, body)
            assert (status, leaks(seen)) == (401, []), (key, path)


async def test_no_api_key_opens_what_belongs_to_roles_and_operators(roles):
    config = roles.config
    planes = {
        config.scheduler.control_port: ("/v1/peers", "/debug/status", "/debug/requests", "/debug/strategy", "/metrics"),
        config.kdn["kdn-1"].port: ("/v1/documents", "/v1/blocks", "/v1/changes", "/v1/artifacts", "/debug/status"),
        config.embedder.port: ("/metrics",),
        config.proxy["pool-1"].port: ("/v1/serve",),
        config.proxy["pool-1"].control_port: ("/debug/status",),
        config.instance["instance-1-1"].port: ("/v1/serve",),
        config.instance["instance-1-1"].control_port: ("/debug/status", "/v1/kv/head"),
    }
    for port, paths in planes.items():
        for path in paths:
            for key in KEYS.values():
                headers = {"Authorization": f"Bearer {key.key}"}
                url = f"http://127.0.0.1:{port}{path}"
                async with roles.session.get(url, headers=headers) as answer:
                    assert (answer.status, leaks(await answer.text())) == (401, []), url


async def test_the_routes_of_others_are_not_on_the_clients_plane(roles):
    for path in (
        "/v1/documents",
        "/v1/search",
        "/v1/blocks",
        "/v1/changes",
        "/v1/peers",
        "/debug/requests",
        "/metrics",
    ):
        for method in ("GET", "POST"):
            status, seen, _ = await client(roles, "all").send(method, path)
            assert (status, leaks(seen)) == (404, []), path


async def test_options_in_a_body_or_header_widen_nothing(roles):
    """What names a collection, a caller or a KDN from outside is an unknown field to us: the engine's business."""
    widened = {"collections": ["red"], "collection": "red", "client": "red", "caller": "red", "kdn": "kdn-1"}
    headers = {"X-CacheRoute-Collections": "red", "X-CacheRoute-Knowledge": kid_of(VALVES), "X-Forwarded-User": "red"}
    status, seen, said = await client(roles, "blue").ask(ABOUT_VALVES, headers=headers, **widened)
    assert (status, said["X-CacheRoute-Knowledge"]) == (200, "")
    assert leaks(seen) == []
    assert "harbour" not in sent(roles)


async def test_many_keys_at_once_each_get_their_own(roles):
    names = ("red", "blue", "none", "all") * 5

    async def knowledge(name: str) -> str:
        return (await client(roles, name).ask(ABOUT_FERRIES))[2]["X-CacheRoute-Knowledge"]

    found = await asyncio.gather(*map(knowledge, names))
    assert found == [kid_of(FERRIES) if name in ("blue", "all") else "" for name in names]
