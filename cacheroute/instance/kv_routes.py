"""What KDNs ask of an instance: a prompt's head, a prefill, an empty prefix cache; and what operators ask, tokens."""

from collections.abc import Callable
from typing import Any

from aiohttp import web

from cacheroute.incoming import read_struct
from cacheroute.instance.engine_link import EngineLink
from cacheroute.instance.head import find_head, prefill
from cacheroute.service import json_response
from cacheroute.wire.artifacts import CacheReset, HeadRequest, PrefillRequest
from cacheroute.wire.engine import EngineInfo

BUILD_TIMEOUT_S = 300.0


class KvRoutes:
    """`engine()` is the engine's link; `ready()` what a ready engine says of itself, or raises Unavailable."""

    def __init__(self, engine: Callable[[], EngineLink], ready: Callable[[], EngineInfo]) -> None:
        self._engine = engine
        self._ready = ready

    def all(self) -> list[web.RouteDef]:
        return [
            web.post("/v1/kv/head", self._head),
            web.post("/v1/kv/prefill", self._prefill),
            web.post("/v1/kv/reset_prefix_cache", self._reset_prefix_cache),
            web.post("/v1/tokenize", self._tokenize),
        ]

    async def _head(self, request: web.Request) -> web.Response:
        asked = await read_struct(request, HeadRequest)
        return json_response(await find_head(self._engine(), self._ready(), asked.texts, asked.rendering))

    async def _prefill(self, request: web.Request) -> web.Response:
        asked = await read_struct(request, PrefillRequest)
        self._ready()
        return json_response({"prompt_tokens": await prefill(self._engine(), asked, BUILD_TIMEOUT_S)})

    async def _reset_prefix_cache(self, request: web.Request) -> web.Response:
        return json_response(await self._engine().post("/reset_prefix_cache", {}, CacheReset))

    async def _tokenize(self, request: web.Request) -> web.Response:
        body = await read_struct(request, dict[str, Any])
        return json_response({"tokens": await self._engine().tokenize(body)})
