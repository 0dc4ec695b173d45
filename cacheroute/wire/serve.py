"""The request's own edge: scheduler -> proxy -> instance. The caller's body travels whole, as raw JSON."""

from typing import Literal

import msgspec
from msgspec import Struct

Endpoint = Literal["chat", "completions"]
InjectionType = Literal["auto", "text", "kv"]

ENGINE_PATH: dict[Endpoint, str] = {"chat": "/v1/chat/completions", "completions": "/v1/completions"}

SERVE_PATH = "/v1/serve"
"""The one data route of proxy and instance; its body is a ProxyRequest or an InstanceRequest."""

KNOWLEDGE_HEADER = "X-CacheRoute-Knowledge"
"""Of an answer: the kids in its prompt, in its order, with commas between them."""
RETRIEVAL_HEADER = "X-CacheRoute-Retrieval"
"""Why this knowledge, or why none."""
POOL_HEADER = "X-CacheRoute-Pool"
INSTANCE_HEADER = "X-CacheRoute-Instance"
INJECTION_HEADER = "X-CacheRoute-Injection"
"""`none`, `text` or `kv`: what really happened."""
REASON_HEADER = "X-CacheRoute-Reason"
"""Why text or KV."""


class Knowledge(Struct, frozen=True, kw_only=True):
    """One block to inject: its text is what the prompt gets, in text and in KV mode alike."""

    kid: str
    title: str
    text: str


class TurnKnowledge(Struct, frozen=True, kw_only=True):
    """What was found for a later turn of a conversation: it stands as text before that user message, for good."""

    message: int
    """Index into the caller's `messages`."""
    knowledge: tuple[Knowledge, ...]


class ProxyRequest(Struct, frozen=True, kw_only=True):
    request_id: str
    endpoint: Endpoint
    model: str
    """As in the body."""
    body: msgspec.Raw
    """The caller's JSON body, without CacheRoute's own options."""
    knowledge: tuple[Knowledge, ...] = ()
    """What the prompt begins with; the most relevant first."""
    turns: tuple[TurnKnowledge, ...] = ()
    injection: InjectionType = "auto"
    kdn: str | None = None
    """Name of the KDN that the scheduler chose; None: nobody has the KV, or none is needed."""
    deadline_ms: float
    """What is left of the request's time when it was sent on."""


class KvPlan(Struct, frozen=True, kw_only=True):
    """What the instance must see in its kv store before it forwards."""

    kdn: str
    artifact_id: str
    keys: tuple[str, ...]
    """Of its chunks, from the head on."""


class InstanceRequest(Struct, frozen=True, kw_only=True):
    request_id: str
    endpoint: Endpoint
    body: msgspec.Raw
    """The final body: knowledge is already in the prompt."""
    kv: KvPlan | None = None
    deadline_ms: float
