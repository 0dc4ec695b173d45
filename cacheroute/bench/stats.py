"""Medians with an interval. Pure."""

from collections.abc import Sequence
from random import Random
from statistics import median

RESAMPLES = 1000


def interval(samples: Sequence[float], *, level: float = 0.95, seed: int = 0) -> tuple[float, float]:
    """The bootstrap interval of the median: of `RESAMPLES` samples drawn with replacement, the middle `level`."""
    rng = Random(seed)
    medians = sorted(median(rng.choices(samples, k=len(samples))) for _ in range(RESAMPLES))
    edge = round(RESAMPLES * (1 - level) / 2)
    return medians[edge], medians[-1 - edge]
