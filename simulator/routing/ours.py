"""Baton's own engine as a router of the simulator."""

from collections.abc import Sequence
from datetime import datetime

from domain.routing.matching import takers
from domain.routing.model import AgentCapacity, SuccessModel, WaitingCase
from domain.routing.policy import RoutingPolicy, WaitingWorth
from domain.routing.queue import WaitingQueue
from simulator.routing.engine import Choice, Staffer
from simulator.routing.trace import TraceCase


class WholeQueue:
    """The engine that routes for real, under a policy."""

    def __init__(self, policy: RoutingPolicy, success: SuccessModel, name: str = "Baton") -> None:
        self.name = name
        self._policy = policy
        self._success = success
        self._queue = WaitingQueue()

    def arrived(self, case: TraceCase) -> None:
        self._queue.add(
            WaitingCase(
                conversation_id=case.case_id,
                ticket=0,
                pool=case.pool,
                queued_at=case.arrives_at,
                channel=case.channel,
                units=case.units,
                required_skills=case.needs,
                languages=case.languages,
                priority=case.priority,
                segment=case.segment,
                value_weight=case.value,
                intent=case.intent,
                product=case.product,
                next_breach_at=case.arrives_at + case.target,
                expected_handle=case.expected_work,
                expected_patience=case.expected_patience,
            )
        )

    def left(self, case: TraceCase) -> None:
        self._queue.remove(case.case_id)

    def choose(self, staff: Sequence[Staffer], now: datetime) -> tuple[Sequence[Choice], datetime | None]:
        agents = [
            AgentCapacity(
                agent_id=staffer.agent.agent_id,
                pools=staffer.agent.pools,
                capacity=staffer.agent.capacity,
                accepts=staffer.agent.channels,
                load=staffer.load,
                skills=staffer.agent.skills,
                languages=staffer.agent.languages,
                last_assigned_at=staffer.last_assigned_at,
                pace=staffer.agent.expected_pace,
                freed_at=staffer.free_since,
            )
            for staffer in staff
        ]
        pairs = takers(self._queue, agents, self._policy, self._success, now)
        return [Choice(case_id, agent_id) for case_id, agent_id in pairs], _next_look(staff, self._policy.waiting, now)


def _next_look(staff: Sequence[Staffer], waiting: WaitingWorth, now: datetime) -> datetime | None:
    """The next instant at which a place is kept no longer; None under a policy that keeps none."""
    if waiting.spare_below <= 0:
        return None
    freed = (staffer.free_since for staffer in staff if staffer.free_since is not None)
    return min((at + waiting.spare_for for at in freed if at + waiting.spare_for > now), default=None)
