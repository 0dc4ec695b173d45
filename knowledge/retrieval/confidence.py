"""How likely a block answers a question: what speaks for it, as nine numbers, and a regression over them.

Pure. Knows no catalogue and no threshold. The coefficients were fitted once and are kept as numbers; whoever fits
them again (another embedding model, other evidence) replaces SHIPPED with what the command prints.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from operator import attrgetter


@dataclass(frozen=True, slots=True)
class Evidence:
    """What speaks for the best passage of one block.

    Words are content words of the question. A weight is a word's idf in this catalogue as a share of all of the
    question's; a margin is this block's score less the best of all other blocks', negative where another is better.
    """

    cosine: float
    cosine_margin: float
    lexical_margin: float
    fused_margin: float
    said_weight: float
    """Weight of the words that the passage or its title says."""
    said_share: float
    """How many of the words those are, as a share."""
    sentence_weight: float
    """Weight of the words that stand together in one sentence of the passage: a near miss scatters them."""
    words: float
    """log(1 + the number of words)."""
    background: float
    """The mean cosine of the ten next blocks: near all texts is not near this one."""


numbers: Callable[[Evidence], tuple[float, ...]] = attrgetter(*(field.name for field in fields(Evidence)))
"""Evidence as a row, in the order of its fields. (`astuple` copies deeply: 0.15 ms, for ten blocks a question.)"""


@dataclass(frozen=True, slots=True)
class Regression:
    """A logistic regression over Evidence as it is, unscaled."""

    intercept: float
    weights: Evidence
    """The coefficient of each number."""

    def confidence(self, evidence: Evidence) -> float:
        """0 to 1."""
        pairs = zip(numbers(self.weights), numbers(evidence), strict=True)
        score = self.intercept + sum(weight * value for weight, value in pairs)
        return 1 / (1 + math.exp(-max(-30.0, min(30.0, score))))


SHIPPED = Regression(
    intercept=-6.5325,
    weights=Evidence(
        cosine=1.8308,
        cosine_margin=5.7245,
        lexical_margin=3.6769,
        fused_margin=8.1635,
        said_weight=2.1471,
        said_share=2.0576,
        sentence_weight=1.7766,
        words=0.3172,
        background=2.6844,
    ),
)
"""Made by `cacheroute bench confidence`: all-MiniLM-L6-v2, one half of XQuAD's articles (24, drawn with seed 1) and 40
chit-chat prompts; 2,344 questions, 1,077 of them with the right block on top. What is to be refused: articles that are
not indexed, paragraphs taken out while the rest of their article stayed, chit-chat. The other half is never fitted on.
"""

THRESHOLD = 0.35
"""By the same command: keeps 92 % of that half's answerable questions with the right block, cross-validated by article,
half of the articles not indexed."""
