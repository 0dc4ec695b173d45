"""A KDN as those see it who follow its log: a real library behind a real socket, that can be made to misbehave."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import msgspec
from aiohttp import web
from fakes.hash_embedder import register
from fakes.ports import free_port

from cacheroute.service import Plane, serving
from cacheroute.wire.control import KdnRecord
from knowledge.catalogue.changes import Changes, Cursor
from knowledge.catalogue.library import Library

PAGE = 3


@dataclass
class TellingKdn:
    """`mood`: how it answers. A `stall` sends half a page and then nothing, until `gate` is set."""

    name: str
    library: Library
    mood: Literal["sound", "stall", "html", "torn", "endless"] = "sound"
    port: int = field(default_factory=free_port)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    breaks_after: int | None = None
    """Pages, counted from now, after which it answers 500."""
    asked: int = 0
    stalled: int = 0
    read_again: int = 0
    """How often its log was read from the start after it had been read to its end."""
    _read: bool = False

    @property
    def record(self) -> KdnRecord:
        """What its lease says now."""
        stats = self.library.stats()
        url = f"http://127.0.0.1:{self.port}"
        return KdnRecord(name=self.name, boot_id="b", url=url, epoch=stats.epoch, seq=stats.seq)

    @asynccontextmanager
    async def running(self) -> AsyncGenerator["TellingKdn"]:
        app = web.Application()
        app.router.add_get("/v1/changes", self._changes)
        async with serving([Plane("127.0.0.1", self.port, app)], drain_s=0.1):
            yield self
            self.gate.set()

    def start_anew(self, path: Path, **documents: str) -> None:
        """The catalogue is lost and made again, from the start of a new log."""
        self.library = Library(path)
        for source, text in documents.items():
            register(self.library, source, text)

    async def _changes(self, request: web.Request) -> web.StreamResponse:
        self.asked += 1
        epoch, since = request.query.get("epoch"), int(request.query.get("since", 0))
        if self.breaks_after is not None:
            self.breaks_after -= 1
            if self.breaks_after < 0:
                return web.Response(status=500, text="the disk is on fire")
        page = self.library.changes(Cursor(epoch, since) if epoch else None, PAGE)
        self.read_again += self._read and page.start == 0
        self._read = self._read or (self.mood == "sound" and not page.more)
        body = msgspec.msgpack.encode(page)
        match self.mood:
            case "sound":
                return web.Response(body=body)
            case "html":
                return web.Response(text="<html>a captive portal</html>")
            case "torn":
                return web.Response(body=body[: len(body) // 2])
            case "endless":
                return web.Response(body=msgspec.msgpack.encode(Changes(f"e{self.asked}", 0, 1, (), more=True)))
            case "stall":
                response = web.StreamResponse()
                response.content_length = len(body)
                await response.prepare(request)
                await response.write(body[: len(body) // 2])
                self.stalled += 1
                await self.gate.wait()
                await response.write(body[len(body) // 2 :])
                return response
