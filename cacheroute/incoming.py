"""What a request brings, read as what it should be: its body, a struct in it, a number in its query.

Whatever a caller may have got wrong is an error that says so. Knows no route.
"""

import asyncio
from typing import TypeVar

import msgspec
from aiohttp import web

from cacheroute.errors import BadRequest, TooLarge, TooSlow

T = TypeVar("T")

BODY_TIMEOUT_S = 60.0
"""For a whole body to come in: whoever sends it byte by byte holds a connection no longer."""
MAX_DIGITS = 18
"""Of a number in a query: what fits 64 bits."""


async def read_struct(request: web.Request, kind: type[T]) -> T:
    """The request's body as a `kind`. Raises BadRequest naming the field, TooLarge."""
    try:
        return msgspec.json.decode(await read_body(request), type=kind)
    except msgspec.DecodeError as error:
        raise BadRequest(f"the body is not what {request.path} takes: {error}") from error
    except UnicodeDecodeError as error:
        raise BadRequest("the body is not UTF-8") from error


async def read_body(request: web.Request) -> bytes:
    """The whole body. Raises TooLarge, TooSlow, and BadRequest for one that is not packed as its headers say."""
    too_large = TooLarge(f"the body is larger than {request.client_max_size} bytes")
    if (request.content_length or 0) > request.client_max_size:
        raise too_large
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            return await request.read()
    except web.HTTPRequestEntityTooLarge as error:
        raise too_large from error
    except TimeoutError as error:
        raise TooSlow(f"the body was not here within {BODY_TIMEOUT_S:g} s") from error
    except web.RequestPayloadError as error:
        raise BadRequest(f"the body cannot be read: {error}") from error


def query_number(request: web.Request, name: str, default: int) -> int:
    """The query's `name`. Raises BadRequest unless it is a number of 0 or more."""
    text = request.query.get(name, str(default))
    if not (text.isascii() and text.isdecimal() and len(text) <= MAX_DIGITS):
        raise BadRequest(f"{name} must be a number, not {text[:40]!r}", param=name)
    return int(text)
