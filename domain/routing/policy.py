"""The knobs of routing: one frozen, versioned value that an admin can read and a replay can exchange."""

from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum


class LateOrder(StrEnum):
    """What becomes of a case whose deadline has passed."""

    FIRST = "first"
    AFTER_PUNCTUAL = "after_punctual"


@dataclass(frozen=True, slots=True)
class WideningStep:
    """From `after` (since the original entry) on, a case asks for less; each step states the whole relaxation.

    `lower_levels` is taken off every required level (never below 1), `drop_skills` counts the least important skills
    no longer asked for, `extra_pools` are pools whose agents may take the case too.
    """

    after: timedelta
    lower_levels: int = 0
    drop_skills: int = 0
    extra_pools: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class OverflowRule:
    """While the queue of `pool` is over a limit, its cases may go further than their own step allows.

    The condition holds when more than `waiting_over` cases wait or the oldest has waited longer than `oldest_over`.
    `to_generalists` opens the case to agents of the pool with at least `generalist_skills` skills, whatever pool is
    their home, at levels lowered by `lower_levels`; `to_pools` then opens other pools at the levels of the step.
    `protect_value_over`: cases with a `value_weight` from here on are multiplied by `protection` in urgency while the
    rule holds, and everybody else is protected by the policy's `longest_wait`.
    """

    name: str
    pool: str
    waiting_over: int | None = None
    oldest_over: timedelta | None = None
    to_generalists: bool = False
    generalist_skills: int = 4
    lower_levels: int = 1
    to_pools: tuple[str, ...] = ()
    protect_value_over: float | None = None
    protection: float = 1.5

    @property
    def sentence(self) -> str:
        """The rule as an admin reads it."""
        limits = []
        if self.waiting_over is not None:
            limits.append(f"more than {self.waiting_over} wait")
        if self.oldest_over is not None:
            limits.append(f"the oldest has waited over {self.oldest_over.total_seconds():.0f} s")
        goes_to = []
        if self.to_generalists:
            goes_to.append(
                f"its agents with {self.generalist_skills} skills or more, at levels lowered by {self.lower_levels}"
            )
        if self.to_pools:
            goes_to.append("the pools " + ", ".join(self.to_pools))
        words = (
            f"When in {self.pool} {' or '.join(limits) or 'anyone waits'}, "
            f"cases may also go to {' and to '.join(goes_to) or 'nobody else'}"
        )
        if self.protect_value_over is not None:
            words += f"; customers of value {self.protect_value_over:g} or more count {self.protection:g} times"
        return words + "."


@dataclass(frozen=True, slots=True)
class UrgencyWeights:
    """How urgent a case is: the sum of these parts, times the customer's value.

    `base` is what every case has. `priority` is added in full at priority 1 and not at all at 5. `wait` is added per
    doubling of the waited time over `wait_scale`. `breach` grows from 0 at `breach_horizon` before the deadline to
    its full value at the deadline; past it, `late` decides: FIRST keeps it in full, AFTER_PUNCTUAL takes `breach` and
    `wait` away and lets the part `late_fades` fall with the time past the deadline, halving every `late_half_life`,
    so that among the late the last in is the first out. `sentiment` is added in full at sentiment -1. `give_up`
    multiplies the rate, per minute, at which such customers give up waiting.
    `business` multiplies the case's own boost. `value_exponent` bends the customer's value.
    `handle_exponent` divides by the expected handle time over `handle_reference` to this power: above 0, short work
    goes first. Urgency is kept within `least` and `most`.
    """

    base: float = 1.0
    priority: float = 1.0
    wait: float = 0.25
    wait_scale: timedelta = timedelta(seconds=60)
    breach: float = 2.0
    breach_horizon: timedelta = timedelta(minutes=5)
    late: LateOrder = LateOrder.FIRST
    late_fades: float = 0.0
    late_half_life: timedelta = timedelta(minutes=1)
    sentiment: float = 0.5
    give_up: float = 0.0
    business: float = 1.0
    value_exponent: float = 1.0
    handle_exponent: float = 0.0
    handle_reference: timedelta = timedelta(minutes=3)
    least: float = 0.05
    most: float = 50.0


@dataclass(frozen=True, slots=True)
class FitWeights:
    """What one agent is worth for one case, in units of success probability, before urgency multiplies it.

    `served` is what any eligible agent is worth, so that nobody waits for the sake of a cost. `success` multiplies
    P(success). `continuity` is worth this much when the affinity is fresh, halving every `affinity_half_life`.
    """

    served: float = 1.0
    success: float = 1.0
    continuity: float = 0.15
    affinity_half_life: timedelta = timedelta(days=14)


@dataclass(frozen=True, slots=True)
class CostWeights:
    """What taking a case costs on the agent's side, in the same unit as the score; urgency does not multiply it.

    `load` is paid in full by the last unit of capacity and not at all by the first. `idle` is a reward for the time
    since the last assignment, full from `idle_full_after` on. `money` multiplies the agent's cost per case.
    `away` is paid by an agent whose home is another pool, `slow` per pace: in full by who takes as long as everybody.
    `hard_case` is paid per recent hard case when the next is hard too, `strain` per hour at full load, both up to
    `burn_out_cap`. All costs together never exceed `cap`.
    """

    load: float = 0.05
    idle: float = 0.03
    idle_full_after: timedelta = timedelta(minutes=30)
    money: float = 0.02
    away: float = 0.02
    slow: float = 0.0
    hard_case: float = 0.03
    strain: float = 0.05
    burn_out_cap: float = 0.2
    cap: float = 0.5


@dataclass(frozen=True, slots=True)
class WaitingWorth:
    """When it is better to wait for someone than to be served now.

    A minute of waiting loses `loss_per_minute` of a case's worth. Agents forecast to be free within `horizon` are
    weighed; a present but full affine agent is waited for at most `affinity_wait` from the case's entry. Nothing waits
    past its next breach, less `breach_margin`.
    A late case whose urgency is below `spare_below` is not given the last free place of its pool, for at most
    `spare_for` after that became free: who comes meanwhile can still be answered in time. 0 keeps none.
    """

    loss_per_minute: float = 0.05
    horizon: timedelta = timedelta(minutes=5)
    affinity_wait: timedelta = timedelta(minutes=2)
    breach_margin: timedelta = timedelta(seconds=30)
    spare_below: float = 0.0
    spare_for: timedelta = timedelta(minutes=2)


@dataclass(frozen=True, slots=True)
class RoutingPolicy:
    """Everything that can be set about routing; two passes with equal policy and input answer the same.

    `version` is written on every decision. `widening` holds absolute deadlines since the original entry, in order.
    `longest_wait` bounds the wait of everyone: a case past it goes before all that are not, oldest first.
    `epsilon` (success probability) is how much a customer may lose so that an agent gets what they want.
    `exploration` (probability) bounds what uncertainty may add to an estimate, `exploration_scale` is how many
    standard deviations are added up to that bound; 0 explores nothing.
    A case whose expected handle time, times `shift_end_factor`, would pass the end of the shift is not given.
    `candidates_kept` and `examples_kept` bound the record of a decision.
    `exact_pairs` is the number of eligible (case, free slot) pairs up to which the whole queue is solved as it
    stands; above it cases bid for places, and no case loses more than `bidding_step` of the median case's gain.
    """

    version: str = "default-1"
    widening: tuple[WideningStep, ...] = ()
    overflow: tuple[OverflowRule, ...] = ()
    urgency: UrgencyWeights = field(default_factory=UrgencyWeights)
    fit: FitWeights = field(default_factory=FitWeights)
    costs: CostWeights = field(default_factory=CostWeights)
    waiting: WaitingWorth = field(default_factory=WaitingWorth)
    longest_wait: timedelta | None = None
    epsilon: float = 0.02
    exploration: float = 0.0
    exploration_scale: float = 1.0
    shift_end_factor: float = 1.0
    candidates_kept: int = 4
    examples_kept: int = 5
    exact_pairs: int = 400_000
    bidding_step: float = 0.004

    def __post_init__(self) -> None:
        """Refuse what no admin can mean.

        Raises:
            ValueError: the widening steps go backwards, or a bound is negative.
        """
        for earlier, later in zip(self.widening, self.widening[1:], strict=False):
            if (
                later.after <= earlier.after
                or later.lower_levels < earlier.lower_levels
                or later.drop_skills < earlier.drop_skills
                or not set(earlier.extra_pools) <= set(later.extra_pools)
            ):
                raise ValueError(f"widening must only widen, later steps later: {earlier} then {later}")
        if min(self.epsilon, self.exploration, self.exploration_scale) < 0:
            raise ValueError("epsilon and exploration are not negative")
        if self.costs.cap + self.costs.load >= self.fit.served:
            raise ValueError("all costs together must stay below the worth of being served")
