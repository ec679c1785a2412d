"""The last free place: kept for a short while for who comes next and can still be answered in time."""

from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from domain.routing.assignment import NOBODY
from domain.routing.model import AgentCapacity
from domain.routing.policy import WaitingWorth
from domain.routing.queue import micros
from domain.routing.utility import Utility

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


def without_the_last(agent: Ints, utility: Utility) -> Ints:
    """The assignment (cases,) less those that the policy would rather keep a place free for.

    A late case below the policy's `spare_below` is put off where it would take the last place of its pool, if that was
    freed lately. The least urgent is put off first: the place it leaves counts for the others. A case that is meant
    for one agent is not put off.
    """
    waiting = utility.policy.waiting
    if waiting.spare_below <= 0:
        return agent
    roster, queue, kept = utility.roster, utility.queue, agent.copy()
    taken = np.flatnonzero(agent != NOBODY)
    left = roster.free.copy()
    np.subtract.at(left, agent[taken], queue.units[taken])
    for case in _can_be_put_off(taken, utility):
        place, units = agent[case], queue.units[case]
        until = kept_until(roster.agents[place], waiting)
        if until is None or until <= roster.now:
            continue
        if not (_for_anyone(case, utility) & (left >= units)).any():
            kept[case] = NOBODY
            left[place] += units
    return kept


def kept_until(agent: AgentCapacity, waiting: WaitingWorth) -> datetime | None:
    """Until when the agent's place may be kept, where it should turn out to be the last; None for never."""
    return None if agent.freed_at is None or waiting.spare_below <= 0 else agent.freed_at + waiting.spare_for


def _can_be_put_off(taken: Ints, utility: Utility) -> list[int]:
    """The late cases of little urgency, the least urgent first."""
    queue, urgency = utility.queue, utility.urgency.total
    late = queue.breach[taken] < micros(utility.roster.now)
    weak = taken[late & (urgency[taken] < utility.policy.waiting.spare_below)]
    ordered: list[int] = weak[np.argsort(urgency[weak], kind="stable")].tolist()
    return [case for case in ordered if queue.cases[case].only_agent is None]


def _for_anyone(case: int, utility: Utility) -> Bools:
    """Who takes cases of the case's pool and channel, whatever they ask for: shape (agents,)."""
    roster, queue = utility.roster, utility.queue
    takes: Bools = roster.members(queue.pools[queue.pool[case]]) & roster.accepts(queue.channels[queue.channel[case]])
    return takes & ~roster.transfers_only
