"""A scheduler's control plane as a KDN sees it: takes leases, grants a directory, remembers every renewal."""

from dataclasses import dataclass, field

from aiohttp import web

from cacheroute.incoming import read_struct
from cacheroute.service import Guard, Plane, json_response, plane_app
from cacheroute.telemetry import Metrics
from cacheroute.wire.control import Grant, InstanceRecord, KdnRecord


@dataclass
class FakeScheduler:
    port: int
    token: str
    instances: tuple[InstanceRecord, ...] = ()
    kdns: dict[str, str] = field(default_factory=dict)
    renew_s: float = 0.02
    records: list[KdnRecord] = field(default_factory=list)

    @property
    def last(self) -> KdnRecord:
        return self.records[-1]

    def plane(self) -> Plane:
        app = plane_app(Guard(token=self.token), Metrics("fake"))
        app.router.add_put("/v1/leases/kdn/{name}", self._renew)
        app.router.add_delete("/v1/leases/kdn/{name}", self._leave)
        return Plane("127.0.0.1", self.port, app)

    async def _renew(self, request: web.Request) -> web.Response:
        self.records.append(await read_struct(request, KdnRecord))
        return json_response(Grant(renew_s=self.renew_s, kdns=self.kdns, instances=self.instances))

    async def _leave(self, request: web.Request) -> web.Response:
        return json_response({"ok": True})
