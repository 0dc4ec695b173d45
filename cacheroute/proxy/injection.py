"""Text or KV for one request: the decision, as a value with its reason. Pure."""

from msgspec.structs import replace

from cacheroute import sanitise
from cacheroute.proxy.compose import PromptKnowledge
from cacheroute.wire.artifacts import FoundArtifact
from cacheroute.wire.decision import HopReport, InjectionDecision
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
        return InjectionDecision(mode="kv", reason="kv-asked", kv_tokens=artifact.n_tokens)
    if artifact.n_tokens >= threshold_tokens:
        reason = f"unprofiled: {artifact.n_tokens} tokens >= threshold {threshold_tokens}"
        return InjectionDecision(mode="kv", reason=reason, kv_tokens=artifact.n_tokens)
    reason = f"unprofiled: {artifact.n_tokens} tokens < threshold {threshold_tokens}"
    return InjectionDecision(mode="text", reason=reason, kv_tokens=artifact.n_tokens)


def told_of_all(head: InjectionDecision, knowledge: PromptKnowledge) -> InjectionDecision:
    """The decision for the head, told of the whole prompt: what stands further back goes as text in any case."""
    if head.mode == "none" and knowledge.turns:
        head = replace(head, mode="text", reason="text: knowledge of later turns only")
    if knowledge.left_out:
        left_out = ", ".join(kid[:12] for kid in knowledge.left_out)
        head = replace(head, reason=f"{head.reason}; left out, for the prompt was too long: {left_out}")
    return head


def what_happened(decided: InjectionDecision, below: tuple[HopReport, ...]) -> InjectionDecision:
    """The decision, told as text where the injection did not come about."""
    receipt = below[0].receipt if below else None
    if receipt is None or not receipt.error:
        return decided
    reason = f"{decided.reason}; then text, for the injection failed: {sanitise.for_line(receipt.error, 200)}"
    return replace(decided, mode="text", reason=reason)
