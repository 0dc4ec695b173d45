"""Text or KV for one request: the decision, as a value with its reason. Pure."""

from cacheroute.wire.artifacts import FoundArtifact
from cacheroute.wire.decision import InjectionDecision
from cacheroute.wire.serve import InjectionType


def choose(
    asked: InjectionType, knowledge_blocks: int, found: FoundArtifact | None, threshold_tokens: int
) -> InjectionDecision:
    """`asked` is what the request wants, `found` what the KDN has (None: it was not asked).

    `auto` takes KV from `threshold_tokens` of artifact on. KV that was asked for but is not there goes as text.
    """
    if knowledge_blocks == 0:
        return InjectionDecision(mode="none", reason="no-knowledge")
    if asked == "text":
        return InjectionDecision(mode="text", reason="text-asked")
    artifact = found.artifact if found else None
    if artifact is None:
        why = found.reason if found else "no-kdn"
        return InjectionDecision(mode="text", reason=f"no-kv: {why}")
    if asked == "kv":
        return InjectionDecision(mode="kv", reason="kv-asked", knowledge_tokens=artifact.n_tokens)
    if artifact.n_tokens >= threshold_tokens:
        reason = f"unprofiled: {artifact.n_tokens} tokens >= threshold {threshold_tokens}"
        return InjectionDecision(mode="kv", reason=reason, knowledge_tokens=artifact.n_tokens)
    reason = f"unprofiled: {artifact.n_tokens} tokens < threshold {threshold_tokens}"
    return InjectionDecision(mode="text", reason=reason, knowledge_tokens=artifact.n_tokens)
