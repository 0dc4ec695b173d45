"""A request's way through scheduler, proxy and instance to an engine, over real sockets."""

import asyncio
import json

import aiohttp
import pytest
from fakes.roles import Roles, config_for, running
from fakes.until import until


@pytest.fixture
async def roles(tmp_path):
    async with running(config_for(tmp_path)) as started:
        yield started


async def _open_stream(roles: Roles, session: aiohttp.ClientSession) -> aiohttp.ClientResponse:
    body = {"model": roles.engine.model, "messages": [{"role": "user", "content": "hi"}], "stream": True, "RAG": False}
    response = await session.post(f"{roles.url}/v1/chat/completions", json=body)
    await response.content.readany()
    return response


async def test_a_chat_is_answered_and_says_who_served_it_and_why(roles):
    status, headers, body = await roles.chat(RAG=False)
    assert status == 200
    assert body["choices"][0]["message"]["content"] == "ok"
    assert headers["X-CacheRoute-Pool"] == "pool-1"
    assert headers["X-CacheRoute-Instance"] == "instance-1-1"
    assert headers["X-CacheRoute-Injection"] == "none"
    assert headers["X-CacheRoute-Reason"] == "no-knowledge"
    assert headers["X-Router-Reason"] == "round_robin"
    assert len(headers["X-Request-ID"]) == 32
    assert "X-CacheRoute-Hop" not in headers


async def test_the_body_reaches_the_engine_whole(roles):
    """D9: temperature 0, system text, history, stop, seed, tools and fields that nobody here knows."""
    fields = {
        "messages": [
            {"role": "system", "content": "Be terse."},
            {"role": "user", "content": "one"},
            {"role": "assistant", "content": "two"},
            {"role": "user", "content": "three"},
        ],
        "temperature": 0,
        "top_p": 0.5,
        "stop": ["x"],
        "seed": 7,
        "tools": [{"type": "function", "function": {"name": "f"}}],
        "logit_bias": {"5": 1},
        "a_field_of_tomorrow": {"deep": [1, None]},
    }
    await roles.chat(**fields, RAG=False, Injection_type="text")
    assert roles.engine.bodies == [{"model": "fake-model", **fields}]


async def test_an_answer_that_is_not_streamed_is_one_json_object(roles):
    """D3."""
    body = {"model": "fake-model", "messages": [{"role": "user", "content": "hi"}], "stream": False, "RAG": False}
    async with roles.session.post(f"{roles.url}/v1/chat/completions", json=body) as answer:
        assert answer.content_type == "application/json"
        assert json.loads(await answer.read())["object"] == "chat.completion"


async def test_a_stream_passes_untouched(roles):
    body = {"model": "fake-model", "messages": [{"role": "user", "content": "hi"}], "stream": True, "RAG": False}
    async with roles.session.post(f"{roles.url}/v1/chat/completions", json=body) as answer:
        assert answer.content_type == "text/event-stream"
        text = (await answer.read()).decode()
    assert text.count("data: ") == 5
    assert text.endswith("data: [DONE]\n\n")


async def test_chat_and_completions_take_the_same_way(roles):
    """D25."""
    async with roles.session.post(
        f"{roles.url}/v1/completions", json={"model": "fake-model", "prompt": "once", "RAG": False}
    ) as answer:
        assert answer.status == 200
        assert answer.headers["X-CacheRoute-Pool"] == "pool-1"
    assert roles.engine.bodies == [{"model": "fake-model", "prompt": "once"}]


async def test_eight_clients_that_leave_free_everything(roles):
    """D1: abandoned streams used to wedge an instance for good."""
    roles.engine.gate.clear()
    async with aiohttp.ClientSession() as session:
        streams = [await _open_stream(roles, session) for _ in range(8)]
        assert roles.engine.running == 8
        for stream in streams:
            stream.close()
        await until(lambda: roles.engine.running == 0)
    assert roles.engine.cancelled == 8
    roles.engine.gate.set()
    assert (await roles.chat(RAG=False))[0] == 200

    async def nothing_left() -> bool:
        status = await roles.control("GET", "/debug/status")
        return status["inflight"] == 0 and status["proxies"]["pool-1"]["inflight"] == 0

    await until(nothing_left)


async def test_requests_on_one_instance_run_together(roles):
    """D2: one prefill at a time used to serialise everything."""
    roles.engine.gate.clear()
    asked = [asyncio.create_task(roles.chat(RAG=False)) for _ in range(6)]
    await until(lambda: roles.engine.running == 6)
    roles.engine.gate.set()
    assert [status for status, _, _ in await asyncio.gather(*asked)] == [200] * 6


@pytest.mark.parametrize("status", [400, 404, 422, 500])
async def test_the_engines_status_is_the_clients_status(roles, status):
    """D7: a failure below used to become a 200 with a broken body."""
    roles.engine.status = status
    answered, _, body = await roles.chat(RAG=False)
    assert answered == status
    assert body["error"]["message"] == f"the engine was told to answer {status}"


async def test_an_engine_that_dies_in_a_stream_breaks_the_stream_and_not_the_stack(roles):
    roles.engine.break_after = 2
    body = {"model": "fake-model", "messages": [{"role": "user", "content": "hi"}], "stream": True, "RAG": False}
    with pytest.raises(aiohttp.ClientError):
        async with roles.session.post(f"{roles.url}/v1/chat/completions", json=body) as answer:
            await answer.read()
    newest = (await roles.control("GET", "/debug/requests?limit=1"))["requests"][0]
    assert (newest["status"], "broke off" in newest["error"]) == (502, True)
    roles.engine.break_after = None
    assert (await roles.chat(RAG=False))[0] == 200


async def test_rag_off_needs_neither_kdn_nor_embedder(roles):
    """D8."""
    assert (await roles.chat(RAG=False))[0] == 200


async def test_without_an_embedder_the_answer_comes_without_knowledge_and_says_so(roles):
    status, headers, _ = await roles.chat("what is a kv store?")
    assert status == 200
    assert headers["X-CacheRoute-Retrieval"].startswith("retrieval-unavailable")


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b"{nonsense", "not JSON"),
        (b"[1]", "must be a JSON object"),
        (b"\xff\xfe", "not JSON"),
        (b"{}", "model is required"),
        (b'{"model": "fake-model"}', "messages must be a list"),
        (b'{"model": "fake-model", "messages": "hi"}', "messages must be a list"),
        (b'{"model": "fake-model", "messages": [], "RAG": "maybe"}', "RAG must be"),
        (b'{"model": "fake-model", "messages": [], "Injection_type": 3}', "Injection_type must be"),
        (b'{"model": "fake-model", "messages": [], "knowledge_ids": [1]}', "knowledge_ids must be"),
    ],
)
async def test_a_bad_body_is_a_400_that_names_what_is_wrong(roles, raw, says):
    async with roles.session.post(f"{roles.url}/v1/chat/completions", data=raw) as answer:
        assert answer.status == 400
        error = (await answer.json())["error"]
    assert says in error["message"]
    assert error["type"] == "invalid_request_error"


async def test_an_unknown_model_is_a_404_that_names_the_known_ones(roles):
    status, _, body = await roles.chat(model="gpt-9", RAG=False)
    assert status == 404
    assert body["error"]["code"] == "model_not_found"
    assert "fake-model" in body["error"]["message"]


async def test_an_unknown_kid_is_a_404_that_names_it(roles):
    status, _, body = await roles.chat(knowledge_ids=["f" * 64])
    assert status == 404
    assert body["error"]["code"] == "knowledge_not_found"
    assert "f" * 64 in body["error"]["message"]


async def test_a_huge_body_is_a_413(roles):
    status, _, body = await roles.chat("x" * (9 * 2**20), RAG=False)
    assert status == 413
    assert body["error"]["code"] == "body_too_large"


async def test_the_trace_keeps_each_hops_part_and_the_usage(roles):
    body = {"model": "fake-model", "messages": [{"role": "user", "content": "hi"}], "stream": True, "RAG": False}
    async with roles.session.post(f"{roles.url}/v1/chat/completions", json=body) as answer:
        await answer.read()
        request_id = answer.headers["X-Request-ID"]

    async def ended() -> bool:
        return (await roles.control("GET", "/debug/requests?limit=1"))["requests"][0]["total_ms"] is not None

    await until(ended)
    traces = (await roles.control("GET", "/debug/requests?limit=1"))["requests"]
    assert (traces[0]["request_id"], traces[0]["status"]) == (request_id, 200)
    assert [hop["hop"] for hop in traces[0]["hops"]] == ["scheduler", "pool-1", "instance-1-1"]
    assert traces[0]["usage"] == {"prompt_tokens": 5, "completion_tokens": 3}
    assert 0 < traces[0]["ttft_ms"] <= traces[0]["total_ms"]
