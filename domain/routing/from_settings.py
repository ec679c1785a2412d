"""What an admin's settings mean to the routing engine: the policy of a pool's passes, what a customer counts."""

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Final

from domain.channels import WAITED_ON
from domain.routing.demand import needs_at
from domain.routing.experience import Experience
from domain.routing.model import WaitingCase
from domain.routing.policy import RoutingPolicy, UrgencyWeights, WaitingWorth
from domain.routing.presets import PRESETS
from domain.settings import DEFAULTS, Settings

HIGHEST_PRIORITY: Final = 1


def policy_of(settings: Settings, pool: str | None = None) -> RoutingPolicy:
    """The policy of a pool, by default of one that serves every channel.

    Its version names the knobs, so that a replay knows them. A preset brings its own urgency, fit, costs and worth of
    waiting; a weight of urgency that the house has changed counts over it.
    """
    preset = settings.routing_presets.get(pool) if pool is not None else None
    if preset is None:
        base = RoutingPolicy(waiting=WaitingWorth(affinity_wait=settings.owner_grace))
        said = dict(settings.urgency_weights)
    else:
        base, usual = PRESETS[preset](), DEFAULTS.urgency_weights
        said = {name: weight for name, weight in settings.urgency_weights.items() if weight != usual[name]}
    policy = replace(
        base,
        urgency=_with_weights(base.urgency, said),
        widening=settings.widening,
        overflow=settings.overflow,
        longest_wait=settings.longest_wait,
        epsilon=settings.preference_epsilon,
        exploration=settings.exploration,
    )
    return replace(policy, version=_version(replace(policy, version="")))


def _with_weights(urgency: UrgencyWeights, said: Mapping[str, float]) -> UrgencyWeights:
    return replace(
        urgency,
        priority=said.get("priority", urgency.priority),
        wait=said.get("wait", urgency.wait),
        breach=said.get("breach", urgency.breach),
        sentiment=said.get("sentiment", urgency.sentiment),
        business=said.get("business", urgency.business),
    )


def context_version(settings: Settings) -> str:
    """Changes with whatever gives a waiting case its form: a queue read under another one is read anew."""
    return _version((settings.widening, settings.customer_value, settings.outages, settings.intents))


def _version(knobs: object) -> str:
    return f"settings-{hashlib.sha256(repr(knobs).encode()).hexdigest()[:12]}"


def expected_work(
    settings: Settings, experience: Experience, channel: str, intent: str | None, customer_id: str
) -> timedelta | None:
    """How long such a case occupies its agent: as settings say, and where customers stay meanwhile as past ones did."""
    profile = settings.profile(intent)
    usual = None if profile is None else profile.usual_time
    return experience.work(channel, intent, customer_id, usual) if channel in WAITED_ON else usual


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
