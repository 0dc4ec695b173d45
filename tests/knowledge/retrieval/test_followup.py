from __future__ import annotations

import pytest

from knowledge.retrieval.followup import both, keeps_subject, leans


@pytest.mark.parametrize(
    "question",
    ["How long does it take?", "And for wheat?", "What about rye?", "Why?", "Is that enough?", "Which one is cheaper?"],
)
def test_a_question_that_points_back_leans_on_the_turn_before(question: str) -> None:
    assert leans(question)


@pytest.mark.parametrize("question", ["What should I cook tonight?", "Who won the cup?", "Write a poem.", ""])
def test_a_question_that_stands_by_itself_does_not(question: str) -> None:
    assert not leans(question)


def test_a_block_is_about_the_new_turn_if_it_says_one_of_its_words() -> None:
    assert keeps_subject("How long does it Rest?", {"rest", "bread"})
    assert not keeps_subject("What will the weather be like?", {"rest", "bread"})


def test_a_turn_without_words_of_its_own_keeps_the_subject_unless_it_is_to_the_model() -> None:
    assert keeps_subject("And why?", {"bread"})
    assert not keeps_subject("And who are you?", {"bread"})


def test_both_turns_make_one_question() -> None:
    assert both("What is rye? ", " And wheat?") == "What is rye? And wheat?"
