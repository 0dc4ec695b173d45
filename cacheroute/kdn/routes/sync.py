"""What a KDN answers about the others: take over what one of them has newer."""

from aiohttp import web

from cacheroute.incoming import read_struct
from cacheroute.kdn.role import Kdn
from cacheroute.service import json_response
from cacheroute.wire.documents import SyncRequest


class SyncRoutes:
    """The other KDN is asked for by name: no address ever comes in a request."""

    def __init__(self, kdn: Kdn) -> None:
        self._kdn = kdn

    def all(self) -> list[web.RouteDef]:
        return [web.post("/v1/sync", self._sync)]

    async def _sync(self, request: web.Request) -> web.Response:
        asked = await read_struct(request, SyncRequest)
        return json_response(await self._kdn.syncer.sync(asked.origin))
