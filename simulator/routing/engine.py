"""The event loop: arrivals, answers, endings, people who give up and agents who come and go, in virtual time."""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import IntEnum
from typing import Protocol

from simulator.routing.trace import Trace, TraceAgent, TraceCase


class _What(IntEnum):
    """At one instant: work ends and agents come before cases arrive; who is answered does not give up."""

    ENDED = 0
    CAME = 1
    WENT = 2
    ARRIVED = 3
    LOOK = 4
    GAVE_UP = 5


@dataclass(slots=True)
class Staffer:
    """An agent during a simulation; `free_since` is when they came or last had room come back."""

    agent: TraceAgent
    present: bool = False
    load: int = 0
    last_assigned_at: datetime | None = None
    free_since: datetime | None = None
    cases: int = 0
    worked: timedelta = timedelta()
    channel_load: dict[str, int] = field(default_factory=dict)

    @property
    def room(self) -> int:
        return self.agent.capacity - self.load if self.present else 0


@dataclass(frozen=True, slots=True)
class Choice:
    case_id: str
    agent_id: str


class Router(Protocol):
    """A routing policy as the simulator sees it: it is told who waits, and asked whenever something changed."""

    @property
    def name(self) -> str: ...

    def arrived(self, case: TraceCase) -> None: ...

    def left(self, case: TraceCase) -> None:
        """The case no longer waits: it was given to someone, or the customer gave up."""
        ...

    def choose(self, staff: Sequence[Staffer], now: datetime) -> tuple[Sequence[Choice], datetime | None]:
        """Who takes what now, and when to ask again if nothing else happens before."""
        ...


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a case: `agent_id` is None when nobody took it before the customer gave up or the trace ended."""

    case: TraceCase
    waited: timedelta
    agent_id: str | None


@dataclass(frozen=True, slots=True)
class AgentDay:
    """`present` is the time there, `worked` the time at work (each case's, whatever runs beside it)."""

    agent_id: str
    cases: int
    worked: timedelta
    present: timedelta


@dataclass(frozen=True, slots=True)
class Run:
    trace: str
    router: str
    outcomes: tuple[Outcome, ...]
    agents: tuple[AgentDay, ...]


@dataclass(order=True, slots=True)
class _Event:
    at: datetime
    what: _What
    number: int
    case: TraceCase | None = field(compare=False, default=None)
    staffer: Staffer | None = field(compare=False, default=None)


class _Simulation:
    def __init__(self, trace: Trace, router: Router) -> None:
        self._router = router
        self._staff = {agent.agent_id: Staffer(agent) for agent in trace.agents}
        self._waiting: dict[str, TraceCase] = {}
        self._outcomes: list[Outcome] = []
        self._events: list[_Event] = []
        self._number = 0
        self._look_at: datetime | None = None
        for case in trace.cases:
            self._push(case.arrives_at, _What.ARRIVED, case=case)
        for staffer in self._staff.values():
            for presence in staffer.agent.presences:
                self._push(presence.since, _What.CAME, staffer=staffer)
                self._push(presence.until, _What.WENT, staffer=staffer)

    def run(self) -> None:
        while self._events:
            now = self._events[0].at
            while self._events and self._events[0].at == now and self._events[0].what is not _What.GAVE_UP:
                self._apply(heapq.heappop(self._events))
            self._route(now)
            while self._events and self._events[0].at == now and self._events[0].what is _What.GAVE_UP:
                self._apply(heapq.heappop(self._events))

    def outcomes(self) -> tuple[Outcome, ...]:
        return tuple(self._outcomes)

    def left_over(self, end: datetime) -> tuple[Outcome, ...]:
        return tuple(Outcome(case, end - case.arrives_at, None) for case in self._waiting.values())

    def staff(self) -> Sequence[Staffer]:
        return tuple(self._staff.values())

    def _push(
        self, at: datetime, what: _What, *, case: TraceCase | None = None, staffer: Staffer | None = None
    ) -> None:
        self._number += 1
        heapq.heappush(self._events, _Event(at, what, self._number, case, staffer))

    def _apply(self, event: _Event) -> None:
        case, staffer = event.case, event.staffer
        if event.what is _What.ARRIVED and case is not None:
            self._waiting[case.case_id] = case
            self._router.arrived(case)
            if case.patience is not None:
                self._push(case.arrives_at + case.patience, _What.GAVE_UP, case=case)
        elif event.what is _What.GAVE_UP and case is not None and case.case_id in self._waiting:
            del self._waiting[case.case_id]
            self._router.left(case)
            self._outcomes.append(Outcome(case, event.at - case.arrives_at, None))
        elif event.what is _What.ENDED and staffer is not None and case is not None:
            staffer.load -= case.units
            staffer.channel_load[case.channel] -= 1
            staffer.free_since = event.at
        elif event.what is _What.CAME and staffer is not None:
            staffer.present = True
            staffer.free_since = event.at
        elif event.what is _What.WENT and staffer is not None:
            staffer.present = False

    def _route(self, now: datetime) -> None:
        if self._look_at is not None and self._look_at <= now:
            self._look_at = None
        if not self._waiting:
            return
        free = [staffer for staffer in self._staff.values() if staffer.room > 0]
        if not free:
            return
        choices, look_at = self._router.choose(free, now)
        for choice in choices:
            self._answer(choice, now)
        if look_at is not None and look_at > now and (self._look_at is None or look_at < self._look_at):
            self._look_at = look_at
            self._push(look_at, _What.LOOK)

    def _answer(self, choice: Choice, now: datetime) -> None:
        case, staffer = self._waiting.pop(choice.case_id), self._staff[choice.agent_id]
        if case.units > staffer.room:
            raise ValueError(f"{self._router.name} gave {choice.agent_id} more than fits")
        staffer.load += case.units
        staffer.channel_load[case.channel] = staffer.channel_load.get(case.channel, 0) + 1
        staffer.last_assigned_at = now
        staffer.cases += 1
        work = case.work * staffer.agent.pace
        staffer.worked += work
        self._router.left(case)
        self._outcomes.append(Outcome(case, now - case.arrives_at, staffer.agent.agent_id))
        self._push(now + work, _What.ENDED, case=case, staffer=staffer)


def simulate(trace: Trace, router: Router) -> Run:
    """What would have become of a trace under a router.

    Raises:
        ValueError: the router gave an agent more than their room.
    """
    simulation = _Simulation(trace, router)
    simulation.run()
    ends = [presence.until for agent in trace.agents for presence in agent.presences]
    last = max([case.arrives_at for case in trace.cases] + ends)
    agents = tuple(
        AgentDay(
            staffer.agent.agent_id,
            staffer.cases,
            staffer.worked,
            sum((one.until - one.since for one in staffer.agent.presences), timedelta()),
        )
        for staffer in simulation.staff()
    )
    return Run(trace.name, router.name, simulation.outcomes() + simulation.left_over(last), agents)
