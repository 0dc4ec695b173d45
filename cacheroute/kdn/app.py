"""The KDN: knowledge kept as text, vectors and KV; found, built, and injected where it is needed.

Follow an injection: `_inject` -> `Injector.inject` -> `Artifacts.reading` -> a link of the kv store. Follow a build:
`_build` -> `Builder.build` -> an instance -> its kv store -> `Artifacts.publish`.
"""

import logging
from typing import cast

import msgspec
from aiohttp import web

from cacheroute.config import Config
from cacheroute.errors import BadRequest
from cacheroute.incoming import query_number, read_struct
from cacheroute.kdn.config import KdnConfig
from cacheroute.kdn.documents import block_info
from cacheroute.kdn.instances import why_not
from cacheroute.kdn.role import Kdn
from cacheroute.service import Guard, Plane, json_response, plane_app
from cacheroute.wire.kdn import (
    AddDocument,
    BuildRequest,
    FindArtifact,
    FoundArtifact,
    InjectRequest,
    Pin,
    PurgeRequest,
    SearchBlocks,
)
from knowledge.changes import Cursor
from knowledge.parse import MAX_BYTES

log = logging.getLogger(__name__)

MAX_CHANGES = 512


async def planes(config: Config, name: str) -> list[Plane]:
    """The one plane of KDN `name`, for roles and operators."""
    name, settings = config.named("kdn", name)
    settings = cast(KdnConfig, settings)
    kdn = Kdn(config, name, settings)
    guard = Guard(token=kdn.tokens.control, hosts=Guard.names(settings.host, config.security.allowed_hosts))
    app = plane_app(guard, kdn.metrics, max_body_bytes=2 * MAX_BYTES)  # as JSON, a text is somewhat longer
    app.cleanup_ctx.append(kdn.running)
    app.add_routes(Routes(kdn).all())
    return [Plane(settings.host, settings.port, app)]


class Routes:
    """What a KDN answers to."""

    def __init__(self, kdn: Kdn) -> None:
        self._kdn = kdn

    def all(self) -> list[web.RouteDef]:
        return [
            web.post("/v1/documents", self._add),
            web.get("/v1/documents", self._blocks),
            web.delete("/v1/documents", self._delete),
            web.get("/v1/blocks/{kid}", self._block),
            web.post("/v1/search", self._search),
            web.get("/v1/changes", self._changes),
            web.post("/v1/artifacts", self._build),
            web.get("/v1/artifacts", self._list),
            web.post("/v1/artifacts/find", self._find),
            web.delete("/v1/artifacts/{id}", self._drop),
            web.post("/v1/artifacts/{id}/pin", self._pin),
            web.post("/v1/artifacts/{id}/verify", self._verify),
            web.post("/v1/inject", self._inject),
            web.post("/v1/purge", self._purge),
            web.get("/debug/status", self._status),
        ]

    async def _add(self, request: web.Request) -> web.Response:
        prepared = await self._kdn.documents.prepare(await read_struct(request, AddDocument))
        return json_response(await self._kdn.unbroken.run(self._kdn.register(prepared)))

    async def _blocks(self, request: web.Request) -> web.Response:
        query = request.query
        blocks = await self._kdn.documents.blocks(query.get("source"), query.get("collection"))
        held = self._kdn.artifacts.by_kid()
        return json_response([block_info(block, held.get(block.kid, ())) for block in blocks])

    async def _delete(self, request: web.Request) -> web.Response:
        source = request.query.get("source")
        if not source:
            raise BadRequest("say which document: ?source=", param="source")
        return json_response(await self._kdn.unbroken.run(self._kdn.delete(source, request.query.get("collection"))))

    async def _block(self, request: web.Request) -> web.Response:
        block = await self._kdn.documents.block(request.match_info["kid"])
        held = self._kdn.artifacts.by_kid()
        return json_response(block_info(block, held.get(block.kid, ()), with_text=True))

    async def _search(self, request: web.Request) -> web.Response:
        return json_response(await self._kdn.documents.search(await read_struct(request, SearchBlocks)))

    async def _changes(self, request: web.Request) -> web.Response:
        epoch, since = request.query.get("epoch"), query_number(request, "since", 0)
        limit = min(query_number(request, "limit", MAX_CHANGES), MAX_CHANGES)
        page = await self._kdn.documents.changes(Cursor(epoch, since) if epoch else None, limit)
        return web.Response(body=msgspec.msgpack.encode(page), content_type="application/msgpack")

    async def _build(self, request: web.Request) -> web.Response:
        return json_response(await self._kdn.builder.build(await read_struct(request, BuildRequest)))

    async def _list(self, request: web.Request) -> web.Response:
        return json_response(self._kdn.artifacts.all())

    async def _find(self, request: web.Request) -> web.Response:
        asked = await read_struct(request, FindArtifact)
        found = self._kdn.artifacts.find(asked.kids, asked.rendering, asked.fingerprint)
        if found is None:
            return json_response(FoundArtifact(artifact=None, reason="no artifact begins with these blocks here"))
        return json_response(FoundArtifact(artifact=found, reason=f"{len(found.kids)} of {len(asked.kids)} blocks"))

    async def _drop(self, request: web.Request) -> web.Response:
        artifact = self._kdn.artifacts.get(request.match_info["id"])
        forgotten = await self._kdn.unbroken.run(self._kdn.purger.drop([artifact.id]))
        return json_response({"artifact_id": artifact.id, "purged": forgotten.purged, "notes": forgotten.notes})

    async def _pin(self, request: web.Request) -> web.Response:
        asked = await read_struct(request, Pin)
        pinned = await self._kdn.artifact_thread.run(self._kdn.artifacts.pin, request.match_info["id"], asked.pinned)
        return json_response(pinned)

    async def _verify(self, request: web.Request) -> web.Response:
        return json_response(await self._kdn.artifact_thread.run(self._kdn.artifacts.verify, request.match_info["id"]))

    async def _inject(self, request: web.Request) -> web.Response:
        asked = await read_struct(request, InjectRequest)
        receipt = await self._kdn.injector.inject(asked.artifact_id, asked.store)
        log.debug("request %s: %s", asked.request_id, receipt)
        return json_response(receipt)

    async def _purge(self, request: web.Request) -> web.Response:
        asked = await read_struct(request, PurgeRequest)
        return json_response(await self._kdn.purger.purge(asked.artifact_id, asked.store))

    async def _status(self, request: web.Request) -> web.Response:
        artifacts = self._kdn.artifacts.all()
        return json_response(
            {
                "name": self._kdn.name,
                "registered": self._kdn.lease.grant is not None,
                "why": self._kdn.lease.why,
                "library": self._kdn.documents.stats,
                "artifacts": {
                    "count": len(artifacts),
                    "pinned": sum(artifact.pinned for artifact in artifacts),
                    "nbytes": self._kdn.artifacts.nbytes,
                    "quota_bytes": self._kdn.artifacts.quota_bytes,
                },
                "injecting": self._kdn.injector.injecting,
                "building": self._kdn.builder.building,
                "kv_stores": tuple(self._kdn.stores),
                "instances": {
                    instance.name: {
                        "fingerprint": instance.engine.fingerprint.id,
                        "no_kv": why_not(instance, self._kdn.stores),
                    }
                    for instance in self._kdn.instances()
                },
            }
        )
