"""The scheduler: the OpenAI endpoint of the stack, and the control plane where the others keep their leases.

Follow a request: `DataRoutes` -> `Server.serve` -> `Placer.place` -> `policy` -> a proxy.
"""

from cacheroute.config import Config
from cacheroute.lease_routes import lease_routes
from cacheroute.scheduler.control_routes import ControlRoutes
from cacheroute.scheduler.data_routes import DataRoutes
from cacheroute.scheduler.debug_routes import DebugRoutes
from cacheroute.scheduler.role import Scheduler
from cacheroute.service import Plane, plane
from cacheroute.wire.control import KdnRecord, ProxyRecord


async def planes(config: Config, name: str) -> list[Plane]:
    """Data and control plane; there is one scheduler, whatever its `name`."""
    role, settings, security = Scheduler(config), config.scheduler, config.security
    control = [
        *lease_routes(
            "kdn", KdnRecord, role.registry.kdns, role.registry.grant, lambda record: role.follower.renewed(record)
        ),
        *lease_routes("proxy", ProxyRecord, role.registry.proxies, role.registry.grant),
        *ControlRoutes(role).all(),
        *DebugRoutes(role).all(),
    ]
    return [
        plane(
            settings.host,
            settings.port,
            security,
            role.metrics,
            DataRoutes(role).all(),
            token=None,  # open to clients: `Access` checks their keys, so that a 401 reads like OpenAI's
            max_body_bytes=security.max_body_bytes,
            running=role.running,
        ),
        plane(settings.host, settings.control_port, security, role.metrics, control, token=role.token),
    ]
