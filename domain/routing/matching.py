"""One pass: the whole waiting queue against all capacity, and the record of why."""

from collections.abc import Mapping, Sequence
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
from domain.routing.record import DecisionRecord, unmatched_cases
from domain.routing.utility import Utility

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

# Small enough to decide between equals only: a million ranks stay below any difference a policy can mean.
_TIE = 1e-10


def match(
    cases: Sequence[WaitingCase],
    agents: Sequence[AgentCapacity],
    policy: RoutingPolicy,
    success: SuccessModel,
    now: datetime,
    *,
    soon_free: Sequence[SoonFree] = (),
) -> Matching:
    """Who takes which case at `now`, so that the summed score is the most that capacity allows.

    `agents` holds everyone present, the full ones too: who is full can still be worth waiting for. `soon_free`
    forecasts capacity that comes back. Equal input gives an equal answer, in whatever order it is given.

    Raises:
        ValueError: `now` has no zone, or a conversation or an agent is given twice.
    """
    if now.tzinfo is None:
        raise ValueError("now needs a zone")
    queue = tuple(sorted(cases, key=lambda case: (case.queued_at, case.conversation_id)))
    if len({case.conversation_id for case in queue}) != len(queue):
        raise ValueError("a conversation is given twice")
    roster = Roster(agents, now)
    active = overflowing(queue, policy, now)
    eligible = eligibility(queue, roster, policy, active)
    utility = Utility(queue, roster, policy, success, active)
    coming = _coming(soon_free, roster, policy)
    affine_worth = _worth_of_affine_wait(queue, eligible, utility)
    server = _assign(queue, eligible, utility, coming, affine_worth)
    size = len(roster.agents)
    agent = np.where(server < size, server, NOBODY)
    waits_for = {case: coming[server[case] - size].agent_id for case in np.flatnonzero(server >= size).tolist()}
    for case in np.flatnonzero((affine_worth > 0) & (server == NOBODY)).tolist():
        waits_for[case] = roster.ids[utility.affine_agent[case]]
    agent, preferred = settle_preferences(agent, eligible, utility)
    record = DecisionRecord(queue, eligible, utility, policy, success, roster)
    decisions = record.decisions(agent, preferred)
    left = np.flatnonzero(agent == NOBODY)
    soon = {forecast.agent_id: forecast.at for forecast in reversed(coming)}
    return Matching(
        decisions,
        unmatched_cases(queue, left, eligible, waits_for),
        _next_change(queue, left, waits_for, soon, policy, active, now),
        float(sum(decision.score for decision in decisions)),
    )


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


def _worth_of_affine_wait(queue: Sequence[WaitingCase], eligible: Eligibility, utility: Utility) -> Floats:
    """u(i, nobody) where the agent who knows the customer is present but full, and the wait is young: (cases,)."""
    worth = np.zeros(len(queue))
    policy, roster = utility.policy, utility.roster
    for case in np.flatnonzero(utility.affine_agent >= 0).tolist():
        agent = utility.affine_agent[case]
        left = _affinity_ends(queue[case], policy) - roster.now
        if left <= timedelta() or eligible.of(case)[agent] != code_of(Exclusion.CAPACITY):
            continue
        # Nobody knows when a full agent frees up; half of what is left of the wait is the fair guess.
        kept = 1.0 - policy.waiting.loss_per_minute * (left / timedelta(minutes=1)) / 2
        pair = utility.of_pairs(np.array([case]), np.array([agent]))[0]
        worth[case] = max(0.0, float(pair) * kept)
    return worth


def _assign(
    queue: Sequence[WaitingCase],
    eligible: Eligibility,
    utility: Utility,
    coming: Sequence[SoonFree],
    affine_worth: Floats,
) -> Ints:
    """The server of each case: an agent's index, agents + the index of a forecast, or NOBODY."""
    roster, policy = utility.roster, utility.policy
    size = len(roster.agents)
    everyone = np.arange(len(queue))
    gain = utility.rows(everyone)
    gain -= affine_worth[:, None]
    gain -= _TIE * (np.arange(size)[None, :] + np.arange(len(queue))[:, None])
    gain[eligible.codes[eligible.row_of_case] != ELIGIBLE] = -np.inf
    if coming:
        gain = np.hstack((gain, _gain_of_waiting(queue, eligible, utility, coming, affine_worth)))
    channels = sorted({case.channel for case in queue})
    index = {channel: at for at, channel in enumerate(channels)}
    unbounded = np.full(len(coming), np.iinfo(np.int32).max, np.int64)
    room = [np.concatenate((roster.ceiling_room(channel), unbounded)) for channel in channels]
    capacity = np.maximum(roster.capacity, 1).astype(np.float64)
    later = np.zeros(len(coming))
    return assign(
        AssignmentProblem(
            gain,
            np.fromiter((case.units for case in queue), np.int64, len(queue)),
            np.concatenate((roster.free, np.fromiter((one.units for one in coming), np.int64, len(coming)))),
            np.fromiter((index[case.channel] for case in queue), np.int64, len(queue)),
            np.stack(room) if room else np.empty((0, size + len(coming)), np.int64),
            utility.cost_scale,
            np.concatenate((policy.costs.load * roster.load / capacity, later)),
            np.concatenate((policy.costs.load / capacity, later)),
        )
    )


def _gain_of_waiting(
    queue: Sequence[WaitingCase],
    eligible: Eligibility,
    utility: Utility,
    coming: Sequence[SoonFree],
    affine_worth: Floats,
) -> Floats:
    """What it adds to wait for each forecast: shape (cases, forecasts), -inf where a deadline forbids it."""
    roster, policy = utility.roster, utility.policy
    everyone = np.arange(len(queue))
    gain = np.full((len(queue), len(coming)), -np.inf)
    possible = (ELIGIBLE, code_of(Exclusion.CAPACITY))
    # A bound that has passed forbids any wait; no bound is as good as one past every horizon.
    patience = np.fromiter(
        (
            np.inf if (until := _patience(case, policy)) is None else (until - roster.now).total_seconds()
            for case in queue
        ),
        np.float64,
        len(queue),
    )
    for at, forecast in enumerate(coming):
        agent = roster.index[forecast.agent_id]
        delay = forecast.at - roster.now
        allowed = np.isin(eligible.codes[eligible.row_of_case, agent], possible)
        allowed &= delay.total_seconds() <= patience
        kept = 1.0 - policy.waiting.loss_per_minute * (delay / timedelta(minutes=1))
        later = utility.of_pairs(everyone, np.full(len(queue), agent)) * kept - affine_worth
        gain[allowed, at] = later[allowed]
    return gain


def _next_change(
    queue: Sequence[WaitingCase],
    left: Ints,
    waits_for: Mapping[int, str],
    soon: Mapping[str, datetime],
    policy: RoutingPolicy,
    active: Mapping[str, tuple[OverflowRule, ...]],
    now: datetime,
) -> datetime | None:
    instants: list[datetime] = []
    for at in left.tolist():
        case = queue[at]
        instants.extend(case.queued_at + step.after for step in policy.widening)
        if case.exclusions_clear_at is not None:
            instants.append(case.exclusions_clear_at)
        if case.customer_hours is not None and (opening := callable_from(case.customer_hours, now)) is not None:
            instants.append(opening)
        instants.extend(
            case.queued_at + rule.oldest_over
            for rule in policy.overflow
            if rule.pool == case.pool and rule.oldest_over is not None and rule not in active.get(case.pool, ())
        )
        if at in waits_for:
            instants.append(soon.get(waits_for[at], _affinity_ends(case, policy)))
            instants.append(_affinity_ends(case, policy))
            patience = _patience(case, policy)
            if patience is not None:
                instants.append(patience)
    return min((instant for instant in instants if instant > now), default=None)
