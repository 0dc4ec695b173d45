"""Confidences with known outcomes -> the threshold for one catalogue, and honest figures of what it does.

Pure. What separates right from wrong on one corpus does not on another: a few labelled questions say where to cut.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

PRECISION = 0.95
"""Of what is injected so much shall be right; among the cuts that reach it the one of most recall is taken."""

SHRINK = 20
"""As many questions as the threshold from before counts for: a handful must not move it far."""

FOLDS = 5


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one labelled question: the confidence of the best block, 0 where a floor refused it, whether
    anything in the catalogue answers the question, and whether that block does."""

    confidence: float
    answerable: bool
    right: bool


@dataclass(frozen=True, slots=True)
class Figures:
    """`precision`: right / injected, 1 where nothing is; `recall`: answerable given the right block / answerable;
    `auroc`: how well the confidence tells answerable from unanswerable, 0.5 where only one of them occurs."""

    precision: float
    recall: float
    auroc: float


def fit_threshold(outcomes: Sequence[Outcome], before: float) -> float:
    """The cut that reaches PRECISION at the most recall, drawn towards `before` where there are few questions.

    Counts as questions only as many as there are of the rarer sort, twice: of answerable ones alone
    nothing can be learnt about what to refuse.
    """
    answerable = sum(outcome.answerable for outcome in outcomes)
    told = 2 * min(answerable, len(outcomes) - answerable)
    if not told:
        return before
    return (told * _best_cut(outcomes) + SHRINK * before) / (told + SHRINK)


def measure(outcomes: Sequence[Outcome], threshold: float) -> Figures:
    return _figures(outcomes, [outcome.confidence >= threshold for outcome in outcomes])


def cross_validate(outcomes: Sequence[Outcome], before: float) -> Figures:
    """What `fit_threshold` does on questions that it has not seen: each fifth is judged by the other four's."""
    injected = [False] * len(outcomes)
    ordered = sorted(range(len(outcomes)), key=lambda at: (outcomes[at].answerable, at))  # both sorts in each fold
    for fold in range(FOLDS):
        held_out = ordered[fold::FOLDS]
        others = [outcomes[at] for at in ordered if at not in set(held_out)]
        threshold = fit_threshold(others, before)
        for at in held_out:
            injected[at] = outcomes[at].confidence >= threshold
    return _figures(outcomes, injected)


def recall_threshold(outcomes: Sequence[Outcome], recall: float) -> float:
    """The highest cut that leaves this share of the answerable with the right block, or the lowest of all."""
    right = sorted((outcome.confidence for outcome in outcomes if outcome.right), reverse=True)
    answerable = sum(outcome.answerable for outcome in outcomes)
    needed = int(np.ceil(recall * answerable))
    return right[min(needed, len(right)) - 1] if right else 0.0


def auroc(positive: Sequence[float], negative: Sequence[float]) -> float:
    """The chance that a positive one scores above a negative one, ties counting half; 0.5 where one is missing."""
    if not positive or not negative:
        return 0.5
    ordered = np.sort(np.asarray(negative))
    below = np.searchsorted(ordered, positive, "left") + np.searchsorted(ordered, positive, "right")
    return float(below.mean() / (2 * len(ordered)))


def _best_cut(outcomes: Sequence[Outcome]) -> float:
    """Between two neighbouring confidences. Where no cut reaches PRECISION, the most precise one."""
    scores = sorted({outcome.confidence for outcome in outcomes})
    cuts = [(low + high) / 2 for low, high in zip([0.0, *scores], scores, strict=False)]

    def worth(cut: float) -> tuple[float, float, float]:
        figures = measure(outcomes, cut)
        return min(figures.precision, PRECISION) if figures.recall else 0.0, figures.recall, cut

    return max(cuts, key=worth)


def _figures(outcomes: Sequence[Outcome], injected: Sequence[bool]) -> Figures:
    right = sum(outcome.right and used for outcome, used in zip(outcomes, injected, strict=True))
    answerable = [outcome.confidence for outcome in outcomes if outcome.answerable]
    others = [outcome.confidence for outcome in outcomes if not outcome.answerable]
    return Figures(
        precision=right / sum(injected) if any(injected) else 1.0,
        recall=right / len(answerable) if answerable else 0.0,
        auroc=auroc(answerable, others),
    )
