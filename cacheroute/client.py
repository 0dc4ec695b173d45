"""What an operator's programs (command line, console, benches) ask of the running roles. Knows their routes and errors;
shows nothing and keeps nothing. Nothing here blocks an event loop.
"""

import ssl
from typing import Any
from urllib.parse import quote

import httpx
import msgspec

from cacheroute.address import base_url
from cacheroute.config import Config
from cacheroute.kdn_client import Kdn
from cacheroute.role_client import Role
from cacheroute.wire.control import Listing
from cacheroute.wire.decision import RequestTrace
from cacheroute.wire.retrieval import CalibrateRequest, Calibration, Labelled, SearchRequest
from knowledge.retrieval.match import Matches

CALIBRATE_TIMEOUT_S = 300.0


class Traces(msgspec.Struct, frozen=True):
    requests: tuple[RequestTrace, ...] = ()


class Client:
    """The roles that one configuration names, over one connection pool. Use in `async with`.

    Every call raises CacheRouteError: what the role answered, or Unavailable where nobody does.
    """

    def __init__(self, config: Config, token: str) -> None:
        # Roles speak plain HTTP: a context without trust roots spares the 20 ms that loading them takes.
        self._token = token
        self._http = httpx.AsyncClient(trust_env=False, verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
        scheduler = config.scheduler
        self.scheduler = Role(self._http, "scheduler", base_url(scheduler.host, scheduler.control_port), token)
        self.endpoint = Role(self._http, "scheduler", base_url(scheduler.host, scheduler.port), _api_key(config))
        self.kdns = {
            name: Kdn(self._http, name, base_url(kdn.host, kdn.port), token, kdn.build_timeout_s)
            for name, kdn in config.kdn.items()
        }

    async def __aenter__(self) -> "Client":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    def role(self, name: str, url: str) -> Role:
        """Another role's control plane, at an address that the scheduler's registry told."""
        return Role(self._http, name, url, self._token)

    async def peers(self) -> Listing:
        return await self.scheduler.get("/v1/peers", Listing)

    async def status(self) -> dict[str, Any]:
        return await self.scheduler.get("/debug/status", dict[str, Any])

    async def requests(self, limit: int) -> tuple[RequestTrace, ...]:
        """The last decisions, newest first."""
        return (await self.scheduler.get("/debug/requests", Traces, limit=limit)).requests

    async def request(self, request_id: str) -> RequestTrace:
        """One request, as the scheduler remembers it. Raises NotFound."""
        named = quote(request_id, safe="", errors="replace")
        return await self.scheduler.get(f"/debug/requests/{named}", RequestTrace)

    async def search(self, query: str, k: int) -> Matches:
        """What the scheduler considers for a question, best first, and what it would use."""
        return await self.scheduler.post("/v1/search", SearchRequest(query=query, k=k), Matches)

    async def calibrate(self, questions: tuple[Labelled, ...]) -> Calibration:
        """Has the scheduler fit its threshold to labelled questions."""
        asked = CalibrateRequest(questions=questions)
        return await self.scheduler.post("/v1/calibrate", asked, Calibration, CALIBRATE_TIMEOUT_S)

    async def models(self) -> tuple[str, ...]:
        """The names that the OpenAI endpoint serves now."""
        listed = await self.endpoint.get("/v1/models", dict[str, Any])
        return tuple(str(model.get("id", "")) for model in listed.get("data", ()))


def _api_key(config: Config) -> str | None:
    """A key for the data plane, if it takes any: one that sees every collection, where there is one."""
    keys = sorted(config.security.api_keys.values(), key=lambda key: bool(key.collections))
    return keys[0].key if keys else None
