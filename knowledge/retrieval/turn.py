"""A user's turn, as it is looked up: the question whole, its clauses, and together with the turn before.

Says which texts are to be embedded, then searches with their vectors. Synchronous, as search.py is.
"""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass, replace

from knowledge.catalogue.shelf import Shelf
from knowledge.embedding import Vectors
from knowledge.retrieval import clauses, followup
from knowledge.retrieval.match import Gate, Limits, Matches, match
from knowledge.retrieval.merge import merge
from knowledge.retrieval.search import look_up, search


@dataclass(frozen=True, slots=True)
class Turn:
    """`clauses`: none where it is one question; `with_previous`: empty where it does not lean on the turn before."""

    question: str
    clauses: tuple[str, ...] = ()
    with_previous: str = ""

    @property
    def texts(self) -> tuple[str, ...]:
        """What to embed as queries, all in one call."""
        return (self.question, *self.clauses, *filter(None, [self.with_previous]))


def turn(question: str, previous: str = "") -> Turn:
    """`previous`: the user's turn before this one, if there was one."""
    leaning = bool(previous.strip()) and followup.leans(question)
    return Turn(question, clauses.clauses(question), followup.both(previous, question) if leaning else "")


def search_turn(
    shelf: Shelf, asked: Turn, vectors: Vectors, gate: Gate, limits: Limits, visible: Set[str] | None = None
) -> Matches:
    """The blocks that fit, or why there are none. `vectors`: one row for each of `asked.texts`.

    Raises as `search` does.
    """
    found = search(shelf, asked.question, vectors[:1], gate, limits, visible)
    if asked.clauses:
        each = Limits(max_blocks=1, max_tokens=limits.max_tokens)
        rows = [vectors[row : row + 1] for row in range(1, 1 + len(asked.clauses))]
        parts = [
            search(shelf, clause, row, gate, each, visible) for clause, row in zip(asked.clauses, rows, strict=True)
        ]
        found = merge(found, parts, limits)
    if found.accepted or not asked.with_previous:
        return found
    return _with_previous(shelf, asked, vectors[-1:], gate, limits, visible) or found


def _with_previous(
    shelf: Shelf, asked: Turn, vector: Vectors, gate: Gate, limits: Limits, visible: Set[str] | None
) -> Matches | None:
    """What both turns together find, where it is about the new one as well."""
    findings = look_up(shelf, asked.with_previous, vector, visible)
    kept = [found for found in findings.found if followup.keeps_subject(asked.question, found.said)]
    together = match(findings.question, kept, gate, limits)
    if not together.accepted:
        return None
    return replace(together, reason=f"{together.reason}, with the turn before")
