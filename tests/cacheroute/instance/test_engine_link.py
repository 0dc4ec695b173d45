"""An instance's link to its engine, over a real socket: engines that change, and servers that answer oddly."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from fakes.fake_engine import FakeEngine
from fakes.ports import free_port
from fakes.until import until

from cacheroute.errors import BadRequest, UpstreamFailed
from cacheroute.instance import engine_link
from cacheroute.instance.engine_link import EngineLink
from cacheroute.service import Plane, json_response, serving


@pytest.fixture(autouse=True)
def often(monkeypatch):
    monkeypatch.setattr(engine_link, "POLL_S", 0.02)
    monkeypatch.setattr(engine_link, "FIRST_POLL_S", 0.02)


@asynccontextmanager
async def linked(plane: Plane, *, describes_itself: bool = True) -> AsyncGenerator[EngineLink]:
    async with serving([plane], drain_s=0.1), aiohttp.ClientSession() as session:
        link = EngineLink(f"http://127.0.0.1:{plane.port}", session, "", describes_itself=describes_itself)
        watch = asyncio.create_task(link.watch())
        try:
            yield link
        finally:
            watch.cancel()
            with suppress(asyncio.CancelledError):
                await watch


class OpenAI:
    """A server that lists what it is told to, and answers every POST with `answer`."""

    def __init__(self, models: Any, answer: Any = None) -> None:
        self.models, self.answer = models, answer

    def plane(self) -> Plane:
        app = web.Application()
        app.router.add_get("/v1/models", self._models)
        app.router.add_post("/{path:.*}", self._post)
        return Plane("127.0.0.1", free_port(), app)

    async def _models(self, request: web.Request) -> web.Response:
        return json_response(self.models)

    async def _post(self, request: web.Request) -> web.Response:
        return json_response(self.answer)


async def test_an_engine_started_again_with_another_model_is_known_by_its_new_fingerprint():
    """D12: what is offered goes by the fingerprint, so an old one must not be kept."""
    engine = FakeEngine()
    async with linked(engine.plane(free_port())) as link:
        await until(lambda: link.ready)
        before = link.info.fingerprint
        engine.weights = "w2"
        await until(lambda: link.info.fingerprint != before)
        assert link.info == engine.info


async def test_an_engine_that_falls_ill_is_not_ready_until_it_recovers():
    engine = FakeEngine()
    async with linked(engine.plane(free_port())) as link:
        await until(lambda: link.ready)
        engine.healthy = False
        await until(lambda: not link.ready)
        assert "503" in link.why
        engine.healthy = True
        await until(lambda: link.ready)


@pytest.mark.parametrize("models", [{"data": []}, {}, [], {"data": [{"name": "no id"}]}, {"data": None}])
async def test_a_server_that_lists_no_model_is_not_ready_until_it_lists_one(models):
    server = OpenAI(models)
    async with linked(server.plane(), describes_itself=False) as link:
        await until(lambda: link.why != "the engine has not answered yet")
        assert not link.ready
        server.models = {"data": [{"id": "gpt", "object": "model", "max_model_len": 77}]}
        await until(lambda: link.ready)
        assert (link.info.model, link.info.max_model_len) == ("gpt", 77)
        assert link.info.no_kv_reason


async def test_an_answer_of_another_shape_is_an_error_that_names_the_call():
    server = OpenAI({"data": [{"id": "gpt"}]}, answer={"ids": [1]})
    async with linked(server.plane(), describes_itself=False) as link:
        await until(lambda: link.ready)
        with pytest.raises(UpstreamFailed, match="/tokenize"):
            await link.tokenize({"prompt": "x"})


async def test_what_the_engine_refuses_is_the_callers_mistake():
    async with linked(FakeEngine(status=422).plane(free_port())) as link:
        await until(lambda: link.ready)
        with pytest.raises(BadRequest, match="told to answer 422"):
            await link.post("/v1/completions", {"prompt": "x"}, dict)
