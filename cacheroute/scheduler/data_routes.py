"""What clients ask: chat and raw completions, and which models there are."""

from aiohttp import web

from cacheroute.incoming import read_body
from cacheroute.scheduler import body
from cacheroute.scheduler.role import Scheduler
from cacheroute.service import counted, json_response
from cacheroute.wire.serve import ENGINE_PATH, Endpoint


class DataRoutes:
    def __init__(self, role: Scheduler) -> None:
        self._role = role
        self._requests = role.metrics.counter("requests_total", "Requests by endpoint and status", "endpoint", "status")

    def all(self) -> list[web.RouteDef]:
        return [
            web.post(ENGINE_PATH["chat"], self._chat),
            web.post(ENGINE_PATH["completions"], self._completions),
            web.get("/v1/models", self._models),
            web.get("/v1/models/{model:.+}", self._model),
        ]

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        return await self._serve(request, "chat")

    async def _completions(self, request: web.Request) -> web.StreamResponse:
        return await self._serve(request, "completions")

    async def _serve(self, request: web.Request, endpoint: Endpoint) -> web.StreamResponse:
        caller = self._role.access.caller(request)
        asked = body.parse(endpoint, await read_body(request))
        return await counted(
            self._role.server.serve(request, asked, caller),
            lambda status, headers: self._requests.labels(endpoint=endpoint, status=status).inc(),
        )

    async def _models(self, request: web.Request) -> web.Response:
        self._role.access.caller(request)
        return json_response({"object": "list", "data": [_shown(name) for name in self._role.registry.models()]})

    async def _model(self, request: web.Request) -> web.Response:
        self._role.access.caller(request)
        name = request.match_info["model"]
        self._role.server.pools(name)
        return json_response(_shown(name))


def _shown(model: str) -> dict[str, object]:
    """In OpenAI's shape."""
    return {"id": model, "object": "model", "created": 0, "owned_by": "cacheroute"}
