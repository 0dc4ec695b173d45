"""What an engine says of itself: its model, its limits, and the fingerprint that its KV is valid under."""

import hashlib

import msgspec
from msgspec import Struct

from cacheroute.keys import KeyScheme


class Fingerprint(Struct, frozen=True, kw_only=True):
    """Everything that changes the bytes of a KV block. KV built under one fingerprint is never offered to another."""

    weights: str
    """sha256 of the model's weights."""
    tokenizer: str
    template: str
    """sha256 of the chat template's text."""
    dtype: str
    chunk_tokens: int
    block_tokens: int
    kv_layout: str
    """Shape and order of one stored chunk, e.g. `L,2,Hkv,C,D`."""
    parallel: str = "tp1"
    key_scheme: str = "mp-blake3"
    cpu_isa: str = ""
    threads: int = 0
    kernel: str = ""
    """The forward pass that computed it, with the versions that change its bits."""

    @property
    def id(self) -> str:
        """128 bits of sha256 that name this fingerprint, as 32 hex digits."""
        canonical = msgspec.json.encode(msgspec.to_builtins(self), order="deterministic")
        return hashlib.sha256(canonical).hexdigest()[:32]


class EngineInfo(Struct, frozen=True, kw_only=True):
    """`GET /v1/engine`: what stands behind an instance."""

    kind: str
    """`embedded`, `vllm`, `sim` or `openai`."""
    model: str
    """The served model name, as clients write it."""
    max_model_len: int
    fingerprint: Fingerprint
    key_model: str
    """The model string in this engine's kv store keys: a path or name that ends with the fingerprint's id."""
    kv_bytes_per_token: int
    no_kv_reason: str = ""
    """Why this engine can take no KV (its template cannot be pinned, it has no kv store); empty if it can."""

    @property
    def key_scheme(self) -> KeyScheme:
        return KeyScheme(model=self.key_model, chunk_tokens=self.fingerprint.chunk_tokens)
