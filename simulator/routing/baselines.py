"""The usual ways to route, as the products others sell do it by default."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from domain.routing.model import SuccessModel
from domain.routing.success import Resolution
from simulator.routing.engine import Choice, Staffer
from simulator.routing.trace import TraceCase

_LONG_AGO = timedelta(days=400)


class _Baseline:
    """Keeps the queue in the order of arrival."""

    def __init__(self) -> None:
        self._waiting: dict[str, TraceCase] = {}

    def arrived(self, case: TraceCase) -> None:
        self._waiting[case.case_id] = case

    def left(self, case: TraceCase) -> None:
        del self._waiting[case.case_id]


def fits(case: TraceCase, staffer: Staffer, room: Mapping[str, int]) -> bool:
    """Whether the agent is in the pool, has the skills and the language, takes the channel and has room."""
    agent = staffer.agent
    return (
        case.units <= room[agent.agent_id]
        and case.pool in agent.pools
        and case.channel in agent.channels
        and (not case.languages or bool(case.languages & agent.languages))
        and all(agent.skills.get(need.skill, 0) >= need.level for need in case.needs)
    )


def _idle_since(staffer: Staffer, now: datetime) -> tuple[datetime, str]:
    return staffer.last_assigned_at or now - _LONG_AGO, staffer.agent.agent_id


class FirstComeLongestIdle(_Baseline):
    """The oldest case to whoever was idle the longest."""

    name = "FCFS + longest idle"

    def choose(self, staff: Sequence[Staffer], now: datetime) -> tuple[Sequence[Choice], datetime | None]:
        room = {staffer.agent.agent_id: staffer.room for staffer in staff}
        idle = sorted(staff, key=lambda staffer: _idle_since(staffer, now))
        choices = []
        for case in self._ordered(now):
            taker = next((one for one in idle if fits(case, one, room)), None)
            if taker is not None:
                choices.append(Choice(case.case_id, taker.agent.agent_id))
                room[taker.agent.agent_id] -= case.units
                idle = [one for one in idle if one is not taker]
                idle.append(taker)
            if not any(room.values()):
                break
        return choices, None

    def _ordered(self, now: datetime) -> Sequence[TraceCase]:
        del now
        return tuple(self._waiting.values())


class PriorityFirst(FirstComeLongestIdle):
    """The most urgent priority first, the oldest among equals, to whoever was idle the longest."""

    name = "priority first"

    def _ordered(self, now: datetime) -> Sequence[TraceCase]:
        del now
        return sorted(self._waiting.values(), key=lambda case: (case.priority, case.arrives_at, case.case_id))


class PunctualFirst(FirstComeLongestIdle):
    """Who can still be answered on time first, the oldest of them; then the late, the last to come first."""

    name = "inside SLA first, late LIFO"

    def _ordered(self, now: datetime) -> Sequence[TraceCase]:
        def rank(case: TraceCase) -> tuple[bool, timedelta, str]:
            waited = now - case.arrives_at
            late = waited > case.target
            return late, waited if late else -waited, case.case_id

        return sorted(self._waiting.values(), key=rank)


class ShortestPunctualFirst(FirstComeLongestIdle):
    """Who can still be answered on time first, of them the shortest expected work; then the late likewise."""

    name = "inside SLA first, shortest"

    def _ordered(self, now: datetime) -> Sequence[TraceCase]:
        def rank(case: TraceCase) -> tuple[bool, timedelta, datetime, str]:
            return now - case.arrives_at > case.target, case.expected_work, case.arrives_at, case.case_id

        return sorted(self._waiting.values(), key=rank)


class GeneralisedCMu(FirstComeLongestIdle):
    """What a further second of waiting costs, per second of work: value x wait over the expected work (Gc-mu)."""

    name = "Gc-mu"

    def _ordered(self, now: datetime) -> Sequence[TraceCase]:
        def rank(case: TraceCase) -> tuple[float, datetime, str]:
            waited = (now - case.arrives_at).total_seconds()
            return -case.value * waited / max(case.expected_work.total_seconds(), 1.0), case.arrives_at, case.case_id

        return sorted(self._waiting.values(), key=rank)


class HighestSpareCapacity(_Baseline):
    """The oldest case to whoever has the largest share of their capacity free, longest idle among equals."""

    name = "highest spare capacity"

    def choose(self, staff: Sequence[Staffer], now: datetime) -> tuple[Sequence[Choice], datetime | None]:
        room = {staffer.agent.agent_id: staffer.room for staffer in staff}
        choices = []
        for case in tuple(self._waiting.values()):
            able = [one for one in staff if fits(case, one, room)]
            if able:
                taker = min(
                    able, key=lambda one: (-room[one.agent.agent_id] / one.agent.capacity, *_idle_since(one, now))
                )
                choices.append(Choice(case.case_id, taker.agent.agent_id))
                room[taker.agent.agent_id] -= case.units
        return choices, None


class MaxWeight(_Baseline):
    """The kind with the most waiting per unit of expected work first, its oldest case, to the quickest agent."""

    name = "max-weight"

    def choose(self, staff: Sequence[Staffer], now: datetime) -> tuple[Sequence[Choice], datetime | None]:
        room = {staffer.agent.agent_id: staffer.room for staffer in staff}
        queues: dict[tuple[str, str | None], list[TraceCase]] = {}
        for case in self._waiting.values():
            queues.setdefault((case.pool, case.intent), []).append(case)
        by_pace = sorted(staff, key=lambda one: (one.agent.expected_pace, *_idle_since(one, now)))
        choices = []
        while queues:
            heaviest = max(queues, key=lambda kind: (_weight(queues[kind]), kind[0], kind[1] or ""))
            case = queues[heaviest][0]
            taker = next((one for one in by_pace if fits(case, one, room)), None)
            if taker is None:
                del queues[heaviest]
                continue
            choices.append(Choice(case.case_id, taker.agent.agent_id))
            room[taker.agent.agent_id] -= case.units
            queues[heaviest] = queues[heaviest][1:]
            if not queues[heaviest]:
                del queues[heaviest]
        return choices, None


def _weight(queue: Sequence[TraceCase]) -> float:
    return len(queue) / max(queue[0].expected_work.total_seconds(), 1.0)


class SpecialistFirst(_Baseline):
    """The oldest case to the free agent whose own work was the most of this kind, who can do the least beside it.

    `shares` holds for each agent the share of their past cases that each intent had.
    """

    name = "specialist first"

    def __init__(self, shares: Mapping[str, Mapping[str | None, float]]) -> None:
        super().__init__()
        self._shares = shares

    def choose(self, staff: Sequence[Staffer], now: datetime) -> tuple[Sequence[Choice], datetime | None]:
        room = {staffer.agent.agent_id: staffer.room for staffer in staff}
        choices = []
        for case in tuple(self._waiting.values()):
            able = [one for one in staff if fits(case, one, room)]
            if able:
                taker = min(able, key=lambda one: self._rank(case, one, now))
                choices.append(Choice(case.case_id, taker.agent.agent_id))
                room[taker.agent.agent_id] -= case.units
        return choices, None

    def _rank(self, case: TraceCase, staffer: Staffer, now: datetime) -> tuple[int, float, datetime, str]:
        agent = staffer.agent
        share = self._shares.get(agent.agent_id, {}).get(case.intent, 0.0)
        return len(agent.pools) + len(agent.skills), -share, *_idle_since(staffer, now)


def shares_of_intents(resolutions: Iterable[Resolution]) -> dict[str, dict[str | None, float]]:
    """For each agent the share of their cases that each intent had."""
    counts: dict[str, dict[str | None, int]] = {}
    for one in resolutions:
        of_agent = counts.setdefault(one.agent_id, {})
        of_agent[one.intent] = of_agent.get(one.intent, 0) + 1
    return {
        agent_id: {intent: count / sum(of_agent.values()) for intent, count in of_agent.items()}
        for agent_id, of_agent in counts.items()
    }


class RoundRobin(_Baseline):
    """The oldest case to the next agent in turn who has room, whatever they can do."""

    name = "round robin"

    def __init__(self) -> None:
        super().__init__()
        self._last = ""

    def choose(self, staff: Sequence[Staffer], now: datetime) -> tuple[Sequence[Choice], datetime | None]:
        del now
        room = {staffer.agent.agent_id: staffer.room for staffer in staff}
        by_name = sorted(staff, key=lambda staffer: staffer.agent.agent_id)
        choices = []
        for case in tuple(self._waiting.values()):
            turn = sorted(by_name, key=lambda one: (one.agent.agent_id <= self._last, one.agent.agent_id))
            taker = next((one for one in turn if fits(case, one, room)), None)
            if taker is not None:
                self._last = taker.agent.agent_id
                choices.append(Choice(case.case_id, self._last))
                room[self._last] -= case.units
        return choices, None


class _BySuccess(_Baseline):
    def __init__(self, success: SuccessModel) -> None:
        super().__init__()
        self._success = success
        self._known: dict[tuple[str, str | None, str | None, str, str], float] = {}

    def _likely(self, case: TraceCase, staffer: Staffer) -> float:
        about = (staffer.agent.agent_id, case.intent, case.product, case.segment, case.channel)
        if about not in self._known:
            self._known[about] = self._success.probability(*about).value
        return self._known[about]


class SkillsWithTimeout(_BySuccess):
    """Oldest first, at first only to agents better than the mean of those who are there; after a time to anyone."""

    name = "skills + time-out"

    def __init__(self, success: SuccessModel, timeout: timedelta) -> None:
        super().__init__(success)
        self._timeout = timeout

    def choose(self, staff: Sequence[Staffer], now: datetime) -> tuple[Sequence[Choice], datetime | None]:
        room = {staffer.agent.agent_id: staffer.room for staffer in staff}
        idle = sorted(staff, key=lambda staffer: _idle_since(staffer, now))
        choices, looks = [], []
        for case in tuple(self._waiting.values()):
            able = [one for one in idle if fits(case, one, room)]
            if not able:
                continue
            opens = case.arrives_at + self._timeout
            if opens > now:
                team = self._success.probability("", case.intent, case.product, case.segment, case.channel).team
                able = [one for one in able if self._likely(case, one) >= team]
                looks.append(opens)
            if able:
                choices.append(Choice(case.case_id, able[0].agent.agent_id))
                room[able[0].agent.agent_id] -= case.units
        return choices, min(looks, default=None)


class Bullseye(_BySuccess):
    """Oldest first, at first only to agents clearly better than the team, then to those as good, then to anyone.

    Each ring opens `ring` after the one before it.
    """

    name = "bullseye"
    _RINGS = 3
    _CLEARLY = 0.01

    def __init__(self, success: SuccessModel, ring: timedelta) -> None:
        super().__init__(success)
        self._ring = ring

    def choose(self, staff: Sequence[Staffer], now: datetime) -> tuple[Sequence[Choice], datetime | None]:
        room = {staffer.agent.agent_id: staffer.room for staffer in staff}
        choices, looks = [], []
        for case in tuple(self._waiting.values()):
            opened = min(self._RINGS - 1, (now - case.arrives_at) // self._ring)
            able = [one for one in staff if fits(case, one, room) and self._ring_of(case, one) <= opened]
            if able:
                best = min(able, key=lambda one: _idle_since(one, now))
                choices.append(Choice(case.case_id, best.agent.agent_id))
                room[best.agent.agent_id] -= case.units
            elif opened < self._RINGS - 1:
                looks.append(case.arrives_at + self._ring * (opened + 1))
        return choices, min(looks, default=None)

    def _ring_of(self, case: TraceCase, staffer: Staffer) -> int:
        team = self._success.probability("", case.intent, case.product, case.segment, case.channel).team
        likely = self._likely(case, staffer)
        if likely >= team + self._CLEARLY:
            return 0
        return 1 if likely >= team - self._CLEARLY else 2


class BestAvailable(_BySuccess):
    """Oldest first, each to the free agent with the best score."""

    name = "best available by score"

    def choose(self, staff: Sequence[Staffer], now: datetime) -> tuple[Sequence[Choice], datetime | None]:
        room = {staffer.agent.agent_id: staffer.room for staffer in staff}
        choices = []
        for case in tuple(self._waiting.values()):
            able = [one for one in staff if fits(case, one, room)]
            if able:
                best = max(able, key=lambda one: (self._likely(case, one), -_stamp(one, now), one.agent.agent_id))
                choices.append(Choice(case.case_id, best.agent.agent_id))
                room[best.agent.agent_id] -= case.units
        return choices, None


class GreedyBestPair(_BySuccess):
    """The pair with the best score first, whoever waited how long."""

    name = "greedy best score"

    def choose(self, staff: Sequence[Staffer], now: datetime) -> tuple[Sequence[Choice], datetime | None]:
        room = {staffer.agent.agent_id: staffer.room for staffer in staff}
        pairs = sorted(
            (
                (self._likely(case, one), case, one)
                for case in self._waiting.values()
                for one in staff
                if fits(case, one, room)
            ),
            key=lambda pair: (-pair[0], pair[1].arrives_at, _stamp(pair[2], now), pair[1].case_id),
        )
        taken: set[str] = set()
        choices = []
        for _, case, one in pairs:
            if case.case_id not in taken and fits(case, one, room):
                taken.add(case.case_id)
                room[one.agent.agent_id] -= case.units
                choices.append(Choice(case.case_id, one.agent.agent_id))
        return choices, None


def _stamp(staffer: Staffer, now: datetime) -> float:
    return _idle_since(staffer, now)[0].timestamp()
