"""Policies to start from, tuned on real logs: one for live calls, one for tickets."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Final

from domain.routing.policy import (
    CostWeights,
    FitWeights,
    LateOrder,
    RoutingPolicy,
    UrgencyWeights,
    WaitingWorth,
)


def live_calls(*, target: timedelta = timedelta(seconds=20), version: str = "live-calls-2") -> RoutingPolicy:
    """For queues where people hang up: who can still be answered within `target` first, short work before long.

    The late follow, the last in first, with more weight for those who give up soon. The last free agent is kept from
    those among them whose call is long or who are late by much, up to two minutes. Among free agents the quick ones
    go first: on calls agents differ much in pace and little in success.
    """
    return RoutingPolicy(
        version=version,
        urgency=UrgencyWeights(
            base=0.1,
            priority=0.0,
            wait=0.0,
            breach=20.0,
            breach_horizon=target * 1.25,
            late=LateOrder.AFTER_PUNCTUAL,
            late_fades=2.0,
            late_half_life=target * 7,
            give_up=1.9,
            handle_exponent=1.6,
            least=0.001,
            most=1_000.0,
        ),
        fit=FitWeights(success=0.1),
        costs=CostWeights(slow=0.5, cap=0.9),
        waiting=WaitingWorth(affinity_wait=timedelta(), spare_below=0.45),
    )


def tickets(*, version: str = "tickets-1") -> RoutingPolicy:
    """For queues where nobody hangs up: P(success) decides who takes what, the time to breach what comes first.

    Late tickets follow those that can still be on time, the latest to come first, and none is forgotten: give the
    policy a `longest_wait` where that matters. The reward for idle time is of the size of a real difference in
    success, which keeps the load nearly as even as taking turns does.
    """
    return RoutingPolicy(
        version=version,
        urgency=UrgencyWeights(
            breach=5.0,
            breach_horizon=timedelta(hours=8),
            wait_scale=timedelta(hours=1),
            late=LateOrder.AFTER_PUNCTUAL,
            late_fades=1.0,
            late_half_life=timedelta(hours=24),
        ),
        fit=FitWeights(served=5.0, success=2.0),
        costs=CostWeights(idle=4.0, idle_full_after=timedelta(hours=3), cap=4.4),
    )


PRESETS: Final[Mapping[str, Callable[[], RoutingPolicy]]] = {"live_calls": live_calls, "tickets": tickets}
PRESET_NAMES: Final = tuple(PRESETS)
