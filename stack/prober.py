"""Asks a probe's question once and says what came back. Knows no service and no schedule."""

import asyncio
import os
import signal
import time
from typing import Any

import httpx

from stack.probe import ExecProbe, HttpProbe, Probe, RedisProbe, TcpProbe, Verdict


class Prober:
    """Checks probes. Its HTTP clients neither keep connections nor heed proxy variables."""

    def __init__(self) -> None:
        self._clients: dict[bool, httpx.AsyncClient] = {}

    async def __aenter__(self) -> "Prober":
        return self

    async def __aexit__(self, *_: object) -> None:
        for client in self._clients.values():
            await client.aclose()

    async def check(self, probe: Probe) -> Verdict:
        """Never raises for what the service does or fails to do: that is the verdict."""
        begun = time.monotonic()
        try:
            async with asyncio.timeout(probe.timeout_s):
                reason = await self._ask(probe)
        except TimeoutError:
            reason = f"no answer within {probe.timeout_s:g} s"
        except OSError as error:
            reason = _os_reason(error)
        return Verdict(not reason, reason, round((time.monotonic() - begun) * 1000, 1))

    async def _ask(self, probe: Probe) -> str:
        match probe:
            case ExecProbe():
                return await _exec(probe)
            case TcpProbe():
                _, writer = await asyncio.open_connection(probe.host, probe.port)
                writer.close()
                return ""
            case HttpProbe():
                return await self._http_get(probe)
            case RedisProbe():
                return await _ping(probe)

    async def _http_get(self, probe: HttpProbe) -> str:
        headers = dict(probe.headers)
        if probe.bearer is not None:
            headers["Authorization"] = f"Bearer {probe.bearer}"
        try:
            response = await self._client(probe.url).get(probe.url, headers=headers, timeout=probe.timeout_s)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return f"{probe.url}: {str(error) or type(error).__name__}"
        if response.status_code != probe.status:
            return f"{probe.url} answers {response.status_code}, not {probe.status}: {_excerpt(response.text)}"
        if not probe.expect:
            return ""
        try:
            body: Any = response.json()
        except ValueError:
            return f"{probe.url} does not answer JSON: {_excerpt(response.text)}"
        for path, wanted in probe.expect.items():
            if (found := _at(body, path)) != wanted:
                return f"{probe.url}: {path} is {found!r}, not {wanted!r}"
        return ""

    def _client(self, url: str) -> httpx.AsyncClient:
        """One that verifies certificates only for https: reading them all takes longer than most probes."""
        secure = url.startswith("https:")
        if secure not in self._clients:
            limits = httpx.Limits(max_keepalive_connections=0)
            self._clients[secure] = httpx.AsyncClient(verify=secure, trust_env=False, limits=limits)
        return self._clients[secure]


async def _exec(probe: ExecProbe) -> str:
    """Its own session, so that a probe that hangs ends with all that it started."""
    process = await asyncio.create_subprocess_exec(
        *probe.argv,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
    if process.returncode == 0:
        return ""
    return f"{probe.argv[0]} exits with {process.returncode}: {_excerpt(output.decode(errors='replace'))}"


async def _ping(probe: RedisProbe) -> str:
    if probe.unix_socket is not None:
        reader, writer = await asyncio.open_unix_connection(probe.unix_socket)
    else:
        reader, writer = await asyncio.open_connection(probe.host, probe.port)
    try:
        if probe.password is not None:
            user = [] if probe.username is None else [probe.username]
            writer.write(_resp("AUTH", *user, probe.password))
            if not (answer := await reader.readline()).startswith(b"+OK"):
                return f"AUTH answers {_excerpt(answer.decode(errors='replace'))}"
        writer.write(_resp("PING"))
        if not (answer := await reader.readline()).startswith(b"+PONG"):
            return f"PING answers {_excerpt(answer.decode(errors='replace'))}"
        return ""
    finally:
        writer.close()


def _resp(*words: str) -> bytes:
    """A command as an array of bulk strings (https://redis.io/docs/latest/develop/reference/protocol-spec/)."""
    encoded = [word.encode() for word in words]
    return b"*%d\r\n" % len(encoded) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in encoded)


def _at(body: Any, path: str) -> Any:
    """What lies at a dotted path of a JSON value; None where the path leads nowhere."""
    for key in path.split("."):
        match body:
            case dict():
                body = body.get(key)
            case list() if key.isdecimal() and int(key) < len(body):
                body = body[int(key)]
            case _:
                return None
    return body


def _os_reason(error: OSError) -> str:
    return (error.strerror or str(error) or type(error).__name__).lower()


def _excerpt(text: str, limit: int = 160) -> str:
    """The last line that says something: there a program states why it failed."""
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1].strip()[:limit] if lines else "(nothing)"
