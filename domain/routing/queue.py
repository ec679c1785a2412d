"""The waiting queue as columns: compiled once per case, read by every pass."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final

import numpy as np
from numpy.typing import NDArray

from domain.routing.demand import Demand, DemandTable, Interned
from domain.routing.model import WaitingCase

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

NEVER: Final = int(np.iinfo(np.int64).max)
NO_AGENT: Final = -1
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def micros(instant: datetime) -> int:
    """Microseconds since 1970: exact, so that a deadline is an instant and not nearly one."""
    return (instant - _EPOCH) // _MICROSECOND


def micros_of(span: timedelta) -> int:
    return span // _MICROSECOND


@dataclass(frozen=True, slots=True)
class CaseKind:
    """What a probability of success depends on, the agent aside."""

    intent: str | None
    product: str | None
    segment: str
    channel: str


@dataclass(frozen=True, slots=True)
class QueueSnapshot:
    """The queue at one pass: arrays of shape (cases,), oldest case first.

    `queued`, `breach` and `affine_since` are microseconds since 1970, NEVER where there is none. `demand`, `kind`,
    `pool`, `channel` and `affine` index the tuples below them; `affine` is NO_AGENT where nobody is. `work` is the
    expected handle time in seconds, 0 where none is known; `give_up` is the rate of giving up per minute. `special`
    holds the cases whose eligibility depends on more than their demand: those that name an agent, were declined, or
    may be called at certain hours only.
    """

    cases: tuple[WaitingCase, ...]
    queued: Ints
    breach: Ints
    priority: Ints
    units: Ints
    demand: Ints
    kind: Ints
    pool: Ints
    channel: Ints
    affine: Ints
    affine_since: Ints
    sentiment: Floats
    business: Floats
    worth: Floats
    work: Floats
    give_up: Floats
    hard: Bools
    special: tuple[int, ...]
    demands: DemandTable
    kinds: tuple[CaseKind, ...]
    pools: tuple[str, ...]
    channels: tuple[str, ...]
    affine_agents: tuple[str, ...]

    def only(self, kept: Ints) -> "QueueSnapshot":
        """Some of the cases, given by their places in ascending order."""
        if len(kept) == len(self.cases):
            return self
        columns = {name: getattr(self, name)[kept] for name in (*_WHOLE, *_REAL, "hard")}
        special = np.searchsorted(kept, np.array(self.special, np.int64))
        return replace(
            self,
            cases=tuple(map(self.cases.__getitem__, kept.tolist())),
            special=tuple(
                int(place)
                for place, at in zip(special.tolist(), self.special, strict=True)
                if place < len(kept) and kept[place] == at
            ),
            **columns,
        )


def _whole_minutes(span: timedelta | None) -> timedelta | None:
    """Rounded up: forecasts that differ by seconds must not make a demand of their own."""
    return None if span is None else -(-span // timedelta(minutes=1)) * timedelta(minutes=1)


_WHOLE = ("queued", "breach", "priority", "units", "demand", "kind", "pool", "channel", "affine", "affine_since")
_REAL = ("sentiment", "business", "worth", "work", "give_up")


class WaitingQueue:
    """Cases that wait, kept in columns: adding and removing one is cheap, reading all of them is an array.

    A dispatcher may keep one across its passes, so that a freed slot does not cost a reading of the whole queue.
    """

    def __init__(self, cases: Iterable[WaitingCase] = ()) -> None:
        self.cases: list[WaitingCase] = []
        self.demands = DemandTable()
        self.kinds: Interned[CaseKind] = Interned()
        self.pools: Interned[str] = Interned()
        self.channels: Interned[str] = Interned()
        self.affine_agents: Interned[str] = Interned()
        self._row: dict[str, int] = {}
        self._special: set[str] = set()
        self._room = 64
        self._whole = {name: np.zeros(self._room, np.int64) for name in _WHOLE}
        self._real = {name: np.zeros(self._room) for name in _REAL}
        self._hard = np.zeros(self._room, np.bool_)
        for case in cases:
            self.add(case)

    def __len__(self) -> int:
        return len(self.cases)

    def add(self, case: WaitingCase) -> None:
        """Let one more case wait.

        Raises:
            ValueError: the conversation waits already, or an instant has no zone.
        """
        if case.conversation_id in self._row:
            raise ValueError(f"conversation {case.conversation_id} is given twice")
        if case.queued_at.tzinfo is None:
            raise ValueError(f"conversation {case.conversation_id} was queued at an instant without a zone")
        row = len(self.cases)
        if row == self._room:
            self._grow()
        self.cases.append(case)
        self._row[case.conversation_id] = row
        if case.only_agent is not None or case.excluded or case.customer_hours is not None:
            self._special.add(case.conversation_id)
        whole, real = self._whole, self._real
        whole["queued"][row] = micros(case.queued_at)
        whole["breach"][row] = NEVER if case.next_breach_at is None else micros(case.next_breach_at)
        whole["priority"][row] = case.priority
        whole["units"][row] = case.units
        whole["demand"][row] = self.demands.demands(
            Demand(
                case.pool,
                case.required_skills,
                case.languages,
                case.channel,
                case.units,
                _whole_minutes(case.expected_handle),
            )
        )
        whole["kind"][row] = self.kinds(CaseKind(case.intent, case.product, case.segment, case.channel))
        whole["pool"][row] = self.pools(case.pool)
        whole["channel"][row] = self.channels(case.channel)
        whole["affine"][row] = NO_AGENT if case.affinity_agent is None else self.affine_agents(case.affinity_agent)
        whole["affine_since"][row] = NEVER if case.affinity_at is None else micros(case.affinity_at)
        real["sentiment"][row] = case.sentiment or 0.0
        real["business"][row] = case.business_boost
        real["worth"][row] = max(case.value_weight, 0.0)
        real["work"][row] = 0.0 if case.expected_handle is None else case.expected_handle.total_seconds()
        patience = case.expected_patience
        real["give_up"][row] = 0.0 if patience is None else 60.0 / max(patience.total_seconds(), 1.0)
        self._hard[row] = case.hard

    def remove(self, conversation_id: str) -> WaitingCase:
        """Take a case out of the queue.

        Raises:
            KeyError: it does not wait here.
        """
        row = self._row.pop(conversation_id)
        case, last = self.cases[row], len(self.cases) - 1
        self._special.discard(conversation_id)
        if row != last:
            self.cases[row] = self.cases[last]
            self._row[self.cases[row].conversation_id] = row
            for column in (*self._whole.values(), *self._real.values(), self._hard):
                column[row] = column[last]
        self.cases.pop()
        return case

    def _grow(self) -> None:
        self._room *= 2
        self._whole = {name: np.resize(column, self._room) for name, column in self._whole.items()}
        self._real = {name: np.resize(column, self._room) for name, column in self._real.items()}
        self._hard = np.resize(self._hard, self._room)

    def snapshot(self) -> "QueueSnapshot":
        """The columns as they stand, oldest case first, by conversation id among equals."""
        size = len(self.cases)
        order = self._order()
        whole = {name: column[:size][order] for name, column in self._whole.items()}
        real = {name: column[:size][order] for name, column in self._real.items()}
        special = {self._row[conversation_id] for conversation_id in self._special}
        return QueueSnapshot(
            cases=tuple(map(self.cases.__getitem__, order.tolist())),
            queued=whole["queued"],
            breach=whole["breach"],
            priority=whole["priority"],
            units=whole["units"],
            demand=whole["demand"],
            kind=whole["kind"],
            pool=whole["pool"],
            channel=whole["channel"],
            affine=whole["affine"],
            affine_since=whole["affine_since"],
            sentiment=real["sentiment"],
            business=real["business"],
            worth=real["worth"],
            work=real["work"],
            give_up=real["give_up"],
            hard=self._hard[:size][order],
            special=tuple(at for at, row in enumerate(order.tolist()) if row in special) if special else (),
            demands=self.demands,
            kinds=tuple(self.kinds.values),
            pools=tuple(self.pools.values),
            channels=tuple(self.channels.values),
            affine_agents=tuple(self.affine_agents.values),
        )

    def _order(self) -> Ints:
        queued = self._whole["queued"][: len(self.cases)]
        order = np.argsort(queued, kind="stable")
        equal = np.flatnonzero(np.diff(queued[order]) == 0)
        start = 0
        while start < len(equal):
            end = start
            while end + 1 < len(equal) and equal[end + 1] == equal[end] + 1:
                end += 1
            among = slice(int(equal[start]), int(equal[end]) + 2)
            order[among] = sorted(order[among].tolist(), key=lambda row: self.cases[row].conversation_id)
            start = end + 1
        return order
