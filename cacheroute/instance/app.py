"""The instance: stands before one engine, has missing KV injected, forwards, reports load.

Follow a request: `DataRoutes` -> `Server.serve` -> `KvGate.ensure` sees to its KV -> the engine.
"""

from cacheroute.config import Config
from cacheroute.instance.control_routes import ControlRoutes
from cacheroute.instance.data_routes import DataRoutes
from cacheroute.instance.kv_routes import KvRoutes
from cacheroute.instance.role import Instance
from cacheroute.service import Plane, plane


async def planes(config: Config, name: str) -> list[Plane]:
    """Data and control plane of instance `name`."""
    role, settings, security = Instance(config, name), config.instance[name], config.security
    return [
        plane(
            settings.host,
            settings.port,
            security,
            role.metrics,
            DataRoutes(role).all(),
            token=role.tokens.control,
            running=role.running,
        ),
        plane(
            settings.host,
            settings.control_port,
            security,
            role.metrics,
            [*ControlRoutes(role).all(), *KvRoutes(role).all()],
            token=role.tokens.control,
        ),
    ]
