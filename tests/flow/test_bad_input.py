"""What nobody should send: each an error that says so, on every plane, and never a 500."""

import asyncio
import json
import logging

import pytest
from fakes.roles import config_for, running

from cacheroute import incoming, telemetry

DEEP = [b"[" * 100_000, b'{"a":' * 100_000, b"[" * 900 + b"]" * 900]


@pytest.fixture
async def roles(tmp_path):
    async with running(config_for(tmp_path)) as started:
        yield started


async def _post(roles, port: int, path: str, body: bytes) -> tuple[int, str]:
    headers = {"Authorization": f"Bearer {roles.token}"}
    async with roles.session.post(f"http://127.0.0.1:{port}{path}", data=body, headers=headers) as answer:
        return answer.status, await answer.text()


@pytest.mark.parametrize("body", DEEP)
async def test_a_body_that_is_nested_without_end_is_a_400_everywhere(roles, body):
    config = roles.config
    for port, path in [
        (config.scheduler.port, "/v1/chat/completions"),
        (config.scheduler.control_port, "/v1/search"),
        (config.proxy["pool-1"].port, "/v1/serve"),
        (config.instance["instance-1-1"].port, "/v1/serve"),
        (config.instance["instance-1-1"].control_port, "/v1/tokenize"),
    ]:
        status, text = await _post(roles, port, path, body)
        assert status == 400, (path, text)


async def test_a_method_that_a_route_does_not_take_is_a_405_that_names_those_it_takes(roles):
    async with roles.session.put(f"{roles.url}/v1/chat/completions") as answer:
        assert answer.status == 405
        assert answer.headers["Allow"] == "POST"
        assert (await answer.json())["error"]["code"] == "method_not_allowed"


async def test_a_limit_of_thousands_of_digits_is_a_400(roles):
    answer = await roles.control("GET", f"/debug/requests?limit={'9' * 5000}")
    assert answer["error"]["param"] == "limit"


@pytest.mark.parametrize(
    ("header", "status"),
    [
        (b"Content-Length: 9000000000", 413),  # refused before it has come
        (b"Content-Encoding: gzip\r\nContent-Length: 2", 400),
        (b"Content-Length: 1000", 408),
        (b"Transfer-Encoding: chunked", 408),
    ],
)
async def test_a_body_that_is_not_what_its_headers_say_holds_nobody_up(roles, monkeypatch, header, status):
    monkeypatch.setattr(incoming, "BODY_TIMEOUT_S", 0.05)
    reader, writer = await asyncio.open_connection("127.0.0.1", roles.config.scheduler.port)
    writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n" + header + b"\r\n\r\n")
    writer.write(b"2\r\n{}\r\n" if b"chunked" in header else b"{}")
    async with asyncio.timeout(10):
        assert (await reader.readline()).split()[1] == str(status).encode()
    writer.close()


async def test_a_session_may_be_named_in_bytes_that_are_no_text(roles):
    body = json.dumps({"model": "fake-model", "messages": [{"role": "user", "content": "hi"}]}).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", roles.config.scheduler.port)
    writer.write(head.encode() + b"X-Session-ID: \xff\xfe\r\n\r\n" + body)
    async with asyncio.timeout(10):
        assert (await reader.readline()).split()[1] == b"200"
    writer.close()


@pytest.mark.parametrize("asked", [{"model": "m" * 100_000}, {"model": "fake-model", "knowledge_ids": ["k" * 100_000]}])
async def test_of_a_name_that_is_as_long_as_a_body_little_is_told_and_kept(roles, asked):
    body = json.dumps({**asked, "messages": [{"role": "user", "content": "hi"}]}).encode()
    status, text = await _post(roles, roles.config.scheduler.port, "/v1/chat/completions", body)
    assert status == 404
    assert len(text) < 1_000
    kept = await roles.control("GET", "/debug/requests")
    assert len(json.dumps(kept)) < 5_000


async def test_a_request_that_is_no_http_is_one_line_in_the_log(roles, caplog):
    caplog.set_level(logging.INFO)
    server = logging.getLogger("aiohttp.server")
    server.addFilter(telemetry.as_a_line)
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", roles.config.scheduler.port)
        writer.write(b"GET * HTTP/1.1\r\nHost: localhost\r\n\r\n")
        async with asyncio.timeout(10):
            assert (await reader.readline()).split()[1] == b"400"
        writer.close()
    finally:
        server.removeFilter(telemetry.as_a_line)
    (told,) = [record for record in caplog.records if record.name == "aiohttp.server"]
    assert told.exc_info is None
    assert told.levelname == "WARNING"
    assert "cannot be read" in told.getMessage()
