"""The KDN: knowledge kept as text, vectors and KV; found, built, and injected where it is needed.

Follow an injection: `ArtifactRoutes` -> `Injector.inject` -> `Artifacts.reading` -> a link of the kv store. Follow a
build: `ArtifactRoutes` -> `Builder.build` -> an instance -> its kv store -> `Artifacts.publish`.
"""

from aiohttp import web

from cacheroute.config import Config
from cacheroute.kdn.instances import why_not
from cacheroute.kdn.role import Kdn
from cacheroute.kdn.routes.archives import ArchiveRoutes
from cacheroute.kdn.routes.artifacts import ArtifactRoutes
from cacheroute.kdn.routes.builds import BuildRoutes
from cacheroute.kdn.routes.documents import DocumentRoutes
from cacheroute.kdn.routes.sync import SyncRoutes
from cacheroute.service import Plane, json_response, plane
from knowledge.parse import MAX_BYTES


async def planes(config: Config, name: str) -> list[Plane]:
    """The one plane of KDN `name`, for roles and operators."""
    settings = config.kdn[name]
    kdn = Kdn(config, name, settings)
    routes = [
        *DocumentRoutes(kdn).all(),
        *ArchiveRoutes(kdn).all(),
        *ArtifactRoutes(kdn).all(),
        *SyncRoutes(kdn).all(),
        *BuildRoutes(kdn).all(),
        web.get("/debug/status", _Status(kdn).answer),
    ]
    return [
        plane(
            settings.host,
            settings.port,
            config.security,
            kdn.metrics,
            routes,
            token=kdn.tokens.control,
            max_body_bytes=2 * MAX_BYTES,  # as JSON, a text is somewhat longer
            running=kdn.running,
        )
    ]


class _Status:
    """What an operator asks a KDN."""

    def __init__(self, kdn: Kdn) -> None:
        self._kdn = kdn

    async def answer(self, request: web.Request) -> web.Response:
        kdn = self._kdn
        artifacts = kdn.artifacts.all()
        return json_response(
            {
                "name": kdn.name,
                "registered": kdn.lease.grant is not None,
                "why": kdn.lease.why,
                "library": kdn.documents.stats,
                "artifacts": {
                    "count": len(artifacts),
                    "pinned": sum(artifact.pinned for artifact in artifacts),
                    "nbytes": kdn.artifacts.nbytes,
                    "quota_bytes": kdn.artifacts.quota_bytes,
                    "blobs": kdn.settings.blobs,
                    "warnings": kdn.artifacts.warnings,
                },
                "injecting": kdn.injector.injecting,
                "building": kdn.builder.building,
                "load": kdn.meter.load(kdn.injector, kdn.builder),
                "not_synced": kdn.syncer.failures,
                "builds_queued": kdn.backlog.queue.waiting,
                "purges": await kdn.purger.entries(),
                "kv_stores": tuple(kdn.stores),
                "instances": {
                    instance.name: {
                        "fingerprint": instance.engine.fingerprint.id,
                        "no_kv": why_not(instance, kdn.stores),
                    }
                    for instance in kdn.instances()
                },
            }
        )
