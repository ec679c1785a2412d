"""Calls that may interrupt: a second look at the queue, for calls that found nobody free.

To a call that may interrupt, what its agent holds on other channels is no obstacle. It takes the units that are left:
the agent is full while it lasts, no load ever exceeds a capacity, and what they held before stays theirs. Who is on
such a call is not interrupted again, and is offered nothing else either.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

from domain.routing.matching import match
from domain.routing.model import AgentCapacity, Decision, SuccessModel, WaitingCase
from domain.routing.policy import RoutingPolicy
from domain.settings import Settings

_NOTHING: Final[frozenset[str]] = frozenset()


def interrupting_channels(settings: Settings) -> frozenset[str]:
    return frozenset(channel.value for channel, may in settings.interrupts.items() if may)


def left_in_peace(agent: AgentCapacity, interrupting: frozenset[str]) -> AgentCapacity:
    """The agent as ordinary work sees them: nothing is for who is on a call that interrupted."""
    return replace(agent, accepts=_NOTHING) if _is_on_a_call(agent, interrupting) else agent


def interruptions(
    cases: Iterable[WaitingCase],
    agents: Sequence[AgentCapacity],
    taken: Iterable[Decision],
    interrupting: frozenset[str],
    policy: RoutingPolicy,
    success: SuccessModel,
    now: datetime,
) -> list[Decision]:
    """Match the calls that are still waiting with agents who are busy with something else.

    `agents` are those of the pass before, which decided `taken`: who was given something by it is left alone. The
    decisions' units are what each agent has left, at most what the call would take of a free one.
    """
    decided = {decision.conversation_id for decision in taken}
    busy_now = {decision.agent_id for decision in taken}
    calls = [case for case in cases if case.channel in interrupting and case.conversation_id not in decided]
    able: Mapping[str, AgentCapacity] = {
        agent.agent_id: agent
        for agent in agents
        if agent.agent_id not in busy_now and not _is_on_a_call(agent, interrupting)
    }
    if not calls or not able:
        return []
    as_if_free = [
        replace(agent, load=0, channel_ceilings={**dict.fromkeys(interrupting, 1), **agent.channel_ceilings})
        for agent in able.values()
    ]
    given: dict[str, Decision] = {}
    for decision in match(calls, as_if_free, policy, success, now).decisions:
        agent = able[decision.agent_id]
        # One call each: the ceilings of two channels do not know of each other.
        given.setdefault(agent.agent_id, replace(decision, units=min(decision.units, agent.capacity - agent.load)))
    return list(given.values())


def _is_on_a_call(agent: AgentCapacity, interrupting: frozenset[str]) -> bool:
    return any(agent.channel_load.get(channel) for channel in interrupting)
