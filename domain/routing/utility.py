"""What a case gains from an agent: urgency x (fit) - costs, as arrays whose parts can be named."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
from numpy.typing import NDArray

from domain.routing.eligibility import Roster
from domain.routing.model import ScorePart, SuccessModel, WaitingCase
from domain.routing.policy import LateOrder, OverflowRule, RoutingPolicy

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Urgency:
    """Per case: the urgency, and its parts by name; the parts add up to the total. All arrays of shape (cases,)."""

    total: Floats
    parts: tuple[tuple[str, Floats], ...]

    def explained(self, case: int) -> tuple[ScorePart, ...]:
        """The parts of one case that say something."""
        return tuple(ScorePart(name, float(part[case])) for name, part in self.parts if part[case] != 0.0)


def urgency(
    cases: Sequence[WaitingCase],
    policy: RoutingPolicy,
    roster: Roster,
    active: Mapping[str, tuple[OverflowRule, ...]],
) -> Urgency:
    """The dynamic priority at the roster's instant; it reads the true waits and changes none."""
    size, now, knobs = len(cases), roster.now, policy.urgency
    waited = np.fromiter(((now - case.queued_at).total_seconds() for case in cases), np.float64, size)
    np.maximum(waited, 0.0, out=waited)
    slack = np.fromiter(
        (np.inf if case.next_breach_at is None else (case.next_breach_at - now).total_seconds() for case in cases),
        np.float64,
        size,
    )
    late = slack < 0
    wait = knobs.wait * np.log2(1.0 + waited / _positive(knobs.wait_scale))
    closeness = np.clip(1.0 - slack / _positive(knobs.breach_horizon), 0.0, 1.0)
    breach = knobs.breach * closeness
    fades = np.zeros(size)
    if knobs.late is LateOrder.AFTER_PUNCTUAL:
        breach[late] = 0.0
        wait[late] = 0.0
        fades[late] = knobs.late_fades * np.exp2(slack[late] / _positive(knobs.late_half_life))
    priority = knobs.priority * np.fromiter(((5 - case.priority) / 4 for case in cases), np.float64, size)
    sentiment = knobs.sentiment * np.fromiter((max(0.0, -(case.sentiment or 0.0)) for case in cases), np.float64, size)
    business = knobs.business * np.fromiter((case.business_boost for case in cases), np.float64, size)
    plain = knobs.base + priority + wait + breach + fades + sentiment + business
    worth = np.fromiter((max(case.value_weight, 0.0) for case in cases), np.float64, size) ** knobs.value_exponent
    protected = np.fromiter((_protection(case, active) for case in cases), np.float64, size)
    work = np.fromiter(
        (
            1.0 if case.expected_handle is None else _share(case.expected_handle, knobs.handle_reference)
            for case in cases
        ),
        np.float64,
        size,
    )
    valued = plain * worth * protected
    paced = valued * work**-knobs.handle_exponent
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


def _protection(case: WaitingCase, active: Mapping[str, tuple[OverflowRule, ...]]) -> float:
    return max(
        (
            rule.protection
            for rule in active.get(case.pool, ())
            if rule.protect_value_over is not None and case.value_weight >= rule.protect_value_over
        ),
        default=1.0,
    )


class Utility:
    """u(i, j) for the cases of a pass and the agents of a roster, whole or pair by pair.

    The whole matrix leaves the load out, which depends on how many cases an agent gets in the pass: `load_cost`
    gives it per slot, `cost_scale` (cases,) how much of any cost a case bears.
    """

    def __init__(
        self,
        cases: Sequence[WaitingCase],
        roster: Roster,
        policy: RoutingPolicy,
        success: SuccessModel,
        active: Mapping[str, tuple[OverflowRule, ...]],
    ) -> None:
        self.cases = cases
        self.roster = roster
        self.policy = policy
        self.urgency = urgency(cases, policy, roster, active)
        # Below an urgency of 1 the costs shrink with it, so that no cost can outweigh being served at all.
        self.cost_scale = np.minimum(self.urgency.total, 1.0)
        self._compile_success(success)
        self._compile_costs()
        self._compile_affinity()

    def _compile_success(self, success: SuccessModel) -> None:
        rows: dict[tuple[str | None, str | None, str, str], int] = {}
        self.kind_of_case = np.empty(len(self.cases), np.int64)
        values: list[Floats] = []
        explored: list[Floats] = []
        for at, case in enumerate(self.cases):
            kind = (case.intent, case.product, case.segment, case.channel)
            row = rows.get(kind)
            if row is None:
                row = rows[kind] = len(values)
                value, deviation = success.probabilities(self.roster.ids, *kind)
                bonus = np.minimum(self.policy.exploration, self.policy.exploration_scale * deviation)
                values.append(value)
                explored.append(np.minimum(bonus, np.maximum(1.0 - value, 0.0)))
            self.kind_of_case[at] = row
        empty = np.empty((0, len(self.roster.ids)))
        self.success = np.stack(values) if values else empty
        self.explored = np.stack(explored) if explored else empty

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
        self.strain = np.minimum(knobs.burn_out_cap, knobs.strain * hours_full)
        self.hard_case = np.minimum(
            knobs.burn_out_cap - self.strain,
            knobs.hard_case * np.fromiter((agent.recent_hard_cases for agent in agents), np.float64, size),
        )
        self.is_hard = np.fromiter((case.hard for case in self.cases), np.bool_, len(self.cases))
        home = {pool: at for at, pool in enumerate(sorted({agent.pools[0] for agent in agents if agent.pools}))}
        self.home_of_agent = np.fromiter(
            (home.get(agent.pools[0], -1) if agent.pools else -1 for agent in agents), np.int64, size
        )
        self.home_of_case = np.fromiter((home.get(case.pool, -2) for case in self.cases), np.int64, len(self.cases))

    def _compile_affinity(self) -> None:
        knobs, index = self.policy.fit, self.roster.index
        self.affine_agent = np.full(len(self.cases), -1, np.int64)
        self.continuity = np.zeros(len(self.cases))
        half_life = _positive(knobs.affinity_half_life)
        for at, case in enumerate(self.cases):
            agent = index.get(case.affinity_agent) if case.affinity_agent is not None else None
            if agent is not None:
                age = 0.0 if case.affinity_at is None else (self.roster.now - case.affinity_at).total_seconds()
                self.affine_agent[at] = agent
                self.continuity[at] = knobs.continuity * 2.0 ** (-max(0.0, age) / half_life)

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
        hard = self.hard_case[agents] * self.is_hard[cases]
        idle, money, strain = self.idle[agents], self.money[agents], self.strain[agents]
        over = np.maximum(0.0, idle + money + strain + hard + away - costs.cap)
        return (
            ("served", urgent * knobs.served),
            ("success", urgent * knobs.success * self.success[kind, agents]),
            ("exploration", urgent * knobs.success * self.explored[kind, agents]),
            ("continuity", urgent * self.continuity[cases] * (self.affine_agent[cases] == agents)),
            ("recently_assigned", -scale * idle),
            ("cost", -scale * money),
            ("strain", -scale * strain),
            ("hard_cases", -scale * hard),
            ("away_from_home", -scale * away),
            ("cost_cap", scale * over),
        )

    def rows(self, cases: Ints) -> Floats:
        """The u of some cases with every agent without the load: shape (cases, agents)."""
        knobs, costs = self.policy.fit, self.policy.costs
        kind = self.kind_of_case[cases]
        gained = knobs.success * (self.success + self.explored) + knobs.served
        whole = gained[kind]
        whole *= self.urgency.total[cases, None]
        affine = np.flatnonzero(self.affine_agent[cases] >= 0)
        chosen = cases[affine]
        whole[affine, self.affine_agent[chosen]] += self.urgency.total[chosen] * self.continuity[chosen]
        # Costs depend on the case only by its home pool and by being hard: one row for each such pair.
        plain = self.idle + self.money + self.strain
        sort = self.home_of_case[cases] * 2 + self.is_hard[cases]
        for one in np.unique(sort):
            of_sort = np.flatnonzero(sort == one)
            cost = plain + costs.away * (self.home_of_agent != one // 2)
            if one % 2:
                cost = cost + self.hard_case
            whole[of_sort] -= self.cost_scale[cases[of_sort], None] * np.minimum(costs.cap, cost)
        return whole


def _positive(span: timedelta) -> float:
    return max(span.total_seconds(), 1e-9)


def _share(span: timedelta, reference: timedelta) -> float:
    return max(span.total_seconds(), 1.0) / _positive(reference)
