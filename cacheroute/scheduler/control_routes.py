"""What operators ask: who is alive, what a question finds, a threshold for their catalogue."""

from aiohttp import web

from cacheroute.incoming import read_struct
from cacheroute.scheduler.access import OPERATOR
from cacheroute.scheduler.role import Scheduler
from cacheroute.service import json_response
from cacheroute.wire.control import Listing
from cacheroute.wire.retrieval import CalibrateRequest, SearchRequest
from knowledge.retrieval.match import Limits


class ControlRoutes:
    def __init__(self, role: Scheduler) -> None:
        self._role = role

    def all(self) -> list[web.RouteDef]:
        return [
            web.get("/v1/peers", self._peers),
            web.post("/v1/search", self._search),
            web.post("/v1/calibrate", self._calibrate),
            web.get("/v1/calibrate", self._calibration),
        ]

    async def _peers(self, request: web.Request) -> web.Response:
        registry = self._role.registry
        return json_response(Listing(kdns=registry.kdns.alive(), proxies=registry.proxies.alive()))

    async def _search(self, request: web.Request) -> web.Response:
        asked = await read_struct(request, SearchRequest)
        limits = Limits(max_blocks=asked.k, max_tokens=self._role.settings.knowledge_token_budget)
        return json_response(await self._role.retriever.search(asked.query, OPERATOR, limits, asked.previous))

    async def _calibrate(self, request: web.Request) -> web.Response:
        asked = await read_struct(request, CalibrateRequest)
        return json_response(await self._role.calibrator.calibrate(asked.questions))

    async def _calibration(self, request: web.Request) -> web.Response:
        return json_response(self._role.calibrator.present)
