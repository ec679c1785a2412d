"""What no policy can beat by much: a fluid programme that knows the whole day in advance."""

from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import coo_array

from domain.routing.model import SuccessModel
from simulator.routing.measures import LATE_COUNTS
from simulator.routing.trace import Trace, TraceCase

Floats = NDArray[np.float64]

_BIN = timedelta(minutes=1)
_LONGEST_LATE_WAIT = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class _Option:
    """One way to serve a case, on time or late: its worth and the bins in which its work may lie."""

    case: int
    worth: float
    seconds: float
    first: int
    last: int


def fluid_score(trace: Trace) -> float:
    """The most score (1 on time, 0.5 late, 0 lost) a day allows when work flows in minutes and may be split.

    Everything is known in advance, agents are poolable, and work begun may overrun a presence by the trace's mean
    work; real policies know nothing of the future and cannot split a call.
    """
    start = min(case.arrives_at for case in trace.cases)
    options = [option for at, case in enumerate(trace.cases) for option in _options(at, case, start)]
    bins = max(option.last for option in options) + 1
    supply = _supply(trace, start, bins)
    taken = np.array([option.last - option.first + 1 for option in options])
    flows = int(taken.sum())
    owner = np.repeat(np.arange(len(options)), taken)
    bin_of = np.concatenate([np.arange(option.first, option.last + 1) for option in options])
    cost = np.concatenate((-np.array([option.worth for option in options]), np.zeros(flows)))
    number = np.arange(flows) + len(options)
    work = np.array([option.seconds for option in options])
    balance = coo_array(
        (
            np.concatenate((-work, np.ones(flows))),
            (np.concatenate((np.arange(len(options)), owner)), np.concatenate((np.arange(len(options)), number))),
        ),
        shape=(len(options), len(cost)),
    )
    once = coo_array(
        (np.ones(len(options)), ([option.case for option in options], np.arange(len(options)))),
        shape=(len(trace.cases), len(cost)),
    )
    room = coo_array((np.ones(flows), (bin_of, number)), shape=(bins, len(cost)))
    # One call takes one agent at a time, the quickest at most.
    at_once = _BIN.total_seconds() / min(agent.pace for agent in trace.agents)
    answer = milp(
        cost,
        bounds=Bounds(0.0, np.concatenate((np.ones(len(options)), np.full(flows, at_once)))),
        constraints=(
            LinearConstraint(balance.tocsr(), 0.0, 0.0),
            LinearConstraint(once.tocsr(), -np.inf, 1.0),
            LinearConstraint(room.tocsr(), -np.inf, supply),
        ),
    )
    if answer.x is None:
        raise ArithmeticError(f"the fluid programme has no answer: {answer.message}")
    return float(-(cost @ answer.x)) / len(trace.cases)


def _options(at: int, case: TraceCase, start: datetime) -> list[_Option]:
    patience = case.patience if case.patience is not None else _LONGEST_LATE_WAIT
    seconds = max(case.work.total_seconds(), 1.0)
    first = (case.arrives_at - start) // _BIN
    punctual = case.arrives_at + min(case.target, patience) + case.work
    options = [_Option(at, 1.0, seconds, first, (punctual - start) // _BIN)]
    if patience > case.target:
        late = case.arrives_at + min(patience, _LONGEST_LATE_WAIT) + case.work
        options.append(
            _Option(at, LATE_COUNTS, seconds, (case.arrives_at + case.target - start) // _BIN, (late - start) // _BIN)
        )
    return options


def _supply(trace: Trace, start: datetime, bins: int) -> Floats:
    """Seconds of work at pace 1 that the staff can do in each bin."""
    overrun = sum((case.work for case in trace.cases), timedelta()) / len(trace.cases)
    supply = np.zeros(bins)
    width = _BIN.total_seconds()
    for agent in trace.agents:
        for presence in agent.presences:
            since = (presence.since - start).total_seconds() / width
            until = (presence.until + overrun - start).total_seconds() / width
            edges = np.arange(bins)
            covered = np.clip(np.minimum(until, edges + 1) - np.maximum(since, edges), 0.0, 1.0)
            supply += covered * width / agent.pace
    return supply


def most_value(trace: Trace, truth: SuccessModel) -> float:
    """The value a case when everyone is taken on time by the best agent of their pool: no policy can do better."""
    pools = sorted({case.pool for case in trace.cases})
    members = {pool: [agent.agent_id for agent in trace.agents if pool in agent.pools] for pool in pools}
    best: dict[tuple[str, str | None, str | None, str, str], float] = {}
    total = 0.0
    for case in trace.cases:
        kind = (case.pool, case.intent, case.product, case.segment, case.channel)
        if kind not in best:
            values, _ = truth.probabilities(members[case.pool], *kind[1:])
            best[kind] = float(values.max())
        total += case.value * best[kind]
    return total / len(trace.cases)
