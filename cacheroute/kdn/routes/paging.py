"""A listing a page at a time, by key: `next` names the last item's place, so what changes meanwhile moves no page.

To a client a cursor is opaque. Knows no listing: whoever has one says what a place in it is.
"""

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import Annotated, TypeVar

import msgspec
from aiohttp import web
from msgspec import Meta

from cacheroute.errors import BadRequest
from cacheroute.incoming import query_number
from cacheroute.wire.page import MAX_PAGE

Item = TypeVar("Item")
Place = TypeVar("Place")
_Part = str | Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
"""Of a place: numbers as large as SQLite takes."""


def page_limit(request: web.Request) -> int:
    """The query's `limit`, bounded. Raises BadRequest."""
    return max(1, min(query_number(request, "limit", MAX_PAGE), MAX_PAGE))


def page_after(request: web.Request, kind: type[Place]) -> Place | None:
    """The place that the query's `after` names, or None: the beginning. Raises BadRequest."""
    cursor = request.query.get("after")
    if not cursor:
        return None
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        parts = msgspec.json.decode(base64.b64decode(padded, b"-_", validate=True), type=list[_Part])
        return msgspec.convert(parts, kind)
    except (UnicodeError, binascii.Error, msgspec.DecodeError) as error:
        raise BadRequest(
            f"after must be the `next` of a page of {request.path}, not {cursor[:40]!r}", param="after"
        ) from error


def cut_page(
    found: Sequence[Item], limit: int, place: Callable[[Item], tuple[str | int, ...]]
) -> tuple[Sequence[Item], str]:
    """The page, and its `next`, out of up to `limit` + 1 items: the one too many says that more follows."""
    if len(found) <= limit:
        return found, ""
    cursor = msgspec.json.encode(place(found[limit - 1]))
    return found[:limit], base64.urlsafe_b64encode(cursor).rstrip(b"=").decode()
