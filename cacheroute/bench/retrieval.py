"""What retrieval is worth: does it find what fits, and abstain where nothing does?

Needs no running stack: the real embedding model and catalogues in temporary files, cut, embedded and searched as KDN
and scheduler do. XQuAD's figures of abstention are of the half of its articles that the confidence was not fitted on.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import astuple
from random import Random

from msgspec import Struct

from cacheroute.bench.catalogue import Catalogue, Embeddings, catalogue
from cacheroute.bench.pairs import TwoFacts, two_facts
from cacheroute.bench.questions import Article, Asked, asked_of, documents_of, prompts, samples, xquad
from cacheroute.bench.retrieval_latency import Latency, run_latency
from cacheroute.bench.turns import TwoTurns, two_turns
from cacheroute.embedder.config import EmbedderConfig
from cacheroute.errors import NotFound
from knowledge.retrieval.calibrate import Figures, Outcome, fit_threshold, measure, recall_threshold
from knowledge.retrieval.match import Gate, Limits

GATE = Gate()
OPEN = Gate(min_confidence=0.0)
"""The floors alone: what they let through shows its confidence."""
ONE = Limits(max_blocks=1)
NOT_FOUND = 10**6
LABELLED = 100
"""As many questions as somebody may be asked to label for a catalogue of theirs."""
RECALLS = (0.85, 0.88, 0.90, 0.92, 0.94)

Note = Callable[[str], None]


class AtRecall(Struct, frozen=True, kw_only=True):
    """The precision that a threshold would give which keeps `recall` of the answerable."""

    recall: float
    precision: float


class RetrievalSet(Struct, frozen=True, kw_only=True):
    """`r_at_k`: answerable questions whose right block is among the first k, before any threshold; None where the
    set is not about ranking. `abstain`: at the shipped threshold. `chitchat_accepted`: a share of the fresh prompts."""

    name: str
    blocks: int
    answerable: int
    unanswerable: int
    r_at_1: float | None
    r_at_5: float | None
    abstain: Figures
    calibrated: Figures | None
    """At a threshold fitted to LABELLED of the questions, on the others; None where there are too few."""
    spread: tuple[AtRecall, ...]
    chitchat_accepted: float
    two_facts: TwoFacts | None = None


class RetrievalResult(Struct, frozen=True, kw_only=True):
    sets: tuple[RetrievalSet, ...]
    threshold: float
    turns: TwoTurns
    latency: Latency
    skipped: tuple[str, ...] = ()
    """What could not be measured here, and why."""


def run_retrieval(config: EmbedderConfig, note: Note) -> RetrievalResult:
    """Blocking, about a minute, most of it embedding."""
    note("loading the embedding model")
    embeddings = Embeddings(config)
    note("samples")
    article = samples()
    with catalogue(embeddings, article.documents) as where:
        sets = [_samples(where, article)]
        turns = two_turns(where)
    skipped: tuple[str, ...] = ()
    try:
        data = xquad()
    except NotFound as error:
        skipped = (f"xquad, xquad-near: {error.message}",)
    else:
        note("xquad, half of its articles indexed")
        sets.append(_xquad(embeddings, data.fitted, data.held_out))
        note("xquad, each question's paragraph taken out")
        sets.append(_near(embeddings, data.fitted, data.held_out))
    note("latency over a large catalogue")
    latency = asyncio.run(run_latency())
    return RetrievalResult(
        sets=tuple(sets), threshold=GATE.min_confidence, turns=turns, latency=latency, skipped=skipped
    )


def _samples(where: Catalogue, article: Article) -> RetrievalSet:
    ranks = [_rank(where, asked) for asked in article.asked if asked.source]
    return _set("samples", where, ranks, [_outcome(where, asked) for asked in article.asked])


def _xquad(embeddings: Embeddings, fitted: Sequence[Article], held_out: Sequence[Article]) -> RetrievalSet:
    """Ranking over all articles. Abstention: half of each half indexed, the held-out half's questions asked; then the
    other way round."""
    middle, other = len(held_out) // 2, len(fitted) // 2
    asked = asked_of(held_out)
    outcomes: list[Outcome] = []
    for indexed in ((*fitted[:other], *held_out[:middle]), (*fitted[other:], *held_out[middle:])):
        with catalogue(embeddings, documents_of(indexed)) as partial:
            outcomes += [_outcome(partial, each) for each in asked]
    everything = (*fitted, *held_out)
    with catalogue(embeddings, documents_of(everything)) as whole:
        ranks = [_rank(whole, each) for each in asked_of(everything)]
        return _set("xquad", whole, ranks, outcomes, two_facts(whole, held_out))


def _near(embeddings: Embeddings, fitted: Sequence[Article], held_out: Sequence[Article]) -> RetrievalSet:
    """Everything indexed, each question asked with its paragraph there, and again with that taken out."""
    with catalogue(embeddings, documents_of((*fitted, *held_out))) as whole:
        outcomes = [_outcome(whole, each) for each in asked_of(held_out)]
        for article in held_out:
            for document in article.documents:
                with whole.without(document):
                    outcomes += [_outcome(whole, each) for each in article.asked if each.source == document.source]
        return _set("xquad-near", whole, [], outcomes)


def _set(
    name: str, where: Catalogue, ranks: Sequence[int], outcomes: Sequence[Outcome], two: TwoFacts | None = None
) -> RetrievalSet:
    chat = [bool(where.search(text, GATE, ONE).accepted) for text in prompts("fresh")]
    answerable = sum(outcome.answerable for outcome in outcomes)
    return RetrievalSet(
        name=name,
        blocks=where.blocks,
        answerable=answerable,
        unanswerable=len(outcomes) - answerable,
        r_at_1=_share(rank <= 1 for rank in ranks) if ranks else None,
        r_at_5=_share(rank <= 5 for rank in ranks) if ranks else None,
        abstain=_rounded(measure(outcomes, GATE.min_confidence)),
        calibrated=_calibrated(outcomes),
        spread=tuple(_at(outcomes, recall) for recall in RECALLS),
        chitchat_accepted=_share(chat),
        two_facts=two,
    )


def _calibrated(outcomes: Sequence[Outcome]) -> Figures | None:
    if len(outcomes) < 2 * LABELLED:
        return None
    mixed = Random(0).sample(outcomes, len(outcomes))
    return _rounded(measure(mixed[LABELLED:], fit_threshold(mixed[:LABELLED], GATE.min_confidence)))


def _rounded(figures: Figures) -> Figures:
    return Figures(*(round(value, 4) for value in astuple(figures)))


def _at(outcomes: Sequence[Outcome], recall: float) -> AtRecall:
    reached = measure(outcomes, recall_threshold(outcomes, recall))
    return AtRecall(recall=round(reached.recall, 4), precision=round(reached.precision, 4))


def _rank(where: Catalogue, asked: Asked) -> int:
    """The place of the right block, from 1."""
    kids = where.kids(asked.source)
    found = where.look_up(asked.question).found
    return next((at for at, each in enumerate(found, 1) if each.ranked.candidate.kid in kids), NOT_FOUND)


def _outcome(where: Catalogue, asked: Asked) -> Outcome:
    kids = where.kids(asked.source)
    accepted = where.search(asked.question, OPEN, ONE).accepted
    confidence = accepted[0].confidence if accepted else 0.0
    return Outcome(confidence, bool(kids), bool(accepted) and accepted[0].kid in kids)


def _share(those: Iterable[bool]) -> float:
    counted = list(those)
    return round(sum(counted) / len(counted), 4)
