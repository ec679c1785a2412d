"""What an admin's settings mean to the routing engine: the policy of a pool's passes, what a customer counts."""

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Final

from domain.routing.demand import needs_at
from domain.routing.model import WaitingCase
from domain.routing.policy import RoutingPolicy
from domain.settings import Settings

HIGHEST_PRIORITY: Final = 1

VALUE_WEIGHTS: Final[Mapping[str, float]] = MappingProxyType(
    {"standard": 1.0, "silver": 1.15, "gold": 1.35, "platinum": 1.6}
)
"""How much more urgent the same case is for a customer of a segment; a factor, 1 for the average customer."""


def policy_of(settings: Settings) -> RoutingPolicy:
    """The policy for pools that serve every channel; its version names the knobs, so that a replay knows them."""
    policy = RoutingPolicy(widening=settings.widening, overflow=settings.overflow, epsilon=settings.preference_epsilon)
    fingerprint = hashlib.sha256(repr(replace(policy, version="")).encode()).hexdigest()[:12]
    return replace(policy, version=f"settings-{fingerprint}")


def made_urgent(case: WaitingCase, policy: RoutingPolicy) -> WaitingCase:
    """A case that the SLA ladder raised: first in priority, and asking no more than the last widening step does.

    The pools that the last step adds stay a matter of the true waiting time, which nothing rewrites.
    """
    needs = case.required_skills
    if policy.widening:
        last = policy.widening[-1]
        needs = needs_at(needs, last.lower_levels, last.drop_skills)
    return replace(case, priority=HIGHEST_PRIORITY, required_skills=needs)


def pools_reached(pool: str, policy: RoutingPolicy) -> tuple[str, ...]:
    """The pools whose agents may come to serve the cases of `pool`, itself first."""
    reached = [pool]
    for step in policy.widening:
        reached.extend(step.extra_pools)
    for rule in policy.overflow:
        if rule.pool == pool:
            reached.extend(rule.to_pools)
    return tuple(dict.fromkeys(reached))
