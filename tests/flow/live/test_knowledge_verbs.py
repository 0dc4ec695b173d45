"""Every verb for knowledge on the real stack: one document from its registration to its deletion and back."""

from pathlib import Path

import pytest
from fakes.live_stack import LiveStack

pytestmark = pytest.mark.slow

QUESTION = "Who carves the mill wheels of Harrenfell?"
TEXT = "\n\n".join(
    [
        "# Mills of Harrenfell",
        "The mill wheels of Harrenfell are carved by Odrun Tasker, from oak that has lain in the lake for nine years.",
        *(f"Wheel number {number} has {number + 20} paddles and turns mill number {number}." for number in range(40)),
    ]
)


def _knowledge(live: LiveStack, name: str) -> str:
    """Title of what an answer used."""
    answer = live.cacheroute("ask", QUESTION, "--mode", "kv", "--max-tokens", "4")
    assert answer["answer"]["way"]["knowledge"], answer
    assert name in answer["titles"].values()
    return answer["answer"]["way"]["injection"]


def _rot(live: LiveStack, artifact_id: str) -> None:
    (blob,) = (live.config.paths.data_dir / "kdn" / "kdn-1" / "blobs").glob(f"{artifact_id}.*")
    content = bytearray(blob.read_bytes())
    content[-1000] ^= 0xFF
    blob.write_bytes(content)


def test_a_document_goes_through_every_verb_and_comes_back(live: LiveStack, tmp_path: Path) -> None:
    file = tmp_path / "mills.md"
    file.write_text(TEXT)
    (added,) = live.cacheroute("knowledge", "add", str(file))["documents"]
    assert added["status"] == "added"
    listed = live.cacheroute("knowledge", "list")["kdns"]["kdn-1"]
    assert [each["built_blocks"] for each in listed if each["source"] == str(file)] == [0]

    found = live.cacheroute("knowledge", "search", QUESTION)
    kid = found["accepted"][0]["kid"]
    assert kid in added["kids"]
    assert found["accepted"][0]["confidence"] >= found["threshold"] > 0
    assert _knowledge(live, "Mills of Harrenfell") == "text"
    why = live.cacheroute("knowledge", "why", "last")
    assert why["considered"][0]["kid"] == kid

    built = live.cacheroute("knowledge", "build", "mills.md")
    assert {build["state"] for build in built["builds"]} == {"built"}
    assert {artifact["kids"][0] for artifact in built["artifacts"]} == set(added["kids"])
    again = live.cacheroute("knowledge", "build", "mills.md")
    assert {build["state"] for build in again["builds"]} == {"present"}

    ids = [artifact["id"] for artifact in built["artifacts"]]
    assert all(verdict["ok"] for verdict in live.cacheroute("knowledge", "verify", "mills.md")["verdicts"])
    _rot(live, ids[0])
    (rotten,) = live.cacheroute("knowledge", "verify", ids[0], check=False)["verdicts"]
    assert (rotten["ok"], rotten["rebuild"] > 0) == (False, True)
    rebuilt = live.cacheroute("knowledge", "build", "mills.md")
    assert not any(build["why"] for build in rebuilt["builds"])
    assert all(verdict["ok"] for verdict in live.cacheroute("knowledge", "verify", "mills.md")["verdicts"])

    assert all(each["pinned"] for each in live.cacheroute("knowledge", "pin", "mills.md")["artifacts"])
    assert live.cacheroute("kdn", "status")["kdns"]["kdn-1"]["artifacts"]["pinned"] == len(ids)
    assert _knowledge(live, "Mills of Harrenfell") == "kv"

    evicted = live.cacheroute("knowledge", "evict", "mills.md", "--yes")
    assert {artifact["id"] for artifact in evicted["evicted"]["kdn-1"]} == set(ids)
    assert _knowledge(live, "Mills of Harrenfell") == "text"
    advised = live.cacheroute("kdn", "advise")["kdns"]["kdn-1"]
    assert any(kid in advice["kids"] for advice in advised)

    changed = tmp_path / "changed.md"
    changed.write_text(TEXT.replace("Odrun Tasker", "Sabet Millwright"))
    edited = live.cacheroute("knowledge", "edit", "mills.md", "--file", str(changed))
    assert (edited["status"], kid in edited["removed"]) == ("replaced", True)
    assert _knowledge(live, "Mills of Harrenfell") == "text"
    (first, *_) = live.cacheroute("knowledge", "why", "last")["knowledge"]
    (block,) = live.cacheroute("knowledge", "show", first)["blocks"]
    assert "Sabet Millwright" in block["text"]
    assert "Odrun" not in block["text"]

    exported = tmp_path / "library.gz"
    assert live.cacheroute("knowledge", "export", str(exported))["nbytes"] == exported.stat().st_size
    gone = live.cacheroute("knowledge", "delete", "mills.md", "--yes")["kdns"]["kdn-1"]
    assert {proof["left"] for proof in gone["proof"]} == {0}
    assert "engine instance-1" in {proof["place"] for proof in gone["proof"]}
    assert not live.cacheroute("knowledge", "search", QUESTION)["accepted"]

    back = live.cacheroute("knowledge", "import", str(exported))
    assert (back["added"], back["failures"]) == (1, [])
    assert live.cacheroute("knowledge", "search", QUESTION)["accepted"][0]["kid"] == first
    live.cacheroute("knowledge", "delete", "mills.md", "--yes")
