from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from knowledge.retrieval.clauses import MAX_CLAUSES, clauses


@pytest.mark.parametrize(
    ("question", "parts"),
    [
        ("What does rye bread need and where is salt mined?", ("What does rye bread need", "where is salt mined?")),
        ("Who built the tower? When did the bridge fall?", ("Who built the tower?", "When did the bridge fall?")),
        ("How is a kid computed, and which port is taken?", ("How is a kid computed", "which port is taken?")),
        ("Rye was sown in what year and who owns the mill?", ("Rye was sown in what year", "who owns the mill?")),
    ],
)
def test_a_question_that_joins_two_is_split(question: str, parts: tuple[str, ...]) -> None:
    assert clauses(question) == parts


@pytest.mark.parametrize(
    "question",
    [
        "What do salt and pepper cost?",
        "What is the difference between rye and wheat?",
        "Who built the tower and when?",
        "I have flour and water.",
        "Show me the rye bread.",
        "",
    ],
)
def test_one_question_stays_whole(question: str) -> None:
    assert clauses(question) == ()


@given(st.text("what who and is? ,;abcd", max_size=400))
def test_any_text_gives_no_part_or_several_and_a_bounded_number(question: str) -> None:
    assert len(clauses(question)) in {0, *range(2, MAX_CLAUSES + 1)}
