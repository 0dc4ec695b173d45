from __future__ import annotations

from random import Random

import pytest

from knowledge.retrieval.calibrate import Outcome, auroc, cross_validate, fit_threshold, measure, recall_threshold


def answered(*confidences: float) -> list[Outcome]:
    return [Outcome(each, True, True) for each in confidences]


def refused(*confidences: float) -> list[Outcome]:
    return [Outcome(each, False, False) for each in confidences]


def test_with_many_questions_the_threshold_separates_them() -> None:
    rng = Random(0)
    outcomes = answered(*(rng.uniform(0.7, 1) for _ in range(200))) + refused(
        *(rng.uniform(0, 0.6) for _ in range(200))
    )
    assert 0.58 < fit_threshold(outcomes, before=0.35) < 0.72


def test_a_handful_of_questions_moves_the_threshold_a_little_and_one_sort_alone_not_at_all() -> None:
    few = answered(0.9, 0.95) + refused(0.8, 0.1)
    assert 0.35 < fit_threshold(few, before=0.35) < 0.5
    assert fit_threshold(answered(*[0.9] * 50), before=0.35) == 0.35
    assert fit_threshold(refused(*[0.9] * 50), before=0.35) == 0.35
    assert fit_threshold([], before=0.35) == 0.35


def test_the_cut_reaches_the_precision_with_the_most_recall() -> None:
    outcomes = answered(*[0.9] * 95, *[0.5] * 5) + refused(*[0.6] * 10, *[0.1] * 90)
    figures = measure(outcomes, fit_threshold(outcomes, before=0.75))
    assert (figures.precision, figures.recall) == (1.0, 0.95)


def test_figures_count_a_wrong_block_as_injected_and_not_as_found() -> None:
    outcomes = [
        Outcome(0.9, True, True),
        Outcome(0.8, True, False),
        Outcome(0.7, False, False),
        Outcome(0.1, True, True),
    ]
    figures = measure(outcomes, 0.5)
    assert figures.precision == pytest.approx(1 / 3)
    assert figures.recall == pytest.approx(1 / 3)


def test_nothing_injected_is_precise_and_finds_nothing() -> None:
    figures = measure(answered(0.2) + refused(0.1), 0.5)
    assert (figures.precision, figures.recall, figures.auroc) == (1.0, 0.0, 1.0)


def test_cross_validation_judges_by_thresholds_that_did_not_see_the_question() -> None:
    outcomes = answered(*[0.9] * 40) + refused(*[0.2] * 40)
    figures = cross_validate(outcomes, before=0.5)
    assert (figures.precision, figures.recall, figures.auroc) == (1.0, 1.0, 1.0)


def test_the_area_under_the_curve_counts_ties_half() -> None:
    assert auroc([0.9, 0.5], [0.5, 0.1]) == pytest.approx(0.875)
    assert auroc([], [0.1]) == 0.5


def test_a_threshold_for_a_recall_keeps_that_share_of_the_answerable() -> None:
    outcomes = [*answered(0.9, 0.8, 0.7, 0.6), Outcome(0.95, True, False)]
    assert recall_threshold(outcomes, 0.6) == 0.7
    assert recall_threshold(outcomes, 1.0) == 0.6
    assert recall_threshold(refused(0.3), 0.9) == 0.0
