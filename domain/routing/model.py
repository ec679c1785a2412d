"""What the routing engine reads and what it answers: waiting cases, agents, decisions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from enum import StrEnum
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class AgentKind(StrEnum):
    HUMAN = "human"
    AI = "ai"


class Exclusion(StrEnum):
    """Why an agent cannot take a case now; the first reason in this order is the one given."""

    NAMED_OTHER = "named_other"
    DECLINED = "declined"
    PRESENCE = "presence"
    POOL = "pool"
    LANGUAGE = "language"
    SKILL = "skill"
    SHIFT_END = "shift_end"
    CUSTOMER_HOURS = "customer_hours"
    CAPACITY = "capacity"
    CEILING = "ceiling"


class UnmatchedReason(StrEnum):
    """Why a case stays in the queue after a pass."""

    NO_ELIGIBLE_AGENT = "no_eligible_agent"
    ALL_FULL = "all_full"
    OTHERS_FIRST = "others_first"
    WAITING_IS_BETTER = "waiting_is_better"
    CUSTOMER_HOURS = "customer_hours"
    PLACE_KEPT_FREE = "place_kept_free"
    """The last free place is kept for a while for who can still be answered in time."""


@dataclass(frozen=True, slots=True)
class SkillNeed:
    """A skill the case requires, at `level` 1-5 or above."""

    skill: str
    level: int


@dataclass(frozen=True, slots=True)
class CustomerHours:
    """The customer's local hours in which they may be called: an IANA zone, from `opens` to `closes`."""

    zone: str
    opens: time
    closes: time


@dataclass(frozen=True, slots=True)
class WaitingCase:
    """One conversation in the queue of a pool.

    `queued_at` is the original entry: no pass, offer or overflow ever rewrites it. `required_skills` stand in order
    of importance: widening drops them from the last to the first. `languages` is any-of; empty asks for none, and
    no widening touches it. `units` is the capacity it takes (units of capacity). `priority` runs from 1 (urgent) to
    5 (low). `value_weight` is a factor, 1 for the average customer. `sentiment` runs from -1 to 1.
    `next_breach_at` is the earliest promise still open, past when it is broken.
    `excluded` agents stay excluded until `exclusions_clear_at`, and past it as long as someone else could take it.
    `only_agent` names the one agent who may take it (a transfer, a reassignment): pool and skills were then a
    person's choice and are not asked. `business_boost` is added to the urgency (an outage, a renewal soon).
    `expected_handle` is the forecast work in it, the agent's own pace aside. `expected_patience` is the mean time
    after which such customers give up waiting.
    """

    conversation_id: str
    ticket: int
    pool: str
    queued_at: datetime
    channel: str
    units: int
    required_skills: tuple[SkillNeed, ...] = ()
    languages: frozenset[str] = frozenset()
    priority: int = 3
    segment: str = ""
    value_weight: float = 1.0
    intent: str | None = None
    product: str | None = None
    sentiment: float | None = None
    next_breach_at: datetime | None = None
    excluded: frozenset[str] = frozenset()
    exclusions_clear_at: datetime | None = None
    only_agent: str | None = None
    affinity_agent: str | None = None
    affinity_at: datetime | None = None
    business_boost: float = 0.0
    customer_hours: CustomerHours | None = None
    expected_handle: timedelta | None = None
    hard: bool = False
    expected_patience: timedelta | None = None


@dataclass(frozen=True, slots=True)
class AgentCapacity:
    """One present agent, busy or free; agents who are away are not given to the engine at all.

    `pools` names the home pool first. `skills` maps a skill to its level 1-5. `capacity` and `load` are units.
    `channel_ceilings` bounds the count of conversations per channel kind, `channel_load` is how many there are.
    `accepts` holds the channels the presence lets through; with `transfers_only` just the cases that name the agent.
    `preferences` maps an intent, product or segment to how much the agent wants such cases (-1 to 1).
    `cost_per_case` is in the policy's cost unit. `recent_hard_cases` and `time_at_full_load` feed the burn-out guard.
    `pace` is the agent's time over everybody's on the same kinds of case. `freed_at` is when room last came back to
    them or they came online, None where that is not known.
    """

    agent_id: str
    pools: tuple[str, ...]
    capacity: int
    accepts: frozenset[str]
    load: int = 0
    skills: Mapping[str, int] = field(default_factory=dict)
    languages: frozenset[str] = frozenset()
    channel_load: Mapping[str, int] = field(default_factory=dict)
    channel_ceilings: Mapping[str, int] = field(default_factory=dict)
    transfers_only: bool = False
    last_assigned_at: datetime | None = None
    shift_ends_at: datetime | None = None
    preferences: Mapping[str, float] = field(default_factory=dict)
    kind: AgentKind = AgentKind.HUMAN
    cost_per_case: float = 0.0
    recent_hard_cases: int = 0
    time_at_full_load: timedelta = timedelta()
    pace: float = 1.0
    freed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class SoonFree:
    """A forecast: `units` of the agent's capacity come back at `at`."""

    agent_id: str
    at: datetime
    units: int


@dataclass(frozen=True, slots=True)
class SuccessEstimate:
    """P(this agent resolves this case), beside the team's, both probabilities.

    `cases` is how many of the agent's cases of this very kind speak; `deviation` is the estimate's standard deviation.
    """

    value: float
    team: float
    cases: int
    deviation: float = 0.0


class SuccessModel(Protocol):
    """What the engine asks of whatever has learned who resolves what."""

    @property
    def version(self) -> str: ...

    def probability(
        self, agent_id: str, intent: str | None, product: str | None, segment: str, channel: str
    ) -> SuccessEstimate: ...

    def probabilities(
        self, agent_ids: Sequence[str], intent: str | None, product: str | None, segment: str, channel: str
    ) -> tuple[Floats, Floats]:
        """The values and the deviations, one per agent, in the order given: two arrays of shape (agents,)."""
        ...


@dataclass(frozen=True, slots=True)
class ScorePart:
    """One term of a sum: the parts of a score add up to the score."""

    name: str
    value: float


@dataclass(frozen=True, slots=True)
class Candidate:
    agent_id: str
    score: float
    parts: tuple[ScorePart, ...]


@dataclass(frozen=True, slots=True)
class ExclusionCount:
    reason: Exclusion
    agents: int


@dataclass(frozen=True, slots=True)
class ExclusionExample:
    agent_id: str
    reason: Exclusion


@dataclass(frozen=True, slots=True)
class Decision:
    """One case goes to one agent, with all that is needed to explain and to replay it.

    `score` is the sum of `parts`; `urgency` is the sum of `urgency_parts`. `candidates` is bounded, best first.
    `runner_up` is the best other candidate. `by_preference` says that agents within epsilon were told apart by what
    they want to work on. `step` counts the widening steps reached (0: as asked for).
    """

    conversation_id: str
    ticket: int
    agent_id: str
    units: int
    score: float
    parts: tuple[ScorePart, ...]
    urgency: float
    urgency_parts: tuple[ScorePart, ...]
    widening_step: int
    overflow: str | None
    candidates: tuple[Candidate, ...]
    exclusions: tuple[ExclusionCount, ...]
    exclusion_examples: tuple[ExclusionExample, ...]
    runner_up: str | None
    by_preference: bool
    success: SuccessEstimate
    waited: timedelta
    policy_version: str
    model_version: str
    sentence: str
    case: WaitingCase


@dataclass(frozen=True, slots=True)
class Unmatched:
    """`exclusions` counts why agents could not take it; `waits_for` names the agent it is worth waiting for."""

    conversation_id: str
    ticket: int
    reason: UnmatchedReason
    widening_step: int
    exclusions: tuple[ExclusionCount, ...] = ()
    waits_for: str | None = None


@dataclass(frozen=True, slots=True)
class Matching:
    """The answer of one pass.

    `next_change_at` is the next instant at which time alone could change the answer (a widening, exclusions that
    clear, a wait that is no longer worth it, a bound reached); None when only a change of queue or agents can.
    """

    decisions: tuple[Decision, ...]
    unmatched: tuple[Unmatched, ...]
    next_change_at: datetime | None
    total_score: float
