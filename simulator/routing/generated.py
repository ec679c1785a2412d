"""A day of our own making, for tests and for trying a policy without any log."""

from datetime import UTC, datetime, timedelta

import numpy as np

from domain.routing.success import Resolution
from simulator.routing.trace import Presence, Trace, TraceAgent, TraceCase

_START = datetime(2026, 3, 2, 8, tzinfo=UTC)
_INTENTS = (("balance", 90.0, 0.5), ("card", 200.0, 0.35), ("loan", 420.0, 0.15))
_LOAD = 0.95


def generated_day(*, seed: int, cases: int, agents: int) -> Trace:
    """A seeded day: arrivals at random over as many hours as keep the agents busy, log-normal work, exponential
    patience of four minutes, three intents of different length.
    """
    rng = np.random.default_rng(seed)
    kind = rng.choice(len(_INTENTS), size=cases, p=[share for _, _, share in _INTENTS])
    means = np.array([mean for _, mean, _ in _INTENTS])[kind]
    work = means * rng.lognormal(-0.32, 0.8, cases)
    seconds = float(means.sum()) / agents / _LOAD
    arrivals = np.sort(rng.random(cases)) * seconds
    patience = rng.exponential(240.0, cases)
    priority = rng.choice((1, 3), size=cases, p=(0.3, 0.7))
    waiting = tuple(
        TraceCase(
            case_id=f"case-{at:05}",
            arrives_at=_START + timedelta(seconds=float(arrivals[at])),
            work=timedelta(seconds=float(work[at])),
            expected_work=timedelta(seconds=float(means[at])),
            target=timedelta(seconds=20),
            channel="voice",
            units=100,
            patience=timedelta(seconds=float(patience[at])),
            intent=_INTENTS[kind[at]][0],
            priority=int(priority[at]),
            expected_patience=timedelta(minutes=4),
        )
        for at in range(cases)
    )
    there = (Presence(_START, _START + timedelta(seconds=seconds)),)
    staff = tuple(TraceAgent(f"agent-{at:03}", there, 100, frozenset({"voice"})) for at in range(agents))
    return Trace(f"generated-{seed}", waiting, staff)


def generated_resolutions(*, seed: int, agents: int, count: int) -> list[Resolution]:
    """Outcomes of the same agents: how able each is at each intent depends on the seed alone."""
    rng = np.random.default_rng((seed, agents))
    able = np.clip(rng.normal(0.72, 0.1, (agents, len(_INTENTS))), 0.3, 0.97)
    who, what = rng.integers(agents, size=count), rng.integers(len(_INTENTS), size=count)
    resolved = rng.random(count) < able[who, what]
    return [
        Resolution(f"agent-{who[at]:03}", _INTENTS[what[at]][0], None, "", "voice", bool(resolved[at]), _START)
        for at in range(count)
    ]
