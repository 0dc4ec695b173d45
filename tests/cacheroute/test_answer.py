import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from aiohttp import web
from fakes.ports import free_port

from cacheroute.answer import Question, Way, ask
from cacheroute.errors import UpstreamFailed
from cacheroute.role_client import Role
from cacheroute.service import Plane, serving

ROLE_ONLY = {"choices": [{"delta": {"role": "assistant", "content": ""}}]}
USAGE = {"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 2}}
STOP = {"choices": [{"delta": {}, "finish_reason": "stop"}]}
HEADERS = {
    "X-Request-ID": "r1",
    "X-CacheRoute-Knowledge": "k1,k2",
    "X-CacheRoute-Retrieval": "accepted: fused 0.60",
    "X-CacheRoute-Pool": "pool-1",
    "X-CacheRoute-Instance": "instance-1",
    "X-CacheRoute-Injection": "kv",
    "X-CacheRoute-Reason": "tokens",
}


def delta(text: str) -> dict[str, Any]:
    return {"choices": [{"delta": {"content": text}}]}


@asynccontextmanager
async def endpoint(chunks: Sequence[dict[str, Any]], *, done: bool = True) -> AsyncGenerator[Role]:
    """A server that streams `chunks`, and [DONE] only if it may; or sends one JSON object where none was asked for."""

    async def answer(request: web.Request) -> web.StreamResponse:
        if not (await request.json())["stream"]:
            return web.json_response(chunks[0], headers=HEADERS)
        out = web.StreamResponse(headers={"Content-Type": "text/event-stream", **HEADERS})
        await out.prepare(request)
        for chunk in chunks:
            await out.write(f"data: {json.dumps(chunk)}\n\n".encode())
        if done:
            await out.write(b"data: [DONE]\n\n")
        return out

    app = web.Application()
    app.router.add_post("/v1/chat/completions", answer)
    port = free_port()
    async with serving([Plane("127.0.0.1", port, app)], drain_s=0), httpx.AsyncClient(trust_env=False) as http:
        yield Role(http, "scheduler", f"http://127.0.0.1:{port}", None)


QUESTION = Question(text="what?", model="tiny")


async def test_text_comes_piece_by_piece_and_the_whole_says_where_it_came_from() -> None:
    pieces: list[str] = []
    async with endpoint([ROLE_ONLY, delta("one "), delta("two"), STOP, USAGE]) as scheduler:
        answer = await ask(scheduler, QUESTION, pieces.append)
    assert pieces == ["one ", "two"]
    assert answer.text == "one two"
    assert answer.finish_reason == "stop"
    assert answer.usage == USAGE["usage"]
    assert answer.way == Way(
        request_id="r1",
        knowledge=("k1", "k2"),
        retrieval="accepted: fused 0.60",
        pool="pool-1",
        instance="instance-1",
        injection="kv",
        reason="tokens",
    )


async def test_the_first_token_is_the_first_text_not_the_first_chunk() -> None:
    async with endpoint([ROLE_ONLY, STOP, USAGE]) as scheduler:
        assert (await ask(scheduler, QUESTION)).ttft_ms is None
    async with endpoint([ROLE_ONLY, delta("x"), STOP]) as scheduler:
        answer = await ask(scheduler, QUESTION)
    assert answer.ttft_ms is not None
    assert 0 < answer.ttft_ms <= answer.total_ms


async def test_a_stream_without_its_end_is_no_answer() -> None:
    async with endpoint([delta("half an ans")], done=False) as scheduler:
        with pytest.raises(UpstreamFailed, match="broke off"):
            await ask(scheduler, QUESTION)


async def test_an_error_in_the_stream_is_an_error() -> None:
    async with endpoint([delta("x"), {"error": {"message": "the engine died"}}]) as scheduler:
        with pytest.raises(UpstreamFailed, match="the engine died"):
            await ask(scheduler, QUESTION)


async def test_in_one_piece_there_is_no_first_token() -> None:
    whole = {
        "choices": [{"message": {"content": "all of it"}, "finish_reason": "length"}],
        "usage": {"prompt_tokens": 1},
    }
    async with endpoint([whole]) as scheduler:
        answer = await ask(scheduler, Question(text="what?", model="tiny", stream=False))
    assert (answer.text, answer.finish_reason, answer.ttft_ms) == ("all of it", "length", None)
    assert answer.way.pool == "pool-1"


def test_a_question_becomes_an_openai_body_with_our_options() -> None:
    body = Question(text="q", model="m", injection="kv", rag=False, knowledge_ids=("k",), max_tokens=9).body()
    assert body["messages"] == [{"role": "user", "content": "q"}]
    assert (body["RAG"], body["Injection_type"], body["knowledge_ids"]) == (False, "kv", ["k"])
    assert (body["max_tokens"], body["temperature"], body["stream_options"]) == (9, 0, {"include_usage": True})
    assert "knowledge_ids" not in Question(text="q", model="m").body()
    assert "stream_options" not in Question(text="q", model="m", stream=False).body()
