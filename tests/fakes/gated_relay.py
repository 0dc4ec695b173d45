"""A TCP relay before a server: a link that can be slow, or stop after so many bytes until it is told to go on."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress

from fakes.ports import free_port


class GatedRelay:
    """`limit` bytes of each connection reach the server at once; `held` is set when one is stopped there.

    `bytes_per_s`: how fast they pass, 0 as fast as they come. `passed` counts all that reached the server.
    """

    def __init__(self, server_port: int) -> None:
        self.port = free_port()
        self.limit = 1 << 60
        self.bytes_per_s = 0
        self.passed = 0
        self.held = asyncio.Event()
        self.release = asyncio.Event()
        self._server_port = server_port

    def hold_after(self, nbytes: int) -> None:
        self.limit = nbytes
        self.held.clear()
        self.release.clear()

    @asynccontextmanager
    async def running(self) -> AsyncGenerator["GatedRelay"]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        async with server:
            yield self
            self.release.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self._server_port)
        except OSError:
            writer.close()
            return
        ways = [
            asyncio.create_task(self._pass(reader, up_writer, gated=True)),
            asyncio.create_task(self._pass(up_reader, writer, gated=False)),
        ]
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for way in ways:
            way.cancel()
        for end in (writer, up_writer):
            end.close()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, gated: bool) -> None:
        passed = 0
        with suppress(OSError):
            while data := await reader.read(2**16):
                if gated and passed + len(data) > self.limit:
                    allowed = max(0, self.limit - passed)
                    writer.write(data[:allowed])
                    data = data[allowed:]
                    self.held.set()
                    await self.release.wait()
                if gated and self.bytes_per_s:
                    await asyncio.sleep(len(data) / self.bytes_per_s)
                writer.write(data)
                passed += len(data)
                self.passed += len(data) if gated else 0
                await writer.drain()
