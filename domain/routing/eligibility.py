"""The hard constraints: who may take which case at this instant, and if not, why not."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from domain.channels import CALLS
from domain.routing.demand import DemandRows, Reach
from domain.routing.model import AgentCapacity, CustomerHours, Exclusion, SkillNeed, WaitingCase
from domain.routing.policy import OverflowRule, RoutingPolicy
from domain.routing.queue import QueueSnapshot, micros

ELIGIBLE = 0
_REASONS = tuple(Exclusion)
_CODE = {reason: code for code, reason in enumerate(_REASONS, start=1)}

Codes = NDArray[np.int8]
Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


def reason_of(code: int) -> Exclusion:
    """The reason behind a code other than ELIGIBLE."""
    return _REASONS[code - 1]


def code_of(reason: Exclusion) -> int:
    return _CODE[reason]


def overflowing(queue: QueueSnapshot, policy: RoutingPolicy, now: datetime) -> Mapping[str, tuple[OverflowRule, ...]]:
    """The overflow rules whose queue condition holds now, per pool, in the policy's order."""
    active: dict[str, tuple[OverflowRule, ...]] = {}
    for rule in policy.overflow:
        if rule.pool not in queue.pools:
            continue
        waiting = queue.queued[queue.pool == queue.pools.index(rule.pool)]
        if not len(waiting):
            continue
        too_many = rule.waiting_over is not None and len(waiting) > rule.waiting_over
        too_old = rule.oldest_over is not None and micros(now - rule.oldest_over) > int(waiting.min())
        if too_many or too_old or (rule.waiting_over is None and rule.oldest_over is None):
            active[rule.pool] = (*active.get(rule.pool, ()), rule)
    return active


def callable_from(hours: CustomerHours, now: datetime) -> datetime | None:
    """None when the customer may be called now, else the next instant at which they may."""
    local = now.astimezone(ZoneInfo(hours.zone))
    if hours.opens <= hours.closes:
        open_now = hours.opens <= local.time() < hours.closes
    else:
        open_now = local.time() >= hours.opens or local.time() < hours.closes
    if open_now:
        return None
    opening = local.replace(
        hour=hours.opens.hour, minute=hours.opens.minute, second=hours.opens.second, microsecond=0, fold=0
    )
    if opening <= local:
        opening = (opening.replace(tzinfo=None) + timedelta(days=1)).replace(tzinfo=local.tzinfo)
    return opening.astimezone(now.tzinfo)


class Roster:
    """The agents as arrays, longest idle first, then by id: the order in which ties are decided."""

    def __init__(self, agents: Sequence[AgentCapacity], now: datetime) -> None:
        floor = datetime.min.replace(tzinfo=now.tzinfo)
        self.agents = tuple(sorted(agents, key=lambda agent: (agent.last_assigned_at or floor, agent.agent_id)))
        self.now = now
        self.ids = tuple(agent.agent_id for agent in self.agents)
        self.index = {agent_id: at for at, agent_id in enumerate(self.ids)}
        if len(self.index) != len(self.agents):
            raise ValueError("an agent is given twice")
        size = len(self.agents)
        self.capacity = np.fromiter((agent.capacity for agent in self.agents), np.int64, size)
        self.load = np.fromiter((agent.load for agent in self.agents), np.int64, size)
        self.free = np.maximum(self.capacity - self.load, 0)
        self.transfers_only = np.fromiter((agent.transfers_only for agent in self.agents), np.bool_, size)
        self.skill_count = np.fromiter((len(agent.skills) for agent in self.agents), np.int64, size)
        self.shift_left = np.fromiter((self._shift_left(agent) for agent in self.agents), np.float64, size)
        self.pace = np.fromiter((agent.pace for agent in self.agents), np.float64, size)
        self._levels: dict[str, Ints] = {}
        self._meets: dict[tuple[SkillNeed, ...], Bools] = {}
        self._members: dict[str, Bools] = {}
        self._speaks: dict[frozenset[str], Bools] = {}
        self._accepts: dict[str, Bools] = {}
        self._room: dict[str, Ints] = {}

    def _shift_left(self, agent: AgentCapacity) -> float:
        return np.inf if agent.shift_ends_at is None else (agent.shift_ends_at - self.now).total_seconds()

    def levels(self, skill: str) -> Ints:
        """Each agent's level in a skill, 0 where it is missing."""
        if skill not in self._levels:
            self._levels[skill] = np.fromiter(
                (agent.skills.get(skill, 0) for agent in self.agents), np.int64, len(self.agents)
            )
        return self._levels[skill]

    def meets(self, needs: tuple[SkillNeed, ...]) -> Bools:
        """Who has every skill at its level or above."""
        if needs not in self._meets:
            met = np.ones(len(self.agents), np.bool_)
            for need in needs:
                met &= self.levels(need.skill) >= need.level
            self._meets[needs] = met
        return self._meets[needs]

    def members(self, pool: str) -> Bools:
        if pool not in self._members:
            self._members[pool] = np.fromiter(
                (pool in agent.pools for agent in self.agents), np.bool_, len(self.agents)
            )
        return self._members[pool]

    def speaks(self, languages: frozenset[str]) -> Bools:
        if languages not in self._speaks:
            self._speaks[languages] = np.fromiter(
                (not languages or bool(languages & agent.languages) for agent in self.agents),
                np.bool_,
                len(self.agents),
            )
        return self._speaks[languages]

    def accepts(self, channel: str) -> Bools:
        if channel not in self._accepts:
            self._accepts[channel] = np.fromiter(
                (channel in agent.accepts for agent in self.agents), np.bool_, len(self.agents)
            )
        return self._accepts[channel]

    def ceiling_room(self, channel: str) -> Ints:
        """How many more conversations of a channel each agent may hold by their ceilings."""
        if channel not in self._room:
            self._room[channel] = np.fromiter(
                (
                    max(0, agent.channel_ceilings[channel] - agent.channel_load.get(channel, 0))
                    if channel in agent.channel_ceilings
                    else np.iinfo(np.int32).max
                    for agent in self.agents
                ),
                np.int64,
                len(self.agents),
            )
        return self._room[channel]


@dataclass(frozen=True, slots=True)
class Eligibility:
    """`codes[row_of_case[i]]` says for case i why each agent of the roster may not take it, or ELIGIBLE.

    `steps` (cases,) counts the widening steps reached; `overflow` names the last active rule per case's pool.
    """

    codes: Codes
    row_of_case: Ints
    steps: Ints
    overflow: Mapping[str, str]

    def of(self, case: int) -> Codes:
        row: Codes = self.codes[self.row_of_case[case]]
        return row


def eligibility(
    queue: QueueSnapshot,
    roster: Roster,
    policy: RoutingPolicy,
    active: Mapping[str, tuple[OverflowRule, ...]],
) -> Eligibility:
    """The hard constraints of every case and agent at the roster's instant."""
    shared, row_of_case, steps = shared_codes(queue, roster, policy, active)
    rows = list(shared)
    for at in queue.special:
        own = _own_codes(queue.cases[at], rows[row_of_case[at]], roster)
        if own is not None:
            row_of_case[at] = len(rows)
            rows.append(own)
    codes = np.stack(rows) if rows else np.empty((0, len(roster.agents)), np.int8)
    return Eligibility(codes, row_of_case, steps, {pool: rules[-1].name for pool, rules in active.items()})


def shared_codes(
    queue: QueueSnapshot,
    roster: Roster,
    policy: RoutingPolicy,
    active: Mapping[str, tuple[OverflowRule, ...]],
) -> tuple[Codes, Ints, Ints]:
    """The codes (rows, agents) of what cases ask in common, each case's row, and the widening step it has reached."""
    waited = micros(roster.now) - queue.queued
    deadlines = np.array([step.after // timedelta(microseconds=1) for step in policy.widening], np.int64)
    steps = np.searchsorted(deadlines, waited, side="right")
    keys, row_of_case = np.unique(queue.demand * (len(deadlines) + 1) + steps, return_inverse=True)
    return (
        _code_rows(queue.demands.rows(keys, policy.widening, active), roster, policy),
        row_of_case.astype(np.int64),
        steps,
    )


def _code_rows(demands: DemandRows, roster: Roster, policy: RoutingPolicy) -> Codes:
    """The codes of all demands and agents, a column of demands at a time: shape (demands, agents)."""
    if not len(demands.reach):
        return np.zeros((0, len(roster.agents)), np.int8)
    numbers, at = np.unique(demands.reach, return_inverse=True)
    reached = [_reached(demands.reaches[number], roster) for number in numbers.tolist()]
    member, skilled = np.stack([one for one, _ in reached])[at], np.stack([one for _, one in reached])[at]
    channels = demands.channels
    room = np.stack([roster.ceiling_room(one) for one in channels])[demands.channel]
    accepts = np.stack([roster.accepts(one) for one in channels])[demands.channel]
    speaks = np.stack([roster.speaks(one) for one in demands.languages_asked])[demands.languages]
    handle = demands.handle[:, None] * roster.pace
    late = (handle > 0) & (handle * policy.shift_end_factor > roster.shift_left)
    codes = np.zeros(member.shape, np.int8)
    # The weakest reason is written first, so that the first of the enumeration stands at the end.
    codes[room < 1] = _CODE[Exclusion.CEILING]
    codes[roster.free < demands.units[:, None]] = _CODE[Exclusion.CAPACITY]
    codes[late | (roster.shift_left <= 0)] = _CODE[Exclusion.SHIFT_END]
    codes[~skilled] = _CODE[Exclusion.SKILL]
    codes[~speaks] = _CODE[Exclusion.LANGUAGE]
    codes[~member & ~skilled] = _CODE[Exclusion.POOL]
    codes[~accepts] = _CODE[Exclusion.PRESENCE]
    codes[:, roster.transfers_only] = _CODE[Exclusion.PRESENCE]
    return codes


def _reached(reach: Reach, roster: Roster) -> tuple[Bools, Bools]:
    """Who is in the pools, and who of them (or of the generalists) has the skills: each of shape (agents,)."""
    member = np.zeros(len(roster.agents), np.bool_)
    for pool in reach.pools:
        member |= roster.members(pool)
    skilled = member & roster.meets(reach.needs)
    for pool, least_skills, needs in reach.generalists:
        skilled |= roster.members(pool) & (roster.skill_count >= least_skills) & roster.meets(needs)
    return member, skilled


def _own_codes(case: WaitingCase, shared: Codes, roster: Roster) -> Codes | None:
    """The row of a case that something of its own sets apart, or None when the shared row holds."""
    if case.channel in CALLS and case.customer_hours and callable_from(case.customer_hours, roster.now):
        return np.full_like(shared, _CODE[Exclusion.CUSTOMER_HOURS])
    if case.only_agent is not None:
        return _named_codes(case, roster)
    if not case.excluded:
        return None
    declined = [roster.index[agent_id] for agent_id in sorted(case.excluded) if agent_id in roster.index]
    if not declined:
        return None
    codes = shared.copy()
    codes[declined] = _CODE[Exclusion.DECLINED]
    cooled_down = case.exclusions_clear_at is not None and case.exclusions_clear_at <= roster.now
    if cooled_down and not np.isin(codes, (ELIGIBLE, _CODE[Exclusion.CAPACITY], _CODE[Exclusion.CEILING])).any():
        return None
    return codes


def _named_codes(case: WaitingCase, roster: Roster) -> Codes:
    codes = np.full(len(roster.agents), _CODE[Exclusion.NAMED_OTHER], np.int8)
    named = roster.index.get(case.only_agent or "")
    if named is None:
        return codes
    agent = roster.agents[named]
    if case.channel not in agent.accepts:
        codes[named] = _CODE[Exclusion.PRESENCE]
    elif roster.shift_left[named] <= 0:
        codes[named] = _CODE[Exclusion.SHIFT_END]
    elif roster.free[named] < case.units:
        codes[named] = _CODE[Exclusion.CAPACITY]
    elif roster.ceiling_room(case.channel)[named] < 1:
        codes[named] = _CODE[Exclusion.CEILING]
    else:
        codes[named] = ELIGIBLE
    return codes
