"""How long retrieval takes over a large catalogue, and how long it holds up an event loop meanwhile.

The catalogue is made up: 10,000 blocks of real words with the frequencies of a language, random unit vectors. The
embedder is the real one, in a process of its own as in a stack; the questions go through the retriever.
"""

import asyncio
import os
import socket
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from statistics import median, quantiles

import aiohttp
import numpy as np
from msgspec import Struct

from cacheroute import tokens
from cacheroute.embedder.config import EmbedderConfig
from cacheroute.embedder.model import model_path
from cacheroute.embedding_client import EmbeddingClient
from cacheroute.errors import CacheRouteError, Unavailable
from cacheroute.scheduler.access import Caller
from cacheroute.scheduler.retrieval import Retriever
from knowledge.catalogue.changes import Change, Changes, Entry
from knowledge.document import Block, Passage
from knowledge.embedding import DIMENSIONS
from knowledge.replication.replica import Replica
from knowledge.retrieval.match import Limits
from knowledge.text import kid_of

BLOCKS = 10_000
QUESTIONS = 200
WARM_UP = 10
LAG_TICK_S = 0.005
START_TIMEOUT_S = 60.0
_PAGE = 250
_SHORTEST = 4
_GLUE = ("the", "of", "and", "in", "to", "what", "is", "how", "when", "a")


class Latency(Struct, frozen=True, kw_only=True):
    """One question after the other, embedding included. The lag is by how much a 5 ms sleep overslept meanwhile."""

    blocks: int
    questions: int
    p50_ms: float
    p95_ms: float
    embed_p50_ms: float
    search_p50_ms: float
    loop_lag_p99_ms: float


async def run_latency() -> Latency:
    """A minute's work, most of it filling the catalogue. Raises Unavailable where the embedder does not come up."""
    with tempfile.TemporaryDirectory(prefix="cacheroute-bench-") as home:
        replica = await asyncio.to_thread(Replica, Path(home, "knowledge.db"))
        try:
            questions = await asyncio.to_thread(fill, replica, Random(0))
            async with embedder() as client:
                limits, everything = Limits(), Caller(name="bench", collections=None)
                retriever = Retriever(replica, client, limits, _nothing)
                return await measure(
                    lambda question: client.embed([question], "query"),
                    lambda question: retriever.search(question, everything, limits),
                    questions,
                )
        finally:
            await asyncio.to_thread(replica.close)


async def _nothing() -> None:
    """There is nobody to bring the copy up to date from."""


async def measure(
    embed: Callable[[str], Awaitable[object]], retrieve: Callable[[str], Awaitable[object]], questions: Sequence[str]
) -> Latency:
    """`retrieve` embeds and searches; `embed` only embeds. Asked in turn, so that noise falls on both alike."""
    for question in questions[:WARM_UP]:
        await retrieve(question)
    whole_ms: list[float] = []
    embed_ms: list[float] = []
    async with _lag() as lags_ms:
        for question in questions[WARM_UP:]:
            whole_ms.append(await _timed(retrieve, question))
            embed_ms.append(await _timed(embed, question))
    return Latency(
        blocks=BLOCKS,
        questions=len(whole_ms),
        p50_ms=round(median(whole_ms), 2),
        p95_ms=round(quantiles(whole_ms, n=20)[-1], 2),
        embed_p50_ms=round(median(embed_ms), 2),
        search_p50_ms=round(median(whole_ms) - median(embed_ms), 2),
        loop_lag_p99_ms=round(quantiles(lags_ms, n=100)[-1], 2),
    )


async def _timed(call: Callable[[str], Awaitable[object]], question: str) -> float:
    start_s = time.perf_counter()
    await call(question)
    return (time.perf_counter() - start_s) * 1000


@asynccontextmanager
async def _lag() -> AsyncGenerator[list[float]]:
    """Fills the list with this loop's lags in ms while it is open."""
    lags_ms: list[float] = []

    async def watch() -> None:
        while True:
            start_s = time.perf_counter()
            await asyncio.sleep(LAG_TICK_S)
            lags_ms.append((time.perf_counter() - start_s - LAG_TICK_S) * 1000)

    watching = asyncio.create_task(watch())
    try:
        yield lags_ms
    finally:
        watching.cancel()


def fill(replica: Replica, rng: Random, blocks: int = BLOCKS) -> list[str]:
    """Blocking. Fills a copy with made-up blocks; returns questions, each with words of one of them."""
    vocabulary = _vocabulary(rng)
    weights = [1 / (rank + 200) for rank in range(len(vocabulary))]  # the commonest in every tenth block
    vectors = np.random.default_rng(rng.randrange(2**32))
    questions: list[str] = []
    for start in range(0, blocks, _PAGE):
        items: list[Change] = []
        for number in range(start, min(start + _PAGE, blocks)):
            words = rng.choices(vocabulary, weights, k=rng.randint(60, 140))
            items.append(_change(number + 1, " ".join(words), vectors))
            if len(questions) < QUESTIONS + WARM_UP:
                questions.append(" ".join((*rng.sample(_GLUE, 4), *rng.sample(words, 6))) + "?")
        replica.apply(Changes("bench", start, items[-1].seq, tuple(items), more=items[-1].seq < blocks), "bench")
    return questions


def _change(seq: int, text: str, vectors: np.random.Generator) -> Change:
    title = " ".join(text.split()[:3])
    block = Block(kid_of(text), 0, text, len(text) // 4, source=f"bench/{seq}.md", title=title)
    vector = vectors.standard_normal(DIMENSIONS).astype("<f4")
    vector /= np.linalg.norm(vector)
    entry = Entry(block, (Passage(block.kid, 0, title, text),), vector.tobytes(), registered_ms=seq)
    return Change(seq, block.document_id, block.kid, entry)


def _vocabulary(rng: Random) -> list[str]:
    """Whole words of the embedding model's own vocabulary, so that a question has as many tokens as a natural one."""
    lines = (model_path(EmbedderConfig()) / "vocab.txt").read_text(encoding="utf-8").splitlines()
    words = [word for word in lines if word.isascii() and word.isalpha() and len(word) >= _SHORTEST]
    rng.shuffle(words)
    return words


@asynccontextmanager
async def embedder() -> AsyncGenerator[EmbeddingClient]:
    """The real embedder on a free port, in a process of its own; ended on leaving."""
    with tempfile.TemporaryDirectory(prefix="cacheroute-bench-") as home:
        port = _free_port()
        paths = {"CACHEROUTE_PATHS__STATE": f"{home}/state", "CACHEROUTE_PATHS__DATA": f"{home}/data"}
        process = await asyncio.create_subprocess_exec(
            *(str(Path(sys.executable).with_name("cacheroute")), "serve", "embedder"),
            env={**os.environ, **paths, "CACHEROUTE_EMBEDDER__PORT": str(port)},
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            async with aiohttp.ClientSession() as session:
                token = tokens.ensure(Path(home, "state")).control
                client = EmbeddingClient(session, f"http://127.0.0.1:{port}", token)
                await _until_ready(client)
                yield client
        finally:
            process.terminate()
            await process.wait()


async def _until_ready(client: EmbeddingClient) -> None:
    """Raises Unavailable where it does not come up in time."""
    deadline_s = time.monotonic() + START_TIMEOUT_S
    while True:
        try:
            await client.embed(["ready?"], "query")
            return
        except CacheRouteError as error:
            if time.monotonic() > deadline_s:
                raise Unavailable(f"the embedder did not come up: {error.message}") from error
            await asyncio.sleep(0.1)


def _free_port() -> int:
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        return int(opened.getsockname()[1])
