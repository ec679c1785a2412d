"""How an agent's day looks to the engine: how hard it has been, and when room comes back."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from domain.routing.model import SoonFree

RECENT_CASES: Final = 5
"""How far back the guard against burn-out looks."""


@dataclass(frozen=True, slots=True)
class LiveCase:
    """A case in somebody's hands. `ends_at` is when its wrap-up ends, where one is running."""

    agent_id: str
    units: int
    started_at: datetime
    usual_time: timedelta | None
    ends_at: datetime | None


def hard_cases_in_a_row(latest_first: Iterable[bool]) -> int:
    """How many of the agent's latest cases, up to `RECENT_CASES`, were hard without an easy one between."""
    count = 0
    for is_hard in latest_first:
        if not is_hard or count == RECENT_CASES:
            break
        count += 1
    return count


def soon_free(cases: Iterable[LiveCase], now: datetime, horizon: timedelta) -> tuple[SoonFree, ...]:
    """What room comes back within `horizon`: at the end of a running wrap-up, or when the usual time is over.

    A case that already takes longer than usual says nothing any more.
    """
    forecasts = []
    for case in cases:
        at = case.ends_at
        if at is None and case.usual_time is not None:
            at = case.started_at + case.usual_time
        if at is not None and now < at <= now + horizon:
            forecasts.append(SoonFree(case.agent_id, at, case.units))
    return tuple(sorted(forecasts, key=lambda one: (one.at, one.agent_id, one.units)))
