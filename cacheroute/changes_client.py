"""How a role reads a KDN's log of changes: a page a call, bounded in time and size. Knows nothing of what is in it."""

import asyncio

import aiohttp
import msgspec

from cacheroute.errors import Unavailable, UpstreamFailed
from knowledge.catalogue.changes import Changes, Cursor

PAGE = 64
"""Entries asked for at a time: with their vectors, some hundred KiB."""
MAX_PAGE_BYTES = 64 * 2**20
"""A KDN sends a tenth of that, unless a single block is enormous."""
TIMEOUT_S, STALL_S = 30.0, 10.0


class ChangesClient:
    """Reads the logs of KDNs whose addresses come from their leases."""

    def __init__(self, session: aiohttp.ClientSession, token: str) -> None:
        self._session = session
        self._headers = {"Authorization": f"Bearer {token}"}

    async def page(self, url: str, cursor: Cursor | None) -> Changes:
        """What follows the cursor; None: from the start. Raises Unavailable, UpstreamFailed."""
        asked: dict[str, str | int] = {"limit": PAGE}
        if cursor is not None:
            asked |= {"epoch": cursor.epoch, "since": cursor.seq}
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_S, sock_read=STALL_S)
        body = bytearray()
        try:
            async with self._session.get(
                f"{url}/v1/changes", params=asked, headers=self._headers, timeout=timeout
            ) as response:
                async for piece in response.content.iter_any():
                    body += piece
                    if len(body) > MAX_PAGE_BYTES:
                        raise UpstreamFailed(f"a page of changes exceeds {MAX_PAGE_BYTES:,} bytes")
        except (aiohttp.ClientError, TimeoutError) as error:
            raise Unavailable(str(error) or type(error).__name__) from error
        if response.status != 200:
            raise UpstreamFailed(f"HTTP {response.status}: {bytes(body[:200]).decode(errors='replace')}")
        try:
            return await asyncio.to_thread(msgspec.msgpack.decode, body, type=Changes)
        except msgspec.DecodeError as error:
            raise UpstreamFailed(f"not a page of changes: {error}") from error
