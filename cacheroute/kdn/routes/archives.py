"""What a KDN answers about its library as one file: `GET /v1/export[?collection=]`, `POST /v1/import`."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager

from aiohttp import web

from cacheroute.errors import BadRequest, TooLarge, TooSlow
from cacheroute.kdn.role import Kdn
from cacheroute.service import json_response

PIECE_TIMEOUT_S = 60.0
"""For the next piece of a file to come, or to be taken: the whole may take as long as it is long."""


class ArchiveRoutes:
    """The routes that stream a library, both ways."""

    def __init__(self, kdn: Kdn) -> None:
        self._kdn = kdn
        self._max_bytes = kdn.settings.max_import_mb * 2**20

    def all(self) -> list[web.RouteDef]:
        return [web.get("/v1/export", self._export), web.post("/v1/import", self._import)]

    async def _export(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/gzip"})
        async with aclosing(self._kdn.archives.exported(request.query.get("collection"))) as pieces:
            async for piece in pieces:
                async with _in_time("the export was not read on"):
                    if not response.prepared:
                        await response.prepare(request)
                    await response.write(piece)
        await response.write_eof()
        return response

    async def _import(self, request: web.Request) -> web.Response:
        if (request.content_length or 0) > self._max_bytes:
            raise TooLarge(f"the file is larger than {self._max_bytes:,} bytes; see max_import_mb")
        if "Content-Encoding" in request.headers:
            raise BadRequest("send an export as it is: it is gzip'd, and that is no Content-Encoding")
        return json_response(await self._kdn.archives.take_in(_pieces(request)))


async def _pieces(request: web.Request) -> AsyncGenerator[bytes]:
    """The body as it comes. Raises TooSlow, BadRequest."""
    while True:
        try:
            async with _in_time("no more of the file came"):
                piece = await request.content.readany()
        except web.RequestPayloadError as error:
            raise BadRequest(f"the body cannot be read: {error}") from error
        if not piece:
            return
        yield piece


@asynccontextmanager
async def _in_time(otherwise: str) -> AsyncGenerator[None]:
    try:
        async with asyncio.timeout(PIECE_TIMEOUT_S):
            yield
    except TimeoutError as error:
        raise TooSlow(f"{otherwise} within {PIECE_TIMEOUT_S:g} s") from error
