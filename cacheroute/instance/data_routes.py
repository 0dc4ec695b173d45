"""What the proxy asks: serve this request."""

from aiohttp import web

from cacheroute.incoming import read_struct
from cacheroute.instance.role import Instance
from cacheroute.service import counted
from cacheroute.wire.serve import SERVE_PATH, InstanceRequest


class DataRoutes:
    def __init__(self, role: Instance) -> None:
        self._role = role
        self._requests = role.metrics.counter("requests_total", "Requests by outcome", "status")

    def all(self) -> list[web.RouteDef]:
        return [web.post(SERVE_PATH, self._serve)]

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        asked = await read_struct(request, InstanceRequest)
        self._role.ready_engine()
        return await counted(
            self._role.server.serve(request, asked),
            lambda status, headers: self._requests.labels(status=status).inc(),
        )
