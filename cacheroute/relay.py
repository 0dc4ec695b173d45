"""Passing an answer through a hop: status, headers and bytes as they come, untouched, and the first one stamped.

An answer that breaks off below is an error here too: whoever keeps a trace sees it, and `service` breaks the
connection above. Knows nothing of what is relayed. Kept by itself so that it can be made fast.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

import aiohttp
from aiohttp import web

from cacheroute.errors import DeadlineExceeded, Unavailable, UpstreamFailed
from cacheroute.service import REQUEST_ID_HEADER

PASSED_HEADERS = ("Content-Type", "Retry-After", "Cache-Control")
"""Of an upstream's headers, those that are the answer's own; the rest describe a connection that ends here."""
NO_ROOM = frozenset({429, 503})


class Refused(Unavailable):
    """The next hop will not serve it now, and there are others to ask."""


@asynccontextmanager
async def upstream(
    session: aiohttp.ClientSession,
    url: str,
    body: bytes,
    *,
    token: str,
    request_id: str,
    deadline_ms: float,
    name: str,
    others: bool = False,
) -> AsyncGenerator[aiohttp.ClientResponse]:
    """The next hop's answer to a POST of `body`, JSON, as soon as its headers are there.

    `token`: what the next hop wants to see, never a client's; empty where it wants none.
    Raises Unavailable if it cannot be reached, UpstreamFailed if it breaks off, DeadlineExceeded after
    `deadline_ms` in all; where there are `others` to ask, Refused for a 429 or 503.
    Leaving (also by cancellation) closes the connection, which cancels the work below.
    """
    headers = {"Content-Type": "application/json", REQUEST_ID_HEADER: request_id}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    timeout = aiohttp.ClientTimeout(total=max(deadline_ms, 1) / 1000, sock_connect=5)
    try:
        async with session.post(url, data=body, headers=headers, timeout=timeout) as response:
            if others and response.status in NO_ROOM:
                raise Refused(f"{name} refused it with HTTP {response.status}")
            yield response
    except TimeoutError as error:
        raise DeadlineExceeded(f"{name} did not answer within the request's time") from error
    except aiohttp.ClientConnectorError as error:
        raise Unavailable(f"{name} cannot be reached") from error  # its address is no client's business
    except aiohttp.ClientError as error:
        raise UpstreamFailed(f"{name} broke off: {str(error) or type(error).__name__}") from error


async def relay(
    request: web.Request,
    response: aiohttp.ClientResponse,
    headers: Mapping[str, str],
    *,
    read: bytes = b"",
    on_first_byte: Callable[[], None] = lambda: None,
    on_chunk: Callable[[bytes], None] = lambda chunk: None,
) -> web.StreamResponse:
    """Answers `request` with `response`, adding `headers`; `read` is what the caller has read of it already.

    Both callbacks only look; they cannot change a byte. To be used inside `upstream`, which names what breaks off.
    """
    out = web.StreamResponse(status=response.status)
    for name in PASSED_HEADERS:
        if name in response.headers:
            out.headers[name] = response.headers[name]
    out.headers.update(headers)
    if response.content_length is not None:
        out.content_length = response.content_length
    first = True
    try:
        await out.prepare(request)
        async for chunk in _chunks(read, response):
            if first:
                first = False
                on_first_byte()
            on_chunk(chunk)
            await out.write(chunk)
        await out.write_eof()
    except aiohttp.ClientConnectionResetError:  # from our own writing: the client has left
        raise asyncio.CancelledError from None
    return out


async def _chunks(read: bytes, response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    if read:
        yield read
    async for chunk in response.content.iter_any():
        yield chunk
