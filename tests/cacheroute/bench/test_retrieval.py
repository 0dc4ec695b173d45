"""The goals of retrieval, with the real embedding model. XQuAD is read where CACHEROUTE_EVAL_DATA has it."""

from pathlib import Path

import pytest

from cacheroute.bench.questions import EVAL_DATA, prompts, samples, xquad
from cacheroute.bench.retrieval import RetrievalResult, run_retrieval
from cacheroute.embedder.config import EmbedderConfig
from cacheroute.errors import NotFound


@pytest.fixture(scope="module")
def measured() -> RetrievalResult:
    return run_retrieval(EmbedderConfig(), print)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_samples_are_found_and_chit_chat_gets_nothing(measured: RetrievalResult) -> None:
    found = measured.sets[0]
    assert (found.name, found.answerable, found.unanswerable) == ("samples", 45, 15)
    assert found.r_at_1 is not None
    assert found.r_at_1 >= 0.95
    assert found.abstain.precision >= 0.95
    assert all(each.chitchat_accepted <= 0.05 for each in measured.sets)
    assert measured.turns.dragged == 0
    assert measured.turns.found >= 15 > measured.turns.found_alone


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_on_articles_that_were_never_fitted_on_what_is_injected_is_right(measured: RetrievalResult) -> None:
    if measured.skipped:
        pytest.skip(measured.skipped[0])
    _, apart, near = measured.sets
    assert apart.r_at_1 is not None
    assert apart.r_at_1 >= 0.95
    assert apart.abstain.precision >= 0.95
    assert apart.abstain.recall >= 0.90
    assert apart.two_facts is not None
    assert apart.two_facts.recall >= 0.85
    assert near.abstain.auroc >= 0.93


def test_no_prompt_to_measure_by_was_fitted_on() -> None:
    assert len(prompts("fresh")) == 40
    assert not set(prompts("fresh")) & set(prompts("fitted"))


def test_each_sample_question_names_a_document_that_there_is() -> None:
    article = samples()
    sources = {document.source for document in article.documents}
    assert {asked.source for asked in article.asked} - {""} == sources


def test_what_is_missing_is_said_without_the_evaluation_data(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(EVAL_DATA, raising=False)
    with pytest.raises(NotFound, match=EVAL_DATA):
        xquad()
    monkeypatch.setenv(EVAL_DATA, str(tmp_path))
    with pytest.raises(NotFound, match=str(tmp_path)):
        xquad()
