"""The form of the sample knowledge: the demo registers it and its questions are answered from it."""

import json
from pathlib import Path

import pytest
from fakes.hash_embedder import register

from knowledge.catalogue.library import Library
from knowledge.catalogue.sources import kids_of

SAMPLES = Path(__file__).parents[2] / "knowledge" / "samples"
DOCUMENTS = sorted(SAMPLES.glob("*.md"))
QUESTIONS = [json.loads(line) for line in (SAMPLES / "questions.jsonl").read_text("utf-8").splitlines()]
ANSWERABLE = [q for q in QUESTIONS if q["document"] is not None]


def h1_titles(document: Path) -> list[str]:
    return [line for line in document.read_text("utf-8").splitlines() if line.startswith("# ")]


def test_there_are_enough_documents() -> None:
    assert len(DOCUMENTS) >= 12


def test_titles_are_unique() -> None:
    titles = [title for document in DOCUMENTS for title in h1_titles(document)]
    assert len(set(titles)) == len(titles)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda d: d.stem)
def test_a_document_has_the_promised_length_one_title_and_no_control_tokens(document: Path) -> None:
    text = document.read_text("utf-8")
    assert 200 <= len(text.split()) <= 1500
    assert len(h1_titles(document)) == 1
    assert text.startswith("# ")
    assert "<|" not in text


@pytest.mark.parametrize("question", ANSWERABLE, ids=lambda q: q["question"])
def test_the_gold_phrase_occurs_verbatim_in_the_document_that_is_named_and_in_no_other(
    question: dict[str, str],
) -> None:
    holders = [d.name for d in DOCUMENTS if question["phrase"] in d.read_text("utf-8")]
    assert holders == [question["document"]]


def test_unanswerable_questions_name_neither_document_nor_phrase() -> None:
    unanswerable = [q for q in QUESTIONS if q["document"] is None]
    assert (len(QUESTIONS), len(unanswerable)) == (60, 15)
    assert all(q["phrase"] is None for q in unanswerable)


def test_the_gold_phrase_stands_in_one_block_so_that_a_threshold_can_be_fitted_to_the_questions(
    library: Library,
) -> None:
    for document in DOCUMENTS:
        register(library, f"/home/me/{document.name}", document.read_text("utf-8"), title=document.stem)
    found = {q["question"]: kids_of(library.shelf, q["document"], q["phrase"]) for q in ANSWERABLE}
    assert {question: kids for question, (known, kids) in found.items() if not known or len(kids) != 1} == {}


def test_every_document_is_asked_about() -> None:
    assert {q["document"] for q in ANSWERABLE} == {document.name for document in DOCUMENTS}


def test_no_question_is_asked_twice() -> None:
    assert len({q["question"] for q in QUESTIONS}) == len(QUESTIONS)
