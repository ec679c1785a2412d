"""A recorded period again, under another policy or another staffing: what would have changed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import numpy as np

from domain.routing.matching import match
from domain.routing.model import AgentCapacity, SuccessModel, WaitingCase
from domain.routing.policy import RoutingPolicy
from domain.routing.queue import WaitingQueue
from simulator.routing.engine import Choice, Run, Staffer, simulate
from simulator.routing.measures import gini
from simulator.routing.trace import Presence, Trace, TraceAgent, TraceCase

_NO_TARGET = timedelta(days=3650)


@dataclass(frozen=True, slots=True)
class RecordedCase:
    """One stay in the queue: the case as the engine was told of it first, and what became of it.

    `taken_by` and `taken_at` are None when nobody accepted it; `work` is how long it was held after that, the mean
    of the channel where nobody held it.
    """

    case_id: str
    told: WaitingCase
    work: timedelta
    taken_by: str | None
    taken_at: datetime | None


@dataclass(frozen=True, slots=True)
class RecordedAgent:
    """An agent as they are, with an empty desk, and when they were online."""

    agent: AgentCapacity
    presences: tuple[Presence, ...]


@dataclass(frozen=True, slots=True)
class Figures:
    """Waits in seconds, of who was taken. `on_time` is the share of the promised that was taken before the next
    breach, None where nothing was promised; `success` the mean P(success) of who took what; `gini` the inequality of
    the agents' occupancy.
    """

    cases: int
    taken: int
    mean_wait: float
    p95_wait: float
    on_time: float | None
    success: float
    gini: float


@dataclass(frozen=True, slots=True)
class Changed:
    """A case that another agent would have got, or the same one at another time; waits in seconds, None: not taken."""

    case_id: str
    conversation_id: str
    agent: str | None
    wait: float | None
    other_agent: str | None
    other_wait: float | None


@dataclass(frozen=True, slots=True)
class AgentShare:
    """Cases and hours of work of an agent: in the simulated present, and under what was asked."""

    agent_id: str
    cases: int
    other_cases: int
    hours: float
    other_hours: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """`recorded` is what happened; `present` the simulator's account of it, `other` of what was asked.

    Compare `other` with `present`: both take every offer at once, which people do not.
    """

    recorded: Figures
    present: Figures
    other: Figures
    other_agent: int
    changed: tuple[Changed, ...]
    agents: tuple[AgentShare, ...]


@dataclass(frozen=True, slots=True)
class PoolPolicies:
    """What routes each pool: a policy of its own, or the `general` one."""

    general: RoutingPolicy
    own: Mapping[str, RoutingPolicy] = field(default_factory=dict)

    def of(self, pool: str) -> RoutingPolicy:
        return self.own.get(pool, self.general)

    @property
    def versions(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((self.general.version, *(one.version for _, one in sorted(self.own.items())))))


class _AsRecorded:
    """The engine that routes for real, told what it was told: a queue for each pool, one after the other."""

    name = "recorded"

    def __init__(
        self,
        told: Mapping[str, WaitingCase],
        staff: Mapping[str, AgentCapacity],
        policies: PoolPolicies,
        success: SuccessModel,
    ) -> None:
        self._told = told
        self._staff = staff
        self._policies = policies
        self._success = success
        self._queues: dict[str, WaitingQueue] = {}

    def arrived(self, case: TraceCase) -> None:
        self._queues.setdefault(case.pool, WaitingQueue()).add(self._told[case.case_id])

    def left(self, case: TraceCase) -> None:
        self._queues[case.pool].remove(case.case_id)

    def choose(self, staff: Sequence[Staffer], now: datetime) -> tuple[Sequence[Choice], datetime | None]:
        choices: list[Choice] = []
        looks: list[datetime | None] = []
        agents = {staffer.agent.agent_id: self._as_now(staffer) for staffer in staff}
        for pool, queue in sorted(self._queues.items()):
            answer = match(queue, list(agents.values()), self._policies.of(pool), self._success, now)
            for decision in answer.decisions:
                choices.append(Choice(decision.conversation_id, decision.agent_id))
                agents[decision.agent_id] = _with_one_more(agents[decision.agent_id], decision.case, now)
            looks.append(answer.next_change_at)
        return choices, min((look for look in looks if look is not None), default=None)

    def _as_now(self, staffer: Staffer) -> AgentCapacity:
        return replace(
            self._staff[staffer.agent.agent_id],
            load=staffer.load,
            channel_load=dict(staffer.channel_load),
            last_assigned_at=staffer.last_assigned_at,
            freed_at=staffer.free_since,
        )


def _with_one_more(agent: AgentCapacity, case: WaitingCase, now: datetime) -> AgentCapacity:
    """The agent as the next pool finds them."""
    held = {**agent.channel_load, case.channel: agent.channel_load.get(case.channel, 0) + 1}
    return replace(agent, load=agent.load + case.units, channel_load=held, last_assigned_at=now)


def compare(
    cases: Sequence[RecordedCase],
    agents: Sequence[RecordedAgent],
    other_agents: Sequence[RecordedAgent],
    policies: PoolPolicies,
    other_policies: PoolPolicies,
    success: SuccessModel,
) -> Comparison:
    """The recorded cases by their own policies and staff, and by the other ones.

    Raises:
        ValueError: there are no cases, or nobody to take them.
    """
    if not cases or not agents or not other_agents:
        raise ValueError("nothing to replay: it takes recorded decisions and agents who were online")
    present = _run(cases, agents, policies, success)
    other = _run(cases, other_agents, other_policies, success)
    before = {outcome.case.case_id: outcome for outcome in present.outcomes}
    after = {outcome.case.case_id: outcome for outcome in other.outcomes}
    changed = []
    for one in cases:
        was, would = before[one.case_id], after[one.case_id]
        wait, other_wait = (
            None if outcome.agent_id is None else outcome.waited.total_seconds() for outcome in (was, would)
        )
        if (was.agent_id, wait) != (would.agent_id, other_wait):
            changed.append(
                Changed(one.case_id, one.told.conversation_id, was.agent_id, wait, would.agent_id, other_wait)
            )
    return Comparison(
        recorded=_recorded(cases, agents, success),
        present=_figures(present, cases, success),
        other=_figures(other, cases, success),
        other_agent=sum(one.agent != one.other_agent for one in changed),
        changed=tuple(changed),
        agents=_shares(present, other),
    )


def _run(
    cases: Sequence[RecordedCase], agents: Sequence[RecordedAgent], policies: PoolPolicies, success: SuccessModel
) -> Run:
    # Of one conversation two stays may wait at once in another world: the stay is what the engine is told apart.
    told = {one.case_id: replace(one.told, conversation_id=one.case_id) for one in cases}
    staff = {one.agent.agent_id: one.agent for one in agents}
    trace = Trace(
        "recorded",
        tuple(_trace_case(one) for one in sorted(cases, key=lambda one: (one.told.queued_at, one.case_id))),
        tuple(
            TraceAgent(
                one.agent.agent_id,
                one.presences,
                one.agent.capacity,
                one.agent.accepts,
                pools=one.agent.pools,
                skills=one.agent.skills,
                languages=one.agent.languages,
            )
            for one in agents
        ),
    )
    return simulate(trace, _AsRecorded(told, staff, policies, success))


def _trace_case(one: RecordedCase) -> TraceCase:
    told = one.told
    return TraceCase(
        case_id=one.case_id,
        arrives_at=told.queued_at,
        work=one.work,
        expected_work=one.work,
        target=_NO_TARGET if told.next_breach_at is None else told.next_breach_at - told.queued_at,
        channel=told.channel,
        units=told.units,
        pool=told.pool,
        intent=told.intent,
        product=told.product,
        segment=told.segment,
        priority=told.priority,
        value=told.value_weight,
        needs=told.required_skills,
        languages=told.languages,
    )


def _recorded(cases: Sequence[RecordedCase], agents: Sequence[RecordedAgent], success: SuccessModel) -> Figures:
    worked: dict[str, timedelta] = {}
    taken = []
    for one in cases:
        if one.taken_by is not None and one.taken_at is not None:
            taken.append((one, one.taken_by, one.taken_at - one.told.queued_at))
            worked[one.taken_by] = worked.get(one.taken_by, timedelta()) + one.work
    busy = [
        worked.get(one.agent.agent_id, timedelta()) / present
        for one in agents
        if (present := sum((span.until - span.since for span in one.presences), timedelta()))
    ]
    return _told_of(taken, len(cases), _promised(cases), gini(busy), success)


def _figures(run: Run, cases: Sequence[RecordedCase], success: SuccessModel) -> Figures:
    by_id = {one.case_id: one for one in cases}
    taken = [
        (by_id[outcome.case.case_id], outcome.agent_id, outcome.waited)
        for outcome in run.outcomes
        if outcome.agent_id is not None
    ]
    busy = [agent.worked / agent.present for agent in run.agents if agent.present]
    return _told_of(taken, len(cases), _promised(cases), gini(busy), success)


def _promised(cases: Sequence[RecordedCase]) -> int:
    return sum(one.told.next_breach_at is not None for one in cases)


def _told_of(
    taken: Sequence[tuple[RecordedCase, str, timedelta]],
    cases: int,
    promised: int,
    unequal: float,
    success: SuccessModel,
) -> Figures:
    waits = np.array([wait.total_seconds() for _, _, wait in taken] or [0.0])
    kept = sum(
        one.told.next_breach_at is not None and one.told.queued_at + wait <= one.told.next_breach_at
        for one, _, wait in taken
    )
    likely = [
        success.probability(agent_id, one.told.intent, one.told.product, one.told.segment, one.told.channel).value
        for one, agent_id, _ in taken
    ]
    return Figures(
        cases=cases,
        taken=len(taken),
        mean_wait=float(waits.mean()),
        p95_wait=float(np.percentile(waits, 95)),
        on_time=kept / promised if promised else None,
        success=sum(likely) / len(likely) if likely else 0.0,
        gini=unequal,
    )


def _shares(present: Run, other: Run) -> tuple[AgentShare, ...]:
    before = {agent.agent_id: agent for agent in present.agents}
    after = {agent.agent_id: agent for agent in other.agents}
    return tuple(
        AgentShare(
            agent_id,
            before[agent_id].cases if agent_id in before else 0,
            after[agent_id].cases if agent_id in after else 0,
            before[agent_id].worked / timedelta(hours=1) if agent_id in before else 0.0,
            after[agent_id].worked / timedelta(hours=1) if agent_id in after else 0.0,
        )
        for agent_id in sorted(before.keys() | after.keys())
    )
