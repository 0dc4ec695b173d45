"""Two searches' scores -> one ranking of blocks, and what speaks for each of them.

Pure. A block stands by its best passage. Knows no threshold: what is good enough is match.py's to say.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean

from knowledge.retrieval.confidence import Evidence
from knowledge.retrieval.wording import Said

MAX_WEIGHED = 10
"""How many blocks are weighed and told about: reading which words a passage says costs a tenth of a millisecond."""

MAX_RANKED = 20
"""How many are held against them."""

_BACKGROUND = 10
_K1 = 1.2  # fixed in FTS5's bm25()


@dataclass(frozen=True, slots=True)
class Candidate:
    """A passage found, with its scores: BM25 (0 or more) and cosine (-1 to 1) against the question."""

    passage_id: int
    kid: str
    ordinal: int  # in its block
    tokens: int  # of its block
    bm25: float
    cosine: float


@dataclass(frozen=True, slots=True)
class Question:
    """What the scores are held against: the question's content words, each with how rare it is in the catalogue."""

    idf: Mapping[str, float]

    @property
    def bm25_mass(self) -> float:
        """The BM25 of a text that says every word forever, words that no passage has included."""
        return (_K1 + 1) * sum(self.idf.values())

    def weight(self, words: Iterable[str]) -> float:
        """The idf of `words` as a share of all."""
        total = sum(self.idf.values())
        return sum(self.idf[word] for word in words) / total if total else 0.0


@dataclass(frozen=True, slots=True)
class Ranked:
    """A block's best passage. `lexical` is BM25 as a share of its mass, `fused` the mean of that and the cosine."""

    candidate: Candidate
    lexical: float
    fused: float


@dataclass(frozen=True, slots=True)
class Read:
    """A passage, read: its block's title, its text, and which of the question's words they say."""

    title: str = ""
    passage: str = ""
    said: Said = field(default_factory=Said)


@dataclass(frozen=True, slots=True)
class Found:
    """A ranked block, what speaks for it, and its passage."""

    ranked: Ranked
    evidence: Evidence
    read: Read

    @property
    def said(self) -> frozenset[str]:
        """Which of the question's words its passage or title says."""
        return self.read.said.anywhere


def rank(question: Question, candidates: Iterable[Candidate]) -> list[Ranked]:
    """The best MAX_RANKED blocks, best first; equal scores by kid, so that every copy of a catalogue answers alike."""
    mass = question.bm25_mass
    best: dict[str, Ranked] = {}
    scored = (_scored(candidate, mass) for candidate in candidates)
    for found in sorted(scored, key=lambda f: (-f.fused, f.candidate.kid, f.candidate.ordinal)):
        best.setdefault(found.candidate.kid, found)
    return list(best.values())[:MAX_RANKED]


def weigh(question: Question, ranked: Sequence[Ranked], passages: Mapping[int, Read]) -> tuple[Found, ...]:
    """What speaks for each of the best MAX_WEIGHED; `passages` by id, what is missing says nothing."""
    reads = [passages.get(each.candidate.passage_id, Read()) for each in ranked[:MAX_WEIGHED]]
    return tuple(
        Found(ranked[place], _evidence(question, ranked, place, read.said), read) for place, read in enumerate(reads)
    )


def _scored(candidate: Candidate, mass: float) -> Ranked:
    lexical = min(1.0, candidate.bm25 / mass) if mass > 0 else 0.0
    return Ranked(candidate, lexical, 0.5 * lexical + 0.5 * candidate.cosine)


def _evidence(question: Question, ranked: Sequence[Ranked], place: int, said: Said) -> Evidence:
    this = ranked[place]
    others = [other for at, other in enumerate(ranked) if at != place]
    words = len(question.idf)
    return Evidence(
        cosine=this.candidate.cosine,
        cosine_margin=this.candidate.cosine - max((other.candidate.cosine for other in others), default=0.0),
        lexical_margin=this.lexical - max((other.lexical for other in others), default=0.0),
        fused_margin=this.fused - max((other.fused for other in others), default=0.0),
        said_weight=question.weight(said.anywhere),
        said_share=len(said.anywhere) / words if words else 0.0,
        sentence_weight=max((question.weight(sentence) for sentence in said.sentences), default=0.0),
        words=math.log1p(words),
        background=fmean(other.candidate.cosine for other in others[:_BACKGROUND]) if others else 0.0,
    )
