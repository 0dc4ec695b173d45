"""The official OpenAI client and plain curl drive the endpoint, as a user's program would."""

import asyncio
import json
import subprocess

import httpx
import openai
import pytest
from fakes.live_stack import LiveStack
from fakes.roles import config_for, running
from fakes.until import until

from cacheroute.config import ApiKey

HELLO: list = [{"role": "user", "content": "Say hello."}]


@pytest.fixture
def client(live: LiveStack):
    with openai.OpenAI(base_url=live.base_url, api_key="any", max_retries=0) as made:
        yield made


@pytest.fixture
def model(client: openai.OpenAI) -> str:
    return client.models.list().data[0].id


def test_models_are_listed_and_retrieved(client, model):
    assert client.models.retrieve(model).id == model


def test_a_chat_is_answered(client, model):
    answer = client.chat.completions.create(model=model, messages=HELLO, max_tokens=8, temperature=0)
    assert answer.choices[0].message.content
    assert answer.choices[0].finish_reason in ("stop", "length")
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


def test_a_stream_gives_the_same_text_piece_by_piece(client, model):
    asked = {"model": model, "messages": HELLO, "max_tokens": 12, "temperature": 0}
    whole = client.chat.completions.create(**asked).choices[0].message.content
    chunks = list(client.chat.completions.create(**asked, stream=True, stream_options={"include_usage": True}))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == whole
    assert chunks[-1].usage.completion_tokens > 0


def test_a_raw_completion_is_answered(client, model):
    answer = client.completions.create(model=model, prompt="One, two, three,", max_tokens=4, temperature=0)
    assert answer.choices[0].text


def test_our_options_pass_as_extra_body_and_the_reasons_come_as_headers(client, model):
    raw = client.chat.completions.with_raw_response.create(
        model=model, messages=HELLO, max_tokens=2, extra_body={"RAG": False, "Injection_type": "text"}
    )
    assert raw.headers["X-CacheRoute-Injection"] == "none"
    assert raw.parse().choices


def test_what_is_wrong_with_a_request_is_a_400(client, model):
    with pytest.raises(openai.BadRequestError, match="temperature"):
        client.chat.completions.create(model=model, messages=HELLO, temperature=-3)


def test_a_prompt_past_the_context_is_a_400_that_says_so(client, model):
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model=model, messages=[{"role": "user", "content": "word " * 9000}])
    assert caught.value.code == "context_length_exceeded"


def test_an_unknown_model_is_a_404(client):
    with pytest.raises(openai.NotFoundError, match="no-such-model"):
        client.chat.completions.create(model="no-such-model", messages=HELLO)


def test_a_clients_time_out_frees_the_engine(client, model, live):
    with pytest.raises(openai.APITimeoutError):
        client.with_options(timeout=0.05).chat.completions.create(model=model, messages=HELLO, max_tokens=2000)
    _until_idle(live)


def test_a_stream_that_the_client_closes_frees_the_engine(client, model, live):
    stream = client.chat.completions.create(model=model, messages=HELLO, max_tokens=2000, stream=True)
    next(iter(stream))
    stream.close()
    _until_idle(live)


def _until_idle(live: LiveStack) -> None:
    headers = {"Authorization": f"Bearer {live.token}"}

    def idle() -> bool:
        status = httpx.get(f"{live.control_url}/debug/status", headers=headers).json()
        return status["inflight"] == 0 and all(proxy["inflight"] == 0 for proxy in status["proxies"].values())

    asyncio.run(until(idle))


def test_plain_curl_gets_json_and_a_stream(live, model):
    body = json.dumps({"model": model, "messages": HELLO, "max_tokens": 4})
    url = f"{live.base_url}/chat/completions"
    command = ["curl", "-sS", "--fail-with-body", url, "-H", "Content-Type: application/json", "-d"]
    done = subprocess.run([*command, body], capture_output=True, text=True, timeout=60, check=True)
    assert json.loads(done.stdout)["choices"][0]["message"]["content"]
    streamed = body.replace('"max_tokens"', '"stream": true, "max_tokens"')
    done = subprocess.run([*command, streamed], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.rstrip().endswith("data: [DONE]")


async def test_with_keys_configured_a_wrong_one_is_a_401(tmp_path):
    security = {"api_keys": {"ann": ApiKey(key="right")}}
    async with running(config_for(tmp_path, security=security)) as roles:
        for key, allowed in (("right", True), ("wrong", False)):
            async with openai.AsyncOpenAI(base_url=f"{roles.url}/v1", api_key=key, max_retries=0) as client:
                asked = client.chat.completions.create(model="fake-model", messages=HELLO)
                if allowed:
                    assert (await asked).choices
                else:
                    with pytest.raises(openai.AuthenticationError):
                        await asked
