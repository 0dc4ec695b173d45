"""Which token ids every prompt with some knowledge begins with: asked of the engine's own tokenizer and template."""

from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from cacheroute import prompt
from cacheroute.instance.engine_link import EngineLink
from cacheroute.wire.artifacts import Head, PrefillRequest, Rendering
from cacheroute.wire.engine import EngineInfo

BACKGROUND_PRIORITY = 1
"""As vLLM counts: requests have 0, and what is higher comes later. Its `--scheduling-policy priority` must be set."""


class _Usage(Struct):
    prompt_tokens: int


class _Completion(Struct):
    usage: _Usage


async def find_head(engine: EngineLink, info: EngineInfo, texts: Sequence[str], rendering: Rendering) -> Head:
    """The longest common prefix of several renderings with different continuations, floored to whole chunks."""
    if info.no_kv_reason:
        return Head(token_ids=(), fingerprint=info.fingerprint.id, reason=info.no_kv_reason)
    renderings = [await engine.tokenize(body) for body in _bodies(texts, rendering)]
    shared = prompt.common_head(renderings, info.fingerprint.chunk_tokens)
    reason = "" if shared else f"shorter than one chunk of {info.fingerprint.chunk_tokens} tokens"
    return Head(token_ids=shared, fingerprint=info.fingerprint.id, reason=reason)


async def prefill(engine: EngineLink, request: PrefillRequest, timeout_s: float) -> int:
    """Has the engine compute these ids, and with them store their chunks; returns how many tokens it saw."""
    body: dict[str, Any] = {"prompt": list(request.token_ids), "max_tokens": 1, "temperature": 0}
    if request.background:
        body["priority"] = BACKGROUND_PRIORITY
    return (await engine.post("/v1/completions", body, _Completion, timeout_s=timeout_s)).usage.prompt_tokens


def _bodies(texts: Sequence[str], rendering: Rendering) -> list[dict[str, Any]]:
    if rendering == "completions":
        return [{"prompt": prompt.inject_completion(tail, texts)} for tail in prompt.CONTINUATIONS]
    return [
        {"messages": prompt.inject_chat([{"role": "system", "content": tail}, _QUESTION], texts)}
        for tail in prompt.CONTINUATIONS
    ]


_QUESTION = {"role": "user", "content": "?"}
