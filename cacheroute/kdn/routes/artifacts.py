"""What a KDN answers about KV: builds, artifacts, injection into kv stores and out of them."""

import logging

from aiohttp import web

from cacheroute.incoming import read_struct
from cacheroute.kdn.role import Kdn
from cacheroute.kdn.routes.paging import cut_page, page_after, page_limit
from cacheroute.service import json_response
from cacheroute.wire.artifacts import (
    Artifact,
    ArtifactInfo,
    BuildRequest,
    FindArtifact,
    FoundArtifact,
    InjectRequest,
    Pin,
    PurgeRequest,
)
from cacheroute.wire.page import Page

log = logging.getLogger(__name__)


class ArtifactRoutes:
    """The routes that read and write artifacts, and move them."""

    def __init__(self, kdn: Kdn) -> None:
        self._kdn = kdn

    def all(self) -> list[web.RouteDef]:
        return [
            web.post("/v1/artifacts", self._build),
            web.get("/v1/artifacts", self._list),
            web.post("/v1/artifacts/find", self._find),
            web.get("/v1/artifacts/{id}", self._one),
            web.delete("/v1/artifacts/{id}", self._drop),
            web.post("/v1/artifacts/{id}/pin", self._pin),
            web.post("/v1/artifacts/{id}/verify", self._verify),
            web.post("/v1/inject", self._inject),
            web.post("/v1/purge", self._purge),
        ]

    async def _build(self, request: web.Request) -> web.Response:
        return json_response(await self._kdn.builder.build(await read_struct(request, BuildRequest)))

    async def _list(self, request: web.Request) -> web.Response:
        limit, (after,) = page_limit(request), page_after(request, tuple[str]) or ("",)
        kid, fingerprint = request.query.get("kid", ""), request.query.get("fingerprint", "")
        held = self._kdn.artifacts.page(after, limit + 1, kid, fingerprint)
        page, following = cut_page(held, limit, lambda artifact: (artifact.id,))
        return json_response(Page[ArtifactInfo](items=tuple(map(_info, page)), next=following))

    async def _one(self, request: web.Request) -> web.Response:
        return json_response(self._kdn.artifacts.get(request.match_info["id"]))

    async def _find(self, request: web.Request) -> web.Response:
        asked = await read_struct(request, FindArtifact)
        self._kdn.backlog.wishes.count(asked)
        found = self._kdn.artifacts.find(asked.kids, asked.rendering, asked.fingerprint)
        if found is None:
            return json_response(FoundArtifact(artifact=None, reason="no artifact begins with these blocks here"))
        part = f", {found.n_tokens} of {found.whole_tokens} tokens" if found.n_tokens < found.whole_tokens else ""
        reason = f"{len(found.kids)} of {len(asked.kids)} blocks{part}"
        return json_response(FoundArtifact(artifact=found, reason=reason))

    async def _drop(self, request: web.Request) -> web.Response:
        artifact = self._kdn.artifacts.get(request.match_info["id"])
        forgotten = await self._kdn.unbroken.run(self._kdn.purger.drop([artifact.id]))
        return json_response({"artifact_id": artifact.id, "purged": forgotten.purged, "notes": forgotten.notes})

    async def _pin(self, request: web.Request) -> web.Response:
        asked = await read_struct(request, Pin)
        pinned = await self._kdn.artifact_thread.run(self._kdn.artifacts.pin, request.match_info["id"], asked.pinned)
        return json_response(_info(pinned))

    async def _verify(self, request: web.Request) -> web.Response:
        return json_response(await self._kdn.verify_thread.run(self._kdn.artifacts.verify, request.match_info["id"]))

    async def _inject(self, request: web.Request) -> web.Response:
        asked = await read_struct(request, InjectRequest)
        with self._kdn.meter.injection():
            receipt = await self._kdn.injector.inject(asked.artifact_id, asked.store)
        log.debug("request %s: %s", asked.request_id, receipt)
        return json_response(receipt)

    async def _purge(self, request: web.Request) -> web.Response:
        asked = await read_struct(request, PurgeRequest)
        return json_response(await self._kdn.purger.purge(asked.artifact_id, asked.store, strangers=asked.strangers))


def _info(artifact: Artifact) -> ArtifactInfo:
    return ArtifactInfo(
        id=artifact.id,
        kids=artifact.kids,
        rendering=artifact.rendering,
        fingerprint=artifact.fingerprint,
        n_tokens=artifact.n_tokens,
        whole_tokens=artifact.whole_tokens or artifact.n_tokens,
        nbytes=artifact.nbytes,
        created_at=artifact.created_at,
        last_used=artifact.last_used,
        hits=artifact.hits,
        pinned=artifact.pinned,
    )
