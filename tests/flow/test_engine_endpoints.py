"""Every route of the engine, with the real model: shapes, validation, what reaches the model."""

import asyncio

import aiohttp
import msgspec
import pytest
from fakes.running_engine import CHAT, COMPLETIONS, RunningEngine

from cacheroute.hop import HOP_HEADER, decode_hop
from cacheroute.wire.engine import EngineInfo

FRANCE = [{"role": "user", "content": "What is the capital of France?"}]


async def test_the_one_model_is_listed_and_another_is_a_404(engine: RunningEngine):
    models = await engine.get("/v1/models")
    assert [model["id"] for model in models["data"]] == [engine.model]
    status, body, _ = await engine.post(CHAT, {"model": "gpt-4o", "messages": FRANCE})
    assert (status, body["error"]["code"], body["error"]["param"]) == (404, "model_not_found", "model")


async def test_only_health_answers_without_the_control_token(engine: RunningEngine):
    async with aiohttp.ClientSession(engine.url) as session:
        for path, status in [("/health", 200), ("/healthz", 200), ("/v1/models", 401), ("/v1/engine", 401)]:
            async with session.get(path) as response:
                assert response.status == status, path


async def test_an_unstreamed_chat_is_one_plain_json_body(engine: RunningEngine):
    status, body, headers = await engine.post(CHAT, {"messages": FRANCE, "temperature": 0, "max_tokens": 20})
    assert status == 200
    assert headers["Content-Type"].startswith("application/json")
    assert body["object"] == "chat.completion"
    assert body["id"].startswith("chatcmpl-")
    choice = body["choices"][0]
    assert choice["message"]["role"] == "assistant"
    assert "Paris" in choice["message"]["content"]
    assert choice["finish_reason"] == "stop"
    usage = body["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    assert {"cached_tokens", "prefix_cache_tokens", "kv_store_tokens"} <= usage["prompt_tokens_details"].keys()


async def test_the_hop_report_says_where_the_time_went(engine: RunningEngine):
    _, _, headers = await engine.post(CHAT, {"messages": FRANCE, "max_tokens": 1})
    (report,) = decode_hop(headers)
    assert report.hop == "engine-1"
    assert {"parse", "tokenise", "queue", "kv_load", "prefill"} <= report.parts_ms.keys()
    assert HOP_HEADER in headers


async def test_a_stream_says_the_role_first_and_the_end_and_the_usage_last(engine: RunningEngine):
    asked = {"messages": FRANCE, "temperature": 0, "max_tokens": 20}
    whole = await engine.ask(CHAT, **asked)
    async with engine.session() as session:
        options = {"stream_options": {"include_usage": True}}
        chunks = [chunk async for chunk in engine.chunks(session, CHAT, **asked, **options)]
    assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    text = "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks[:-1])
    assert text == whole["choices"][0]["message"]["content"]
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks[:-1]] == [None] * (len(chunks) - 2) + ["stop"]
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"]["completion_tokens"] == whole["usage"]["completion_tokens"]
    assert len({chunk["id"] for chunk in chunks}) == 1
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}


async def test_completions_take_a_text_a_list_of_one_text_or_token_ids(engine: RunningEngine):
    text = "The capital of France is"
    ids = (await engine.ask("/tokenize", prompt=text))["tokens"]
    answers = [
        await engine.ask(COMPLETIONS, prompt=prompt, temperature=0, max_tokens=6)
        for prompt in (text, [text], ids, [ids])
    ]
    assert answers[0]["object"] == "text_completion"
    assert " Paris" in answers[0]["choices"][0]["text"]
    assert answers[0]["choices"][0]["finish_reason"] == "length"
    assert len({answer["choices"][0]["text"] for answer in answers}) == 1
    assert {answer["usage"]["prompt_tokens"] for answer in answers} == {len(ids)}


async def test_a_streamed_completion_has_no_role_and_the_same_text(engine: RunningEngine):
    asked = {"prompt": "One, two, three,", "temperature": 0, "max_tokens": 8}
    whole = await engine.ask(COMPLETIONS, **asked)
    async with engine.session() as session:
        chunks = [chunk async for chunk in engine.chunks(session, COMPLETIONS, **asked)]
    assert "".join(chunk["choices"][0]["text"] for chunk in chunks) == whole["choices"][0]["text"]
    assert chunks[-1]["choices"][0]["finish_reason"] == "length"


async def test_tokenize_counts_what_a_chat_costs_and_detokenize_gives_it_back(engine: RunningEngine):
    counted = await engine.ask("/tokenize", messages=FRANCE)
    assert counted["count"] == len(counted["tokens"])
    answer = await engine.ask(CHAT, messages=FRANCE, max_tokens=1)
    assert answer["usage"]["prompt_tokens"] == counted["count"]
    text = (await engine.ask("/detokenize", tokens=counted["tokens"]))["prompt"]
    assert text.endswith("<|im_start|>user\nWhat is the capital of France?<|im_end|>\n<|im_start|>assistant\n")
    bare = await engine.ask("/tokenize", messages=FRANCE, add_generation_prompt=False)
    assert counted["tokens"][: bare["count"]] == bare["tokens"]
    assert counted["max_model_len"] == (await engine.get("/v1/engine"))["max_model_len"]


async def test_the_engine_names_its_keys_by_its_fingerprint(engine: RunningEngine):

    info = msgspec.convert(await engine.get("/v1/engine"), EngineInfo)
    assert info.kind == "embedded"
    assert info.key_model == f"embedded-{info.fingerprint.id}"
    assert info.kv_bytes_per_token == 23_040
    assert info.no_kv_reason == ""
    assert info.fingerprint.threads > 0
    assert info.fingerprint.kernel


async def test_temperature_zero_is_greedy_and_a_seed_repeats_a_draw(engine: RunningEngine):
    async def text(**options: object) -> str:
        asked = {"messages": [{"role": "user", "content": "Invent a name for a ship."}], "max_tokens": 8, **options}
        return (await engine.ask(CHAT, **asked))["choices"][0]["message"]["content"]

    assert await text(temperature=0) == await text(temperature=0, seed=5)
    assert await text(temperature=1.5, seed=7) == await text(temperature=1.5, seed=7)
    assert len({await text(temperature=1.5, seed=seed) for seed in range(3)}) > 1


async def test_system_text_and_history_reach_the_model(engine: RunningEngine):
    fact = "The capital of Freedonia is Quibblestad."
    asked = {"role": "user", "content": "What is the capital of Freedonia?"}
    told = [{"role": "user", "content": fact}, {"role": "assistant", "content": "I see."}]
    for before in ([{"role": "system", "content": fact}], told):
        answer = await engine.ask(CHAT, messages=[*before, asked], temperature=0, max_tokens=24)
        assert "Quibblestad" in answer["choices"][0]["message"]["content"]


async def test_developer_is_system_and_text_parts_are_one_text(engine: RunningEngine):
    async def tokens(*messages: dict[str, object]) -> list[int]:
        return (await engine.ask("/tokenize", messages=list(messages)))["tokens"]

    parts = [{"type": "text", "text": "Be "}, {"type": "text", "text": "brief."}]
    plain = await tokens({"role": "system", "content": "Be brief."}, *FRANCE)
    assert await tokens({"role": "developer", "content": parts}, *FRANCE) == plain


@pytest.mark.parametrize("stop", [" Paris", ["nothing like it", "Par"], "is"])
async def test_a_stop_string_ends_the_answer_before_itself_also_in_a_stream(engine: RunningEngine, stop: object):
    asked = {"messages": FRANCE, "temperature": 0, "max_tokens": 20, "stop": stop}
    whole = await engine.ask(CHAT, **asked)
    text = whole["choices"][0]["message"]["content"]
    assert whole["choices"][0]["finish_reason"] == "stop"
    assert "The capital of France is Paris.".startswith(text)
    assert "Par" not in text
    async with engine.session() as session:
        chunks = [chunk async for chunk in engine.chunks(session, CHAT, **asked)]
    assert "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks) == text


async def test_tools_are_taken_and_an_unknown_field_passes(engine: RunningEngine):
    tool = {"type": "function", "function": {"name": "count", "parameters": {}}}
    await engine.ask(CHAT, messages=FRANCE, tools=[tool], tool_choice="auto", max_tokens=1, shoe_size=44)
    called = {"role": "assistant", "content": None, "tool_calls": [{"id": "1", "type": "function"}]}
    result = {"role": "tool", "tool_call_id": "1", "content": "3"}
    await engine.ask(CHAT, messages=[*FRANCE, called, result], max_tokens=1)


@pytest.mark.parametrize(
    ("param", "body"),
    [
        ("messages", {}),
        ("messages", {"messages": []}),
        ("messages", {"messages": "hello"}),
        ("messages", {"messages": [{"role": "king", "content": "x"}]}),
        ("messages", {"messages": [{"role": {}, "content": "x"}]}),
        ("messages", {"messages": [{"role": ["user"], "content": "x"}]}),
        ("messages", {"messages": [{"role": "user"}]}),
        ("messages", {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]}),
        ("model", {"messages": FRANCE, "model": None}),
        ("temperature", {"messages": FRANCE, "temperature": 2.5}),
        ("temperature", {"messages": FRANCE, "temperature": "hot"}),
        ("top_p", {"messages": FRANCE, "top_p": 0}),
        ("max_tokens", {"messages": FRANCE, "max_tokens": 0}),
        ("max_completion_tokens", {"messages": FRANCE, "max_completion_tokens": 1.5}),
        ("n", {"messages": FRANCE, "n": 2}),
        ("stop", {"messages": FRANCE, "stop": ["a", "b", "c", "d", "e"]}),
        ("stop", {"messages": FRANCE, "stop": [""]}),
        ("seed", {"messages": FRANCE, "seed": "lucky"}),
        ("stream", {"messages": FRANCE, "stream": 1}),
        ("stream_options", {"messages": FRANCE, "stream_options": {"include_usage": True}}),
        ("logprobs", {"messages": FRANCE, "logprobs": True}),
        ("response_format", {"messages": FRANCE, "response_format": {"type": "json_schema"}}),
        ("tool_choice", {"messages": FRANCE, "tool_choice": "required"}),
        ("frequency_penalty", {"messages": FRANCE, "frequency_penalty": 0.5}),
    ],
)
async def test_a_wrong_field_is_a_400_that_names_it(engine: RunningEngine, param: str, body: dict[str, object]):
    status, answer, _ = await engine.post(CHAT, body)
    assert (status, answer["error"]["param"]) == (400, param), answer
    assert answer["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize(
    ("param", "body"),
    [
        ("prompt", {}),
        ("prompt", {"prompt": ""}),
        ("prompt", {"prompt": ["a", "b"]}),
        ("prompt", {"prompt": [1, -1]}),
        ("prompt", {"prompt": [10**9]}),
        ("best_of", {"prompt": "x", "best_of": 3}),
        ("suffix", {"prompt": "x", "suffix": "y"}),
        ("echo", {"prompt": "x", "echo": True}),
    ],
)
async def test_a_wrong_completion_is_a_400_that_names_the_field(
    engine: RunningEngine, param: str, body: dict[str, object]
):
    status, answer, _ = await engine.post(COMPLETIONS, body)
    assert (status, answer["error"]["param"]) == (400, param), answer


@pytest.mark.parametrize("path", [CHAT, COMPLETIONS])
async def test_a_prompt_of_megabytes_is_refused_before_it_is_tokenised(engine: RunningEngine, path: str):
    text = "a b " * 2**20
    body = {"messages": [{"role": "user", "content": text}]} if path == CHAT else {"prompt": text}
    async with asyncio.timeout(5):  # tokenising it takes three times that, and others wait behind it
        status, answer, _ = await engine.post(path, body)
    assert (status, answer["error"]["code"]) == (400, "context_length_exceeded")


@pytest.mark.parametrize("raw", [b"", b"{", b"[1]", b'"text"', b"\xff\xfe", b"[" * 100_000])
async def test_a_body_that_is_no_json_object_is_a_400(engine: RunningEngine, raw: bytes):
    async with engine.session() as session, session.post(CHAT, data=raw) as response:
        assert response.status == 400
        assert (await response.json())["error"]["type"] == "invalid_request_error"


async def test_a_prompt_beyond_the_context_is_a_400_with_the_figures(engine: RunningEngine):
    context = (await engine.get("/v1/engine"))["max_model_len"]
    for path, prompt in (
        (CHAT, {"messages": [{"role": "user", "content": "word " * 9000}]}),
        (COMPLETIONS, {"prompt": [5] * 9000}),
    ):
        status, body, _ = await engine.post(path, {**prompt, "max_tokens": 16})
        assert (status, body["error"]["code"]) == (400, "context_length_exceeded")
        assert str(context) in body["error"]["message"]
    status, body, _ = await engine.post(COMPLETIONS, {"prompt": [5] * 100, "max_tokens": context - 99})
    assert status == 400
    assert str(context + 1) in body["error"]["message"]


async def test_a_chat_that_names_no_length_gets_the_default_and_not_the_whole_context(engine: RunningEngine) -> None:
    body = {"messages": [{"role": "user", "content": "Count from one on."}], "ignore_eos": True}
    status, answer, _ = await engine.post(CHAT, body)
    assert status == 200
    assert answer["usage"]["completion_tokens"] == engine.config.engine["engine-1"].default_max_tokens
    assert answer["choices"][0]["finish_reason"] == "length"
