"""Deletion on the real stack: the real engine computed with the text, and has nothing of it afterwards."""

import re

import httpx
import pytest
from fakes.live_stack import live_stack
from redis import Redis

from cacheroute import tokens
from cacheroute.kvstore.store import store_url

TEXT = " ".join(
    f"The Tarvok lighthouse has {number} steps on side {number}, painted ochre by Odrun." for number in range(60)
)
OTHER = " ".join(f"The Melkin mill grinds {number} sacks on day {number}, weighed by Sabet." for number in range(60))


@pytest.mark.slow
def test_the_real_engine_has_nothing_left_of_a_deleted_text(tmp_path):
    with live_stack(tmp_path) as live:
        config = live.config
        headers = {"Authorization": f"Bearer {live.token}"}
        store = Redis.from_url(store_url(config.kvstore["kv-1"], tokens.ensure(config.paths.state_dir)))
        kdn = httpx.Client(base_url=f"http://127.0.0.1:{config.kdn['kdn-1'].port}", headers=headers, timeout=120)
        engine = httpx.Client(
            base_url=f"http://127.0.0.1:{config.engine['engine-1'].port}", headers=headers, timeout=120
        )
        model = httpx.get(f"{live.base_url}/models").json()["data"][0]["id"]

        def add(source: str, text: str) -> list[str]:
            added = kdn.post("/v1/documents", json={"source": source, "text": text}).raise_for_status().json()
            (built,) = kdn.post("/v1/artifacts", json={"kids": added["kids"][:1]}).raise_for_status().json()
            assert built["artifact"], built
            return added["kids"][:1]

        def ask(kids: list[str], mode: str) -> httpx.Response:
            body = {"model": model, "messages": [{"role": "user", "content": "How many steps?"}], "max_tokens": 8}
            asked = {**body, "knowledge_ids": kids, "Injection_type": mode, "temperature": 0}
            return httpx.post(f"{live.base_url}/chat/completions", json=asked, timeout=120)

        def cached(prompt: str) -> int:
            answer = engine.post("/v1/completions", json={"model": model, "prompt": prompt, "max_tokens": 1})
            return answer.raise_for_status().json()["usage"]["prompt_tokens_details"]["cached_tokens"]

        other = add("mill.md", OTHER)
        before = set(store.keys())
        kids = add("lighthouse.md", TEXT)
        for mode in ("text", "kv"):
            assert ask(kids, mode).headers["X-CacheRoute-Injection"] == mode
        assert ask([*kids, *other], "text").status_code == 200
        cached(TEXT)
        assert cached(TEXT) > 0
        computed = set(store.keys()) - before
        assert computed

        gone = live.cacheroute("knowledge", "delete", "lighthouse.md", "--yes")

        deletion = kdn.get("/debug/status").json()["purges"]
        assert {entry["place"] for entry in deletion} >= {"kv store kv-1", "engine instance-1"}, gone
        assert computed.isdisjoint(store.keys())
        assert cached(TEXT) == 0
        assert ask(other, "kv").headers["X-CacheRoute-Injection"] == "kv"
        assert "lighthouse" not in str(kdn.post("/v1/search", json={"query": "Tarvok lighthouse steps"}).json())
        files = [path for path in (config.paths.data_dir / "kdn").rglob("*") if path.is_file()]
        assert [path.name for path in files if re.search(rb"tarvok|odrun", path.read_bytes(), re.IGNORECASE)] == []
