"""A kv store's settings: an embedded Valkey that the stack starts, or a server of your own by url."""

from msgspec import Struct

from cacheroute.bounds import Positive, Seconds


class KvStoreConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    host: str = "127.0.0.1"
    port: int = 7379
    url: str = ""
    """redis://[:password@]host:port/db of a server of your own; empty: the embedded Valkey is started."""
    maxmemory_mb: Positive = 2048
    timeout_s: Seconds = 10.0
    """Longest wait for one answer of the store."""
