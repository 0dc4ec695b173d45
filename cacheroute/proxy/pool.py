"""The pool's state: its live instances, and before each a bounded line of requests that are ready to go."""

from cacheroute.lease import LeaseTable
from cacheroute.proxy.config import ProxyConfig
from cacheroute.proxy.queue import Line
from cacheroute.wire.control import InstanceRecord


class Pool:
    def __init__(self, name: str, settings: ProxyConfig) -> None:
        self.instances: LeaseTable[InstanceRecord] = LeaseTable(settings.lease_ttl_s)
        self.prepare = Line(f"{name} prepare queue", settings.prepare_concurrency, settings.max_preparing)
        self._settings = settings
        self._ready: dict[str, Line] = {}

    def ready_line(self, instance: str) -> Line:
        """The ready queue before one instance. It outlives the lease, so that a short lapse loses nobody's place."""
        if instance not in self._ready:
            self._ready[instance] = Line(
                f"{instance} ready queue", self._settings.instance_concurrency, self._settings.max_ready
            )
        return self._ready[instance]

    def serving(self, model: str) -> list[InstanceRecord]:
        """Live and ready instances that serve `model`."""
        return [record for record in self.instances.alive() if record.ready and record.engine.model == model]

    @property
    def inflight(self) -> int:
        return sum(line.active for line in self._ready.values())

    @property
    def queued(self) -> int:
        return self.prepare.waiting + self.prepare.active + sum(line.waiting for line in self._ready.values())

    @property
    def capacity(self) -> int:
        return self._settings.instance_concurrency * len(self.instances.alive())

    def lines(self) -> dict[str, dict[str, float]]:
        """Every queue's depth, for the operator."""
        return {
            line.name: {
                "active": line.active,
                "waiting": line.waiting,
                "max_waiting": line.max_waiting,
                "backlog_s": round(line.backlog_s, 3),
            }
            for line in (self.prepare, *self._ready.values())
        }
