"""KV in and out of a real kv store: hits by source, the same answers, and every way in which a store can fail."""

import asyncio
import random
from collections.abc import Iterator

import pytest
import redis
from fakes.ports import free_port
from fakes.running_engine import CHAT, COMPLETIONS, RunningEngine
from fakes.until import until
from fakes.valkey import Valkey

from cacheroute import tokens
from cacheroute.config import Config
from cacheroute.keys import KeyScheme

CHUNK = 16
CHUNK_NBYTES = CHUNK * 23_040
WORDS = ("store", "engine", "prompt", "token", "chunk", "prefix", "river", "copper", "answer", "queue", "lantern")


def document(seed: int, words: int = 220) -> str:
    rng = random.Random(seed)
    return " ".join(rng.choice(WORDS) for _ in range(words))


def about(text: str) -> dict[str, object]:
    messages = [{"role": "system", "content": text}, {"role": "user", "content": "What is it about?"}]
    return {"messages": messages, "temperature": 0, "max_tokens": 16}


@pytest.fixture
def raw(engine_store: Valkey, engine_config: Config) -> Iterator[redis.Redis]:
    password = tokens.ensure(engine_config.paths.state_dir).kv_password
    client = redis.Redis(port=engine_store.config.port, password=password)
    yield client
    client.close()


async def stored(engine: RunningEngine, raw: redis.Redis, ids: list[int]) -> tuple[str, ...]:
    """The keys of these tokens' whole chunks, once all of them are in the store."""
    info = await engine.get("/v1/engine")
    keys = KeyScheme(model=info["key_model"], chunk_tokens=CHUNK).keys(ids)

    async def all_there() -> bool:
        return {raw.strlen(key) for key in keys} == {CHUNK_NBYTES}

    await until(all_there)
    return keys


async def asked_and_stored(
    engine: RunningEngine, raw: redis.Redis, text: str
) -> tuple[dict[str, object], tuple[str, ...]]:
    answer = await engine.ask(CHAT, **about(text))
    ids = (await engine.ask("/tokenize", messages=about(text)["messages"]))["tokens"]
    return answer, await stored(engine, raw, ids)


def cached(answer: dict[str, object]) -> dict[str, int]:
    return answer["usage"]["prompt_tokens_details"]  # type: ignore[index]


def said(answer: dict[str, object]) -> str:
    return answer["choices"][0]["message"]["content"]  # type: ignore[index]


async def test_text_store_hit_and_prefix_hit_give_the_same_answer(engine: RunningEngine, raw: redis.Redis):
    text, keys = await asked_and_stored(engine, raw, document(1))
    whole = len(keys) * CHUNK
    await engine.ask("/reset_prefix_cache")
    from_store = await engine.ask(CHAT, **about(document(1)))
    from_prefix = await engine.ask(CHAT, **about(document(1)))
    assert cached(text) == {"cached_tokens": 0, "prefix_cache_tokens": 0, "kv_store_tokens": 0}
    assert cached(from_store) == {"cached_tokens": whole, "prefix_cache_tokens": 0, "kv_store_tokens": whole}
    assert cached(from_prefix) == {"cached_tokens": whole, "prefix_cache_tokens": whole, "kv_store_tokens": 0}
    assert said(text) == said(from_store) == said(from_prefix)
    assert {raw.strlen(key) for key in keys} == {CHUNK_NBYTES}


async def test_what_the_prefix_cache_lacks_comes_from_the_store(engine: RunningEngine, raw: redis.Redis):
    ids = list(range(3000, 3000 + 4 * CHUNK + 5))
    await engine.ask(COMPLETIONS, prompt=ids, max_tokens=1)
    await engine.ask("/reset_prefix_cache")
    await engine.ask(COMPLETIONS, prompt=ids[: CHUNK + 1], max_tokens=1)
    answer = await engine.ask(COMPLETIONS, prompt=ids, max_tokens=1)
    assert cached(answer)["prefix_cache_tokens"] == CHUNK
    assert cached(answer)["kv_store_tokens"] == 3 * CHUNK


async def test_a_prefill_answers_when_every_whole_chunk_is_in_the_store(engine: RunningEngine, raw: redis.Redis):
    ids = list(range(5000, 5000 + 3 * CHUNK))
    info = await engine.get("/v1/engine")
    keys = KeyScheme(model=info["key_model"], chunk_tokens=CHUNK).keys(ids)
    first = await engine.ask(COMPLETIONS, prompt=ids, max_tokens=1)
    assert cached(first)["stored_tokens"] == len(ids)
    assert raw.exists(*keys) == 3
    raw.delete(*keys)  # evicted, though the engine's own cache still has it
    again = await engine.ask(COMPLETIONS, prompt=ids, max_tokens=1)
    assert cached(again)["prefix_cache_tokens"] == 2 * CHUNK, "one token at least is computed, for its logits"
    assert cached(again)["stored_tokens"] == len(ids)
    assert raw.exists(*keys) == 3


async def test_an_answers_own_chunks_serve_the_next_turn(engine: RunningEngine):
    first = [{"role": "user", "content": "Tell me a long story about a lighthouse."}]
    answer = await engine.ask(CHAT, messages=first, temperature=0, max_tokens=120, ignore_eos=True)
    turns = [*first, {"role": "assistant", "content": said(answer)}, {"role": "user", "content": "And then?"}]
    following = await engine.ask(CHAT, messages=turns, max_tokens=1)
    assert cached(following)["cached_tokens"] > answer["usage"]["prompt_tokens"]


async def test_a_value_of_a_wrong_size_or_type_is_deleted_and_recomputed(engine: RunningEngine, raw: redis.Redis):
    text, keys = await asked_and_stored(engine, raw, document(2))
    raw.set(keys[1], b"x" * (CHUNK_NBYTES - 2))
    raw.delete(keys[2])
    raw.lpush(keys[2], "a list")
    await engine.ask("/reset_prefix_cache")
    wrong = await engine.metric("kv_store_chunks", what="wrong_size")
    again = await engine.ask(CHAT, **about(document(2)))
    assert cached(again)["kv_store_tokens"] == CHUNK
    assert said(again) == said(text)
    assert await engine.metric("kv_store_chunks", what="wrong_size") == wrong + 2
    await asked_and_stored(engine, raw, document(2))


async def test_a_store_that_hangs_or_dies_costs_a_recompute_and_is_used_again_when_it_is_back(
    engine: RunningEngine, raw: redis.Redis, engine_store: Valkey
):
    text, _ = await asked_and_stored(engine, raw, document(3))
    failures = await engine.metric("kv_store_failures")
    engine_store.freeze()
    try:
        await engine.ask("/reset_prefix_cache")
        hung = await engine.ask(CHAT, **about(document(3)))
    finally:
        engine_store.thaw()
    assert cached(hung)["cached_tokens"] == 0
    assert said(hung) == said(text)
    assert await engine.metric("kv_store_failures") > failures
    engine_store.kill()
    await engine.ask("/reset_prefix_cache")
    gone = await engine.ask(CHAT, **about(document(3)))
    assert said(gone) == said(text)
    engine_store.start()
    while not cached(gone)["kv_store_tokens"]:
        await engine.ask("/reset_prefix_cache")
        gone = await engine.ask(CHAT, **about(document(3)))
        await asyncio.sleep(0.05)
    assert said(gone) == said(text)


@pytest.mark.slow
async def test_a_fresh_engine_starts_without_its_store_and_finds_what_another_stored(
    engine: RunningEngine, engine_config: Config, engine_store: Valkey, raw: redis.Redis
):
    text, keys = await asked_and_stored(engine, raw, document(4))
    values = dict(zip(keys, raw.mget(keys), strict=True))
    engine_store.kill()
    settings = engine_config.engine["engine-1"]
    fresh_config = Config(
        paths=engine_config.paths,
        kvstore=engine_config.kvstore,
        engine={"engine-1": type(settings)(port=free_port())},
    )
    with RunningEngine(fresh_config) as fresh:
        await fresh.ready()
        assert said(await fresh.ask(CHAT, **about(document(4)))) == said(text)
        engine_store.start()
        raw.mset(values)
        found: dict[str, object] = {}
        while not found or not cached(found)["kv_store_tokens"]:
            await fresh.ask("/reset_prefix_cache")
            found = await fresh.ask(CHAT, **about(document(4)))
        assert cached(found)["kv_store_tokens"] == len(keys) * CHUNK
        assert said(found) == said(text)
