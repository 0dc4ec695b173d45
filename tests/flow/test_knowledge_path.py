"""Knowledge on its way into a prompt, as text and as KV, over real KDNs and a real kv store."""

import json

import pytest
from fakes.hash_embedder import HashEmbedder
from fakes.roles import Roles, config_for, running_with_knowledge
from fakes.until import until

from cacheroute.config import ApiKey
from cacheroute.scheduler.retrieval import MAX_QUESTION_CHARS
from knowledge.text import kid_of

VALVES = "The Kelmar valve opens at seven bar. It was tested in the Dunlin harbour by two engineers."
FERRIES = "The Dunlin ferry leaves at noon. It carries forty carts and a brass bell to the Kelmar island."


@pytest.fixture
async def roles(tmp_path):
    async with running_with_knowledge(config_for(tmp_path)) as started:
        yield started


def _system(roles: Roles) -> str:
    message = roles.engine.bodies[-1]["messages"][0]
    assert message["role"] == "system"
    return message["content"]


async def only_artifact(roles: Roles) -> dict:
    """The one artifact of the KDN, with its keys."""
    (listed,) = (await roles.control("GET", "/v1/artifacts", url=roles.kdn_url()))["items"]
    return await roles.control("GET", f"/v1/artifacts/{listed['id']}", url=roles.kdn_url())


async def _receipt(roles: Roles) -> dict:
    newest = (await roles.control("GET", "/debug/requests?limit=1"))["requests"][0]
    return next(hop["receipt"] for hop in newest["hops"] if hop["receipt"])


async def test_what_fits_the_question_is_found_and_put_first(roles):
    kids = await roles.learn("valves.md", VALVES)
    _, headers, _ = await roles.chat("At how many bar does the Kelmar valve open?", Injection_type="text")
    assert headers["X-CacheRoute-Knowledge"] == kids[0]
    assert headers["X-CacheRoute-Retrieval"].startswith("accepted")
    assert _system(roles) == VALVES + "\n\n"


async def test_of_a_pasted_book_only_the_beginning_is_looked_up(roles, monkeypatch):
    await roles.learn("valves.md", VALVES)
    embed, seen = HashEmbedder.embed, []

    def recording(self, texts, kind):
        seen.extend(texts)
        return embed(self, texts, kind)

    monkeypatch.setattr(HashEmbedder, "embed", recording)
    roles.engine.max_prompt_chars = 2**23
    _, headers, _ = await roles.chat("At how many bar does the Kelmar valve open?" + " of the" * 2**19)
    assert max(map(len, seen)) <= MAX_QUESTION_CHARS
    assert not headers["X-CacheRoute-Retrieval"].startswith("retrieval-unavailable")


async def test_what_fits_nothing_gets_nothing(roles):
    await roles.learn("valves.md", VALVES)
    _, headers, _ = await roles.chat("Please write a haiku about autumn leaves")
    assert headers["X-CacheRoute-Injection"] == "none"
    assert headers["X-CacheRoute-Knowledge"] == ""


async def test_the_prompt_is_the_same_by_text_and_by_kv(roles):
    kids = await roles.learn("valves.md", VALVES)
    bodies = []
    for mode in ("text", "kv"):
        _, headers, _ = await roles.chat("why?", knowledge_ids=kids, Injection_type=mode)
        assert headers["X-CacheRoute-Injection"] == mode
        bodies.append(roles.engine.bodies[-1])
    assert bodies[0] == bodies[1]


async def test_kv_is_pushed_once_and_then_known_to_be_there(roles):
    """D10: a payload used to be pushed whole for every request."""
    kids = await roles.learn("valves.md", VALVES)
    artifact = await only_artifact(roles)
    await roles.control("POST", "/v1/purge", {"artifact_id": artifact["id"], "store": "kv-1"}, url=roles.kdn_url())
    await roles.chat("why?", knowledge_ids=kids, Injection_type="kv")
    first = await _receipt(roles)
    assert (first["present"], first["pushed"], first["nbytes"]) == (0, len(artifact["keys"]), artifact["nbytes"])
    await roles.chat("why?", knowledge_ids=kids, Injection_type="kv")
    again = await _receipt(roles)
    assert (again["present"], again["pushed"], again["nbytes"]) == (len(artifact["keys"]), 0, 0)


async def test_a_store_that_forgot_one_chunk_gets_one_chunk(roles):
    kids = await roles.learn("valves.md", VALVES)
    artifact = await only_artifact(roles)
    await roles.engine.store.purge(artifact["keys"][2:3])
    await roles.chat("why?", knowledge_ids=kids, Injection_type="kv")
    assert (await _receipt(roles))["pushed"] == 1


async def test_several_blocks_stand_in_one_order_whichever_was_asked_first(roles):
    kids = [(await roles.learn(f"{name}.md", text))[0] for name, text in (("v", VALVES), ("f", FERRIES))]
    for asked in (kids, kids[::-1]):
        await roles.chat("why?", knowledge_ids=asked, Injection_type="text")
    assert roles.engine.bodies[0] == roles.engine.bodies[1]
    by_kid = dict(zip(kids, (VALVES, FERRIES), strict=True))
    assert _system(roles) == "".join(by_kid[kid] + "\n\n" for kid in sorted(kids))


async def test_kv_of_the_first_block_serves_a_set_that_begins_with_it(roles):
    """D14: only the first of several blocks could ever be used, and never in a completion."""
    first, second = sorted([(VALVES, "v.md"), (FERRIES, "f.md")], key=lambda each: kid_of(each[0]))
    await roles.learn(first[1], first[0])
    await roles.learn(second[1], second[0], build=False)
    kids = [kid_of(first[0]), kid_of(second[0])]
    _, headers, _ = await roles.chat("why?", knowledge_ids=kids, Injection_type="kv")
    assert headers["X-CacheRoute-Injection"] == "kv"
    found = await only_artifact(roles)
    assert found["kids"] == kids[:1]


async def test_a_raw_completion_has_kv_of_its_own(roles):
    kids = await roles.learn("valves.md", VALVES, build=False)
    body = {"kids": kids, "rendering": "completions"}
    await roles.control("POST", "/v1/artifacts", body, url=roles.kdn_url())
    asked = {"model": "fake-model", "prompt": "Once", "knowledge_ids": kids, "Injection_type": "kv"}
    async with roles.session.post(f"{roles.url}/v1/completions", json=asked) as answer:
        assert answer.headers["X-CacheRoute-Injection"] == "kv"
    assert roles.engine.bodies[-1]["prompt"] == VALVES + "\n\nOnce"
    _, headers, _ = await roles.chat("why?", knowledge_ids=kids, Injection_type="kv")
    assert headers["X-CacheRoute-Injection"] == "text"


async def test_a_store_that_dies_in_the_middle_means_text_and_says_so(roles):
    kids = await roles.learn("valves.md", VALVES)
    roles.valkey.kill()
    status, headers, _ = await roles.chat("why?", knowledge_ids=kids, Injection_type="kv")
    assert status == 200
    assert headers["X-CacheRoute-Injection"] == "text"
    assert "injection failed" in headers["X-CacheRoute-Reason"]
    assert _system(roles) == VALVES + "\n\n"
    roles.valkey.start()

    async def by_kv_again() -> bool:
        return (await roles.chat("why?", knowledge_ids=kids, Injection_type="kv"))[1]["X-CacheRoute-Injection"] == "kv"

    await until(by_kv_again)


async def test_without_its_kdn_a_request_still_gets_the_text(roles):
    kids = await roles.learn("valves.md", VALVES)
    await roles.stop("kdn-1")
    status, headers, _ = await roles.chat("why?", knowledge_ids=kids, Injection_type="kv")
    assert (status, headers["X-CacheRoute-Injection"]) == (200, "text")
    assert _system(roles) == VALVES + "\n\n"


async def test_a_prompt_that_proves_too_long_loses_its_least_relevant_knowledge(roles):
    """D28: knowledge was never cut, and the engine's refusal reached the client as a 200."""
    kids = [(await roles.learn(f"{name}.md", text))[0] for name, text in (("v", VALVES), ("f", FERRIES))]
    one = len(json.dumps([{"role": "system", "content": VALVES + "\n\n"}, {"role": "user", "content": "why?"}]))
    roles.engine.max_prompt_chars = one
    status, headers, _ = await roles.chat("why?", knowledge_ids=kids)
    assert status == 200
    assert headers["X-CacheRoute-Knowledge"] == kids[0]
    roles.engine.max_prompt_chars = 5
    status, _, body = await roles.chat("why?", knowledge_ids=kids)
    assert (status, body["error"]["code"]) == (400, "context_length_exceeded")


async def test_a_refusal_of_the_engine_reaches_the_client_whole(roles):
    """The proxy reads a 400 to see whether the prompt was too long; what it has read must still go on."""
    kids = await roles.learn("valves.md", VALVES)
    roles.engine.status = 400
    status, _, body = await roles.chat("why?", knowledge_ids=kids)
    assert (status, body["error"]["message"]) == (400, "the engine was told to answer 400")


async def test_a_deleted_document_is_served_no_more(roles):
    kids = await roles.learn("valves.md", VALVES)
    await roles.control("DELETE", "/v1/documents?source=valves.md", url=roles.kdn_url())

    async def gone() -> bool:
        return (await roles.chat("why?", knowledge_ids=kids))[0] == 404

    await until(gone)
    assert (await roles.control("GET", "/v1/artifacts", url=roles.kdn_url()))["items"] == []


async def test_two_kdns_are_one_library_and_one_that_is_away_takes_nothing_with_it(tmp_path):
    """D6: with two KDNs the scheduler's table used to flap between them."""
    async with running_with_knowledge(config_for(tmp_path, kdns=2)) as roles:
        mine = await roles.learn("v.md", VALVES, kdn="kdn-1")
        yours = await roles.learn("f.md", FERRIES, kdn="kdn-2")
        for kids in (mine, yours):
            _, headers, _ = await roles.chat("why?", knowledge_ids=kids, Injection_type="kv")
            assert headers["X-CacheRoute-Injection"] == "kv"
        await roles.stop("kdn-2")
        for kids, mode in ((mine, "kv"), (yours, "text")):
            _, headers, _ = await roles.chat("why?", knowledge_ids=kids, Injection_type="kv")
            assert headers["X-CacheRoute-Injection"] == mode


async def test_kv_of_another_engine_is_never_offered(tmp_path):
    """D12: KV used to be kept by text alone, so a second model got the first one's bytes."""
    config = config_for(tmp_path, instances=2)
    async with running_with_knowledge(config) as roles:
        await roles.stop("instance-1-2", "engine-1-2")
        kids = await roles.learn("v.md", VALVES)
        roles.engines["engine-1-2"].weights = "other weights"
        await roles.start("engine-1-2", "instance-1-2")
        await roles.until_ready()
        modes = {}
        for _ in range(4):
            _, headers, _ = await roles.chat("why?", knowledge_ids=kids, Injection_type="kv")
            modes[headers["X-CacheRoute-Instance"]] = headers["X-CacheRoute-Injection"]
        assert modes == {"instance-1-1": "kv", "instance-1-2": "text"}


async def test_a_key_sees_its_collections_and_no_others(tmp_path):
    keys = {"ann": ApiKey(key="a", collections=("open",)), "bob": ApiKey(key="b")}
    async with running_with_knowledge(config_for(tmp_path, security={"api_keys": keys})) as roles:
        url = roles.kdn_url()
        body = {"source": "v.md", "text": VALVES, "collection": "closed"}
        kids = (await roles.control("POST", "/v1/documents", body, url=url))["kids"]

        async def ask(key: str, **fields) -> tuple[int, str]:
            question = "At how many bar does the Kelmar valve open?"
            asked = {"model": "fake-model", "messages": [{"role": "user", "content": question}], **fields}
            headers = {"Authorization": f"Bearer {key}"}
            async with roles.session.post(f"{roles.url}/v1/chat/completions", json=asked, headers=headers) as answer:
                return answer.status, answer.headers.get("X-CacheRoute-Knowledge", "")

        async def known() -> bool:
            return await ask("b") == (200, kids[0])

        await until(known)
        assert await ask("a") == (200, "")
        assert (await ask("a", knowledge_ids=kids))[0] == 404
        assert await ask("b", knowledge_ids=kids) == (200, kids[0])
