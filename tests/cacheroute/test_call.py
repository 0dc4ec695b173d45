"""One role's call to another, over a real socket: what is sent, and what each way of failing is called."""

import asyncio

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from cacheroute import call
from cacheroute.errors import Unavailable, UpstreamFailed
from cacheroute.wire.artifacts import CacheReset, Pin


async def _posted(handler, timeout_s: float | None = 5.0) -> CacheReset:
    app = web.Application()
    app.router.add_post("/v1/pin", handler)
    async with TestServer(app) as server, aiohttp.ClientSession() as session:
        url = str(server.make_url("/v1/pin"))
        return await call.post(session, url, Pin(), CacheReset, peer="kdn-1", token="t", timeout_s=timeout_s)


async def test_a_struct_goes_out_with_the_token_and_a_struct_comes_back():
    async def handler(request: web.Request) -> web.Response:
        assert request.headers["Authorization"] == "Bearer t"
        assert await request.json() == {"pinned": True}
        return web.json_response({"dropped": 3, "left": 0})

    assert await _posted(handler) == CacheReset(dropped=3)


@pytest.mark.parametrize(
    ("status", "text", "why"),
    [
        (503, "later", "kdn-1 answered /v1/pin with HTTP 503: later"),
        (200, "[]", "kdn-1 answered /v1/pin with something else"),
    ],
)
async def test_an_answer_that_is_none_says_whose_it_is(status, text, why):
    async def handler(request: web.Request) -> web.Response:
        return web.Response(status=status, text=text)

    with pytest.raises(UpstreamFailed, match=why):
        await _posted(handler)


async def test_a_peer_that_is_silent_or_not_there_is_unavailable():
    async def silent(request: web.Request) -> web.Response:
        await asyncio.Event().wait()
        raise AssertionError

    with pytest.raises(Unavailable, match="kdn-1 did not answer: "):
        await _posted(silent, timeout_s=0.05)
    async with aiohttp.ClientSession() as session:
        with pytest.raises(Unavailable, match="kdn-1 did not answer: "):
            await call.post(session, "http://127.0.0.1:1/", Pin(), CacheReset, peer="kdn-1", token="t", timeout_s=5)
