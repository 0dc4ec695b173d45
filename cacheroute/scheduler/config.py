"""The scheduler's settings."""

from typing import Literal

from msgspec import Struct

from cacheroute.bounds import Positive, Seconds


class SchedulerConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    host: str = "127.0.0.1"
    port: int = 7001
    control_port: int = 7002
    lease_ttl_s: Seconds = 10.0
    lease_renew_s: Seconds = 2.0
    strategy: Literal["round_robin"] = "round_robin"
    max_inflight: Positive = 256
    """Requests served at a time; one more is answered 429."""
    request_timeout_s: Seconds = 300.0
    """A request's time where the client names none (X-Request-Deadline-Ms)."""
    retrieval_top_k: Positive = 3
    """Most blocks put before a question. Each passes the gate by itself, or for a clause of the question: of those that
    ask for one fact 90 (samples) to 99 % (XQuAD) still get one block. Of two facts asked for at once .88 are found."""
    knowledge_token_budget: Positive = 4096
    conversation_ttl_s: Seconds = 3600.0
    """How long it is remembered which knowledge a conversation has; then it is found again for its first question."""
    max_conversations: Positive = 10_000
    kdn_max_waiting: Positive = 32
    """Injections waiting at a KDN from which on another holder of the same KV is preferred, however busy."""
    trace_ring: Positive = 1000
