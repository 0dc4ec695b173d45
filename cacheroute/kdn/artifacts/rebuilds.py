"""What is found rotten is built again: by whom, and what whoever wanted it is told. Knows no queue."""

from typing import Protocol

from cacheroute.wire.artifacts import Artifact, Verdict


class Rebuilds(Protocol):
    """Takes orders to build an artifact anew."""

    def rebuild(self, artifact: Artifact) -> int:
        """Blocking, called in any thread. The order's id, 0 if it cannot be taken. Raises nothing."""
        ...


class NoRebuilds:
    """Where nobody builds: what is rotten is built when somebody asks for it."""

    def rebuild(self, artifact: Artifact) -> int:
        return 0


class Rotted(Exception):
    """An artifact turned out rotten while it was read. `verdict` says what is left of it, and who builds it anew."""

    def __init__(self, verdict: Verdict, n_tokens: int) -> None:
        kept = f"the first {verdict.kept_tokens:,} of {n_tokens:,} tokens stay" if verdict.kept_tokens else "dropped"
        again = f"; queued to be built again as {verdict.rebuild}" if verdict.rebuild else ""
        super().__init__(f"{verdict.why}: {kept}{again}")
        self.verdict = verdict
