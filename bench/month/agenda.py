"""The conversations of the month, and what happens to them next, in the order of its instants."""

import heapq
from dataclasses import dataclass, field
from datetime import datetime
from itertools import count

from domain.conversation.state import ConversationState


@dataclass
class Talk:
    """One conversation under way; `wakes_at` is its next deadline, `threads` are those its customer began, by channel.

    `hears` while somebody is on the way to tell it what the ledger owes it.
    """

    state: ConversationState
    customer_id: str
    threads: dict[str, str]
    channel: str
    intent: str
    segment: str
    wakes_at: datetime | None = None
    messages: int = 0
    hears: bool = False

    @property
    def id(self) -> str:
        return self.state.conversation_id


@dataclass(order=True)
class Planned:
    at: datetime
    number: int
    what: str = field(compare=False)
    talk: Talk | None = field(compare=False, default=None)
    facts: tuple[str, ...] = field(compare=False, default=())


class Agenda:
    """What happens next; of what happens at one instant, what was planned first."""

    def __init__(self) -> None:
        self._plans: list[Planned] = []
        self._numbers = count()

    def plan(self, at: datetime, what: str, talk: Talk | None, *facts: str) -> None:
        heapq.heappush(self._plans, Planned(at, next(self._numbers), what, talk, facts))

    def next_before(self, end: datetime) -> Planned | None:
        if not self._plans or self._plans[0].at >= end:
            return None
        return heapq.heappop(self._plans)
