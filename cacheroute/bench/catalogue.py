"""A catalogue to ask questions of, with the real embedding model, in this process: what the retrieval benches stand on.

Cuts, embeds and searches as KDN and scheduler do. Knows no role, no data set, and no figure.
"""

import tempfile
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from cacheroute.embedder.config import EmbedderConfig
from cacheroute.embedder.model import Model
from cacheroute.wire.embedding import Kind
from knowledge.catalogue.library import Library
from knowledge.cut import draft
from knowledge.document import Document
from knowledge.embedding import Vectors
from knowledge.retrieval.match import Gate, Limits, Matches
from knowledge.retrieval.search import Findings, look_up
from knowledge.retrieval.turn import search_turn, turn

_BATCH_TEXTS = 16


class Embeddings:
    """The model, and what it said before: the same text is embedded once, in however many catalogues it stands."""

    def __init__(self, config: EmbedderConfig) -> None:
        self._model = Model.load(config)
        self._known: dict[tuple[Kind, str], Vectors] = {}

    def embed(self, texts: Sequence[str], kind: Kind) -> Vectors:
        """Shape [len(texts), DIMENSIONS]."""
        new = [text for text in dict.fromkeys(texts) if (kind, text) not in self._known]
        for at in range(0, len(new), _BATCH_TEXTS):
            batch = new[at : at + _BATCH_TEXTS]
            self._known.update(zip(((kind, text) for text in batch), self._model.embed(batch, kind), strict=True))
        return np.stack([self._known[kind, text] for text in texts])


class Catalogue:
    """Documents in a file of their own."""

    def __init__(self, library: Library, embeddings: Embeddings) -> None:
        self._library = library
        self._embeddings = embeddings
        self._kids: dict[str, frozenset[str]] = {}

    def add(self, document: Document) -> None:
        cut = draft(document)
        texts = [passage.embedded for passage in cut.passages]
        self._library.register(cut, self._embeddings.embed(texts, "passage"))
        self._kids[document.source] = frozenset(block.kid for block in cut.blocks)

    @property
    def blocks(self) -> int:
        return len(frozenset[str]().union(*self._kids.values()))

    def kids(self, source: str) -> frozenset[str]:
        """The blocks of a document; none where it is not in the catalogue."""
        return self._kids.get(source, frozenset())

    @contextmanager
    def without(self, document: Document) -> Generator[None]:
        """The catalogue as if it had never seen `document`."""
        self._library.delete(document.id)
        kids = self._kids.pop(document.source)
        try:
            yield
        finally:
            self.add(document)
            assert self._kids[document.source] == kids

    def look_up(self, question: str) -> Findings:
        """Before anything is decided."""
        return look_up(self._library.shelf, question, self._embeddings.embed([question], "query"))

    def search(self, question: str, gate: Gate, limits: Limits, previous: str = "") -> Matches:
        asked = turn(question, previous)
        return search_turn(self._library.shelf, asked, self._embeddings.embed(asked.texts, "query"), gate, limits)


@contextmanager
def catalogue(embeddings: Embeddings, documents: Iterable[Document]) -> Generator[Catalogue]:
    """A catalogue of `documents`, gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="cacheroute-bench-") as directory:
        library = Library(Path(directory) / "library.db")
        try:
            made = Catalogue(library, embeddings)
            for document in documents:
                made.add(document)
            yield made
        finally:
            library.close()
