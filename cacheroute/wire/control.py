"""Leases: how KDNs and proxies are known to the scheduler, and instances to their proxy.

A lease is one idempotent PUT of the whole record, repeated every `renew_s`. So registering, heartbeat and
re-registering after the peer restarted are the same call, in any order of start. The grant that comes back
carries the directory of those whom the holder may call: no address is ever taken from a request.
"""

from msgspec import Struct

from cacheroute.wire.engine import EngineInfo


class InstanceLoad(Struct, frozen=True, kw_only=True):
    """Live load of one instance: what it serves now, and how its requests ended since it started."""

    inflight: int = 0
    served: int = 0
    failed: int = 0


class InstanceRecord(Struct, frozen=True, kw_only=True):
    name: str
    boot_id: str
    url: str
    control_url: str
    kv_store: str | None
    """The name, in everybody's config, of the kv store that this instance's engine reads; None: it has none."""
    engine: EngineInfo
    ready: bool = True
    why: str = ""
    load: InstanceLoad = InstanceLoad()


class KdnLoad(Struct, frozen=True, kw_only=True):
    """Live load of one KDN, absolute in every lease: nothing counted elsewhere can drift from it."""

    injecting: int = 0
    waiting: int = 0
    """Injections that wait for their turn."""
    building: int = 0
    requests_1m: int = 0
    """Injections asked for in the last minute."""
    inject_ms: float | None = None
    """Of a recent injection, waiting included (a moving mean); None: none yet."""


class KdnRecord(Struct, frozen=True, kw_only=True):
    name: str
    boot_id: str
    url: str
    epoch: str
    """Changes when the catalogue's history starts anew: a copy of it must then be fetched whole."""
    seq: int
    """The catalogue's newest change."""
    blocks: int = 0
    artifacts: int = 0
    load: KdnLoad = KdnLoad()


class ProxyRecord(Struct, frozen=True, kw_only=True):
    name: str
    boot_id: str
    url: str
    control_url: str
    capacity: int = 0
    queued: int = 0
    inflight: int = 0
    instances: tuple[InstanceRecord, ...] = ()


class Grant(Struct, frozen=True, kw_only=True):
    """The answer to a lease: how soon to renew it, and who may be called."""

    renew_s: float
    kdns: dict[str, str] = {}
    """Live KDNs: name -> base url."""
    instances: tuple[InstanceRecord, ...] = ()
    """Live instances of all pools (for KDNs, which build KV on them)."""


class Listing(Struct, frozen=True, kw_only=True):
    """`GET /v1/peers` of the scheduler's control plane."""

    kdns: tuple[KdnRecord, ...] = ()
    proxies: tuple[ProxyRecord, ...] = ()
