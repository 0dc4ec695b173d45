"""What an operator looks at: the scheduler's state, how it routes, the last requests whole."""

import asyncio

from aiohttp import web

from cacheroute import sanitise
from cacheroute.errors import NotFound
from cacheroute.incoming import query_number
from cacheroute.scheduler.role import Scheduler
from cacheroute.service import json_response


class DebugRoutes:
    def __init__(self, role: Scheduler) -> None:
        self._role = role

    def all(self) -> list[web.RouteDef]:
        return [
            web.get("/debug/status", self._status),
            web.get("/debug/strategy", self._strategy),
            web.get("/debug/requests", self._last_requests),
            web.get("/debug/requests/{request_id}", self._one_request),
        ]

    async def _status(self, request: web.Request) -> web.Response:
        role = self._role
        copied = await asyncio.to_thread(role.replica.origins)
        return json_response(
            {
                "ready": bool(role.registry.models()),
                "models": role.registry.models(),
                "inflight": role.server.inflight,
                "kdns": {
                    kdn.name: {
                        "url": kdn.url,
                        "blocks": kdn.blocks,
                        "artifacts": kdn.artifacts,
                        "load": kdn.load,
                        "copied_blocks": copied.get(kdn.name, 0),
                        "sync_failure": role.follower.failures.get(kdn.name, ""),
                    }
                    for kdn in role.registry.kdns.alive()
                },
                "proxies": {
                    proxy.name: {
                        "url": proxy.url,
                        "queued": proxy.queued,
                        "inflight": proxy.inflight,
                        "capacity": proxy.capacity,
                        "instances": {instance.name: instance.ready for instance in proxy.instances},
                    }
                    for proxy in role.registry.proxies.alive()
                },
            }
        )

    async def _strategy(self, request: web.Request) -> web.Response:
        newest = self._role.traces.newest(1)
        return json_response(
            {
                "strategy": self._role.settings.strategy,
                "routed": self._role.server.routed,
                "last": newest[0].hops[0].decision if newest else None,
            }
        )

    async def _last_requests(self, request: web.Request) -> web.Response:
        return json_response({"requests": self._role.traces.newest(query_number(request, "limit", 50))})

    async def _one_request(self, request: web.Request) -> web.Response:
        name = request.match_info["request_id"]
        trace = self._role.traces.find(name)
        if trace is None:
            shown, kept = sanitise.for_line(name, 100), self._role.settings.trace_ring
            raise NotFound(f"no request {shown!r} is kept: the last {kept} are; see [scheduler] trace_ring")
        return json_response(trace)
