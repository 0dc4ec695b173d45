"""Conversations of several turns, from the client to the prompt: what knowledge they have, where it stands, and that
it stays.
"""

import asyncio
import json
from typing import Any

import pytest
from fakes.hash_embedder import HashEmbedder
from fakes.roles import Roles, config_for, running_with_knowledge
from fakes.until import until

from cacheroute.config import ApiKey

VALVES = "The Kelmar valve opens at seven bar. It was tested in the Dunlin harbour by two engineers."
FERRIES = "The Dunlin ferry leaves at noon. It carries forty carts and a brass bell to the Kelmar island."
ABOUT_VALVES = "At how many bar does the Kelmar valve open?"
ABOUT_FERRIES = "When does the Dunlin ferry leave with the brass bell?"
SMALL_TALK = "Please write a haiku about autumn leaves"


@pytest.fixture
async def roles(tmp_path):
    async with running_with_knowledge(config_for(tmp_path)) as started:
        yield started


class Talk:
    """One client's conversation: its messages as the client keeps them, and the prompts that the engine got."""

    def __init__(self, roles: Roles, **headers: str) -> None:
        self.messages: list[dict[str, Any]] = []
        self.prompts: list[list[dict[str, Any]]] = []
        self.headers: dict[str, str] = {}
        self.answer: Any = None
        self._roles = roles
        self._sent = headers

    async def ask(self, text: str, **fields: Any) -> list[str]:
        """One turn; the kids that its prompt had."""
        self.messages.append({"role": "user", "content": text})
        return await self.go_on(**fields)

    async def go_on(self, **fields: Any) -> list[str]:
        body = {"model": "fake-model", "messages": self.messages, **fields}
        url = f"{self._roles.url}/v1/chat/completions"
        async with self._roles.session.post(url, json=body, headers=self._sent) as response:
            self.headers = dict(response.headers)
            text = await response.text()
            assert response.status == 200, text
        said = "t0t1t2" if fields.get("stream") else json.loads(text)["choices"][0]["message"]["content"]
        self.messages.append({"role": "assistant", "content": said})
        self.prompts.append(self._roles.engine.bodies[-1]["messages"])
        return [kid for kid in self.headers["X-CacheRoute-Knowledge"].split(",") if kid]

    @property
    def reason(self) -> str:
        return self.headers["X-CacheRoute-Retrieval"]

    def always_went_on(self) -> bool:
        """Whether each prompt began with the last one and its answer."""
        return all(
            later[: len(earlier)] == earlier for earlier, later in zip(self.prompts, self.prompts[1:], strict=False)
        )


async def trace(roles: Roles) -> dict[str, Any]:
    return (await roles.control("GET", "/debug/requests?limit=1"))["requests"][0]


async def learn_both(roles: Roles) -> tuple[str, str]:
    (valves,) = await roles.learn("v.md", VALVES)
    (ferries,) = await roles.learn("f.md", FERRIES)
    return valves, ferries


@pytest.mark.parametrize("stream", [False, True])
async def test_the_first_turn_fixes_the_head_and_later_finds_stand_before_their_turn(roles, stream):
    valves, ferries = await learn_both(roles)
    talk = Talk(roles)
    assert await talk.ask(ABOUT_VALVES, stream=stream) == [valves]
    assert await talk.ask(SMALL_TALK, stream=stream) == [valves]
    assert await talk.ask(ABOUT_FERRIES, stream=stream) == [valves, ferries]
    assert await talk.ask(ABOUT_VALVES, stream=stream) == [valves, ferries]
    assert await talk.ask(SMALL_TALK, stream=stream) == [valves, ferries]
    assert talk.always_went_on()
    contents = [message["content"] for message in talk.prompts[-1] if message["role"] != "assistant"]
    assert contents == [
        VALVES + "\n\n",
        ABOUT_VALVES,
        SMALL_TALK,
        f"{FERRIES}\n\n{ABOUT_FERRIES}",
        ABOUT_VALVES,
        SMALL_TALK,
    ]


async def test_kv_serves_the_head_and_is_pushed_once_in_a_conversation(roles):
    valves, _ = await learn_both(roles)
    artifacts = (await roles.control("GET", "/v1/artifacts", url=roles.kdn_url()))["items"]
    artifact = next(each["id"] for each in artifacts if each["kids"] == [valves])
    await roles.control("POST", "/v1/purge", {"artifact_id": artifact, "store": "kv-1"}, url=roles.kdn_url())
    talk, receipts = Talk(roles), []
    for question in (ABOUT_VALVES, ABOUT_FERRIES, SMALL_TALK):
        await talk.ask(question, Injection_type="kv")
        assert talk.headers["X-CacheRoute-Injection"] == "kv"
        receipts.append(next(hop["receipt"] for hop in (await trace(roles))["hops"] if hop["receipt"]))
    assert [receipt["artifact_id"] for receipt in receipts] == [artifact] * 3
    assert receipts[0]["nbytes"] > 0
    assert [receipt["nbytes"] for receipt in receipts[1:]] == [0, 0]


async def test_a_conversation_that_began_without_knowledge_has_it_as_text_from_then_on(roles):
    valves, _ = await learn_both(roles)
    talk = Talk(roles)
    assert await talk.ask(SMALL_TALK) == []
    assert await talk.ask(ABOUT_VALVES, Injection_type="kv") == [valves]
    assert talk.headers["X-CacheRoute-Injection"] == "text"
    assert await talk.ask(SMALL_TALK) == [valves]
    assert talk.always_went_on()


async def test_an_edited_document_is_never_served_from_memory_nor_its_old_kv(roles):
    valves, ferries = await learn_both(roles)
    talk = Talk(roles)
    await talk.ask(ABOUT_VALVES, Injection_type="kv")
    await talk.ask(ABOUT_FERRIES, Injection_type="kv")
    edited = VALVES.replace("seven", "nine")
    (new,) = await roles.learn("v.md", edited, build=False)

    async def old_is_gone() -> bool:
        return (await roles.chat(knowledge_ids=[valves]))[0] == 404

    await until(old_is_gone)
    assert await talk.ask(SMALL_TALK, Injection_type="kv") == [new]
    assert f"started anew: its knowledge {valves[:12]} is gone" in talk.reason
    assert talk.headers["X-CacheRoute-Injection"] == "text"
    assert talk.prompts[-1][0]["content"] == edited + "\n\n"
    assert "seven" not in json.dumps(talk.prompts[-1])
    assert await talk.ask(ABOUT_FERRIES) == [new, ferries]
    assert "anew" not in talk.reason


async def test_a_deleted_document_leaves_its_conversations(roles):
    valves, ferries = await learn_both(roles)
    talk = Talk(roles)
    await talk.ask(ABOUT_VALVES)
    await talk.ask(ABOUT_FERRIES)
    await roles.control("DELETE", "/v1/documents?source=f.md", url=roles.kdn_url())

    async def gone() -> bool:
        return (await roles.chat(knowledge_ids=[ferries]))[0] == 404

    await until(gone)
    assert await talk.ask(SMALL_TALK) == [valves]
    assert FERRIES not in json.dumps(talk.prompts[-1])


async def test_without_rag_a_turn_goes_as_it_came_and_the_next_goes_on(roles):
    valves, _ = await learn_both(roles)
    talk = Talk(roles)
    await talk.ask(ABOUT_VALVES)
    assert await talk.ask(ABOUT_FERRIES, RAG=False) == []
    assert talk.prompts[-1] == talk.messages[:-1]
    assert await talk.ask(SMALL_TALK) == [valves]
    assert talk.prompts[-1][1:] == talk.messages[:-1]


async def test_knowledge_named_on_a_later_turn_goes_before_that_turn(roles):
    valves, ferries = await learn_both(roles)
    talk = Talk(roles)
    await talk.ask(ABOUT_VALVES)
    assert await talk.ask("why?", knowledge_ids=[ferries, valves]) == [valves, ferries]
    assert talk.prompts[-1][-1]["content"] == f"{FERRIES}\n\nwhy?"
    assert await talk.ask("really?", knowledge_ids=[]) == [valves, ferries]
    assert talk.always_went_on()


async def test_knowledge_named_for_a_conversation_that_is_not_known_is_its_head(roles):
    _, ferries = await learn_both(roles)
    talk = Talk(roles)
    talk.messages = [{"role": "user", "content": ABOUT_VALVES}, {"role": "assistant", "content": "Seven."}]
    await talk.ask("why?", knowledge_ids=[ferries])
    assert [message["content"] for message in talk.prompts[-1]] == [FERRIES + "\n\n", ABOUT_VALVES, "Seven.", "why?"]


async def test_after_a_restart_the_head_is_found_again_for_the_first_turn(roles):
    valves, ferries = await learn_both(roles)
    talk = Talk(roles)
    await talk.ask(ABOUT_VALVES)
    await talk.ask(SMALL_TALK)
    await roles.stop("scheduler")
    await roles.start("scheduler")
    await roles.until_ready()
    assert await talk.ask(ABOUT_FERRIES) == [valves, ferries]
    assert "head found for the first turn" in talk.reason
    assert await talk.ask(SMALL_TALK) == [valves, ferries]
    assert talk.always_went_on()


async def test_a_turn_that_goes_on_with_tools_keeps_its_knowledge(roles):
    valves, _ = await learn_both(roles)
    talk = Talk(roles)
    await talk.ask(ABOUT_VALVES)
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    talk.messages[-1] = {"role": "assistant", "content": None, "tool_calls": [call]}
    talk.messages.append({"role": "tool", "tool_call_id": "c", "content": ABOUT_FERRIES})
    assert await talk.go_on() == [valves]
    assert talk.reason == "kept"


async def test_a_session_keeps_its_head_when_its_client_cuts_the_beginning_off(roles):
    valves, ferries = await learn_both(roles)
    talk = Talk(roles, **{"X-Session-ID": "s1"})
    await talk.ask(ABOUT_VALVES)
    await talk.ask(ABOUT_FERRIES)
    del talk.messages[:2]
    assert await talk.ask(SMALL_TALK) == [valves]
    assert (await trace(roles))["knowledge"] == [valves]
    assert ferries not in talk.headers["X-CacheRoute-Knowledge"]


async def test_a_new_conversation_in_an_old_session_begins_anew(roles):
    valves, ferries = await learn_both(roles)
    first, second = (Talk(roles, **{"X-Session-ID": "s1"}) for _ in range(2))
    assert await first.ask(ABOUT_VALVES) == [valves]
    assert await second.ask(ABOUT_FERRIES) == [ferries]
    assert await first.ask(SMALL_TALK) == [valves]


async def test_a_trace_names_the_conversation_and_its_knowledge(roles):
    valves, ferries = await learn_both(roles)
    talk, other = Talk(roles), Talk(roles)
    names = []
    for question in (ABOUT_VALVES, ABOUT_FERRIES):
        await talk.ask(question)
        names.append((await trace(roles))["conversation"])
    assert (await trace(roles))["knowledge"] == [valves, ferries]
    await other.ask(SMALL_TALK)
    names.append((await trace(roles))["conversation"])
    assert names[0] == names[1] != names[2]
    assert all(names)


async def test_nobody_gets_at_another_keys_conversation(tmp_path):
    keys = {"ann": ApiKey(key="a", collections=("open",)), "bob": ApiKey(key="b")}
    async with running_with_knowledge(config_for(tmp_path, security={"api_keys": keys})) as roles:
        body = {"source": "v.md", "text": VALVES, "collection": "closed"}
        (valves,) = (await roles.control("POST", "/v1/documents", body, url=roles.kdn_url()))["kids"]
        ann, bob = (Talk(roles, **{"X-Session-ID": "s1", "Authorization": f"Bearer {key}"}) for key in "ab")

        async def known() -> bool:
            bob.messages.clear()
            return await bob.ask(ABOUT_VALVES) == [valves]

        await until(known)
        ann.messages = list(bob.messages)
        assert await ann.ask(SMALL_TALK) == []
        assert await bob.ask(SMALL_TALK) == [valves]


async def test_a_prompt_too_long_loses_the_oldest_turns_knowledge_and_does_not_get_it_back(roles):
    valves, ferries = await learn_both(roles)
    talk = Talk(roles)
    await talk.ask(ABOUT_VALVES)
    await talk.ask(ABOUT_FERRIES)
    roles.engine.max_prompt_chars = len(json.dumps(talk.prompts[-1])) + 60
    assert await talk.ask(SMALL_TALK) == [valves]
    assert f"left out, for the prompt was too long: {ferries[:12]}" in talk.headers["X-CacheRoute-Reason"]
    roles.engine.max_prompt_chars = 100_000
    assert await talk.ask(SMALL_TALK) == [valves]


async def test_the_token_budget_holds_over_the_whole_conversation(tmp_path):
    async with running_with_knowledge(config_for(tmp_path, scheduler={"knowledge_token_budget": 40})) as roles:
        valves, ferries = await learn_both(roles)
        talk = Talk(roles)
        assert await talk.ask(ABOUT_VALVES) == [valves]
        assert await talk.ask(ABOUT_FERRIES) == [valves]
        assert f"left out by the budget of 40 tokens, 64 blocks: {ferries[:12]}" in talk.reason
        assert await talk.ask("why?", knowledge_ids=[ferries]) == [ferries]


async def test_a_search_that_takes_too_long_costs_the_knowledge_and_not_the_answer(roles, monkeypatch):
    valves, _ = await learn_both(roles)
    talk = Talk(roles, **{"X-Request-Deadline-Ms": "1000"})
    await talk.ask(ABOUT_VALVES)
    released = asyncio.Event()
    loop = asyncio.get_running_loop()

    def hanging(self, texts, kind):
        asyncio.run_coroutine_threadsafe(released.wait(), loop).result()
        raise RuntimeError("too late")

    monkeypatch.setattr(HashEmbedder, "embed", hanging)
    try:
        assert await talk.ask(ABOUT_FERRIES) == [valves]
    finally:
        released.set()
    assert talk.reason.startswith("retrieval-unavailable: the request's time")


PICTURE = {"type": "image_url", "image_url": {"url": "data:,"}}
QUESTION = {"role": "user", "content": ABOUT_VALVES}
SYSTEM = {"role": "system", "content": "Be brief."}


@pytest.mark.parametrize(
    ("messages", "prompt"),
    [
        ([QUESTION], [VALVES + "\n\n", ABOUT_VALVES]),
        ([SYSTEM, QUESTION], [VALVES + "\n\nBe brief.", ABOUT_VALVES]),
        ([{"role": "developer", "content": "Be brief."}, QUESTION], [VALVES + "\n\nBe brief.", ABOUT_VALVES]),
        ([{"role": "assistant", "content": "Hi"}, QUESTION], [VALVES + "\n\n", "Hi", ABOUT_VALVES]),
        ([QUESTION, {"role": "assistant", "content": "At"}], [VALVES + "\n\n", ABOUT_VALVES, "At"]),
        ([SYSTEM], ["Be brief."]),
        ([{"role": "system", "content": [PICTURE]}, QUESTION], [VALVES + "\n\n", [PICTURE], ABOUT_VALVES]),
        (
            [{"role": "user", "content": [PICTURE, {"type": "text", "text": ABOUT_VALVES}]}],
            [VALVES + "\n\n", [PICTURE, {"type": "text", "text": ABOUT_VALVES}]],
        ),
        ([{"role": "user", "content": [PICTURE]}], [[PICTURE]]),
    ],
)
async def test_whatever_messages_a_client_sends_the_knowledge_stands_first(roles, messages, prompt):
    await learn_both(roles)
    body = {"model": "fake-model", "messages": messages}
    async with roles.session.post(f"{roles.url}/v1/chat/completions", json=body) as answer:
        assert answer.status == 200
    assert [message["content"] for message in roles.engine.bodies[-1]["messages"]] == prompt


async def test_an_engine_whose_template_cannot_be_pinned_gets_text_and_the_reason_is_told(tmp_path):
    async with running_with_knowledge(config_for(tmp_path)) as roles:
        await roles.stop("instance-1-1", "engine-1-1")
        roles.engine.no_kv_reason = "the chat template puts tools before the knowledge"
        await roles.start("engine-1-1", "instance-1-1")
        await roles.until_ready()
        (valves,) = await roles.learn("v.md", VALVES, build=False)
        talk = Talk(roles)
        tool = {"type": "function", "function": {"name": "f"}}
        assert await talk.ask(ABOUT_VALVES, Injection_type="kv", tools=[tool]) == [valves]
        assert talk.headers["X-CacheRoute-Injection"] == "text"
        assert talk.headers["X-CacheRoute-Reason"] == "no-kv: the chat template puts tools before the knowledge"
        assert talk.prompts[-1][0]["content"] == VALVES + "\n\n"


async def test_raw_completions_are_no_conversation(roles):
    await learn_both(roles)
    body = {"model": "fake-model", "prompt": ABOUT_VALVES}
    async with roles.session.post(f"{roles.url}/v1/completions", json=body) as answer:
        assert answer.status == 200
    assert (await trace(roles))["conversation"] == ""
