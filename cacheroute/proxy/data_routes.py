"""What the scheduler asks: serve this request."""

from aiohttp import web

from cacheroute.incoming import read_struct
from cacheroute.proxy.role import Proxy
from cacheroute.service import counted
from cacheroute.wire.serve import INJECTION_HEADER, SERVE_PATH, ProxyRequest


class DataRoutes:
    def __init__(self, role: Proxy) -> None:
        self._role = role
        self._requests = role.metrics.counter("requests_total", "Requests by outcome and injection", "status", "mode")

    def all(self) -> list[web.RouteDef]:
        return [web.post(SERVE_PATH, self._serve)]

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        asked = await read_struct(request, ProxyRequest)
        return await counted(
            self._role.server.serve(request, asked, self._role.kdns),
            lambda status, headers: self._requests.labels(
                status=status, mode=headers.get(INJECTION_HEADER, "none")
            ).inc(),
        )
