import pytest

from cacheroute.proxy.compose import PromptKnowledge
from cacheroute.proxy.injection import choose, told_of_all, what_happened
from cacheroute.wire.artifacts import Artifact, FoundArtifact
from cacheroute.wire.decision import HopReport, InjectionDecision, InjectReceipt
from cacheroute.wire.serve import Knowledge, TurnKnowledge


def _found(n_tokens: int) -> FoundArtifact:
    artifact = Artifact(
        id="a", kids=("k",), rendering="chat", fingerprint="f", n_tokens=n_tokens, keys=("x",), nbytes=1
    )
    return FoundArtifact(artifact=artifact, reason="found")


NOTHING = FoundArtifact(artifact=None, reason="never built")


@pytest.mark.parametrize(
    ("asked", "blocks", "found", "mode", "reason"),
    [
        ("auto", 0, None, "none", "no-knowledge"),
        ("kv", 0, _found(999), "none", "no-knowledge"),
        ("text", 1, _found(999), "text", "text-asked"),
        ("kv", 1, _found(10), "kv", "kv-asked"),
        ("kv", 1, NOTHING, "text", "no-kv: never built"),
        ("kv", 1, None, "text", "no-kv: no-kdn"),
        ("auto", 1, NOTHING, "text", "no-kv: never built"),
        ("auto", 1, _found(128), "kv", "unprofiled: 128 tokens >= threshold 128"),
        ("auto", 1, _found(127), "text", "unprofiled: 127 tokens < threshold 128"),
    ],
)
def test_text_or_kv_and_why(asked, blocks, found, mode, reason):
    decision = choose(asked, blocks, found, threshold_tokens=128)
    assert (decision.mode, decision.reason) == (mode, reason)


def test_knowledge_of_later_turns_alone_is_text():
    knowledge = PromptKnowledge(
        head=(), turns=(TurnKnowledge(message=2, knowledge=(Knowledge(kid="k", title="", text="t"),)),)
    )
    assert told_of_all(InjectionDecision(mode="none", reason="no-knowledge"), knowledge).mode == "text"


def test_an_injection_that_failed_is_told_as_text_with_its_failure():
    receipt = InjectReceipt(artifact_id="a", store="kv-1", present=0, pushed=0, nbytes=0, ms=1.0, error="kdn-1 is gone")
    told = what_happened(InjectionDecision(mode="kv", reason="kv-asked"), (HopReport(hop="i", receipt=receipt),))
    assert told.mode == "text"
    assert told.reason.startswith("kv-asked")
    assert "kdn-1 is gone" in told.reason
