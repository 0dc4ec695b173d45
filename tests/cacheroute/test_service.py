import logging

import aiohttp
import pytest
from aiohttp import web
from fakes.ports import free_ports

from cacheroute.config import Security
from cacheroute.service import plane, serving
from cacheroute.telemetry import Metrics


@pytest.fixture
async def failing():
    """A plane whose handlers fail as nobody expects: before their answer, and in the middle of it."""

    async def before(request: web.Request) -> web.StreamResponse:
        raise ZeroDivisionError("the secret text of a document")

    async def midway(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        answer.content_length = 100
        await answer.prepare(request)
        await answer.write(b"half of it")
        raise ZeroDivisionError

    port = free_ports(1)[0]
    routes = [web.get("/before", before), web.get("/midway", midway)]
    built = plane("127.0.0.1", port, Security(), Metrics("fake"), routes, token=None)
    async with serving([built]), aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
        yield session


async def test_a_failure_that_nobody_expects_has_openais_shape_and_its_request_id(failing, caplog):
    async with failing.get("/before", headers={"X-Request-ID": "rid-1"}) as answer:
        assert answer.status == 500
        assert answer.headers["X-Request-ID"] == "rid-1"
        error = (await answer.json())["error"]
    assert error["type"] == "server_error"
    assert "rid-1" in error["message"]
    assert "secret" not in error["message"]
    logged = next(record for record in caplog.records if record.levelno == logging.ERROR)
    assert "rid-1" in logged.getMessage()
    assert logged.exc_info[0] is ZeroDivisionError


async def test_an_answer_that_fails_midway_is_no_whole_answer(failing):
    async with failing.get("/midway") as answer:
        with pytest.raises(aiohttp.ClientPayloadError):
            await answer.read()
