"""What nobody should send: each an error that says so, on every plane, and never a 500."""

import asyncio

import pytest
from fakes.roles import config_for, running

from cacheroute import incoming

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
