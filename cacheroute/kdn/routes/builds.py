"""What a KDN answers about builds that nobody waits for: the queue, and what would be worth putting into it."""

from typing import get_args

import msgspec
from aiohttp import web

from cacheroute.errors import BadRequest, NotFound
from cacheroute.incoming import MAX_DIGITS, read_struct
from cacheroute.kdn.role import Kdn
from cacheroute.kdn.routes.paging import cut_page, page_after, page_limit
from cacheroute.service import json_response
from cacheroute.wire.artifacts import Build, BuildState, Cancelled, QueueBuilds
from cacheroute.wire.page import Page


class BuildRoutes:
    """The routes of the build queue and of advice."""

    def __init__(self, kdn: Kdn) -> None:
        self._kdn = kdn

    def all(self) -> list[web.RouteDef]:
        return [
            web.post("/v1/builds", self._queue),
            web.get("/v1/builds", self._list),
            web.delete("/v1/builds", self._cancel_all),
            web.delete("/v1/builds/{id}", self._cancel),
            web.get("/v1/advice", self._advice),
        ]

    async def _queue(self, request: web.Request) -> web.Response:
        return json_response(await self._kdn.backlog.queue.put(await read_struct(request, QueueBuilds)))

    async def _list(self, request: web.Request) -> web.Response:
        limit, (after,) = page_limit(request), page_after(request, tuple[int]) or (0,)
        found = await self._kdn.backlog.queue.page(_state(request), after, limit + 1)
        items, following = cut_page(found, limit, lambda build: (build.id,))
        return json_response(Page[Build](items=tuple(items), next=following))

    async def _cancel_all(self, request: web.Request) -> web.Response:
        return json_response(Cancelled(ids=await self._kdn.backlog.queue.cancel_all()))

    async def _cancel(self, request: web.Request) -> web.Response:
        text = request.match_info["id"]
        if not (text.isascii() and text.isdecimal() and len(text) <= MAX_DIGITS):
            raise NotFound(f"there is no build {text[:40]!r}: its id is a number")
        return json_response(await self._kdn.backlog.queue.cancel(int(text)))

    async def _advice(self, request: web.Request) -> web.Response:
        return json_response(await self._kdn.backlog.advice(page_limit(request)))


def _state(request: web.Request) -> BuildState | None:
    named = request.query.get("state")
    try:
        return None if named is None else msgspec.convert(named, BuildState)
    except msgspec.ValidationError as error:
        raise BadRequest(f"state must be one of {', '.join(get_args(BuildState))}", param="state") from error
