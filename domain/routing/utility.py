"""What a case gains from an agent: urgency x (fit) - costs, as arrays whose parts can be named."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from domain.routing.eligibility import Roster
from domain.routing.model import SuccessModel
from domain.routing.policy import LateOrder, OverflowRule, RoutingPolicy
from domain.routing.queue import NEVER, NO_AGENT, QueueSnapshot, micros

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Urgency:
    """Per case: the urgency, and its parts by name; the parts add up to the total. All arrays of shape (cases,)."""

    total: Floats
    parts: tuple[tuple[str, Floats], ...]


def urgency(
    queue: QueueSnapshot, policy: RoutingPolicy, now: datetime, active: Mapping[str, tuple[OverflowRule, ...]]
) -> Urgency:
    """The dynamic priority at `now`; it reads the true waits and changes none."""
    size, knobs = len(queue.cases), policy.urgency
    waited = np.maximum(micros(now) - queue.queued, 0) / 1e6
    slack = np.where(queue.breach == NEVER, np.inf, (queue.breach - micros(now)) / 1e6)
    late = slack < 0
    wait = knobs.wait * np.log2(1.0 + waited / _positive(knobs.wait_scale))
    breach = knobs.breach * np.clip(1.0 - slack / _positive(knobs.breach_horizon), 0.0, 1.0)
    fades = np.zeros(size)
    if knobs.late is LateOrder.AFTER_PUNCTUAL:
        breach[late] = 0.0
        wait[late] = 0.0
        fades[late] = knobs.late_fades * np.exp2(slack[late] / _positive(knobs.late_half_life))
    priority = knobs.priority * (5 - queue.priority) / 4
    sentiment = knobs.sentiment * np.maximum(-queue.sentiment, 0.0)
    business = knobs.business * queue.business
    give_up = knobs.give_up * queue.give_up
    plain = knobs.base + priority + wait + breach + fades + sentiment + business + give_up
    worth: Floats = queue.worth**knobs.value_exponent
    valued = plain * worth * _protection(queue, active)
    work = np.where(queue.work > 0, np.maximum(queue.work, 1.0) / _positive(knobs.handle_reference), 1.0)
    paced: Floats = valued * work**-knobs.handle_exponent
    kept = np.clip(paced, knobs.least, knobs.most)
    bounded = _overdue(waited, kept, policy)
    return Urgency(
        bounded,
        (
            ("base", np.full(size, knobs.base)),
            ("priority", priority),
            ("wait", wait),
            ("breach", breach),
            ("late", fades),
            ("sentiment", sentiment),
            ("business", business),
            ("give_up", give_up),
            ("value", valued - plain),
            ("short_work", paced - valued),
            ("bounds", kept - paced),
            ("longest_wait", bounded - kept),
        ),
    )


def _overdue(waited: Floats, kept: Floats, policy: RoutingPolicy) -> Floats:
    """Whoever waited past the bound outranks everyone who has not, the oldest first."""
    if policy.longest_wait is None:
        return kept
    over = waited - policy.longest_wait.total_seconds()
    fit = policy.fit
    dominance = (
        2.0 * policy.urgency.most * (fit.served + fit.success + fit.continuity + policy.exploration) / fit.served
    )
    return np.where(over > 0, dominance * (2.0 + over / (over + 3600.0)), kept)


def _protection(queue: QueueSnapshot, active: Mapping[str, tuple[OverflowRule, ...]]) -> Floats:
    factor = np.ones(len(queue.cases))
    for pool, rules in active.items():
        for rule in rules:
            if rule.protect_value_over is not None:
                covered = (queue.pool == queue.pools.index(pool)) & (queue.worth >= rule.protect_value_over)
                factor[covered] = np.maximum(factor[covered], rule.protection)
    return factor


class Utility:
    """u(i, j) for the cases of a pass and the agents of a roster, whole or pair by pair.

    The whole matrix leaves the load out, which depends on how many cases an agent gets in the pass: `load_cost`
    gives it per slot, `cost_scale` (cases,) how much of any cost a case bears.
    """

    def __init__(
        self,
        queue: QueueSnapshot,
        roster: Roster,
        policy: RoutingPolicy,
        success: SuccessModel,
        active: Mapping[str, tuple[OverflowRule, ...]],
    ) -> None:
        self.queue = queue
        self.roster = roster
        self.policy = policy
        self.urgency = urgency(queue, policy, roster.now, active)
        # Below an urgency of 1 the costs shrink with it, so that no cost can outweigh being served at all.
        self.cost_scale = np.minimum(self.urgency.total, 1.0)
        self._compile_success(success)
        self._compile_costs()
        self._compile_affinity()

    def _compile_success(self, success: SuccessModel) -> None:
        kinds, self.kind_of_case = np.unique(self.queue.kind, return_inverse=True)
        shape = (len(kinds), len(self.roster.ids))
        self.success, self.explored = np.empty(shape), np.zeros(shape)
        for row, number in enumerate(kinds.tolist()):
            kind = self.queue.kinds[number]
            value, deviation = success.probabilities(
                self.roster.ids, kind.intent, kind.product, kind.segment, kind.channel
            )
            self.success[row] = value
            if self.policy.exploration > 0:
                bonus = np.minimum(self.policy.exploration, self.policy.exploration_scale * deviation)
                self.explored[row] = np.minimum(bonus, np.maximum(1.0 - value, 0.0))

    def _compile_costs(self) -> None:
        knobs, agents, now = self.policy.costs, self.roster.agents, self.roster.now
        size = len(agents)
        full_after = _positive(knobs.idle_full_after)
        idle = np.fromiter(
            (
                1.0
                if agent.last_assigned_at is None
                else min(1.0, max(0.0, (now - agent.last_assigned_at).total_seconds()) / full_after)
                for agent in agents
            ),
            np.float64,
            size,
        )
        hours_full = np.fromiter((agent.time_at_full_load / timedelta(hours=1) for agent in agents), np.float64, size)
        self.idle = knobs.idle * (1.0 - idle)
        self.money = knobs.money * np.fromiter((max(0.0, agent.cost_per_case) for agent in agents), np.float64, size)
        self.slow = knobs.slow * self.roster.pace
        self.strain = np.minimum(knobs.burn_out_cap, knobs.strain * hours_full)
        self.hard_case = np.minimum(
            knobs.burn_out_cap - self.strain,
            knobs.hard_case * np.fromiter((agent.recent_hard_cases for agent in agents), np.float64, size),
        )
        home = {pool: at for at, pool in enumerate(sorted({agent.pools[0] for agent in agents if agent.pools}))}
        self.home_of_agent = np.fromiter(
            (home[agent.pools[0]] if agent.pools else -1 for agent in agents), np.int64, size
        )
        self.home_of_case = np.array([home.get(pool, -2) for pool in self.queue.pools], np.int64)[self.queue.pool]

    def _compile_affinity(self) -> None:
        queue, knobs = self.queue, self.policy.fit
        known = [self.roster.index.get(agent_id, NO_AGENT) for agent_id in queue.affine_agents]
        # NO_AGENT is the last index: it finds the NO_AGENT put there.
        self.affine_agent = np.array([*known, NO_AGENT], np.int64)[queue.affine]
        age = np.where(queue.affine_since == NEVER, 0.0, (micros(self.roster.now) - queue.affine_since) / 1e6)
        fresh = np.exp2(-np.maximum(age, 0.0) / _positive(knobs.affinity_half_life))
        self.continuity: Floats = np.where(self.affine_agent == NO_AGENT, 0.0, knobs.continuity * fresh)

    def load_cost(self, slot_load: Floats, slot_capacity: Floats) -> Floats:
        """What a slot costs by the share of its agent's capacity already taken before it."""
        return self.policy.costs.load * slot_load / np.maximum(slot_capacity, 1.0)

    def of_pairs(self, cases: Ints, agents: Ints) -> Floats:
        """The u of given pairs without the load: shape (pairs,)."""
        total = np.zeros(len(cases))
        for _, part in self.parts_of_pairs(cases, agents):
            total += part
        return total

    def parts_of_pairs(self, cases: Ints, agents: Ints) -> tuple[tuple[str, Floats], ...]:
        """The named terms of the pairs' u without the load: each of shape (pairs,)."""
        knobs, costs = self.policy.fit, self.policy.costs
        urgent = self.urgency.total[cases]
        scale = self.cost_scale[cases]
        kind = self.kind_of_case[cases]
        away = costs.away * (self.home_of_agent[agents] != self.home_of_case[cases])
        hard = self.hard_case[agents] * self.queue.hard[cases]
        idle, money, slow = self.idle[agents], self.money[agents], self.slow[agents]
        strain = self.strain[agents]
        over = np.maximum(0.0, idle + money + slow + strain + hard + away - costs.cap)
        return (
            ("served", urgent * knobs.served),
            ("success", urgent * knobs.success * self.success[kind, agents]),
            ("exploration", urgent * knobs.success * self.explored[kind, agents]),
            ("continuity", urgent * self.continuity[cases] * (self.affine_agent[cases] == agents)),
            ("recently_assigned", -scale * idle),
            ("cost", -scale * money),
            ("slow", -scale * slow),
            ("strain", -scale * strain),
            ("hard_cases", -scale * hard),
            ("away_from_home", -scale * away),
            ("cost_cap", scale * over),
        )

    def block(self, cases: Ints, agents: Ints) -> Floats:
        """The u of some cases with some agents without the load: shape (cases, agents)."""
        knobs, costs = self.policy.fit, self.policy.costs
        kind = self.kind_of_case[cases]
        gained = knobs.success * (self.success[:, agents] + self.explored[:, agents]) + knobs.served
        whole: Floats = gained[kind]
        whole *= self.urgency.total[cases, None]
        position = np.full(len(self.roster.ids) + 1, NO_AGENT, np.int64)
        position[agents] = np.arange(len(agents))
        column = position[self.affine_agent[cases]]
        affine = np.flatnonzero(column != NO_AGENT)
        chosen = cases[affine]
        whole[affine, column[affine]] += self.urgency.total[chosen] * self.continuity[chosen]
        # Costs depend on the case only by its home pool and by being hard: one row for each such pair.
        plain = (self.idle + self.money + self.slow + self.strain)[agents]
        sort = self.home_of_case[cases] * 2 + self.queue.hard[cases]
        for one in np.unique(sort):
            of_sort = np.flatnonzero(sort == one)
            cost = plain + costs.away * (self.home_of_agent[agents] != one // 2)
            if one % 2:
                cost = cost + self.hard_case[agents]
            whole[of_sort] -= self.cost_scale[cases[of_sort], None] * np.minimum(costs.cap, cost)
        return whole


def _positive(span: timedelta) -> float:
    return max(span.total_seconds(), 1e-9)
