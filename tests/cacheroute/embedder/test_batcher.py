import asyncio
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from fakes.hash_embedder import HashEmbedder

from cacheroute.embedder.batcher import BATCH_TEXTS, Batcher
from cacheroute.errors import BadRequest, Overloaded
from cacheroute.wire.embedding import Kind
from knowledge.embedding import Vectors


class Gate:
    """Computes as the hash embedder does, notes every batch, and waits before each until it is let go."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.open = threading.Event()
        self.entered = threading.Event()

    def embed(self, texts: Sequence[str], kind: Kind) -> Vectors:
        self.batches.append(list(texts))
        self.entered.set()
        assert self.open.wait(10)
        if "bad" in texts:
            raise ValueError("no vector for this")
        return HashEmbedder().embed(texts, kind)

    async def busy(self) -> None:
        assert await asyncio.to_thread(self.entered.wait, 10)


@pytest.fixture
def gate():
    return Gate()


@pytest.fixture
async def batcher(gate):
    with ThreadPoolExecutor(1) as executor:
        batcher = Batcher(gate.embed, executor, max_waiting=20)
        async with batcher.running():
            yield batcher
            gate.open.set()


async def test_rows_come_back_in_the_order_of_their_texts_across_batches(gate, batcher):
    gate.open.set()
    texts = [f"text number {n}" for n in range(BATCH_TEXTS["query"] * 2 + 1)]
    assert np.array_equal(await batcher.embed(texts, "query"), HashEmbedder().embed(texts, "query"))
    assert len(gate.batches) == 3


async def test_a_query_overtakes_the_passages_that_wait(gate, batcher):
    passages = asyncio.create_task(batcher.embed(["p1", "p2", "p3"], "passage"))
    await gate.busy()
    query = asyncio.create_task(batcher.embed(["q"], "query"))
    await asyncio.sleep(0)
    gate.open.set()
    await asyncio.gather(passages, query)
    assert gate.batches == [["p1"], ["q"], ["p2"], ["p3"]]


async def test_queries_of_several_callers_share_a_batch(gate, batcher):
    first = asyncio.create_task(batcher.embed(["first"], "query"))
    await gate.busy()
    others = [asyncio.create_task(batcher.embed([f"q{n}"], "query")) for n in range(3)]
    await asyncio.sleep(0)
    gate.open.set()
    await asyncio.gather(first, *others)
    assert gate.batches == [["first"], ["q0", "q1", "q2"]]


async def test_a_full_queue_refuses_at_once_and_takes_again_when_it_has_drained(gate, batcher):
    first = asyncio.create_task(batcher.embed(["first"], "passage"))
    await gate.busy()
    waiting = asyncio.create_task(batcher.embed([str(n) for n in range(20)], "passage"))
    await asyncio.sleep(0)
    with pytest.raises(Overloaded, match="20 texts waiting"):
        await batcher.embed(["one more"], "query")
    gate.open.set()
    await asyncio.gather(first, waiting)
    assert len(await batcher.embed(["one more"], "query")) == 1


async def test_more_texts_than_the_queue_can_ever_hold_is_the_callers_mistake(batcher):
    with pytest.raises(BadRequest, match="at most 20"):
        await batcher.embed(["x"] * 21, "query")


async def test_what_a_cancelled_caller_still_had_waiting_is_never_computed(gate, batcher):
    gone = asyncio.create_task(batcher.embed(["p1", "p2", "p3"], "passage"))
    await gate.busy()
    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone
    assert batcher.waiting == 0
    gate.open.set()
    await batcher.embed(["p4"], "passage")
    assert gate.batches == [["p1"], ["p4"]]


async def test_a_text_that_the_model_refuses_fails_its_caller_and_nobody_else(gate, batcher):
    gate.open.set()
    with pytest.raises(BadRequest, match="no vector for this"):
        await batcher.embed(["bad"], "passage")
    assert len(await batcher.embed(["good"], "passage")) == 1
