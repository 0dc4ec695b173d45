"""Two turns of a conversation: does a follow-up find its block, and does a change of subject stay without one?

Asked of the samples; the pairs are ours (`data/turns.jsonl`).
"""

from importlib.resources import files

import msgspec
from msgspec import Struct

from cacheroute.bench.catalogue import Catalogue
from knowledge.retrieval.match import Gate, Limits


class Pair(Struct, frozen=True, kw_only=True):
    previous: str
    question: str
    document: str | None
    """What the second turn is answered by; None where it changes the subject."""


class TwoTurns(Struct, frozen=True, kw_only=True):
    """`found`: follow-ups that got a block of the right document; `found_alone`: without the turn before; `dragged`:
    changes of subject that got any block."""

    follow_ups: int
    found: int
    found_alone: int
    changes: int
    dragged: int


def two_turns(where: Catalogue) -> TwoTurns:
    lines = (files("cacheroute.bench") / "data" / "turns.jsonl").read_text("utf-8").splitlines()
    pairs = [msgspec.json.decode(line, type=Pair) for line in lines]
    follow_ups = [pair for pair in pairs if pair.document]
    changes = [pair for pair in pairs if not pair.document]
    return TwoTurns(
        follow_ups=len(follow_ups),
        found=sum(_found(where, pair, pair.previous) for pair in follow_ups),
        found_alone=sum(_found(where, pair, "") for pair in follow_ups),
        changes=len(changes),
        dragged=sum(bool(_kids(where, pair, pair.previous)) for pair in changes),
    )


def _found(where: Catalogue, pair: Pair, previous: str) -> bool:
    return bool(_kids(where, pair, previous) & where.kids(pair.document or ""))


def _kids(where: Catalogue, pair: Pair, previous: str) -> frozenset[str]:
    accepted = where.search(pair.question, Gate(), Limits(max_blocks=1), previous).accepted
    return frozenset(match.kid for match in accepted)
