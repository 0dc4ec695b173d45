"""What the workers of the engine soak do, and what is done to its kv store meanwhile."""

import asyncio
import json
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import aiohttp
import redis.asyncio as redis
from fakes.running_engine import CHAT, COMPLETIONS, RunningEngine
from fakes.valkey import Valkey
from soak.journal import Journal, Outcome

Messages = list[dict[str, str]]
Operation = Callable[[random.Random, Outcome], Awaitable[None]]

ANSWER_S = 120.0
"""Longest for one answer on a busy machine: a request that hangs takes longer than that."""
QUESTIONS = ("What is it about?", "Which word comes first?", "Say it in one sentence.", "And then?")
WORDS = ("store", "engine", "prompt", "token", "chunk", "prefix", "river", "copper", "answer", "queue", "lantern")
DOCUMENTS = 12


class EngineOperations:
    """`first` has the first answer to each question ever asked; `again` counts those that were asked again."""

    def __init__(self, engine: RunningEngine, session: aiohttp.ClientSession, journal: Journal) -> None:
        self.first: dict[str, str] = {}
        self.again = 0
        self._engine = engine
        self._session = session
        self._journal = journal
        self._weighted: dict[Operation, int] = {
            self.ask: 8,
            self.talk: 3,
            self.leave: 4,
            self.sample: 1,
            self.prefill: 3,
            self.forget: 2,
        }

    async def go_on(self, worker: int, rng: random.Random, over: asyncio.Event) -> None:
        """One operation after the other until it is over."""
        while not over.is_set():
            operation = rng.choices([*self._weighted], [*self._weighted.values()])[0]
            with self._journal.operation(worker, operation.__name__) as outcome:
                await operation(rng, outcome)

    async def ask(self, rng: random.Random, outcome: Outcome) -> None:
        outcome.text, _ = await self._answered([*_document(rng), _user(rng)], rng)

    async def talk(self, rng: random.Random, outcome: Outcome) -> None:
        """Each turn goes on from the answer to the last."""
        messages = _document(rng)
        for question in QUESTIONS[: rng.randint(2, 4)]:
            messages.append({"role": "user", "content": question})
            outcome.text, said = await self._answered(messages, rng)
            if outcome.text != "200":
                return
            messages.append({"role": "assistant", "content": said})

    async def leave(self, rng: random.Random, outcome: Outcome) -> None:
        """In the middle of waiting, of the prefill, or of the answer."""
        outcome.text = "left"
        body = {"messages": [*_document(rng), _user(rng)], "max_tokens": 200, "ignore_eos": True, "temperature": 0}
        with suppress(TimeoutError):
            async with asyncio.timeout(rng.random() * 1.5):
                outcome.text, _ = await self._said(body, rng)

    async def sample(self, rng: random.Random, outcome: Outcome) -> None:
        """At a temperature, beside the others: it must not change what they say."""
        body = {
            "messages": [*_document(rng), _user(rng)],
            "max_tokens": 12,
            "temperature": 1,
            "seed": rng.randint(0, 9),
        }
        outcome.text, _ = await self._said(body, rng)

    async def prefill(self, rng: random.Random, outcome: Outcome) -> None:
        """As a build does it: for the kv store alone, behind everybody else."""
        start = 1000 + 500 * rng.randrange(8)
        body = {"prompt": list(range(start, start + rng.randint(20, 200))), "max_tokens": 1, "priority": 1}
        async with asyncio.timeout(ANSWER_S):
            async with self._session.post(COMPLETIONS, json=self._engine.named(body)) as response:
                await response.read()
        outcome.text = str(response.status)
        assert response.status in (200, 429)

    async def forget(self, rng: random.Random, outcome: Outcome) -> None:
        await self._engine.ask("/reset_prefix_cache")

    async def _answered(self, messages: Messages, rng: random.Random) -> tuple[str, str]:
        """(status, answer) at temperature 0: the same as the first time."""
        status, said = await self._said({"messages": messages, "max_tokens": 12, "temperature": 0}, rng)
        if status == "200":
            question = json.dumps(messages)
            self.again += question in self.first
            expected = self.first.setdefault(question, said)
            assert said == expected, f"{messages}: first {expected!r}, now {said!r}"
        return status, said

    async def _said(self, body: dict[str, Any], rng: random.Random) -> tuple[str, str]:
        """(status, text) of an answer, streamed or not."""
        stream = rng.random() < 0.5
        async with asyncio.timeout(ANSWER_S):
            async with self._session.post(CHAT, json=self._engine.named({**body, "stream": stream})) as response:
                raw = await response.text()
        assert response.status in (200, 429), raw
        if response.status == 429:
            assert int(response.headers["Retry-After"]) >= 1
            await asyncio.sleep(0.1)
            return "429", ""
        if not stream:
            return "200", json.loads(raw)["choices"][0]["message"]["content"]
        lines = [line.removeprefix("data: ") for line in raw.splitlines() if line.startswith("data: ")]
        assert lines[-1] == "[DONE]", raw
        deltas = [choice["delta"] for line in lines[:-1] for choice in json.loads(line)["choices"]]
        return "200", "".join(delta.get("content") or "" for delta in deltas)


class EngineTroubles:
    """Chunks vanish, one by one and all at once; a value is spoilt; the store hangs, dies and comes back empty."""

    def __init__(self, engine: RunningEngine, valkey: Valkey, password: str, journal: Journal) -> None:
        self._engine = engine
        self._valkey = valkey
        self._journal = journal
        self._client = redis.Redis(port=valkey.config.port, password=password)

    async def go_on(self, rng: random.Random, over: asyncio.Event) -> None:
        weighted = {self.lose_some: 8, self.spoil_some: 4, self.flush: 1, self.freeze: 1, self.restart: 1}
        while not over.is_set():
            await asyncio.sleep(rng.uniform(0.5, 3.0))
            trouble = rng.choices([*weighted], [*weighted.values()])[0]
            with self._journal.operation("trouble", trouble.__name__):
                await trouble(rng)
        await self._client.aclose()

    async def lose_some(self, rng: random.Random) -> None:
        keys = sorted(await self._client.keys("*"))
        if keys:
            await self._client.delete(*rng.sample(keys, rng.randint(1, 1 + len(keys) // 4)))

    async def spoil_some(self, rng: random.Random) -> None:
        """Too short, or no string at all."""
        keys = sorted(await self._client.keys("*"))
        for key in rng.sample(keys, min(len(keys), 5)):
            await self._client.delete(key)
            await (self._client.set(key, b"short") if rng.random() < 0.5 else self._client.lpush(key, "a list"))  # type: ignore[misc]

    async def flush(self, rng: random.Random) -> None:
        await self._client.flushall()

    async def freeze(self, rng: random.Random) -> None:
        self._valkey.freeze()
        try:
            await asyncio.sleep(rng.uniform(0.2, 1.5))
        finally:
            self._valkey.thaw()

    async def restart(self, rng: random.Random) -> None:
        await self._client.aclose()
        await asyncio.to_thread(self._valkey.kill)
        await asyncio.sleep(rng.random())
        await asyncio.to_thread(self._valkey.start)


def _document(rng: random.Random) -> Messages:
    """One of a few texts; later ones begin as earlier ones do."""
    number = rng.randrange(DOCUMENTS)
    words = random.Random(number % 6).choices(WORDS, k=60 + 40 * (number // 6))
    return [{"role": "system", "content": " ".join(words)}]


def _user(rng: random.Random) -> dict[str, str]:
    return {"role": "user", "content": rng.choice(QUESTIONS)}
