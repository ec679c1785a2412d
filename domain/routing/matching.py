"""One pass: the whole waiting queue against all capacity, and the record of why."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from domain.routing.assignment import NOBODY, AssignmentProblem, assign
from domain.routing.eligibility import (
    ELIGIBLE,
    Eligibility,
    Roster,
    callable_from,
    code_of,
    eligibility,
    overflowing,
    shared_codes,
)
from domain.routing.model import (
    AgentCapacity,
    Exclusion,
    Matching,
    SoonFree,
    SuccessModel,
    WaitingCase,
)
from domain.routing.policy import OverflowRule, RoutingPolicy
from domain.routing.preferences import settle_preferences
from domain.routing.queue import NEVER, NO_AGENT, QueueSnapshot, WaitingQueue, micros, micros_of
from domain.routing.record import decided_cases, unmatched_cases
from domain.routing.shortlist import shortlist
from domain.routing.spare import kept_until, without_the_last
from domain.routing.utility import Utility

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

# Small enough to decide between equals only: a million ranks stay below any difference a policy can mean.
_TIE = 1e-10
# Shorter queues are compiled as quickly as they are sifted.
_LONG = 200


def match(
    cases: Sequence[WaitingCase] | WaitingQueue,
    agents: Sequence[AgentCapacity],
    policy: RoutingPolicy,
    success: SuccessModel,
    now: datetime,
    *,
    soon_free: Sequence[SoonFree] = (),
    tell_unmatched: bool = True,
) -> Matching:
    """Who takes which case at `now`, so that the summed score is the most that capacity allows.

    `cases` may be a WaitingQueue kept across passes. `agents` holds everyone present, the full ones too: who is full
    can still be worth waiting for. `soon_free` forecasts capacity that comes back. Equal input gives an equal answer,
    in whatever order it is given. Without `tell_unmatched` the answer names only what is decided: a freed slot in a
    long queue need not pay for thousands of reasons, and `next_change_at` then stays as the last full pass told.

    Raises:
        ValueError: `now` has no zone, or a conversation or an agent is given twice.
    """
    found = _settled(cases, agents, policy, success, now, soon_free, whole=tell_unmatched)
    queue, eligible, utility, server = found.queue, found.eligible, found.utility, found.server
    decisions = decided_cases(found.agent, found.preferred, eligible, utility, success)
    score = float(sum(decision.score for decision in decisions))
    if not tell_unmatched:
        return Matching(decisions, (), None, score)
    size = len(utility.roster.agents)
    coming = found.coming
    waits_for = {case: coming[server[case] - size].agent_id for case in np.flatnonzero(server >= size).tolist()}
    for case in np.flatnonzero((found.affine_worth > 0) & (server == NOBODY)).tolist():
        waits_for[case] = utility.roster.ids[utility.affine_agent[case]]
    left = np.flatnonzero(found.agent == NOBODY)
    put_off = frozenset(left[(server[left] != NOBODY) & (server[left] < size)].tolist())
    soon = {forecast.agent_id: forecast.at for forecast in reversed(coming)}
    places = [kept_until(utility.roster.agents[server[case]], policy.waiting) for case in put_off]
    kept = [at for at in places if at is not None]
    return Matching(
        decisions,
        unmatched_cases(queue.cases, left, eligible, waits_for, put_off),
        _next_change(queue, left, waits_for, soon, kept, policy, found.active, now),
        score,
    )


def takers(
    cases: Sequence[WaitingCase] | WaitingQueue,
    agents: Sequence[AgentCapacity],
    policy: RoutingPolicy,
    success: SuccessModel,
    now: datetime,
    *,
    soon_free: Sequence[SoonFree] = (),
) -> tuple[tuple[str, str], ...]:
    """The decisions of `match` as pairs of conversation and agent, without their record: for simulations."""
    found = _settled(cases, agents, policy, success, now, soon_free, whole=False)
    ids = found.utility.roster.ids
    return tuple(
        (found.queue.cases[case].conversation_id, ids[found.agent[case]])
        for case in np.flatnonzero(found.agent != NOBODY).tolist()
    )


@dataclass(frozen=True, slots=True)
class _Settled:
    """A pass before it is told: `server` and `agent` (cases,) before and after preferences, NOBODY where nobody."""

    queue: QueueSnapshot
    active: Mapping[str, tuple[OverflowRule, ...]]
    eligible: Eligibility
    utility: Utility
    coming: tuple[SoonFree, ...]
    affine_worth: Floats
    server: Ints
    agent: Ints
    preferred: Bools


def _settled(
    cases: Sequence[WaitingCase] | WaitingQueue,
    agents: Sequence[AgentCapacity],
    policy: RoutingPolicy,
    success: SuccessModel,
    now: datetime,
    soon_free: Sequence[SoonFree],
    *,
    whole: bool,
) -> _Settled:
    if now.tzinfo is None:
        raise ValueError("now needs a zone")
    queue = (cases if isinstance(cases, WaitingQueue) else WaitingQueue(cases)).snapshot()
    active = overflowing(queue, policy, now)
    if not whole:
        if len(queue.cases) > _LONG:
            queue = _within_reach(queue, agents, policy, active, soon_free, now)
        agents = _concerned(agents, queue, policy, soon_free, now)
    roster = Roster(agents, now)
    eligible = eligibility(queue, roster, policy, active)
    utility = Utility(queue, roster, policy, success, active)
    coming = _coming(soon_free, roster, policy)
    affine_worth = _worth_of_affine_wait(eligible, utility)
    server = _assign(eligible, utility, coming, affine_worth)
    agent = without_the_last(np.where(server < len(roster.agents), server, NOBODY), utility)
    agent, preferred = settle_preferences(agent, eligible, utility)
    return _Settled(queue, active, eligible, utility, coming, affine_worth, server, agent, preferred)


def _within_reach(
    queue: QueueSnapshot,
    agents: Sequence[AgentCapacity],
    policy: RoutingPolicy,
    active: Mapping[str, tuple[OverflowRule, ...]],
    soon_free: Sequence[SoonFree],
    now: datetime,
) -> QueueSnapshot:
    """The cases that someone with room, now or soon, may take: where few places are free, most can be left out."""
    later = {forecast.agent_id for forecast in soon_free}
    with_room = Roster([one for one in agents if one.load < one.capacity or one.agent_id in later], now)
    rows, row_of_case, _ = shared_codes(queue, with_room, policy, active)
    possible = (rows == ELIGIBLE).any(axis=1)
    if later:
        possible |= (rows == code_of(Exclusion.CAPACITY)).any(axis=1)
    reached = possible[row_of_case]
    reached[list(queue.special)] = True
    return queue.only(np.flatnonzero(reached))


def _concerned(
    agents: Sequence[AgentCapacity],
    queue: QueueSnapshot,
    policy: RoutingPolicy,
    soon_free: Sequence[SoonFree],
    now: datetime,
) -> Sequence[AgentCapacity]:
    """The agents that can change what is decided: those with room, and those it may be worth waiting for."""
    if any(queue.cases[at].excluded for at in queue.special):
        return agents
    young = np.unique(queue.affine[queue.queued > micros(now - policy.waiting.affinity_wait)])
    awaited = {queue.affine_agents[at] for at in young.tolist() if at != NO_AGENT}
    awaited.update(forecast.agent_id for forecast in soon_free)
    return [agent for agent in agents if agent.load < agent.capacity or agent.agent_id in awaited]


def _coming(soon_free: Sequence[SoonFree], roster: Roster, policy: RoutingPolicy) -> tuple[SoonFree, ...]:
    horizon = roster.now + policy.waiting.horizon
    known = (forecast for forecast in soon_free if forecast.agent_id in roster.index)
    return tuple(
        sorted(
            (forecast for forecast in known if roster.now < forecast.at <= horizon and forecast.units > 0),
            key=lambda forecast: (forecast.at, forecast.agent_id, forecast.units),
        )
    )


def _patience(case: WaitingCase, policy: RoutingPolicy) -> datetime | None:
    """Until when the case may wait for someone better; None without a bound."""
    bounds = []
    if case.next_breach_at is not None:
        bounds.append(case.next_breach_at - policy.waiting.breach_margin)
    if policy.longest_wait is not None:
        bounds.append(case.queued_at + policy.longest_wait)
    return min(bounds, default=None)


def _affinity_ends(case: WaitingCase, policy: RoutingPolicy) -> datetime:
    ends = case.queued_at + policy.waiting.affinity_wait
    patience = _patience(case, policy)
    return ends if patience is None else min(ends, patience)


def _worth_of_affine_wait(eligible: Eligibility, utility: Utility) -> Floats:
    """u(i, nobody) where the agent who knows the customer is present but full, and the wait is young: (cases,)."""
    queue, policy, now = utility.queue, utility.policy, utility.roster.now
    worth = np.zeros(len(queue.cases))
    known = np.flatnonzero(
        (utility.affine_agent != NO_AGENT) & (queue.queued > micros(now - policy.waiting.affinity_wait))
    )
    full = eligible.codes[eligible.row_of_case[known], utility.affine_agent[known]] == code_of(Exclusion.CAPACITY)
    waiting = known[full]
    if not len(waiting):
        return worth
    ends = [(_affinity_ends(queue.cases[case], policy) - now) / timedelta(minutes=1) for case in waiting.tolist()]
    left = np.array(ends)
    # Nobody knows when a full agent frees up; half of what is left of the wait is the fair guess.
    kept = np.where(left > 0, 1.0 - policy.waiting.loss_per_minute * left / 2, 0.0)
    worth[waiting] = np.maximum(0.0, utility.of_pairs(waiting, utility.affine_agent[waiting]) * kept)
    return worth


def _assign(eligible: Eligibility, utility: Utility, coming: Sequence[SoonFree], affine_worth: Floats) -> Ints:
    """The server of each case: an agent's index, agents + the index of a forecast, or NOBODY."""
    roster, queue, policy = utility.roster, utility.queue, utility.policy
    size = len(roster.agents)
    server = np.full(len(queue.cases), NOBODY, np.int64)
    free_now = np.flatnonzero(roster.free > 0)
    if not len(queue.cases) or not len(free_now):
        # Nobody can be given anything, so no case has to choose between now and later.
        return server
    cases = _shortlisted(eligible, utility, free_now, coming, affine_worth)
    gain = utility.block(cases, free_now)
    gain -= (affine_worth[cases] + _TIE * cases)[:, None]
    gain -= _TIE * np.arange(len(free_now))[None, :]
    gain[eligible.codes[np.ix_(eligible.row_of_case[cases], free_now)] != ELIGIBLE] = -np.inf
    if coming:
        gain = np.hstack((gain, _gain_of_waiting(cases, eligible, utility, coming, affine_worth)))
    unbounded = np.full(len(coming), np.iinfo(np.int32).max, np.int64)
    room = np.stack([np.concatenate((roster.ceiling_room(one)[free_now], unbounded)) for one in queue.channels])
    capacity = np.maximum(roster.capacity, 1)[free_now].astype(np.float64)
    later = np.zeros(len(coming))
    units_later = np.fromiter((one.units for one in coming), np.int64, len(coming))
    chosen = assign(
        AssignmentProblem(
            gain,
            queue.units[cases],
            np.concatenate((roster.free[free_now], units_later)),
            queue.channel[cases],
            room,
            utility.cost_scale[cases],
            np.concatenate((policy.costs.load * roster.load[free_now] / capacity, later)),
            np.concatenate((policy.costs.load / capacity, later)),
            policy.exact_pairs,
            policy.bidding_step,
        )
    )
    number = np.concatenate((free_now, size + np.arange(len(coming)), [NOBODY]))
    server[cases] = number[chosen]
    return server


def _shortlisted(
    eligible: Eligibility, utility: Utility, free_now: Ints, coming: Sequence[SoonFree], affine_worth: Floats
) -> Ints:
    """The cases that can win one of the free places now or soon."""
    queue, roster = utility.queue, utility.roster
    reaches = eligible.codes[:, free_now] == ELIGIBLE
    smallest = max(int(queue.units.min()), 1)
    places = roster.free[free_now] // smallest
    if coming:
        later = [roster.index[one.agent_id] for one in coming]
        possible = np.isin(eligible.codes[:, later], (ELIGIBLE, code_of(Exclusion.CAPACITY)))
        reaches = np.hstack((reaches, possible))
        places = np.concatenate((places, [max(1, one.units // smallest) for one in coming]))
    fit = utility.policy.fit
    likely = (utility.success[:, free_now] + utility.explored[:, free_now]).max(axis=1)[utility.kind_of_case]
    worth = utility.urgency.total * (fit.served + fit.success * likely + utility.continuity) - affine_worth
    kinds = len(utility.success)
    # A bond or a hard case makes other agents better, so these are not alike with the rest.
    group = (eligible.row_of_case * kinds + utility.kind_of_case) * 4
    group += (utility.affine_agent != NO_AGENT) * 2 + queue.hard
    numbers, group = np.unique(group, return_inverse=True)
    chosen: Ints = shortlist(worth, group, reaches[numbers // (4 * kinds)], places)
    winnable: Ints = chosen[reaches[eligible.row_of_case[chosen]].any(axis=1)]
    return winnable


def _gain_of_waiting(
    cases: Ints, eligible: Eligibility, utility: Utility, coming: Sequence[SoonFree], affine_worth: Floats
) -> Floats:
    """What it adds to wait for each forecast: shape (cases, forecasts), -inf where a deadline forbids it."""
    roster, policy, queue = utility.roster, utility.policy, utility.queue
    gain = np.full((len(cases), len(coming)), -np.inf)
    margin = micros_of(policy.waiting.breach_margin)
    # A bound that has passed forbids any wait; NEVER is past every horizon.
    until = np.where(queue.breach[cases] == NEVER, NEVER, queue.breach[cases] - margin)
    if policy.longest_wait is not None:
        until = np.minimum(until, queue.queued[cases] + micros_of(policy.longest_wait))
    for at, forecast in enumerate(coming):
        agent = roster.index[forecast.agent_id]
        possible = (ELIGIBLE, code_of(Exclusion.CAPACITY))
        allowed = np.isin(eligible.codes[eligible.row_of_case[cases], agent], possible)
        allowed &= micros(forecast.at) <= until
        kept = 1.0 - policy.waiting.loss_per_minute * ((forecast.at - roster.now) / timedelta(minutes=1))
        later = utility.of_pairs(cases, np.full(len(cases), agent)) * kept - affine_worth[cases]
        gain[allowed, at] = later[allowed]
    return gain


def _next_change(
    queue: QueueSnapshot,
    left: Ints,
    waits_for: Mapping[int, str],
    soon: Mapping[str, datetime],
    kept: Sequence[datetime],
    policy: RoutingPolicy,
    active: Mapping[str, tuple[OverflowRule, ...]],
    now: datetime,
) -> datetime | None:
    if not len(left):
        return None
    instants = list(kept)
    since = queue.queued[left]
    for step in policy.widening:
        instants.extend(_first_after(since + micros_of(step.after), now))
    for rule in policy.overflow:
        if rule.oldest_over is not None and rule.pool in queue.pools and rule not in active.get(rule.pool, ()):
            of_pool = since[queue.pool[left] == queue.pools.index(rule.pool)]
            # The rule holds once the wait is over the limit, a microsecond past it.
            instants.extend(_first_after(of_pool + micros_of(rule.oldest_over) + 1, now))
    remaining = set(left.tolist())
    for at in queue.special:
        if at in remaining:
            instants.extend(_own_instants(queue.cases[at], now))
    for at, agent_id in waits_for.items():
        instants.append(_affinity_ends(queue.cases[at], policy))
        if agent_id in soon:
            instants.append(soon[agent_id])
        if (patience := _patience(queue.cases[at], policy)) is not None:
            instants.append(patience)
    return min((instant for instant in instants if instant > now), default=None)


def _own_instants(case: WaitingCase, now: datetime) -> list[datetime]:
    opening = None if case.customer_hours is None else callable_from(case.customer_hours, now)
    return [instant for instant in (case.exclusions_clear_at, opening) if instant is not None]


def _first_after(instants: Ints, now: datetime) -> list[datetime]:
    to_come = instants[instants > micros(now)]
    return [now + timedelta(microseconds=int(to_come.min()) - micros(now))] if len(to_come) else []
