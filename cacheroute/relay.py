"""Passing an answer through a hop: status, headers and bytes as they come, untouched, and the first one stamped.

Knows nothing of what is relayed. Kept by itself so that it can be made fast.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager

import aiohttp
from aiohttp import web

from cacheroute.errors import DeadlineExceeded, Unavailable, UpstreamFailed

PASSED_HEADERS = ("Content-Type", "Retry-After", "Cache-Control")
"""Of an upstream's headers, those that are the answer's own; the rest describe a connection that ends here."""


@asynccontextmanager
async def upstream(
    session: aiohttp.ClientSession,
    url: str,
    body: bytes,
    headers: Mapping[str, str],
    *,
    deadline_ms: float,
    name: str,
) -> AsyncGenerator[aiohttp.ClientResponse]:
    """The next hop's answer to a POST of `body`, as soon as its headers are there.

    Raises Unavailable if it cannot be reached, UpstreamFailed if it breaks off, DeadlineExceeded after
    `deadline_ms` in all.
    Leaving (also by cancellation) closes the connection, which cancels the work below.
    """
    timeout = aiohttp.ClientTimeout(total=max(deadline_ms, 1) / 1000, sock_connect=5)
    try:
        async with session.post(url, data=body, headers=headers, timeout=timeout) as response:
            yield response
    except TimeoutError as error:
        raise DeadlineExceeded(f"{name} did not answer within the request's time") from error
    except aiohttp.ClientConnectorError as error:
        raise Unavailable(f"{name} cannot be reached: {error}") from error
    except aiohttp.ClientError as error:
        raise UpstreamFailed(f"{name} broke off: {str(error) or type(error).__name__}") from error


async def relay(
    request: web.Request,
    response: aiohttp.ClientResponse,
    headers: Mapping[str, str],
    *,
    on_first_byte: Callable[[], None] = lambda: None,
    on_chunk: Callable[[bytes], None] = lambda chunk: None,
) -> web.StreamResponse:
    """Answers `request` with `response`, adding `headers`. Both callbacks only look; they cannot change a byte."""
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
        async for chunk in response.content.iter_any():
            if first:
                first = False
                on_first_byte()
            on_chunk(chunk)
            await out.write(chunk)
    except (aiohttp.ClientError, TimeoutError):
        # Headers are out: the only honest end is a broken connection, not a complete-looking answer.
        if request.transport is not None:
            request.transport.abort()
        raise asyncio.CancelledError from None
    await out.write_eof()
    return out
