"""An instance's settings: the engine it stands before, the pool it belongs to."""

from msgspec import Struct

from cacheroute.bounds import Positive, Seconds


class InstanceConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    host: str = "127.0.0.1"
    port: int = 9001
    control_port: int = 9002
    proxy: str = "pool-1"
    """Name of its `[proxy.NAME]`."""
    engine: str = "engine-1"
    """Name of its `[engine.NAME]`."""
    inject_timeout_s: Seconds = 10.0
    """Longest wait for an injection; then the prompt goes as text."""
    max_inflight: Positive = 64
