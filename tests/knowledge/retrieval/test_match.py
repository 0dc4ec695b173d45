from __future__ import annotations

import pytest

from knowledge.retrieval.confidence import Evidence, Regression
from knowledge.retrieval.match import Gate, Limits, Matches, match
from knowledge.retrieval.ranking import Candidate, Found, Question, Ranked, Read

QUESTION = Question({"a": 1.0, "b": 1.0, "c": 1.0})
BY_COSINE = Regression(-5.0, Evidence(10, 0, 0, 0, 0, 0, 0, 0, 0))
"""Confidence .5 at a cosine of .5, .27 at .4, .95 at .8."""


def found(kid: str, cosine: float, tokens: int = 100, fused: float = 0.5) -> Found:
    candidate = Candidate(1, kid, 0, tokens, 1.0, cosine)
    return Found(Ranked(candidate, 0.5, fused), Evidence(cosine, 0, 0, 0, 0, 0, 0, 0, 0), Read(f"title of {kid}", "p"))


def decide(*blocks: Found, question: Question = QUESTION, limits: Limits | None = None) -> Matches:
    return match(question, blocks, Gate(min_confidence=0.5), limits or Limits(), BY_COSINE)


def test_each_block_is_let_through_or_not_by_its_own_confidence() -> None:
    decided = decide(found("a", 0.8), found("b", 0.4), found("c", 0.6))
    assert [each.kid for each in decided.accepted] == ["a", "c"]
    assert [each.reason for each in decided.considered] == [
        "accepted: confidence 0.95",
        "below-gate: confidence 0.27 < 0.50",
        "accepted: confidence 0.73",
    ]
    assert (decided.reason, decided.threshold) == ("accepted: confidence 0.95", 0.5)
    assert round(decided.considered[0].confidence, 2) == 0.95


@pytest.mark.parametrize(
    ("question", "top", "reason"),
    [
        (Question({"a": 1.0}), found("a", 0.9), "below-gate: content words 1 < 2"),
        (Question({}), found("a", 0.99, fused=0.9), "below-gate: content words 0 < 2"),
        (QUESTION, found("a", 0.29), "below-gate: cosine 0.29 < 0.30"),
        (QUESTION, found("a", 0.32), "below-gate: confidence 0.14 < 0.50"),
    ],
)
def test_the_gate_abstains_and_says_why(question: Question, top: Found, reason: str) -> None:
    decided = decide(top, found("b", 0.1), question=question)
    assert decided.accepted == ()
    assert decided.reason == reason


def test_one_content_word_suffices_when_it_names_the_subject() -> None:
    assert decide(found("a", 0.8, fused=0.7), question=Question({"a": 1.0})).accepted


def test_nothing_found_is_said_so() -> None:
    assert decide().reason == "no-passage"


def test_no_more_blocks_than_allowed() -> None:
    decided = decide(*(found(kid, 0.8) for kid in "abc"), limits=Limits(max_blocks=2))
    assert [each.kid for each in decided.accepted] == ["a", "b"]
    assert decided.considered[2].reason == "over-count: 2 blocks taken"


def test_the_token_budget_holds_and_a_shorter_block_may_still_fit() -> None:
    blocks = [found("a", 0.9, 60), found("b", 0.8, 50), found("c", 0.7, 40)]
    decided = decide(*blocks, limits=Limits(max_tokens=100))
    assert [each.kid for each in decided.accepted] == ["a", "c"]
    assert decided.considered[1].reason == "over-budget: 60 + 50 > 100 tokens"
    none = decide(blocks[0], limits=Limits(max_tokens=50))
    assert (none.accepted, none.reason) == ((), "over-budget: 0 + 60 > 50 tokens")


def test_the_shipped_threshold_refuses_what_nothing_speaks_for_and_takes_what_all_speaks_for() -> None:
    """A threshold that lets everything pass, or nothing, would be none."""
    for evidence, accepted in ((Evidence(0.35, 0, 0, 0, 0.2, 0.3, 0.1, 1.4, 0.3), 0),
                               (Evidence(0.7, 0.3, 0.4, 0.35, 1, 1, 1, 1.8, 0.2), 1)):  # fmt: skip
        top = Found(found("a", evidence.cosine).ranked, evidence, Read())
        assert len(match(QUESTION, [top], Gate(), Limits()).accepted) == accepted
