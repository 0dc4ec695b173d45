"""What was found for a whole question and for each of its clauses -> one answer.

Pure. Each clause puts forward its best block, if that passed the gate by itself; the whole question puts
forward what passed. A fact that only one clause asks for is thus not outvoted by the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from knowledge.retrieval.match import Limits, Match, Matches, within
from knowledge.retrieval.ranking import MAX_WEIGHED


def merge(whole: Matches, clauses: Sequence[Matches], limits: Limits) -> Matches:
    """As if one search had found it all: what the clauses and the whole question chose, most confident first, then the
    rest by score. Of a block that several of them found, the best account is kept."""
    of_clauses = [replace(found.accepted[0], reason=f"{found.accepted[0].reason}, for a clause of the question")
                  for found in clauses if found.accepted]  # fmt: skip
    chosen = sorted((*whole.accepted, *of_clauses), key=lambda match: (-match.confidence, match.kid))
    others = [match for found in (whole, *clauses) for match in found.considered if match not in found.accepted[:1]]
    refused = (match for match in others if not match.reason.startswith("accepted"))
    ordered: dict[str, Match] = {}
    for match in (*chosen, *sorted(refused, key=lambda match: (-match.fused, match.kid))):
        ordered.setdefault(match.kid, match)
    if not ordered:
        return whole
    return within(tuple(ordered.values())[:MAX_WEIGHED], limits, whole.threshold)
