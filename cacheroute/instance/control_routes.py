"""What operators ask: how the instance does, and the token ids of a prompt."""

from typing import Any

from aiohttp import web

from cacheroute.incoming import read_struct
from cacheroute.instance.role import Instance
from cacheroute.service import json_response


class ControlRoutes:
    def __init__(self, role: Instance) -> None:
        self._role = role

    def all(self) -> list[web.RouteDef]:
        return [web.get("/debug/status", self._status), web.post("/v1/tokenize", self._tokenize)]

    async def _status(self, request: web.Request) -> web.Response:
        role = self._role
        engine, registered = role.engine, role.lease.grant is not None
        return json_response(
            {
                "name": role.name,
                "ready": engine.ready and registered,
                "registered": registered,
                "why": engine.why or role.lease.why,
                "engine": engine.info,
                "fingerprint": engine.info.fingerprint.id if engine.info else None,
                "kv_store": role.kv_store,
                "kdns": role.kdns,
                "load": role.server.load,
            }
        )

    async def _tokenize(self, request: web.Request) -> web.Response:
        body = await read_struct(request, dict[str, Any])
        return json_response({"tokens": await self._role.engine.tokenize(body)})
