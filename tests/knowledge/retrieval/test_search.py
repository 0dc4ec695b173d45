from __future__ import annotations

import pytest
from fakes.hash_embedder import HashEmbedder, register
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from knowledge.catalogue.library import Library
from knowledge.errors import EmbeddingError
from knowledge.retrieval.match import Gate, Limits, Matches
from knowledge.retrieval.search import search
from knowledge.text import kid_of

OPEN = Gate(min_confidence=0, min_content_words=0, min_cosine=-1, min_fused_one_word=-1)
ALL = Limits(max_blocks=100, max_tokens=10**9)

TEXTS = {
    "cache": "The key value cache of a transformer grows with every token that it reads.",
    "bread": "Rye bread wants a sourdough starter and a long night of rest.",
    "moon": "The moon raises tides in the sea, twice a day along most coasts.",
}


def ask(library: Library, question: str, gate: Gate = OPEN, limits: Limits = ALL, **visible: set[str]) -> Matches:
    vector = HashEmbedder().embed([question], "query")
    return search(library.shelf, question, vector, gate, limits, **visible)


@pytest.fixture
def three(library: Library) -> Library:
    for source, text in TEXTS.items():
        register(library, source, text, collection=source, title=source)
    return library


@pytest.mark.parametrize("gate", [OPEN, Gate()])
@pytest.mark.parametrize(
    ("question", "source"),
    [
        ("Does the key value cache grow with every token?", "cache"),
        ("How long is the night of rest for rye bread with sourdough?", "bread"),
        ("What raises the tides in the sea?", "moon"),
    ],
)
def test_the_fitting_text_comes_first(three: Library, question: str, source: str, gate: Gate) -> None:
    found = ask(three, question, gate)
    assert found.accepted[0].kid == kid_of(TEXTS[source])
    assert found.accepted[0].passage == TEXTS[source]
    assert 0 < found.accepted[0].lexical <= 1


def test_words_are_found_by_their_stem_and_in_the_title(three: Library) -> None:
    assert ask(three, "tide raising").considered[0].lexical > 0.3
    [top, *rest] = ask(three, "zzz cache").considered
    assert top.title == "cache"
    assert all(other.lexical == 0 for other in rest)


def test_unknown_words_weaken_what_the_known_ones_say(three: Library) -> None:
    known = ask(three, "rye sourdough").considered[0].lexical
    diluted = ask(three, "rye sourdough quantum flux").considered[0].lexical
    assert diluted < 0.6 * known


def test_only_visible_collections_are_searched(three: Library) -> None:
    question = "Does the key value cache grow with every token?"
    assert [m.title for m in ask(three, question, visible={"bread", "moon"}).considered].count("cache") == 0
    assert [m.title for m in ask(three, question, visible={"cache"}).considered] == ["cache"]
    assert ask(three, question, visible=set()).reason == "no-passage"
    assert ask(three, question, visible={"no such"}).reason == "no-passage"


def test_an_empty_catalogue_abstains(library: Library) -> None:
    assert ask(library, "anything at all").reason == "no-passage"


def test_one_short_document_alone_can_be_found(library: Library) -> None:
    register(library, "a", TEXTS["moon"])
    assert ask(library, "What raises the tides in the sea today?", Gate()).accepted
    assert not ask(library, "Which bread wants a sourdough starter?", Gate()).accepted


def test_a_replaced_text_is_not_found_any_more(three: Library) -> None:
    register(three, "moon", "Nothing of it is left.", collection="moon")
    assert kid_of(TEXTS["moon"]) not in {m.kid for m in ask(three, "What raises the tides in the sea?").considered}


def test_the_same_block_in_two_documents_is_considered_once(three: Library) -> None:
    register(three, "copy", TEXTS["moon"])
    found = ask(three, "What raises the tides in the sea?").considered
    assert [m.kid for m in found].count(kid_of(TEXTS["moon"])) == 1


def test_a_lexical_score_never_exceeds_its_mass(three: Library) -> None:
    register(three, "spam", "tides " * 200)
    assert 0.9 < ask(three, "tides").considered[0].lexical <= 1.0


def test_a_vector_that_is_none_is_refused(three: Library) -> None:
    with pytest.raises(EmbeddingError):
        search(three.shelf, "x", HashEmbedder().embed(["a", "b"], "query"), OPEN, ALL)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(question=st.text(st.characters(exclude_categories=())) | st.text('"*:^-+(){}ANDORNT \0'))
@example(question='moon" OR title:x NEAR(a b, 2) AND NOT * ^"')
@example(question="")
@example(question="word " * 5000)
def test_no_question_raises(three: Library, question: str) -> None:
    assert ask(three, question).reason
