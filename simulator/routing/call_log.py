"""A call centre's log, line by line: what happened, and traces of its days to be simulated."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from domain.routing.experience import Experience, PastCase
from domain.routing.success import Resolution
from simulator.routing.patience import Patience, kaplan_meier
from simulator.routing.trace import Presence, Trace, TraceAgent, TraceCase

TARGET = timedelta(seconds=20)
CHANNEL = "voice"
UNITS = 100
_COLUMNS = 17
_NOBODY = "NO_SERVER"
_CURVE_CALLS = 500
_USUAL_WORK = timedelta(minutes=3)
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class LoggedCall:
    """One call that asked for an agent: `served_by` and `service` are None where the caller gave up.

    `customer_id` is None for callers who are not known. `wait` ended with an answer or with giving up.
    """

    call_id: str
    customer_id: str | None
    priority: int
    kind: str
    arrives_at: datetime
    wait: timedelta
    served_by: str | None
    service: timedelta | None


def read_calls(path: Path) -> tuple[LoggedCall, ...]:
    """The calls of one month in the order of their arrival.

    Left out: phantom calls, rows with shifted columns, and callers who hung up without a second of waiting, who
    asked nobody for anything.
    """
    lines = path.read_text(encoding="latin-1").splitlines()[1:]
    calls = (call for line in lines if (call := _call(line.split("\t"))) is not None)
    return tuple(sorted(calls, key=lambda call: (call.arrives_at, call.call_id)))


def _call(row: Sequence[str]) -> LoggedCall | None:
    if len(row) != _COLUMNS or row[12] not in {"AGENT", "HANG"}:
        return None
    answered = row[12] == "AGENT"
    wait = timedelta(seconds=int(row[11]))
    if not answered and not wait:
        return None
    day = datetime.strptime("19" + row[5], "%Y%m%d").replace(tzinfo=UTC)
    return LoggedCall(
        call_id=f"{row[5]}-{row[0]}-{row[1]}",
        customer_id=row[2] if row[2].strip("0") else None,
        priority=int(row[3]),
        kind=row[4],
        arrives_at=day + _clock(row[7]),
        wait=wait,
        served_by=row[16] if answered and row[16] != _NOBODY else None,
        service=timedelta(seconds=int(row[15])) if answered else None,
    )


def _clock(text: str) -> timedelta:
    hours, minutes, seconds = (int(part) for part in text.split(":"))
    return timedelta(hours=hours, minutes=minutes, seconds=seconds)


def resolutions(calls: Sequence[LoggedCall]) -> Iterator[Resolution]:
    """An answered call of a known customer is resolved when that customer does not call again within a day."""
    next_call: dict[str, datetime] = {}
    found: list[Resolution] = []
    for call in reversed(calls):
        if call.customer_id is None:
            continue
        if call.served_by is not None:
            again = next_call.get(call.customer_id)
            resolved = again is None or again - call.arrives_at > _DAY
            found.append(
                Resolution(call.served_by, call.kind, None, str(call.priority), CHANNEL, resolved, call.arrives_at)
            )
        next_call[call.customer_id] = call.arrives_at
    return reversed(found)


def patience_by_kind(calls: Sequence[LoggedCall]) -> dict[str | None, Patience]:
    """A curve for each kind with enough calls, and one for all under None."""
    kinds: dict[str | None, list[LoggedCall]] = {None: list(calls)}
    for call in calls:
        kinds.setdefault(call.kind, []).append(call)
    return {
        kind: kaplan_meier([call.wait.total_seconds() for call in some], [call.service is None for call in some])
        for kind, some in kinds.items()
        if kind is None or len(some) >= _CURVE_CALLS
    }


def experience_of(calls: Iterable[LoggedCall]) -> Experience:
    """What these calls teach a router of the next ones."""
    return Experience.of(
        PastCase(CHANNEL, call.kind, call.customer_id, call.wait, call.service, call.served_by) for call in calls
    )


@dataclass(frozen=True, slots=True)
class CallTraces:
    """How logged days become traces.

    Who was answered would have waited longer: their patience is drawn from the curve beyond the wait they had, the
    service time of who gave up from the calls of their kind. A call's own work is its service time over the pace of
    whoever took it, so that another agent would take longer or shorter. An agent is there from one call to the next
    when no more than `longest_gap` lies between; `after_work` follows every call. What a router may know beforehand
    is `known`, from past calls; how it really is, `real`, from these.
    """

    calls: Sequence[LoggedCall]
    known: Experience
    real: Experience
    curves: Mapping[str | None, Patience]
    longest_gap: timedelta = timedelta(minutes=5)
    after_work: timedelta = timedelta(seconds=25)

    @classmethod
    def of(cls, calls: Sequence[LoggedCall], history: Sequence[LoggedCall]) -> "CallTraces":
        return cls(calls, experience_of(history), experience_of(calls), patience_by_kind(calls))

    def days(self, seed: int) -> Iterator[Trace]:
        """One trace per logged day; equal seeds draw equal days."""
        by_day: dict[datetime, list[LoggedCall]] = {}
        works: dict[str, list[timedelta]] = {}
        for call in self.calls:
            by_day.setdefault(_midnight(call.arrives_at), []).append(call)
            if call.service is not None:
                works.setdefault(call.kind, []).append(self._own_work(call.service, call.served_by))
        for number, (day, calls) in enumerate(sorted(by_day.items())):
            rng = np.random.default_rng((seed, number))
            cases = tuple(self._case(call, works, rng) for call in calls)
            yield Trace(f"{day:%Y-%m-%d}", cases, tuple(self._agents(calls)))

    def _own_work(self, service: timedelta, served_by: str | None) -> timedelta:
        pace = 1.0 if served_by is None else self.real.pace(served_by)
        return (service + self.after_work) / pace

    def _case(self, call: LoggedCall, works: Mapping[str, list[timedelta]], rng: np.random.Generator) -> TraceCase:
        chance, pick = float(rng.random()), float(rng.random())
        patience: timedelta | None = call.wait
        if call.service is None:
            some = works[call.kind] if call.kind in works else next(iter(works.values()))
            work = some[int(pick * len(some))]
        else:
            work = self._own_work(call.service, call.served_by)
            curve = self.curves.get(call.kind, self.curves[None])
            drawn = curve.drawn(call.wait.total_seconds(), chance)
            patience = None if drawn is None else timedelta(seconds=drawn)
        expected = self.known.work(CHANNEL, call.kind, call.customer_id, None) or _USUAL_WORK
        return TraceCase(
            case_id=call.call_id,
            arrives_at=call.arrives_at,
            work=work,
            expected_work=expected + self.after_work,
            target=TARGET,
            channel=CHANNEL,
            units=UNITS,
            patience=patience,
            intent=call.kind,
            segment=str(call.priority),
            # The log's priority 2 is its most valued customer; 0 and 1 are not told apart by value.
            priority=1 if call.priority == 2 else 3,  # noqa: PLR2004 - the log's own code
            expected_patience=self.known.patience(CHANNEL, call.kind),
        )

    def _agents(self, calls: Iterable[LoggedCall]) -> Iterator[TraceAgent]:
        spans: dict[str, list[tuple[datetime, datetime]]] = {}
        for call in calls:
            if call.served_by is not None and call.service is not None:
                start = call.arrives_at + call.wait
                spans.setdefault(call.served_by, []).append((start, start + call.service + self.after_work))
        for name, some in sorted(spans.items()):
            yield TraceAgent(
                name,
                tuple(self._presences(sorted(some))),
                UNITS,
                frozenset({CHANNEL}),
                pace=self.real.pace(name),
                expected_pace=self.known.pace(name),
            )

    def _presences(self, spans: Sequence[tuple[datetime, datetime]]) -> Iterator[Presence]:
        since, until = spans[0]
        for start, end in spans[1:]:
            if start - until > self.longest_gap:
                yield Presence(since, until)
                since, until = start, end
            until = max(until, end)
        yield Presence(since, until)


def _midnight(instant: datetime) -> datetime:
    return instant.replace(hour=0, minute=0, second=0, microsecond=0)
