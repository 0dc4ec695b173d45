import pytest

from cacheroute.proxy.injection import choose
from cacheroute.wire.artifacts import Artifact, FoundArtifact


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
