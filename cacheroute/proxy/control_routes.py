"""What an operator looks at: the pool's instances, its queues, what it decided."""

from aiohttp import web

from cacheroute.proxy.role import Proxy
from cacheroute.service import json_response


class ControlRoutes:
    def __init__(self, role: Proxy) -> None:
        self._role = role

    def all(self) -> list[web.RouteDef]:
        return [
            web.get("/v1/instances", self._instances),
            web.get("/debug/status", self._status),
            web.get("/debug/strategy", self._strategy),
        ]

    async def _instances(self, request: web.Request) -> web.Response:
        return json_response({"instances": self._role.pool.instances.alive()})

    async def _status(self, request: web.Request) -> web.Response:
        role = self._role
        return json_response(
            {
                "name": role.name,
                "registered": role.lease.grant is not None,
                "why": role.lease.why,
                "kdns": role.kdns,
                "instances": {
                    record.name: {"ready": record.ready, "why": record.why} for record in role.pool.instances.alive()
                },
                "queues": role.pool.lines(),
            }
        )

    async def _strategy(self, request: web.Request) -> web.Response:
        settings = self._role.settings
        return json_response(
            {
                "strategy": settings.strategy,
                "injection": settings.injection,
                "kv_threshold_tokens": settings.kv_threshold_tokens,
                "decided": self._role.server.decided,
            }
        )
