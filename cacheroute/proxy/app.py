"""The proxy: one pool. Its data plane takes requests from the scheduler, its control plane instances' leases.

Follow a request: `DataRoutes` -> `Server.serve` -> the prepare queue -> `injection` -> a ready queue -> an instance.
"""

from cacheroute.config import Config
from cacheroute.lease_routes import lease_routes
from cacheroute.proxy.control_routes import ControlRoutes
from cacheroute.proxy.data_routes import DataRoutes
from cacheroute.proxy.role import Proxy
from cacheroute.service import Plane, plane
from cacheroute.wire.control import InstanceRecord


async def planes(config: Config, name: str) -> list[Plane]:
    """Data and control plane of proxy `name`."""
    role, settings, security = Proxy(config, name), config.proxy[name], config.security
    leases = lease_routes("instance", InstanceRecord, role.pool.instances, role.grant)
    return [
        plane(
            settings.host,
            settings.port,
            security,
            role.metrics,
            DataRoutes(role).all(),
            token=role.token,
            running=role.running,
        ),
        plane(
            settings.host,
            settings.control_port,
            security,
            role.metrics,
            [*leases, *ControlRoutes(role).all()],
            token=role.token,
        ),
    ]
