"""Who is alive: the KDNs' and proxies' leases, and through the proxies the instances and models."""

from cacheroute.lease import LeaseTable
from cacheroute.scheduler.config import SchedulerConfig
from cacheroute.wire.control import Grant, InstanceRecord, KdnRecord, ProxyRecord


class Registry:
    def __init__(self, settings: SchedulerConfig) -> None:
        self.kdns: LeaseTable[KdnRecord] = LeaseTable(settings.lease_ttl_s)
        self.proxies: LeaseTable[ProxyRecord] = LeaseTable(settings.lease_ttl_s)
        self._settings = settings

    def grant(self) -> Grant:
        """What every holder of a lease is told."""
        return Grant(
            renew_s=self._settings.lease_renew_s,
            kdns={kdn.name: kdn.url for kdn in self.kdns.alive()},
            instances=self.instances(),
        )

    def instances(self) -> tuple[InstanceRecord, ...]:
        return tuple(instance for proxy in self.proxies.alive() for instance in proxy.instances)

    def serving(self, model: str) -> list[ProxyRecord]:
        """Live pools with an instance that serves `model` and is ready."""
        return [
            proxy
            for proxy in self.proxies.alive()
            if any(instance.ready and instance.engine.model == model for instance in proxy.instances)
        ]

    def models(self) -> tuple[str, ...]:
        return tuple(sorted({instance.engine.model for instance in self.instances() if instance.ready}))
