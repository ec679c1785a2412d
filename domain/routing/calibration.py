"""How far predicted probabilities can be believed: Brier score, calibration error, reliability, log loss."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_EDGE = 1e-9


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """Predictions from `low` to `high` (probabilities): how many, their mean, and the share that came true."""

    low: float
    high: float
    cases: int
    predicted: float
    observed: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """`brier` is the mean squared error, `base_brier` that of always predicting the base rate.

    `expected_error` (ECE) is the mean distance of prediction and outcome over equal-width bins, weighted by cases.
    """

    cases: int
    base_rate: float
    brier: float
    base_brier: float
    log_loss: float
    expected_error: float
    bins: tuple[ReliabilityBin, ...]


def calibration(predicted: Sequence[float], resolved: Sequence[bool], *, bins: int = 10) -> Calibration | None:
    """The calibration of predictions against outcomes; None when there is nothing to judge by."""
    if len(predicted) != len(resolved):
        raise ValueError("every prediction needs its outcome")
    if not predicted:
        return None
    probability = np.asarray(predicted, np.float64)
    outcome = np.asarray(resolved, np.float64)
    place = np.minimum((probability * bins).astype(np.int64), bins - 1)
    told = tuple(
        ReliabilityBin(
            number / bins,
            (number + 1) / bins,
            int(inside.sum()),
            float(probability[inside].mean()),
            float(outcome[inside].mean()),
        )
        for number in range(bins)
        if (inside := place == number).any()
    )
    base = float(outcome.mean())
    bounded = np.clip(probability, _EDGE, 1 - _EDGE)
    return Calibration(
        cases=len(outcome),
        base_rate=base,
        brier=float(((probability - outcome) ** 2).mean()),
        base_brier=base * (1 - base),
        log_loss=float(-(outcome * np.log(bounded) + (1 - outcome) * np.log(1 - bounded)).mean()),
        expected_error=sum(one.cases * abs(one.predicted - one.observed) for one in told) / len(outcome),
        bins=told,
    )
