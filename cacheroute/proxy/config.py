"""A proxy's settings: one pool's queues and its rule for text or KV."""

from typing import Literal

from msgspec import Struct

from cacheroute.bounds import Count, Positive, Seconds
from cacheroute.wire.serve import InjectionType


class ProxyConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    host: str = "127.0.0.1"
    port: int = 8001
    control_port: int = 8002
    lease_ttl_s: Seconds = 10.0
    lease_renew_s: Seconds = 2.0
    strategy: Literal["round_robin"] = "round_robin"
    injection: InjectionType = "auto"
    """For requests that leave it open."""
    kv_threshold_tokens: Count = 128
    """`auto` chooses KV from this many artifact tokens on."""
    prepare_concurrency: Positive = 8
    max_preparing: Positive = 64
    instance_concurrency: Positive = 8
    """Requests at a time on one instance."""
    max_ready: Positive = 64
    """Requests waiting for one instance; one more is answered 429."""
