"""A conversation of six turns through every role to the real engine: nothing of its history is computed twice."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from fakes.roles import Roles, config_for
from fakes.running_engine import RunningEngine
from fakes.until import until
from fakes.valkey import Valkey

from cacheroute.config import Config, Paths

pytestmark = pytest.mark.slow

CHUNK = 16
VALVES = (
    "The Kelmar valve opens at seven bar. It was tested in the Dunlin harbour by two engineers. "
    "Its seat is of bronze, its spring of steel, and a copper ring keeps the salt water out. "
    "Every second spring it is taken apart, cleaned with vinegar and put together again by the harbour master."
)
FERRIES = (
    "The Dunlin ferry leaves at noon. It carries forty carts and a brass bell to the Kelmar island. "
    "On Sundays it waits for the choir, which sings on the upper deck until the lighthouse is in sight."
)
QUESTIONS = (
    "At how many bar does the Kelmar valve open?",
    "Tell me more.",
    "When does the Dunlin ferry leave, and with how many carts and which bell?",
    "Who waits on Sundays?",
    "Name three colours.",
    "Thank you! Say goodbye in one sentence.",
)


@pytest.fixture
async def roles(
    tmp_path: Path, engine: RunningEngine, engine_config: Config, engine_store: Valkey
) -> AsyncIterator[Roles]:
    """Every role before the one real engine that the tests share."""
    made = config_for(tmp_path)
    config = msgspec.structs.replace(
        made,
        paths=Paths(state=engine_config.paths.state, data=str(tmp_path / "data")),
        kvstore=engine_config.kvstore,
        engine={"engine-1-1": engine_config.engine["engine-1"]},
    )
    async with aiohttp.ClientSession() as session:
        roles = Roles(config, session)
        roles.engine.model = engine.model
        try:
            await roles.start("embedder", "scheduler", *config.proxy, *config.instance, *config.kdn)
            await roles.until_ready()
            await roles.until_introduced()
            yield roles
        finally:
            await roles.stop_all()


class Talk:
    """A conversation as a client has it, and what each answer said of its tokens."""

    def __init__(self, roles: Roles, *, stream: bool) -> None:
        self.messages: list[dict[str, Any]] = []
        self.headers: dict[str, str] = {}
        self.usage: list[dict[str, Any]] = []
        self._roles = roles
        self._stream = {"stream": True, "stream_options": {"include_usage": True}} if stream else {}

    async def ask(self, text: str, **fields: Any) -> None:
        self.messages.append({"role": "user", "content": text})
        body = {"model": self._roles.engine.model, "messages": self.messages, **self._stream, **fields}
        async with self._roles.session.post(f"{self._roles.url}/v1/chat/completions", json=body) as response:
            raw = await response.text()
            assert response.status == 200, raw
            self.headers = dict(response.headers)
        said, usage = _streamed(raw) if self._stream else _whole(raw)
        self.messages.append({"role": "assistant", "content": said})
        self.usage.append(usage)

    def cached(self, turn: int) -> int:
        return self.usage[turn]["prompt_tokens_details"]["cached_tokens"]

    def history_tokens(self, turn: int) -> int:
        """What the prompt of `turn` has in common with what was computed for the turn before, in whole chunks."""
        before = self.usage[turn - 1]
        return (before["prompt_tokens"] + before["completion_tokens"]) // CHUNK * CHUNK


def _whole(raw: str) -> tuple[str, dict[str, Any]]:
    answer = json.loads(raw)
    return answer["choices"][0]["message"]["content"], answer["usage"]


def _streamed(raw: str) -> tuple[str, dict[str, Any]]:
    lines = [line.removeprefix("data: ") for line in raw.splitlines() if line.startswith("data: {")]
    chunks = [json.loads(line) for line in lines]
    said = "".join(each["delta"].get("content", "") for chunk in chunks for each in chunk["choices"])
    return said, chunks[-1]["usage"]


@pytest.mark.parametrize("stream", [False, True])
async def test_six_turns_reuse_their_whole_history(roles: Roles, stream: bool) -> None:
    (valves,) = await roles.learn("v.md", VALVES)
    (ferries,) = await roles.learn("f.md", FERRIES)
    talk = Talk(roles, stream=stream)
    for number, question in enumerate(QUESTIONS):
        # lengths that end inside of a chunk and on its edge alike
        await talk.ask(question, temperature=0, max_tokens=24 + 3 * number, Injection_type="kv")
        assert talk.headers["X-CacheRoute-Injection"] == "kv"
    assert talk.headers["X-CacheRoute-Knowledge"] == f"{valves},{ferries}"
    assert talk.cached(0) >= CHUNK
    for turn in range(1, len(QUESTIONS)):
        assert talk.cached(turn) >= talk.history_tokens(turn), f"turn {turn}: {talk.usage}"


async def test_a_document_edited_between_turns_is_read_anew_and_none_of_its_old_kv_is_used(
    roles: Roles, engine: RunningEngine
) -> None:
    (valves,) = await roles.learn("v.md", VALVES)
    talk = Talk(roles, stream=False)
    await talk.ask(QUESTIONS[0], temperature=0, max_tokens=16, Injection_type="kv")
    assert talk.headers["X-CacheRoute-Injection"] == "kv"
    edited = VALVES.replace("The Kelmar valve opens at seven", "Since May the Kelmar valve opens at nine")
    await roles.learn("v.md", edited)

    async def old_is_gone() -> bool:
        body = {"model": engine.model, "messages": talk.messages[:1], "knowledge_ids": [valves], "max_tokens": 1}
        async with roles.session.post(f"{roles.url}/v1/chat/completions", json=body) as response:
            return response.status == 404

    await until(old_is_gone)
    await engine.ask("/reset_prefix_cache")
    before = list(talk.messages)
    await talk.ask("Are you sure?", temperature=0, max_tokens=16, Injection_type="kv")
    assert "started anew" in talk.headers["X-CacheRoute-Retrieval"]
    head = [{"role": "system", "content": edited + "\n\n"}]
    prompt = [*head, *before, {"role": "user", "content": "Are you sure?"}]
    expected = await engine.ask("/v1/chat/completions", messages=prompt, temperature=0, max_tokens=16)
    assert talk.messages[-1]["content"] == expected["choices"][0]["message"]["content"]
    assert talk.usage[-1]["prompt_tokens"] == expected["usage"]["prompt_tokens"]
    tokens = (await engine.ask("/tokenize", messages=head))["tokens"]
    assert talk.cached(1) <= len(tokens), "only KV that was built for the new text"
