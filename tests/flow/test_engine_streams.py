"""Many clients at one engine: abandoned, together, cancelled, too many, and a long prompt among short ones."""

import asyncio
import json
from contextlib import suppress

import aiohttp
import pytest
from fakes.running_engine import CHAT, COMPLETIONS, RunningEngine

COUNT = [{"role": "user", "content": "Count from one to one hundred in words."}]
LONG = {"max_tokens": 400, "ignore_eos": True, "temperature": 0}


async def first_text(session: aiohttp.ClientSession, engine: RunningEngine, **body: object) -> aiohttp.ClientResponse:
    """A stream that has begun: headers and a first token are there."""
    response = await session.post(CHAT, json=engine.named({"messages": COUNT, "stream": True, **body}))
    assert response.status == 200
    async for line in response.content:
        if line.startswith(b"data: ") and json.loads(line[6:])["choices"][0]["delta"].get("content"):
            break
    return response


async def test_eight_abandoned_streams_free_their_slabs_and_the_engine_serves_on(engine: RunningEngine):
    async with engine.session() as session:
        streams = await asyncio.gather(*(first_text(session, engine, **LONG) for _ in range(8)))
        assert await engine.metric("running") == 8
        for stream in streams:
            stream.close()
        await engine.idle()
    answer = await engine.ask(CHAT, messages=COUNT, max_tokens=4)
    assert answer["usage"]["completion_tokens"] == 4


async def test_unstreamed_requests_run_together(engine: RunningEngine):
    asked = [engine.ask(CHAT, messages=COUNT, max_tokens=8, ignore_eos=True) for _ in range(8)]
    running = asyncio.gather(*asked)
    peak = 0.0
    while not running.done():
        peak = max(peak, await engine.metric("running"))
        await asyncio.sleep(0.005)
    assert peak == 8
    assert {answer["usage"]["completion_tokens"] for answer in await running} == {8}


@pytest.mark.parametrize("stream", [True, False])
async def test_a_client_that_leaves_stops_the_computing(engine: RunningEngine, stream: bool):
    await engine.idle()
    before = await engine.metric("generated_tokens")
    cancelled = await engine.metric("requests", end="cancelled")
    async with engine.session() as session:
        request = asyncio.create_task(
            session.post(CHAT, json=engine.named({"messages": COUNT, "stream": stream, **LONG}))
        )
        await engine.counted("generated_tokens", before + 3)
        request.cancel()
        with suppress(asyncio.CancelledError):
            (await request).close()
        await engine.idle()
    assert await engine.metric("requests", end="cancelled") == cancelled + 1
    assert await engine.metric("generated_tokens") - before < LONG["max_tokens"] / 2


async def test_a_client_that_leaves_during_prefill_stops_it(engine: RunningEngine):
    await engine.idle()
    before = await engine.metric("steps", kind="prefill")
    async with engine.session() as session:
        request = asyncio.create_task(session.post(COMPLETIONS, json=engine.named({"prompt": [9] * 4000})))
        await engine.counted("steps", before + 2, kind="prefill")
        request.cancel()
        await engine.idle()
    assert await engine.metric("steps", kind="prefill") - before < 30


async def test_a_long_prefill_does_not_freeze_a_running_stream(engine: RunningEngine):
    order: list[str] = []

    async def short(session: aiohttp.ClientSession, begun: asyncio.Event) -> None:
        async for chunk in engine.chunks(session, CHAT, messages=COUNT, max_tokens=60, ignore_eos=True):
            if chunk["choices"][0]["delta"].get("content"):
                order.append("short")
                begun.set()

    async def long(session: aiohttp.ClientSession) -> None:
        async for chunk in engine.chunks(session, COMPLETIONS, prompt=list(range(1000, 1700)), max_tokens=1):
            order.append("long")
            assert chunk

    async with engine.session() as session:
        begun = asyncio.Event()
        stream = asyncio.create_task(short(session, begun))
        await begun.wait()
        at = len(order)
        await asyncio.gather(stream, long(session))
    assert order.index("long") - at >= 8, "eleven pieces of prefill, and a token of the stream after each"


async def test_a_short_prompt_overtakes_a_long_one(engine: RunningEngine):
    ended: list[str] = []

    async def ask(name: str, prompt: list[int]) -> None:
        await engine.ask(COMPLETIONS, prompt=prompt, max_tokens=1)
        ended.append(name)

    await engine.idle()
    before = await engine.metric("steps", kind="prefill")
    long = asyncio.create_task(ask("long", list(range(2000, 3200))))
    await engine.counted("steps", before + 1, kind="prefill")
    await asyncio.gather(long, ask("short", list(range(20))))
    assert ended == ["short", "long"]


async def test_a_prefill_in_the_background_stands_still_until_a_whole_answer_is_through(engine: RunningEngine):
    ended: list[str] = []

    async def ask(name: str, **body: object) -> None:
        await engine.ask(COMPLETIONS, **body)
        ended.append(name)

    await engine.idle()
    before = await engine.metric("steps", kind="prefill")
    build = ask("build", prompt=list(range(5000, 5700)), max_tokens=1, priority=1)
    running = asyncio.create_task(build)
    await engine.counted("steps", before + 1, kind="prefill")
    await asyncio.gather(running, ask("live", prompt=list(range(6000, 6200)), max_tokens=8, ignore_eos=True))
    assert ended == ["live", "build"]


async def test_one_too_many_is_a_429_that_says_when_to_come_back(engine: RunningEngine):
    await engine.idle()
    async with engine.session() as session:
        bodies = [engine.named({"messages": COUNT, "stream": True, **LONG}) for _ in range(12)]
        posts = [asyncio.create_task(session.post(CHAT, json=body)) for body in bodies]
        await engine.counted("running", 8)
        await engine.counted("waiting", 4)
        status, answer, headers = await engine.post(CHAT, {"messages": COUNT, "max_tokens": 1})
        assert (status, answer["error"]["type"]) == (429, "rate_limit_error")
        assert int(headers["Retry-After"]) >= 1
        for post in posts:
            post.cancel()
        done = await asyncio.gather(*posts, return_exceptions=True)
        for response in done:
            if isinstance(response, aiohttp.ClientResponse):
                response.close()
        await engine.idle()
    await engine.ask(CHAT, messages=COUNT, max_tokens=1)
