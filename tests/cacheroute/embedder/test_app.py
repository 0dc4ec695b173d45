import asyncio
import threading
from contextlib import asynccontextmanager, suppress

import aiohttp
import numpy as np
import pytest
from fakes.hash_embedder import HashEmbedder
from fakes.ports import free_port

from cacheroute import tokens
from cacheroute.config import Config, Paths
from cacheroute.embedder.app import plane, planes
from cacheroute.embedder.config import EmbedderConfig
from cacheroute.embedding_client import BATCH_TEXTS, EmbeddingClient
from cacheroute.errors import ConfigError, Overloaded, Unavailable, UpstreamFailed
from cacheroute.service import serving


class SlowToLoad(HashEmbedder):
    name = "hash"

    def __init__(self):
        self.loaded = threading.Event()

    def load(self, config):
        assert self.loaded.wait(10)
        return self


@pytest.fixture
def config(tmp_path):
    settings = EmbedderConfig(port=free_port(), max_waiting=64)
    return Config(paths=Paths(state=str(tmp_path / "state"), data=str(tmp_path / "data")), embedder=settings)


@pytest.fixture
def model():
    model = SlowToLoad()
    yield model
    model.loaded.set()


@asynccontextmanager
async def running(config, *planes):
    url = f"http://127.0.0.1:{config.embedder.port}"
    token = tokens.ensure(config.paths.state_dir).control
    async with serving(planes), aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}) as session:
        yield session, url, EmbeddingClient(session, url, token)


async def until_healthy(session, url):
    while True:
        async with session.get(f"{url}/health") as response:
            if response.status == 200:
                return await response.json()
        await asyncio.sleep(0.02)


async def until_refused(client, texts):
    while True:
        with suppress(TimeoutError):
            await asyncio.wait_for(client.embed(texts, "query"), 0.05)


async def test_it_is_not_healthy_until_the_model_is_there_but_it_answers(config, model):
    async with running(config, plane(config, model.load)) as (session, url, client):
        async with session.get(f"{url}/health") as response:
            assert response.status == 503
            assert "loaded" in (await response.json())["error"]["message"]
        with pytest.raises(Unavailable, match="not ready"):
            await client.embed(["a"], "query")
        model.loaded.set()
        assert (await until_healthy(session, url))["model"] == "hash"
        assert (await client.embed(["a"], "query")).shape == (1, 384)


async def test_a_model_that_cannot_be_loaded_ends_the_role_and_is_said_until_then(config):
    def fail(settings):
        raise OSError("no weights here")

    broken = plane(config, fail)
    async with running(config, broken) as (session, url, _):
        assert "no weights here" in await asyncio.wait_for(asyncio.shield(broken.failure), 10)
        async with session.get(f"{url}/health") as response:
            assert response.status == 503
            assert "no weights here" in await response.text()


async def test_a_configured_directory_that_is_not_there_stops_the_start(config):
    wrong = Config(paths=config.paths, embedder=EmbedderConfig(model="/nowhere/at/all"))
    with pytest.raises(ConfigError, match="no directory"):
        await planes(wrong, "embedder")


async def test_openai_shape_for_a_string_and_for_a_list(config, model):
    model.loaded.set()
    async with running(config, plane(config, model.load)) as (session, url, _):
        await until_healthy(session, url)
        async with session.post(f"{url}/v1/embeddings", json={"model": "any", "input": "one text"}) as response:
            one = await response.json()
        async with session.post(f"{url}/v1/embeddings", json={"model": "any", "input": ["one text", "b"]}) as response:
            two = await response.json()
        assert one["object"] == "list"
        assert [item["index"] for item in two["data"]] == [0, 1]
        assert one["data"][0]["embedding"] == two["data"][0]["embedding"]
        assert len(one["data"][0]["embedding"]) == 384


async def test_wrong_bodies_are_named(config, model):
    model.loaded.set()
    async with running(config, plane(config, model.load)) as (session, url, _):
        await until_healthy(session, url)
        for body in ({"input": []}, {"input": 7}, {}, {"input": ["a", 2]}, {"input": "a", "kind": "poem"}):
            async with session.post(f"{url}/v1/embeddings", json=body) as response:
                assert response.status == 400, body
        async with session.post(f"{url}/v1/embeddings", data=b"{") as response:
            assert response.status == 400
        async with aiohttp.ClientSession() as stranger, stranger.post(f"{url}/v1/embeddings", json={}) as response:
            assert response.status == 401


async def test_the_client_cuts_a_long_list_into_batches_and_keeps_its_order(config, model):
    model.loaded.set()
    texts = [f"passage {n}" for n in range(2 * BATCH_TEXTS + 3)]
    async with running(config, plane(config, model.load)) as (session, url, client):
        await until_healthy(session, url)
        assert np.allclose(await client.embed(texts, "passage"), HashEmbedder().embed(texts, "passage"))
        assert (await client.embed([], "passage")).shape == (0, 0)


async def test_the_client_says_what_went_wrong(config, model):
    async with aiohttp.ClientSession() as session:
        nobody = EmbeddingClient(session, f"http://127.0.0.1:{free_port()}", "token")
        with pytest.raises(Unavailable, match="embedder"):
            await nobody.embed(["a"], "query")
        model.loaded.set()
        async with running(config, plane(config, model.load)) as (known, url, _):
            await until_healthy(known, url)
            with pytest.raises(UpstreamFailed, match="401"):
                await EmbeddingClient(session, url, "wrong").embed(["a"], "query")


async def test_a_full_queue_is_a_429_that_says_when_to_come_back(config):
    class Stuck(SlowToLoad):
        def load(self, config):
            return self

        def embed(self, texts, kind):
            assert self.loaded.wait(10)
            return super().embed(texts, kind)

    model = Stuck()
    async with running(config, plane(config, model.load)) as (session, url, client):
        await until_healthy(session, url)
        texts = [f"t{n}" for n in range(BATCH_TEXTS)]
        held = [asyncio.create_task(client.embed(texts, "passage")) for _ in range(2)]
        with pytest.raises(Overloaded) as refused:
            await until_refused(client, texts)
        assert refused.value.retry_after_s >= 1
        model.loaded.set()
        assert [len(rows) for rows in await asyncio.gather(*held)] == [BATCH_TEXTS, BATCH_TEXTS]


@pytest.mark.slow
async def test_the_real_model_puts_an_answer_nearer_to_its_question_than_another_text(config):
    async with running(config, *await planes(config, "embedder")) as (session, url, client):
        assert (await until_healthy(session, url))["model"]
        question = await client.embed(["How does a valve keep one engine from being overloaded?"], "query")
        passages = await client.embed(
            ["When an engine saturates, the router spills its requests to another one.", "Bread needs time to rise."],
            "passage",
        )
        near, far = (passages @ question[0]).tolist()
        assert near > far + 0.2
        assert np.allclose(np.linalg.norm(passages, axis=1), 1.0, atol=1e-3)
        assert question.shape == (1, 384)
