"""Which of the passages found answer the question well enough to put their blocks before a model, or none.

Pure: scores in, a value with a reason for each choice out. Knows neither SQLite nor the embedder.
Wrong knowledge is worse than none, so everything here may abstain.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from knowledge.retrieval.confidence import SHIPPED, THRESHOLD, Regression
from knowledge.retrieval.ranking import Found, Question, Ranked


@dataclass(frozen=True, slots=True)
class Gate:
    """What a block must reach to be used.

    The confidence alone would let chit-chat through that shares a rare word with some text: it was fitted on
    questions. Hence the floors: "What is LMCache?" has one content word and "What time is it?" too, so one word has
    to name a text's subject (`min_fused_one_word`), and what is far from a text in meaning is not about it.
    """

    min_confidence: float = THRESHOLD
    min_content_words: int = 2
    min_cosine: float = 0.30
    min_fused_one_word: float = 0.60


@dataclass(frozen=True, slots=True)
class Limits:
    """How much is taken once the gate is open."""

    max_blocks: int = 5
    max_tokens: int = 2048


@dataclass(frozen=True, slots=True)
class Match:
    """A block by its best passage. `lexical` is BM25 as a share of its mass; `confidence` is 0 to 1; `reason` says
    what became of it."""

    kid: str
    title: str
    passage: str
    tokens: int
    fused: float
    lexical: float
    cosine: float
    confidence: float
    reason: str


@dataclass(frozen=True, slots=True)
class Matches:
    """`considered`: the best blocks found, best first; `accepted`: those to use, likewise; `reason`: why, or why
    none; `threshold`: the confidence that was asked for."""

    accepted: tuple[Match, ...]
    considered: tuple[Match, ...]
    reason: str
    threshold: float


def match(
    question: Question,
    found: Sequence[Found],
    gate: Gate,
    limits: Limits,
    regression: Regression = SHIPPED,
) -> Matches:
    """Lets the gate decide on each of the ranked blocks, then cuts what it lets through to the limits."""
    matches = [_judged(question, each, regression.confidence(each.evidence), gate) for each in found]
    if not matches:
        return Matches((), (), "no-passage", gate.min_confidence)
    return within(tuple(matches), limits, gate.min_confidence)


def within(considered: tuple[Match, ...], limits: Limits, threshold: float) -> Matches:
    """Takes of the accepted as many as the limits allow, best first, and says why of the others. A block too long
    for what is left lets a shorter one pass."""
    taken = tokens = 0
    told: list[Match] = []
    for found in considered:
        if not _is_accepted(found):
            told.append(found)
        elif taken == limits.max_blocks:
            told.append(replace(found, reason=f"over-count: {limits.max_blocks} blocks taken"))
        elif tokens + found.tokens > limits.max_tokens:
            reason = f"over-budget: {tokens} + {found.tokens} > {limits.max_tokens} tokens"
            told.append(replace(found, reason=reason))
        else:
            told.append(found)
            taken, tokens = taken + 1, tokens + found.tokens
    accepted = tuple(found for found in told if _is_accepted(found))
    return Matches(accepted, tuple(told), (accepted or told)[0].reason, threshold)


def _judged(question: Question, found: Found, confidence: float, gate: Gate) -> Match:
    ranked, candidate = found.ranked, found.ranked.candidate
    return Match(
        kid=candidate.kid,
        title=found.read.title,
        passage=found.read.passage,
        tokens=candidate.tokens,
        fused=ranked.fused,
        lexical=ranked.lexical,
        cosine=candidate.cosine,
        confidence=confidence,
        reason=_refusal(question, ranked, confidence, gate) or f"accepted: confidence {confidence:.2f}",
    )


def _is_accepted(found: Match) -> bool:
    return found.reason.startswith("accepted")


def _refusal(question: Question, ranked: Ranked, confidence: float, gate: Gate) -> str | None:
    words = len(question.idf)
    if not words or (words < gate.min_content_words and ranked.fused < gate.min_fused_one_word):
        return f"below-gate: content words {words} < {gate.min_content_words}"
    if ranked.candidate.cosine < gate.min_cosine:
        return f"below-gate: cosine {ranked.candidate.cosine:.2f} < {gate.min_cosine:.2f}"
    if confidence < gate.min_confidence:
        return f"below-gate: confidence {confidence:.2f} < {gate.min_confidence:.2f}"
    return None
