"""A KDN's settings."""

from msgspec import Struct

from cacheroute.bounds import Positive, Seconds


class KdnConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    host: str = "127.0.0.1"
    port: int = 9101
    quota_mb: Positive = 20_000
    """Bytes of artifacts kept on disk; the least recently used go first."""
    build_timeout_s: Seconds = 300.0
    store_wait_s: Seconds = 10.0
    """Of a build: longest wait for the next chunk that an engine computed to appear in its kv store."""
    inject_timeout_s: Seconds = 30.0
    max_injections: Positive = 4
    max_waiting: Positive = 64
    """Injections waiting for their turn; one more is answered 429."""
    block_tokens: Positive = 1024
    """Longest block, in tokens as knowledge estimates them: rather too many than too few."""
