"""Fits the regression behind the confidence, and its threshold: what it finds stands as numbers in
`knowledge/retrieval/confidence.py`.

On half of XQuAD's articles and on chit-chat of ours; the other half is for `cacheroute bench retrieval` alone. What
is to be refused: questions on articles that are not in the catalogue, questions whose paragraph alone was taken
out while the rest of its article stayed (near misses), and the chit-chat.
"""

from collections.abc import Sequence

from msgspec import Struct

from cacheroute.bench.catalogue import Catalogue, Embeddings, catalogue
from cacheroute.bench.questions import Article, Asked, documents_of, prompts, xquad
from cacheroute.embedder.config import EmbedderConfig
from knowledge.retrieval.calibrate import Outcome, recall_threshold
from knowledge.retrieval.confidence import Evidence, Regression
from knowledge.retrieval.fit import fit_regression

RECALL = 0.92
"""Of the answerable questions of catalogues that lack half of the articles, cross-validated by article."""
FOLDS = 6


class Row(Struct, frozen=True, kw_only=True):
    """The best block found for a question. `article`: what it was asked about, -1 for chit-chat."""

    evidence: Evidence
    article: int
    answerable: bool
    right: bool


class ConfidenceResult(Struct, frozen=True, kw_only=True):
    regression: Regression
    threshold: float
    rows: int
    right: int


def run_confidence(config: EmbedderConfig) -> ConfidenceResult:
    """Blocking, about a minute. Raises NotFound without XQuAD."""
    articles = xquad().fitted
    embeddings = Embeddings(config)
    half = len(articles) // 2
    rows: list[Row] = []
    for indexed in (articles[:half], articles[half:]):
        with catalogue(embeddings, documents_of(indexed)) as partial:
            rows += _rows(partial, articles)
    of_halves = list(rows)
    with catalogue(embeddings, documents_of(articles)) as whole:
        rows += _rows(whole, articles)
        rows += _near_misses(whole, articles)
    return ConfidenceResult(
        regression=_fitted(rows),
        threshold=round(recall_threshold(_held_out(rows, of_halves, len(articles)), RECALL), 2),
        rows=len(rows),
        right=sum(row.right for row in rows),
    )


def _rows(where: Catalogue, articles: Sequence[Article]) -> list[Row]:
    chat = (Asked(question=text) for text in prompts("fitted"))
    asked = [(number, each) for number, article in enumerate(articles) for each in article.asked]
    rows = [_row(where, number, each) for number, each in (*asked, *((-1, each) for each in chat))]
    return [row for row in rows if row is not None]


def _near_misses(where: Catalogue, articles: Sequence[Article]) -> list[Row]:
    rows: list[Row | None] = []
    for number, article in enumerate(articles):
        for document in article.documents:
            with where.without(document):
                rows += [_row(where, number, each) for each in article.asked if each.source == document.source]
    return [row for row in rows if row is not None]


def _row(where: Catalogue, article: int, asked: Asked) -> Row | None:
    found = where.look_up(asked.question).found
    if not found:
        return None
    kids = where.kids(asked.source)
    is_right = found[0].ranked.candidate.kid in kids
    return Row(evidence=found[0].evidence, article=article, answerable=bool(kids), right=is_right)


def _fitted(rows: Sequence[Row]) -> Regression:
    return fit_regression([row.evidence for row in rows], [row.right for row in rows])


def _held_out(rows: Sequence[Row], judged: Sequence[Row], articles: int) -> list[Outcome]:
    """Each of `judged` by a regression that saw no question on its article."""
    outcomes: list[Outcome] = []
    for fold in range(FOLDS):
        unseen = set(range(fold, articles, FOLDS))
        regression = _fitted([row for row in rows if row.article not in unseen])
        outcomes += [
            Outcome(regression.confidence(row.evidence), row.answerable, row.right)
            for row in judged
            if row.article in unseen
        ]
    return outcomes
