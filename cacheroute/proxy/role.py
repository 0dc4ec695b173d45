"""One proxy's parts, put together: its pool, who serves, its lease at the scheduler.

They are opened with the data plane and closed after it. Knows no route.
"""

from collections.abc import AsyncGenerator

import aiohttp
from aiohttp import web

from cacheroute import tokens
from cacheroute.address import base_url
from cacheroute.config import Config
from cacheroute.lease import LeaseKeeper
from cacheroute.proxy.pool import Pool
from cacheroute.proxy.serve import Server
from cacheroute.telemetry import Metrics, new_request_id
from cacheroute.wire.control import Grant, ProxyRecord


class Proxy:
    """One proxy's state, opened with the data plane and closed after it."""

    server: Server
    lease: LeaseKeeper

    def __init__(self, config: Config, name: str) -> None:
        self.name = name
        self.settings = config.proxy[name]
        self.token = tokens.ensure(config.paths.state_dir).control
        self.pool = Pool(name, self.settings)
        self._config = config
        self._boot_id = new_request_id()
        self.metrics = Metrics("proxy")
        self.metrics.gauge("queued", "Requests that wait").set_function(lambda: self.pool.queued)
        self.metrics.gauge("inflight", "Requests at an instance").set_function(lambda: self.pool.inflight)

    async def running(self, app: web.Application) -> AsyncGenerator[None]:
        scheduler = self._config.scheduler
        url = f"{base_url(scheduler.host, scheduler.control_port)}/v1/leases/proxy/{self.name}"
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
            self.server = Server(self.name, self.settings, self.pool, session, self.token)
            self.lease = LeaseKeeper(session, url, self.token, self._record)
            async with self.lease.held():
                yield

    def grant(self) -> Grant:
        """What instances are told: the KDNs that the scheduler told this proxy of."""
        return Grant(renew_s=self.settings.lease_renew_s, kdns=self.kdns)

    @property
    def kdns(self) -> dict[str, str]:
        """Live KDNs: name -> base url."""
        return self.lease.grant.kdns if self.lease.grant else {}

    def _record(self) -> ProxyRecord:
        return ProxyRecord(
            name=self.name,
            boot_id=self._boot_id,
            url=base_url(self.settings.host, self.settings.port),
            control_url=base_url(self.settings.host, self.settings.control_port),
            capacity=self.pool.capacity,
            queued=self.pool.queued,
            inflight=self.pool.inflight,
            instances=self.pool.instances.alive(),
        )
