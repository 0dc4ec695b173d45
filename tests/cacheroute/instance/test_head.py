from types import SimpleNamespace
from typing import Any, cast

import aiohttp
import pytest
from fakes.fake_engine import FakeEngine
from fakes.ports import free_port

from cacheroute.instance.engine_link import EngineLink
from cacheroute.instance.head import find_head, prefill
from cacheroute.service import serving
from cacheroute.wire.artifacts import PrefillRequest


class Stored:
    def __init__(self) -> None:
        self.keys: list[str] = []

    async def write(self, items: list[tuple[str, bytes]]) -> None:
        self.keys += [key for key, _ in items]


@pytest.fixture
async def engine():
    engine, port = FakeEngine(store=cast(Any, Stored())), free_port()
    async with aiohttp.ClientSession() as session, serving([engine.plane(port)], drain_s=0.1):
        link = EngineLink(f"http://127.0.0.1:{port}", session, "", describes_itself=True)
        link.info = engine.info
        yield SimpleNamespace(fake=engine, link=link)


@pytest.mark.parametrize(("background", "priority"), [(True, 1), (False, None)])
async def test_what_nobody_waits_for_is_prefilled_behind_everybody_else(engine, background, priority):
    ids = tuple(range(32))
    assert await prefill(engine.link, PrefillRequest(token_ids=ids, background=background), 5) == 32
    (body,) = engine.fake.bodies
    assert (body["prompt"], body["max_tokens"], body.get("priority")) == (list(ids), 1, priority)


async def test_a_head_shorter_than_a_chunk_has_no_token_ids_and_says_why(engine):
    """D11."""
    head = await find_head(engine.link, engine.fake.info, ["a"], "completions")
    assert (head.token_ids, "shorter than one chunk" in head.reason) == ((), True)


async def test_a_head_is_whole_chunks_of_what_all_continuations_share(engine):
    text = "a text of some length, whose tokens are its bytes"
    head = await find_head(engine.link, engine.fake.info, [text], "completions")
    whole = len(text + "\n\n") // 16 * 16
    assert bytes(head.token_ids) == text.encode()[:whole]
