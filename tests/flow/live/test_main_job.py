"""The main job on the real stack: knowledge is found, injected as text and as KV, and the answer is the same."""

import asyncio
import os
import signal
from typing import Any

import httpx
import pytest
from fakes.live_stack import LiveStack
from fakes.until import until

QUESTION = "How many bytes of KV cache does one token of SmolLM2-135M take?"


class Asker:
    """Asks the endpoint with a fixed question, greedy, and returns (text, headers, usage details)."""

    def __init__(self, live: LiveStack) -> None:
        self._live = live
        self.model = httpx.get(f"{live.base_url}/models").json()["data"][0]["id"]

    def __call__(self, mode: str, **fields: Any) -> tuple[str, httpx.Headers, dict[str, int]]:
        body = {
            "model": self.model,
            "messages": [{"role": "user", "content": QUESTION}],
            "max_tokens": 24,
            "temperature": 0,
            "Injection_type": mode,
            **fields,
        }
        answer = httpx.post(f"{self._live.base_url}/chat/completions", json=body, timeout=120)
        assert answer.status_code == 200, answer.text
        choice = answer.json()["choices"][0]
        return choice["message"]["content"], answer.headers, answer.json()["usage"]["prompt_tokens_details"]


@pytest.fixture(scope="module")
def ask(live: LiveStack) -> Asker:
    return Asker(live)


@pytest.fixture(scope="module")
def kid(live: LiveStack, ask: Asker) -> str:
    """The block that is found for the question, with its KV built."""
    _, headers, _ = ask("text")
    found = headers["X-CacheRoute-Knowledge"].split(",")[0]
    assert found, headers["X-CacheRoute-Retrieval"]
    built = live.cacheroute("knowledge", "build", found)
    assert built["artifacts"], built
    return found


def _forget(live: LiveStack, *, store: bool) -> None:
    """Empties the engine's prefix cache and, if asked, its kv store."""
    headers = {"Authorization": f"Bearer {live.token}"}
    control = live.config.instance["instance-1"].control_port
    httpx.post(f"http://127.0.0.1:{control}/v1/kv/reset_prefix_cache", json={}, headers=headers).raise_for_status()
    kdn = f"http://127.0.0.1:{live.config.kdn['kdn-1'].port}"
    if store:
        for artifact in httpx.get(f"{kdn}/v1/artifacts", headers=headers).json()["items"]:
            body = {"artifact_id": artifact["id"], "store": "kv-1"}
            httpx.post(f"{kdn}/v1/purge", json=body, headers=headers, timeout=30).raise_for_status()


def test_text_injected_kv_store_hit_and_prefix_hit_give_the_same_answer(live, ask, kid):
    _forget(live, store=True)
    text, headers, details = ask("text", knowledge_ids=[kid])
    assert headers["X-CacheRoute-Injection"] == "text"
    assert details["cached_tokens"] == 0

    _forget(live, store=True)
    injected, headers, details = ask("kv", knowledge_ids=[kid])
    assert headers["X-CacheRoute-Injection"] == "kv"
    assert details["kv_store_tokens"] > 0

    _forget(live, store=False)
    stored, _, details = ask("kv", knowledge_ids=[kid])
    assert details["kv_store_tokens"] > 0

    prefixed, _, details = ask("kv", knowledge_ids=[kid])
    assert details["prefix_cache_tokens"] > 0
    assert text == injected == stored == prefixed


def test_a_kdn_that_is_killed_costs_kv_and_not_the_answer(live, ask, kid):
    status = live.cacheroute("status")
    pid = next(each["pid"] for each in status["services"] if each["name"] == "kdn-1")
    expected, _, _ = ask("text", knowledge_ids=[kid])
    os.kill(pid, signal.SIGKILL)
    _forget(live, store=False)
    text, headers, _ = ask("kv", knowledge_ids=[kid])
    assert text == expected
    assert headers["X-CacheRoute-Knowledge"] == kid
    _until_kv(live, ask, kid)


def test_a_kv_store_that_is_killed_costs_recomputation_and_not_the_answer(live, ask, kid):
    expected, _, _ = ask("kv", knowledge_ids=[kid])
    status = live.cacheroute("status")
    pid = next(each["pid"] for each in status["services"] if each["name"] == "kv-1")
    os.kill(pid, signal.SIGKILL)
    _forget(live, store=False)
    text, _, _ = ask("kv", knowledge_ids=[kid])
    assert text == expected
    _until_kv(live, ask, kid)


def _until_kv(live: LiveStack, ask: Asker, kid: str) -> None:
    """The stack heals by itself: KV is injected again."""

    async def served_by_kv() -> bool:
        _forget(live, store=False)
        _, headers, details = ask("kv", knowledge_ids=[kid])
        return headers["X-CacheRoute-Injection"] == "kv" and details["kv_store_tokens"] > 0

    asyncio.run(until(served_by_kv, within_s=30))
