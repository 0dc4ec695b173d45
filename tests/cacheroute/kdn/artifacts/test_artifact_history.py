"""Whatever happens to artifacts in whatever order: quota, rows, files and what is offered agree."""

import tempfile
from contextlib import suppress
from pathlib import Path

from fakes.artifacts import CHUNK, blob_path, blob_paths, built, rows
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from cacheroute.errors import Unavailable
from cacheroute.kdn.artifacts.artifacts import Artifacts

KIDS = st.sampled_from("abcde")


class History(RuleBasedStateMachine):
    """Builds, uses, pins, drops, rots and restarts; `pinned` and `rotten` are what a person would note down."""

    def __init__(self) -> None:
        super().__init__()
        self.home = tempfile.TemporaryDirectory()
        self.directory = Path(self.home.name)
        self.quota = 8
        self.pinned: set[str] = set()
        self.rotten: set[str] = set()
        self.artifacts = Artifacts(self.directory, self.quota * CHUNK)

    def teardown(self) -> None:
        self.artifacts.close()
        self.home.cleanup()

    def held(self, kid):
        return next((artifact for artifact in self.artifacts.all() if artifact.kids == (kid,)), None)

    @rule(kid=KIDS, chunks=st.integers(1, 4))
    def build(self, kid, chunks):
        before = self.held(kid)
        with suppress(Unavailable):
            made = built(self.artifacts, kid, chunks=chunks, whole_chunks=4)
            assert before is None or made.n_tokens >= before.n_tokens or self.held(kid) == made
            if made != before:
                self.rotten.discard(kid)

    @rule(kid=KIDS)
    def use(self, kid):
        if artifact := self.held(kid):
            self.artifacts.used(artifact.id)
            assert self.held(kid).hits == artifact.hits + 1

    @rule(kid=KIDS, on=st.booleans())
    def pin(self, kid, on):
        if artifact := self.held(kid):
            self.artifacts.pin(artifact.id, on)
            (self.pinned.add if on else self.pinned.discard)(kid)

    @rule(kid=KIDS)
    def drop(self, kid):
        if artifact := self.held(kid):
            self.artifacts.drop([artifact.id])
            self.pinned.discard(kid)
            self.rotten.discard(kid)

    @rule(kid=KIDS, at=st.integers(0, 4 * CHUNK - 1))
    def rot(self, kid, at):
        if (artifact := self.held(kid)) and kid not in self.rotten:
            path = blob_path(self.directory, artifact)
            content = bytearray(path.read_bytes())
            content[at % len(content)] ^= 1
            path.write_bytes(content)
            self.rotten.add(kid)

    @rule(kid=KIDS)
    def verify(self, kid):
        if artifact := self.held(kid):
            verdict = self.artifacts.verify(artifact.id)
            assert verdict.ok == (kid not in self.rotten)
            self.rotten.discard(kid)
            assert verdict.ok or verdict.kept_tokens < artifact.n_tokens
            left = self.held(kid)
            assert (left.n_tokens if left else 0) == (artifact.n_tokens if verdict.ok else verdict.kept_tokens)
            if left is None:
                self.pinned.discard(kid)

    @rule(quota=st.integers(3, 10))
    def restart(self, quota):
        self.artifacts.close()
        (self.directory / "blobs" / "drafts" / "left").touch()
        (self.directory / "blobs" / "nobodys.kv").touch()
        self.quota = quota
        self.artifacts = Artifacts(self.directory, quota * CHUNK)

    @precondition(lambda self: len(self.artifacts))
    @invariant()
    def what_is_pinned_is_there(self):
        assert {artifact.kids[0] for artifact in self.artifacts.all() if artifact.pinned} == self.pinned

    @invariant()
    def everything_agrees(self):
        held = self.artifacts.all()
        self.rotten &= {artifact.kids[0] for artifact in held}
        nbytes = sum(artifact.nbytes for artifact in held)
        pinned = sum(artifact.nbytes for artifact in held if artifact.pinned)
        assert self.artifacts.nbytes == nbytes <= max(self.quota * CHUNK, pinned)
        assert sum(path.stat().st_size for path in blob_paths(self.directory)) == nbytes
        assert list((self.directory / "blobs" / "drafts").iterdir()) == []
        assert {(row["id"], row["nbytes"], row["pinned"]) for row in rows(self.directory)} == {
            (artifact.id, artifact.nbytes, artifact.pinned) for artifact in held
        }
        assert [artifact.id for artifact in self.artifacts.page("", 9)] == sorted(artifact.id for artifact in held)


TestHistory = History.TestCase
TestHistory.settings = settings(
    max_examples=10, stateful_step_count=20, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
