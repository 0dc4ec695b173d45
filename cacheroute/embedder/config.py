"""The embedder's settings."""

from typing import Literal

from msgspec import Struct

from cacheroute.bounds import Positive


class EmbedderConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    host: str = "127.0.0.1"
    port: int = 9301
    model: str = ""
    """A sentence-transformers directory; empty: all-MiniLM-L6-v2 from its wheel."""
    threads: Positive = 1
    """More threads were slower on a busy machine: a query took 208 ms instead of 13."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """auto: bfloat16 where this CPU multiplies it natively. Half the time, the same texts found."""
    max_waiting: Positive = 256
    """Texts waiting to be embedded; a request that would make it more is answered 429."""
