"""What a kv store holds changes under everybody's hands: it evicts, restarts, is full, or hangs on a slow link.

The answer is the same in each case, no request is stuck, and bytes are pushed only where they are missing.
"""

import asyncio
import random

import pytest
import redis
from fakes.kdn_world import KdnWorld, kdn_world, text_of
from fakes.running_engine import CHAT, RunningEngine
from fakes.until import until
from fakes.valkey import Valkey

from cacheroute import tokens
from cacheroute.config import Config
from cacheroute.keys import KeyScheme

MB = 2**20
CHUNK = 16
WORDS = ("river", "copper", "lantern", "harbour", "ledger", "signal", "meadow", "anchor", "timber", "glacier")


@pytest.fixture
async def world(tmp_path):
    """A KDN that reaches its store over a link whose speed can be set."""
    async with kdn_world(tmp_path, gated=True, inject_timeout_s=1.0, maxmemory_mb=64) as world:
        yield world


async def artifact_of(world: KdnWorld, chunks: int, topic: str = "alpha") -> dict:
    if not world.scheduler.instances:
        await world.add_instance(chunk_nbytes=MB)
    artifact = await world.built(await world.add(f"{topic}.md", text_of(4 * chunks, topic)))
    await world.store.purge(artifact["keys"])
    return artifact


async def idle(world: KdnWorld) -> None:
    async def nothing() -> bool:
        return (await world.ok("GET", "/debug/status"))["injecting"] == 0

    await until(nothing)


async def test_over_a_slow_link_an_injection_ends_in_time_and_what_arrived_is_not_pushed_again(world):
    artifact = await artifact_of(world, chunks=8)
    world.relay.bytes_per_s = 4 * MB
    status, answer = await world.inject(artifact["id"])
    assert (status, "1 s" in answer["error"]["message"]) == (503, True)
    await idle(world)
    world.relay.bytes_per_s = 0
    _, receipt = await world.inject(artifact["id"])
    assert 0 < receipt["present"] < 8
    assert receipt["present"] + receipt["pushed"] == 8
    assert receipt["nbytes"] == receipt["pushed"] * MB
    assert await world.store.missing(artifact["keys"]) == []


async def test_what_is_there_already_costs_no_bytes(world):
    artifact = await artifact_of(world, chunks=4)
    assert (await world.inject(artifact["id"]))[1]["pushed"] == 4
    before = world.relay.passed
    _, receipt = await world.inject(artifact["id"])
    assert (receipt["pushed"], receipt["nbytes"]) == (0, 0)
    assert world.relay.passed - before < MB


async def test_a_store_that_restarted_between_two_injections_is_filled_again(world):
    artifact = await artifact_of(world, chunks=4)
    await world.inject(artifact["id"])
    world.valkey.kill()
    world.valkey.start()
    _, receipt = await world.inject(artifact["id"])
    assert (receipt["present"], receipt["pushed"]) == (0, 4)


async def test_of_a_half_written_set_only_the_other_half_is_pushed(world):
    artifact = await artifact_of(world, chunks=6)
    await world.inject(artifact["id"])
    await world.store.purge(artifact["keys"][::2])
    _, receipt = await world.inject(artifact["id"])
    assert (receipt["present"], receipt["pushed"]) == (3, 3)
    assert await world.store.missing(artifact["keys"]) == []


async def test_a_store_too_small_for_an_artifact_keeps_its_head(tmp_path):
    """Pushed tail to head: what the store drops is the tail, which alone is of no use."""
    async with kdn_world(tmp_path, maxmemory_mb=64) as world:
        artifact = await artifact_of(world, chunks=12)
        await asyncio.to_thread(_configure, world, "maxmemory", "10mb")
        status, receipt = await world.inject(artifact["id"])
        assert status == 200, receipt
        missing = await world.store.missing(artifact["keys"])
        assert 0 not in missing
        assert missing, "the store is smaller than the artifact"
        assert receipt["present"] + receipt["pushed"] == 12


async def test_a_full_store_that_may_evict_nothing_is_503_and_says_so(tmp_path):
    async with kdn_world(tmp_path, maxmemory_mb=64) as world:
        artifact = await artifact_of(world, chunks=4)
        await asyncio.to_thread(_configure, world, "maxmemory-policy", "noeviction")
        await asyncio.to_thread(_configure, world, "maxmemory", "2mb")
        status, answer = await world.inject(artifact["id"])
        assert (status, "memory" in answer["error"]["message"]) == (503, True)
        await asyncio.to_thread(_configure, world, "maxmemory", "64mb")
        assert (await world.inject(artifact["id"]))[0] == 200


def _configure(world: KdnWorld, name: str, value: str) -> None:
    client = redis.Redis(port=world.valkey.config.port, password=world.tokens.kv_password)
    client.config_set(name, value)
    client.close()


# --- the engine's side: whatever the store holds, the answer is the same ---


def about(seed: int) -> dict[str, object]:
    rng = random.Random(seed)
    text = " ".join(rng.choice(WORDS) for _ in range(220))
    messages = [{"role": "system", "content": text}, {"role": "user", "content": "What is it about?"}]
    return {"messages": messages, "temperature": 0, "max_tokens": 8}


@pytest.fixture
def raw(engine_store: Valkey, engine_config: Config):
    password = tokens.ensure(engine_config.paths.state_dir).kv_password
    client = redis.Redis(port=engine_store.config.port, password=password)
    yield client
    client.close()


async def first_answer(engine: RunningEngine, raw: redis.Redis, seed: int) -> tuple[str, list[str], list[bytes]]:
    """The answer by text, and the chunks that it left in the store."""
    answer = await engine.ask(CHAT, **about(seed))
    ids = (await engine.ask("/tokenize", messages=about(seed)["messages"]))["tokens"]
    info = await engine.get("/v1/engine")
    keys = list(KeyScheme(model=info["key_model"], chunk_tokens=CHUNK).keys(ids))

    async def all_there() -> bool:
        return raw.exists(*keys) == len(keys)

    await until(all_there)
    return answer["choices"][0]["message"]["content"], keys, raw.mget(keys)


async def said_from_store(engine: RunningEngine, seed: int) -> str:
    await engine.ask("/reset_prefix_cache")
    return (await engine.ask(CHAT, **about(seed)))["choices"][0]["message"]["content"]


@pytest.mark.parametrize(
    "kept",
    [
        pytest.param(lambda count: range(count // 2, count), id="only the tail"),
        pytest.param(lambda count: range(count // 2), id="only the head"),
        pytest.param(lambda count: range(0, count, 2), id="every other chunk"),
        pytest.param(lambda count: range(1, count), id="all but the first"),
    ],
)
async def test_a_half_written_set_gives_the_same_answer(engine, raw, kept):
    text, keys, _ = await first_answer(engine, raw, seed=71)
    gone = [key for index, key in enumerate(keys) if index not in kept(len(keys))]
    raw.delete(*gone)
    assert await said_from_store(engine, seed=71) == text


async def test_chunks_that_vanish_while_they_are_loaded_change_no_answer(engine, raw):
    text, keys, values = await first_answer(engine, raw, seed=72)
    rng, stop = random.Random(0), asyncio.Event()

    def churn() -> None:
        while not stop.is_set():
            index = rng.randrange(len(keys))
            raw.delete(keys[index])
            raw.set(keys[index], values[index])

    churning = asyncio.create_task(asyncio.to_thread(churn))
    try:
        said = [await said_from_store(engine, seed=72) for _ in range(5)]
    finally:
        stop.set()
        await churning
    assert set(said) == {text}


async def test_a_store_at_its_limit_changes_no_answer(engine, raw):
    text, _, _ = await first_answer(engine, raw, seed=73)
    limit = raw.config_get("maxmemory")["maxmemory"]
    raw.config_set("maxmemory", "4mb")
    try:
        assert [await said_from_store(engine, seed=73) for _ in range(3)] == [text] * 3
    finally:
        raw.config_set("maxmemory", limit)
