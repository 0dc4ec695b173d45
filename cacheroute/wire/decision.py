"""Decisions are values with reasons, and a trace is what really happened beside what was predicted."""

from typing import Any, Literal

from msgspec import Struct

Mode = Literal["none", "text", "kv"]


class Decision(Struct, frozen=True, kw_only=True):
    """Who was chosen, and why. The same `reason` goes to the header, the log, the metric and the console."""

    target: str
    reason: str
    scores: tuple[tuple[str, float], ...] = ()


class InjectionDecision(Struct, frozen=True, kw_only=True):
    """Text or KV for one request."""

    mode: Mode
    reason: str
    kv_tokens: int = 0
    """Of the prompt's head, those that there is KV of."""


class InjectReceipt(Struct, frozen=True, kw_only=True):
    """What an injection did: chunks found in place, chunks pushed, bytes pushed, ms. `error` empty: all is there."""

    artifact_id: str
    store: str
    present: int
    pushed: int
    nbytes: int
    ms: float
    error: str = ""


class HopReport(Struct, frozen=True, kw_only=True):
    """One hop's part of the trace, sent back in the `X-CacheRoute-Hop` header with the first byte."""

    hop: str
    parts_ms: dict[str, float] = {}
    decision: Decision | None = None
    kdn: Decision | None = None
    """Of the scheduler: where KV is asked for; None where nobody holds all of the knowledge, or none is needed."""
    injection: InjectionDecision | None = None
    receipt: InjectReceipt | None = None
    below: tuple["HopReport", ...] = ()


class Considered(Struct, frozen=True, kw_only=True):
    """A block that was looked at for a request: its scores, and what became of it. Never its text."""

    kid: str
    title: str
    fused: float
    lexical: float
    cosine: float
    confidence: float
    """0 to 1, as calibrated: how likely it answers the question."""
    reason: str


class RequestTrace(Struct, frozen=True, kw_only=True):
    """One request, whole, as the scheduler keeps it. Durations are monotonic; predictions are never overwritten."""

    request_id: str
    endpoint: str
    model: str
    started_at: str
    """Wall clock, ISO 8601, for people: no duration is computed from it."""
    status: int
    """0 while the request is under way, 499 where the client left before the end."""
    error: str = ""
    knowledge: tuple[str, ...] = ()
    retrieval: str = ""
    considered: tuple[Considered, ...] = ()
    """The best few that were looked at, best first, also where none was used."""
    conversation: str = ""
    """What its turns are known by; empty where it is none."""
    pool: str = ""
    instance: str = ""
    injection: str = ""
    reason: str = ""
    ttft_ms: float | None = None
    total_ms: float | None = None
    usage: dict[str, Any] | None = None
    hops: tuple[HopReport, ...] = ()
