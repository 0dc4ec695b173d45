"""Which of the passages found answer the question well enough to put their blocks before a model, or none.

Pure: scores in, a value with a reason for each choice out. Knows neither SQLite nor the embedder.
Wrong knowledge is worse than none, so everything here may abstain.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

MAX_CONSIDERED = 20
"""How many blocks a result tells about: what follows the twentieth explains nothing."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A passage found, with its scores: BM25 (0 or more) and cosine (-1 to 1) against the question."""

    kid: str
    title: str
    passage: str
    tokens: int  # of its block
    bm25: float
    cosine: float


@dataclass(frozen=True, slots=True)
class Question:
    """What the scores are held against. `bm25_mass` is the BM25 of a text that says every word forever:
    (k1 + 1) x the sum of the words' idf, words that no passage has included."""

    content_words: int
    bm25_mass: float


@dataclass(frozen=True, slots=True)
class Gate:
    """What the best passage must reach for any knowledge to be used.

    Measured with all-MiniLM-L6-v2 on XQuAD, half of its articles not indexed: a fused score of .35 keeps 90 % of
    the answerable questions with the right block, lets .8 % of the others through, and .965 of what is injected is
    right. The cosine floor and the words keep out chit-chat that shares a common word with some text.
    """

    min_content_words: int = 2
    min_cosine: float = 0.30
    min_fused: float = 0.35
    min_fused_one_word: float = 0.60
    """"What is LMCache?" has one content word and "What time is it?" too: one has to name a text's subject."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much is taken once the gate is open: blocks close to the best one, within a token budget."""

    share_of_top: float = 0.6
    max_blocks: int = 5
    max_tokens: int = 2048


@dataclass(frozen=True, slots=True)
class Match:
    """A block by its best passage. `lexical` is BM25 as a share of its mass; `reason` says what became of it."""

    kid: str
    title: str
    passage: str
    tokens: int
    fused: float
    lexical: float
    cosine: float
    reason: str


@dataclass(frozen=True, slots=True)
class Matches:
    """`considered`: the best MAX_CONSIDERED blocks found, best first; `accepted`: those to use; `reason`: why, or
    why none."""

    accepted: tuple[Match, ...]
    considered: tuple[Match, ...]
    reason: str


def match(question: Question, candidates: Iterable[Candidate], gate: Gate, limits: Limits) -> Matches:
    """Fuses the scores, keeps the best passage a block, lets the gate decide, then cuts the list."""
    ranked = _best_a_block(_scored(question, candidate) for candidate in candidates)
    if not ranked:
        return Matches((), (), "no-passage")
    refusal = _refusal(question, ranked[0], gate)
    if refusal:
        return Matches((), tuple(replace(found, reason=refusal) for found in ranked), refusal)
    considered = _cut(ranked, limits)
    accepted = tuple(found for found in considered if found.reason == "accepted")
    if not accepted:
        return Matches((), considered, considered[0].reason)
    return Matches(accepted, considered, f"accepted: fused {accepted[0].fused:.2f}")


def _scored(question: Question, candidate: Candidate) -> Match:
    lexical = min(1.0, candidate.bm25 / question.bm25_mass) if question.bm25_mass > 0 else 0.0
    return Match(
        kid=candidate.kid,
        title=candidate.title,
        passage=candidate.passage,
        tokens=candidate.tokens,
        fused=0.5 * lexical + 0.5 * candidate.cosine,
        lexical=lexical,
        cosine=candidate.cosine,
        reason="",
    )


def _best_a_block(matches: Iterable[Match]) -> list[Match]:
    """The best blocks, best first; equal scores by kid, so that the same catalogue gives the same answer everywhere."""
    best: dict[str, Match] = {}
    for found in sorted(matches, key=lambda found: (-found.fused, found.kid, found.passage)):
        best.setdefault(found.kid, found)
    return list(best.values())[:MAX_CONSIDERED]


def _refusal(question: Question, top: Match, gate: Gate) -> str | None:
    few_words = question.content_words < gate.min_content_words
    if not question.content_words or (few_words and top.fused < gate.min_fused_one_word):
        return f"below-gate: content words {question.content_words} < {gate.min_content_words}"
    if top.cosine < gate.min_cosine:
        return f"below-gate: cosine {top.cosine:.2f} < {gate.min_cosine:.2f}"
    if top.fused < gate.min_fused:
        return f"below-gate: fused {top.fused:.2f} < {gate.min_fused:.2f}"
    return None


def _cut(ranked: list[Match], limits: Limits) -> tuple[Match, ...]:
    """Says of each block whether it is taken. A block too long for what is left lets a shorter one pass."""
    floor = limits.share_of_top * ranked[0].fused
    taken = tokens = 0
    considered: list[Match] = []
    for found in ranked:
        if found.fused < floor:
            reason = f"below-cut: fused {found.fused:.2f} < {floor:.2f}"
        elif taken == limits.max_blocks:
            reason = f"over-count: {limits.max_blocks} blocks taken"
        elif tokens + found.tokens > limits.max_tokens:
            reason = f"over-budget: {tokens} + {found.tokens} > {limits.max_tokens} tokens"
        else:
            reason = "accepted"
            taken, tokens = taken + 1, tokens + found.tokens
        considered.append(replace(found, reason=reason))
    return tuple(considered)
