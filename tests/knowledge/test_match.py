from __future__ import annotations

import pytest

from knowledge.match import Candidate, Gate, Limits, Question, match

QUESTION = Question(content_words=3, bm25_mass=10.0)


def candidate(kid: str, bm25: float, cosine: float, tokens: int = 100, passage: str = "p") -> Candidate:
    return Candidate(kid, f"title of {kid}", passage, tokens, bm25, cosine)


def test_scores_are_fused_and_a_block_stands_by_its_best_passage() -> None:
    found = match(
        QUESTION,
        [candidate("a", 2, 0.4, passage="worse"), candidate("b", 8, 0.6), candidate("a", 8, 0.8, passage="better")],
        Gate(),
        Limits(),
    )
    assert [(m.kid, m.passage, round(m.fused, 3)) for m in found.considered] == [("a", "better", 0.8), ("b", "p", 0.7)]
    assert found.accepted == found.considered
    assert found.reason == "accepted: fused 0.80"
    assert (found.accepted[0].lexical, found.accepted[0].cosine) == (0.8, 0.8)


@pytest.mark.parametrize(
    ("question", "top", "reason"),
    [
        (Question(1, 10), candidate("a", 4, 0.5), "below-gate: content words 1 < 2"),
        (Question(0, 0), candidate("a", 0, 0.99), "below-gate: content words 0 < 2"),
        (QUESTION, candidate("a", 9, 0.29), "below-gate: cosine 0.29 < 0.30"),
        (QUESTION, candidate("a", 1, 0.32), "below-gate: fused 0.21 < 0.35"),
    ],
)
def test_the_gate_abstains_and_says_why_for_each(question: Question, top: Candidate, reason: str) -> None:
    found = match(question, [top, candidate("b", 0, 0.1)], Gate(), Limits())
    assert found.accepted == ()
    assert found.reason == reason
    assert [m.reason for m in found.considered] == [reason, reason]


def test_one_content_word_suffices_when_it_names_the_subject() -> None:
    assert match(Question(1, 10), [candidate("a", 8, 0.6)], Gate(), Limits()).accepted


def test_nothing_found_is_said_so() -> None:
    assert match(QUESTION, [], Gate(), Limits()).reason == "no-passage"


def test_blocks_far_below_the_best_one_are_cut() -> None:
    found = match(QUESTION, [candidate("a", 8, 0.8), candidate("b", 5, 0.5), candidate("c", 4, 0.4)], Gate(), Limits())
    assert [m.kid for m in found.accepted] == ["a", "b"]
    assert found.considered[2].reason == "below-cut: fused 0.40 < 0.48"


def test_no_more_blocks_than_allowed() -> None:
    found = match(QUESTION, [candidate(kid, 8, 0.8) for kid in "abc"], Gate(), Limits(max_blocks=2))
    assert [m.kid for m in found.accepted] == ["a", "b"]
    assert found.considered[2].reason == "over-count: 2 blocks taken"


def test_the_token_budget_holds_and_a_shorter_block_may_still_fit() -> None:
    blocks = [candidate("a", 9, 0.9, 60), candidate("b", 8, 0.8, 50), candidate("c", 7, 0.7, 40)]
    found = match(QUESTION, blocks, Gate(), Limits(max_tokens=100))
    assert [m.kid for m in found.accepted] == ["a", "c"]
    assert found.considered[1].reason == "over-budget: 60 + 50 > 100 tokens"
    none = match(QUESTION, blocks[:1], Gate(), Limits(max_tokens=50))
    assert (none.accepted, none.reason) == ((), "over-budget: 0 + 60 > 50 tokens")


def test_equal_scores_are_ordered_by_kid_so_that_every_copy_answers_alike() -> None:
    blocks = [candidate(kid, 8, 0.8) for kid in "bca"]
    for order in (blocks, blocks[::-1]):
        assert [m.kid for m in match(QUESTION, order, Gate(), Limits()).accepted] == ["a", "b", "c"]


def test_a_question_without_known_mass_has_no_lexical_score() -> None:
    [found] = match(Question(2, 0.0), [candidate("a", 5, 0.9)], Gate(), Limits()).considered
    assert (found.lexical, found.fused) == (0.0, 0.45)
