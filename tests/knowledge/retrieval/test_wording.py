from __future__ import annotations

from knowledge.retrieval.wording import Said, said


def mark(text: str) -> str:
    return text.replace("[", "\x02").replace("]", "\x03")


def test_a_form_counts_for_the_word_that_it_is_a_form_of() -> None:
    found = said(("raise", "tides", "moon"), mark("The [Moon]"), mark("It is [raising] the [tide]. Twice a day."))
    assert found == Said(frozenset({"raise", "tides", "moon"}), (frozenset({"raise", "tides"}),))


def test_sentences_are_kept_apart() -> None:
    found = said(("salt", "pepper"), "", mark("[Salt] is mined. Is [pepper]? It grows; [salt] does not."))
    assert [sorted(sentence) for sentence in found.sentences] == [["salt"], ["pepper"], ["salt"]]


def test_nothing_marked_is_nothing_said() -> None:
    assert said(("salt",), "Salt", "Salt.") == Said()
    assert said((), mark("[x]"), "") == Said()
