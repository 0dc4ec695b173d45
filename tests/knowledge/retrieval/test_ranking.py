from __future__ import annotations

import pytest

from knowledge.retrieval.ranking import Candidate, Question, Read, rank, weigh
from knowledge.retrieval.wording import Said

QUESTION = Question({"common": 1.0, "rare": 3.0})  # a mass of 2.2 x 4 = 8.8


def candidate(kid: str, bm25: float, cosine: float, ordinal: int = 0, passage_id: int = 0) -> Candidate:
    return Candidate(passage_id, kid, ordinal, 100, bm25, cosine)


def test_scores_are_fused_and_a_block_stands_by_its_best_passage() -> None:
    ranked = rank(QUESTION, [candidate("a", 2, 0.4), candidate("b", 6.6, 0.6), candidate("a", 6.6, 0.8, ordinal=1)])
    assert [(each.candidate.kid, each.candidate.ordinal) for each in ranked] == [("a", 1), ("b", 0)]
    assert ranked[0].lexical == pytest.approx(0.75)
    assert ranked[0].fused == pytest.approx(0.775)


def test_a_lexical_score_is_at_most_one_and_none_without_known_mass() -> None:
    assert rank(QUESTION, [candidate("a", 50, 0.4)])[0].lexical == 1.0
    assert rank(Question({}), [candidate("a", 5, 0.9)])[0].fused == pytest.approx(0.45)


def test_equal_scores_are_ordered_by_kid_so_that_every_copy_answers_alike() -> None:
    blocks = [candidate(kid, 4, 0.8) for kid in "bca"]
    for order in (blocks, blocks[::-1]):
        assert [each.candidate.kid for each in rank(QUESTION, order)] == ["a", "b", "c"]


def test_a_margin_is_held_against_the_best_other_block_and_negative_for_all_but_the_best() -> None:
    first, second = weigh(QUESTION, rank(QUESTION, [candidate("a", 6.6, 0.8), candidate("b", 2.2, 0.5)]), {})
    assert first.evidence.cosine_margin == pytest.approx(0.3)
    assert first.evidence.lexical_margin == pytest.approx(0.5)
    assert first.evidence.fused_margin == pytest.approx(0.4)
    assert second.evidence.fused_margin == pytest.approx(-0.4)
    assert (first.evidence.background, second.evidence.background) == (0.5, 0.8)


def test_one_block_alone_has_its_whole_score_for_a_margin() -> None:
    [alone] = weigh(QUESTION, rank(QUESTION, [candidate("a", 6.6, 0.8)]), {})
    assert (alone.evidence.cosine_margin, alone.evidence.background) == (0.8, 0.0)


def test_a_rare_word_weighs_more_than_a_common_one_and_sentences_count_apart() -> None:
    said = Said(frozenset({"common", "rare"}), (frozenset({"common"}), frozenset({"rare"})))
    [found] = weigh(QUESTION, rank(QUESTION, [candidate("a", 1, 0.5, passage_id=7)]), {7: Read(said=said)})
    assert (found.evidence.said_weight, found.evidence.said_share, found.evidence.sentence_weight) == (1.0, 1.0, 0.75)
    assert found.said == {"common", "rare"}
