"""What KDNs ask of an instance: a prompt's head, a prefill, an empty prefix cache."""

from aiohttp import web

from cacheroute.incoming import read_struct
from cacheroute.instance.head import find_head, prefill
from cacheroute.instance.role import Instance
from cacheroute.service import json_response
from cacheroute.wire.artifacts import CacheReset, HeadRequest, PrefillRequest

BUILD_TIMEOUT_S = 300.0


class KvRoutes:
    def __init__(self, role: Instance) -> None:
        self._role = role

    def all(self) -> list[web.RouteDef]:
        return [
            web.post("/v1/kv/head", self._head),
            web.post("/v1/kv/prefill", self._prefill),
            web.post("/v1/kv/reset_prefix_cache", self._reset_prefix_cache),
        ]

    async def _head(self, request: web.Request) -> web.Response:
        asked = await read_struct(request, HeadRequest)
        info = self._role.ready_engine()
        return json_response(await find_head(self._role.engine, info, asked.texts, asked.rendering))

    async def _prefill(self, request: web.Request) -> web.Response:
        asked = await read_struct(request, PrefillRequest)
        self._role.ready_engine()
        return json_response({"prompt_tokens": await prefill(self._role.engine, asked, BUILD_TIMEOUT_S)})

    async def _reset_prefix_cache(self, request: web.Request) -> web.Response:
        return json_response(await self._role.engine.post("/reset_prefix_cache", {}, CacheReset))
