"""What a simulated run was worth: service, waits, abandonment, success, fairness, cost."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from scipy.stats import t as student

from domain.routing.model import SuccessModel
from simulator.routing.engine import Outcome, Run

ABANDONED_COSTS = 300.0
LATE_COUNTS = 0.5
_BOTH_SIDES_95 = 0.975


@dataclass(frozen=True, slots=True)
class Measures:
    """Shares and means over all cases of the runs.

    `score`: 1 answered on time, 0.5 later, 0 not at all. `cost` (seconds a case): the wait of the answered, 300 for
    one who gave up. Waits (seconds) are of the answered. `success` sums P(success) of who took each case over all
    cases, `value` the same with the case's value and the score's lateness. `gini` is the inequality of occupancy.
    """

    cases: int
    score: float
    on_time: float
    abandoned: float
    mean_wait: float
    p90_wait: float
    p95_wait: float
    success: float
    value: float
    gini: float
    cost: float


def measure(runs: Sequence[Run], truth: SuccessModel) -> Measures:
    """The measures of a month of runs; `truth` says how likely an agent really resolves a case."""
    outcomes = [outcome for run in runs for outcome in run.outcomes]
    answered = [outcome for outcome in outcomes if outcome.agent_id is not None]
    waits = np.array([outcome.waited.total_seconds() for outcome in answered] or [0.0])
    on_time = sum(outcome.waited <= outcome.case.target for outcome in answered)
    count = len(outcomes)
    likely = [_likely(outcome, truth) for outcome in answered]
    worth = [
        probability * outcome.case.value * (1.0 if outcome.waited <= outcome.case.target else LATE_COUNTS)
        for probability, outcome in zip(likely, answered, strict=True)
    ]
    return Measures(
        cases=count,
        score=(on_time + LATE_COUNTS * (len(answered) - on_time)) / count,
        on_time=on_time / count,
        abandoned=1 - len(answered) / count,
        mean_wait=float(waits.mean()),
        p90_wait=float(np.percentile(waits, 90)),
        p95_wait=float(np.percentile(waits, 95)),
        success=sum(likely) / count,
        value=sum(worth) / count,
        gini=float(np.mean([gini([one.worked / one.present for one in run.agents if one.present]) for run in runs])),
        cost=(float(waits.sum()) + ABANDONED_COSTS * (count - len(answered))) / count,
    )


def _likely(outcome: Outcome, truth: SuccessModel) -> float:
    case = outcome.case
    return truth.probability(outcome.agent_id or "", case.intent, case.product, case.segment, case.channel).value


def gini(occupancy: Sequence[float]) -> float:
    """The inequality of the agents' occupancy: 0 when all are alike, toward 1 when one does everything."""
    busy = np.sort(np.array(occupancy))
    if not len(busy) or not busy.sum():
        return 0.0
    rank = np.arange(1, len(busy) + 1)
    return float((2 * rank - len(busy) - 1) @ busy / (len(busy) * busy.sum()))


@dataclass(frozen=True, slots=True)
class Spread:
    """A mean over seeds and half the width of its 95 % interval; the width is None from a single seed."""

    mean: float
    half_width: float | None


def over_seeds(measured: Sequence[Measures]) -> dict[str, Spread]:
    """Each measure's mean and interval over seeds."""
    told = {}
    for one in fields(Measures):
        values = np.array([float(getattr(measures, one.name)) for measures in measured])
        half = None
        if len(values) > 1:
            # Student's: a few seeds know little of their own spread.
            reach = float(student.ppf(_BOTH_SIDES_95, len(values) - 1))
            half = reach * float(values.std(ddof=1)) / math.sqrt(len(values))
        told[one.name] = Spread(float(values.mean()), half)
    return told
