"""What a simulation replays: cases as they came, agents as they were there."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from domain.routing.model import SkillNeed


@dataclass(frozen=True, slots=True)
class TraceCase:
    """One case of a trace.

    `patience` is how long the customer waits before giving up, None for one who never does. `work` is how long an
    agent of pace 1 is taken. `target` is the wait within which an answer counts as on time. `languages` is any-of,
    empty asks for none. `expected_work` and `expected_patience` are what a router may know beforehand.
    """

    case_id: str
    arrives_at: datetime
    work: timedelta
    expected_work: timedelta
    target: timedelta
    channel: str
    units: int
    pool: str = "all"
    patience: timedelta | None = None
    intent: str | None = None
    product: str | None = None
    segment: str = ""
    priority: int = 3
    value: float = 1.0
    needs: tuple[SkillNeed, ...] = ()
    expected_patience: timedelta | None = None
    languages: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Presence:
    """An agent is there from `since` to `until`; what was begun is finished after it."""

    since: datetime
    until: datetime


@dataclass(frozen=True, slots=True)
class TraceAgent:
    """An agent: `pace` stretches the work of every case, `expected_pace` is what a router may know of it."""

    agent_id: str
    presences: tuple[Presence, ...]
    capacity: int
    channels: frozenset[str]
    pools: tuple[str, ...] = ("all",)
    skills: Mapping[str, int] = field(default_factory=dict)
    languages: frozenset[str] = frozenset()
    pace: float = 1.0
    expected_pace: float = 1.0


@dataclass(frozen=True, slots=True)
class Trace:
    """A day or more of cases in the order of their arrival, and everyone who worked on them."""

    name: str
    cases: tuple[TraceCase, ...]
    agents: tuple[TraceAgent, ...]
