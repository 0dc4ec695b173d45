"""Whose turn it is among those that can serve a request: pools, or the instances of one. Pure: same candidates, same
turn -> same Decisions.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from cacheroute.wire.decision import Decision


class Candidate(Protocol):
    """Whoever can serve the request."""

    @property
    def name(self) -> str: ...


Strategy = Callable[[Sequence[Candidate], int], list[Decision]]
"""(candidates, turn) -> decisions, best first. The rest are where it goes if the first is gone."""


def round_robin(candidates: Sequence[Candidate], turn: int) -> list[Decision]:
    """Each in its turn."""
    count = len(candidates)
    ordered = [candidates[(turn + step) % count] for step in range(count)]
    return [
        Decision(target=candidate.name, reason="round_robin" if step == 0 else "round_robin, next after a failure")
        for step, candidate in enumerate(ordered)
    ]


STRATEGIES: dict[str, Strategy] = {"round_robin": round_robin}
"""By the names that the configuration takes."""
