"""Evidence with known outcomes -> a regression. Done at development time: scikit-learn is imported here alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from knowledge.retrieval.confidence import Evidence, Regression, numbers

STRENGTH = 0.05
"""Inverse strength of the L2 penalty. Several of the nine say much the same; weaker penalties gave some of them
negative weights, which no other catalogue would bear out, and gained nothing on the held-out half."""


def fit_regression(evidence: Sequence[Evidence], right: Sequence[bool]) -> Regression:
    """`right`: whether the block that the evidence speaks for answered. Raises ValueError unless both occur."""
    rows = np.array([numbers(each) for each in evidence])
    scaler: Any = StandardScaler().fit(rows)
    model: Any = LogisticRegression(C=STRENGTH, max_iter=5000).fit(scaler.transform(rows), right)
    weights = model.coef_[0] / scaler.scale_  # over the numbers as they are: nothing is scaled when asked
    intercept = float(model.intercept_[0] - weights @ scaler.mean_)
    return Regression(round(intercept, 4), Evidence(*(round(float(weight), 4) for weight in weights)))
