from __future__ import annotations

from knowledge.retrieval.match import Limits, Match, Matches
from knowledge.retrieval.merge import merge


def block(kid: str, confidence: float, tokens: int = 10) -> Match:
    reason = "accepted: ..." if confidence >= 0.5 else "below-gate: ..."
    return Match(kid, kid, "p", tokens, confidence, 0.5, 0.5, confidence, reason)


def matches(*blocks: Match) -> Matches:
    return Matches(tuple(b for b in blocks if b.confidence >= 0.5), blocks, blocks[0].reason if blocks else "none", 0.5)


def test_a_fact_that_only_a_clause_asks_for_is_not_outvoted() -> None:
    merged = merge(
        matches(block("a", 0.3), block("b", 0.2)), [matches(block("a", 0.8)), matches(block("b", 0.9))], Limits()
    )
    assert [each.kid for each in merged.accepted] == ["b", "a"]
    assert merged.reason.endswith("for a clause of the question")


def test_a_clause_puts_forward_its_best_block_only() -> None:
    merged = merge(matches(block("a", 0.3)), [matches(block("a", 0.8), block("b", 0.7))], Limits())
    assert [each.kid for each in merged.accepted] == ["a"]


def test_count_and_budget_hold_over_all_clauses() -> None:
    parts = [matches(block(kid, 0.9 - number / 10, tokens=40)) for number, kid in enumerate("abc")]
    whole = matches(block("z", 0.1))
    assert [each.kid for each in merge(whole, parts, Limits(max_blocks=2)).accepted] == ["a", "b"]
    assert [each.kid for each in merge(whole, parts, Limits(max_tokens=90)).accepted] == ["a", "b"]


def test_where_nothing_passes_the_best_says_why() -> None:
    merged = merge(matches(block("a", 0.3)), [matches(block("b", 0.4)), matches()], Limits())
    assert (merged.accepted, [each.kid for each in merged.considered]) == ((), ["b", "a"])
    assert merged.reason.startswith("below-gate")
