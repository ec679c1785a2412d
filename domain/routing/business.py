"""What the business knows of a case: how much its customer counts, and what makes it pressing just now.

Both are an admin's rules. A weight multiplies the whole urgency of a case (1 for the average customer); a boost is
added to it as a part of its own, beside the wait and the time to breach.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from types import MappingProxyType
from typing import Final

LEAST_WEIGHT: Final = 0.5
MOST_WEIGHT: Final = 3.0

SEGMENT_WEIGHTS: Final[Mapping[str, float]] = MappingProxyType(
    {"standard": 1.0, "silver": 1.15, "gold": 1.35, "platinum": 1.6}
)
_LIFETIME_BEND: Final = 0.15
_LEAST_LIFETIME: Final = 0.8
_MOST_LIFETIME: Final = 1.5


@dataclass(frozen=True, slots=True)
class CustomerStanding:
    """What is known of a customer's worth.

    `lifetime_value` is in the house's currency, `health` runs from 0 (about to leave) to 1, `renewal_on` is the day on
    which the contract is renewed or not.
    """

    segment: str = "standard"
    lifetime_value: float | None = None
    contract: str | None = None
    health: float | None = None
    renewal_on: date | None = None


@dataclass(frozen=True, slots=True)
class ValueRules:
    """`segments` and `contracts` are factors by name, 1 for a name that is not there.

    `average_lifetime_value` is what the average customer is worth in the house's currency; without it a lifetime
    value says nothing. A renewal within `renewal_days` adds up to `renewal_boost`, most on the day itself and none
    that many days before it. A health below `at_risk_below` adds up to `at_risk_boost`, in full at health 0.
    """

    segments: Mapping[str, float] = field(default_factory=lambda: dict(SEGMENT_WEIGHTS))
    contracts: Mapping[str, float] = field(default_factory=dict)
    average_lifetime_value: float | None = None
    renewal_days: int = 30
    renewal_boost: float = 0.5
    at_risk_below: float = 0.4
    at_risk_boost: float = 0.4


class OutageEffect(StrEnum):
    """What a known outage does to its cases."""

    RAISE = "raise"
    BATCH = "batch"
    """They wait together for the one answer, and everybody else goes first."""


@dataclass(frozen=True, slots=True)
class Outage:
    """A known disturbance, on while it is `active`: its cases are those of the named intents or products.

    `weight` is what it adds to their urgency, or takes away when they are batched.
    """

    name: str
    intents: tuple[str, ...] = ()
    products: tuple[str, ...] = ()
    active: bool = True
    effect: OutageEffect = OutageEffect.RAISE
    weight: float = 1.0

    def covers(self, intent: str | None, product: str | None) -> bool:
        """Whether a case about this is the outage's."""
        return self.active and (intent in self.intents or product in self.products)


def value_weight(standing: CustomerStanding, rules: ValueRules) -> float:
    """How much more urgent the same case is for this customer: a factor within 0.5 and 3, 1 for the average."""
    weight = rules.segments.get(standing.segment, 1.0)
    if standing.contract is not None:
        weight *= rules.contracts.get(standing.contract, 1.0)
    if standing.lifetime_value is not None and rules.average_lifetime_value:
        relative = max(standing.lifetime_value, 0.0) / rules.average_lifetime_value
        weight *= min(_MOST_LIFETIME, max(_LEAST_LIFETIME, relative**_LIFETIME_BEND))
    return min(MOST_WEIGHT, max(LEAST_WEIGHT, weight))


def business_boost(
    standing: CustomerStanding,
    rules: ValueRules,
    outages: tuple[Outage, ...],
    about: tuple[str | None, str | None],
    today: date,
) -> float:
    """What the business context adds to the urgency of a case about (intent, product); batched cases lose by it."""
    boost = 0.0
    if standing.renewal_on is not None and rules.renewal_days > 0:
        left = (standing.renewal_on - today).days
        if 0 <= left < rules.renewal_days:
            boost += rules.renewal_boost * (1.0 - left / rules.renewal_days)
    if standing.health is not None and standing.health < rules.at_risk_below:
        boost += rules.at_risk_boost * (1.0 - standing.health / rules.at_risk_below)
    intent, product = about
    for outage in outages:
        if outage.covers(intent, product):
            boost += outage.weight if outage.effect is OutageEffect.RAISE else -outage.weight
    return boost
