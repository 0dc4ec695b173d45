"""The threshold that is fitted to labelled questions, over a real replica; the embedder is a hash."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from fakes.hash_embedder import HashEmbedder, register
from numpy.typing import NDArray

from cacheroute.errors import BadRequest
from cacheroute.scheduler.access import Caller
from cacheroute.scheduler.calibration import MAX_QUESTIONS, Calibrator
from cacheroute.scheduler.retrieval import Retriever
from cacheroute.wire.embedding import Kind
from cacheroute.wire.retrieval import Labelled
from knowledge.catalogue.library import Library
from knowledge.document import DEFAULT_COLLECTION, document_id
from knowledge.replication.replica import Replica
from knowledge.retrieval.confidence import THRESHOLD
from knowledge.retrieval.match import Gate, Limits

TOPICS = ("walnut", "copper", "barley", "granite", "saffron", "mercury", "bamboo", "amber")
QUESTIONS = tuple(
    Labelled(question=f"How is {topic} carried from the {topic} works to the harbour?", document=f"{topic}.md")
    for topic in TOPICS
) + tuple(
    Labelled(question=f"Which harbour clerk painted the {animal} on the works?")
    for animal in ("heron", "otter", "lynx", "stoat", "raven", "carp", "newt", "hare")
)


class Embedder:
    """In the embedder client's place."""

    async def embed(self, texts: Sequence[str], kind: Kind) -> NDArray[np.float32]:
        return HashEmbedder().embed(texts, kind)


class Catalogue:
    """What a KDN and the scheduler's copy of it hold, and the calibrator over that."""

    def __init__(self, folder: Path) -> None:
        self.library = Library(folder / "library.db")
        self.replica = Replica(folder / "replica.db")
        self.kept = folder / "data" / "scheduler" / "calibration.json"
        self.retriever, self.calibrator = self.started()

    def started(self) -> tuple[Retriever, Calibrator]:
        """As a scheduler makes them when it starts."""

        async def refresh() -> None: ...

        retriever = Retriever(self.replica, Embedder(), Limits(), refresh)  # pyright: ignore[reportArgumentType]
        return retriever, Calibrator(retriever, self.replica, self.kept)

    def learn(self, topic: str) -> None:
        text = f"The {topic} works lie in the hills. The {topic} is carried to the harbour on carts, by oxen, weekly."
        register(self.library, f"docs/{topic}.md", text, title=topic)
        self.replica.apply(self.library.changes(self.replica.cursor("kdn")), "kdn")


@pytest.fixture
def catalogue(tmp_path: Path) -> Iterator[Catalogue]:
    made = Catalogue(tmp_path)
    for topic in TOPICS:
        made.learn(topic)
    yield made
    made.library.close()
    made.replica.close()


async def test_the_threshold_is_fitted_told_and_in_force(catalogue: Catalogue) -> None:
    assert (catalogue.calibrator.present.threshold, catalogue.calibrator.present.questions) == (THRESHOLD, 0)
    fitted = await catalogue.calibrator.calibrate(QUESTIONS)
    assert (fitted.questions, fitted.answerable, fitted.blocks, fitted.before) == (16, 8, 8, THRESHOLD)
    assert fitted.auroc == 1.0
    assert fitted.precision == 1.0
    assert fitted == catalogue.calibrator.present
    assert catalogue.retriever.gate == Gate(min_confidence=fitted.threshold)
    found = await catalogue.retriever.search(QUESTIONS[0].question, Caller(name="x", collections=None), Limits())
    assert found.threshold == fitted.threshold


async def test_it_is_kept_over_a_restart(catalogue: Catalogue) -> None:
    fitted = await catalogue.calibrator.calibrate(QUESTIONS)
    retriever, again = catalogue.started()
    async with again.running():
        assert again.present == fitted
        assert retriever.gate.min_confidence == fitted.threshold


async def test_a_file_that_cannot_be_read_leaves_the_shipped_threshold(
    catalogue: Catalogue, caplog: pytest.LogCaptureFixture
) -> None:
    catalogue.kept.parent.mkdir(parents=True)
    catalogue.kept.write_bytes(b'{"questions": [')
    async with catalogue.calibrator.running():
        assert catalogue.calibrator.present.threshold == THRESHOLD
    assert "cannot be read" in caplog.text


async def test_it_is_fitted_again_when_the_catalogue_has_grown_by_a_fifth_and_not_before(catalogue: Catalogue) -> None:
    await catalogue.calibrator.calibrate(QUESTIONS)
    catalogue.learn("walrus")
    assert not await catalogue.calibrator.refit_if_grown()
    catalogue.learn("cobalt")
    assert await catalogue.calibrator.refit_if_grown()
    assert catalogue.calibrator.present.blocks == 10
    assert not await catalogue.calibrator.refit_if_grown()


async def test_a_question_whose_document_is_gone_is_passed_over_when_fitting_again(catalogue: Catalogue) -> None:
    await catalogue.calibrator.calibrate(QUESTIONS)
    register(catalogue.library, "docs/walnut.md", "Nothing of it is left.", title="other")
    catalogue.library.delete(document_id(DEFAULT_COLLECTION, "docs/copper.md"))
    for topic in ("walrus", "cobalt", "ermine"):
        catalogue.learn(topic)
    assert await catalogue.calibrator.refit_if_grown()
    assert catalogue.calibrator.present.questions == 15


async def test_without_questions_nothing_is_ever_fitted(catalogue: Catalogue) -> None:
    assert not await catalogue.calibrator.refit_if_grown()


@pytest.mark.parametrize(
    ("questions", "why"),
    [
        ([], "no questions"),
        ([Labelled(question="q", document="walnut.md")] * (MAX_QUESTIONS + 1), "at most"),
        ([*QUESTIONS, Labelled(question=" ")], "question 17 is empty"),
        ([Labelled(question="q", phrase="oxen")], "question 1 has a phrase and no document"),
        ([Labelled(question="q")], "no question names a document"),
        ([*QUESTIONS, Labelled(question="q", document="iron.md")], r"question 17: .* 'iron\.md'"),
        ([Labelled(question="q", document="amber.md", phrase="mules")], "question 1: no block .* contains 'mules'"),
    ],
)
async def test_questions_that_cannot_be_used_are_named_and_change_nothing(
    catalogue: Catalogue, questions: list[Labelled], why: str
) -> None:
    fitted = await catalogue.calibrator.calibrate(QUESTIONS)
    with pytest.raises(BadRequest, match=why):
        await catalogue.calibrator.calibrate(questions)
    assert catalogue.calibrator.present == fitted


async def test_a_phrase_is_found_however_it_is_wrapped(catalogue: Catalogue) -> None:
    asked = Labelled(question="How is amber carried?", document="amber.md", phrase="to the\n harbour on carts")
    assert (await catalogue.calibrator.calibrate([asked])).answerable == 1


async def test_what_cannot_be_kept_is_not_in_force(catalogue: Catalogue) -> None:
    catalogue.kept.parent.parent.mkdir()
    catalogue.kept.parent.touch()  # a file where the folder should be
    with pytest.raises(OSError):  # noqa: PT011 which one is the system's business
        await catalogue.calibrator.calibrate(QUESTIONS)
    assert catalogue.calibrator.present.questions == 0
    assert catalogue.retriever.gate == Gate()
