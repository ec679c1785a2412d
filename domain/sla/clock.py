"""SLA clocks: one promise on its way to being kept or broken.

A clock consumes open time of its calendar in runs. `used` is what the runs before the last one consumed; the last run
began at `running_since` and lasts until `paused_since`, `ended_at` or now. Only while a clock runs unbroken does it
have deadlines; they are exact instants:

- a breach is the instant `due_at`, however late it is noticed, and there is at most one a clock;
- reaching `due_at` without a stop is a breach, a stop at that same instant is in time when it is noted first;
- a stop that was committed before the breach but is learnt of afterwards withdraws the breach;
- a clock stopped after its breach stays `breached` and has an `ended_at`: it was met late.

Every change is idempotent: repeating it, or asking for it when it no longer applies, returns the clock unchanged, and
an instant that lies before what the clock already knows is moved up to it.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, NamedTuple

from domain.sla.calendar import add_open_time, open_time_between
from domain.sla.ladder import steps_left
from domain.sla.policy import Metric, Rung, SlaTerms

_ZERO = timedelta(0)


class ClockState(StrEnum):
    """Where a clock stands; `met` is in time, `breached` stays so when it is met late."""

    RUNNING = "running"
    PAUSED = "paused"
    MET = "met"
    BREACHED = "breached"
    CANCELLED = "cancelled"


class DeadlineKind(StrEnum):
    """What happens at a deadline."""

    WARN = "warn"
    BREACH = "breach"
    RUNG = "rung"
    """A step of the ladder."""


_ORDER: Final = {kind: place for place, kind in enumerate(DeadlineKind)}


@dataclass(frozen=True, slots=True)
class Clock:
    """One metric of one episode; `number` tells apart the clocks of a metric that starts again in its episode.

    `climbed` are the steps of the ladder taken so far; `rung` is the next one and `rung_at` its instant, while the
    clock runs, before its breach or after it.
    """

    metric: Metric
    episode: int
    number: int
    target: timedelta
    started_at: datetime
    running_since: datetime
    state: ClockState = ClockState.RUNNING
    due_at: datetime | None = None
    warn_at: datetime | None = None
    warned_at: datetime | None = None
    breached_at: datetime | None = None
    ended_at: datetime | None = None
    paused_since: datetime | None = None
    used: timedelta = _ZERO
    paused_total: timedelta = _ZERO
    climbed: tuple[Rung, ...] = ()
    rung: Rung | None = None
    rung_at: datetime | None = None

    @property
    def is_ended(self) -> bool:
        """Whether nothing more can happen to this clock."""
        return self.ended_at is not None

    @property
    def promised_at(self) -> datetime | None:
        """The instant it is due, or was due and is not made good; None while it stands still and once it ended."""
        return None if self.is_ended else self.due_at or self.breached_at

    @property
    def is_met_late(self) -> bool:
        """Whether the promise was kept after its deadline, or given up after it."""
        return self.state is ClockState.BREACHED and self.is_ended


class Deadline(NamedTuple):
    """The next instant at which a clock changes by itself."""

    at: datetime
    clock: Clock
    kind: DeadlineKind


def start_clock(terms: SlaTerms, metric: Metric, episode: int, at: datetime, number: int = 1) -> Clock | None:
    """Return a clock running from `at`, or `None` when the terms promise nothing for this metric.

    For the next response `at` is the time of the oldest unanswered customer message.
    """
    target = terms.targets.for_metric(metric)
    if target is None:
        return None
    clock = Clock(metric=metric, episode=episode, number=number, target=target, started_at=at, running_since=at)
    return _with_deadlines(clock, terms)


def open_time_used(clock: Clock, terms: SlaTerms, at: datetime) -> timedelta:
    """Return the open time this clock has consumed until `at`, pauses left out."""
    end = min(moment for moment in (clock.paused_since, clock.ended_at, at) if moment is not None)
    return clock.used + open_time_between(terms.calendar, clock.running_since, end)


def pause(clock: Clock, at: datetime) -> Clock:
    """Stop the consumption of open time; a breached clock stays breached and only stops counting."""
    if clock.is_ended or clock.paused_since is not None:
        return clock
    clock = _settled(clock, at)
    state = ClockState.PAUSED if clock.state is ClockState.RUNNING else clock.state
    paused = replace(clock, state=state, due_at=None, warn_at=None, paused_since=max(at, clock.running_since))
    return replace(paused, rung=None, rung_at=None)


def resume(clock: Clock, terms: SlaTerms, at: datetime) -> Clock:
    """Run on with exactly the open time that was left when the clock was paused."""
    if clock.is_ended or clock.paused_since is None:
        return clock
    instant = max(at, clock.paused_since)
    resumed = replace(
        clock,
        state=ClockState.RUNNING if clock.state is ClockState.PAUSED else clock.state,
        used=open_time_used(clock, terms, instant),
        running_since=instant,
        paused_since=None,
        paused_total=clock.paused_total + open_time_between(None, clock.paused_since, instant),
    )
    return _with_deadlines(resumed, terms)


def meet(clock: Clock, at: datetime) -> Clock:
    """Record that what was promised happened at `at`."""
    return _ended(clock, ClockState.MET, at)


def cancel(clock: Clock, at: datetime) -> Clock:
    """Record that the promise no longer stands; a breach before `at` is kept."""
    return _ended(clock, ClockState.CANCELLED, at)


def warn_due(clock: Clock, at: datetime) -> bool:
    """Return whether the warning is to be given by now."""
    return clock.state is ClockState.RUNNING and clock.warn_at is not None and clock.warn_at <= at


def warn(clock: Clock, at: datetime) -> Clock:
    """Record the warning, at the instant it was due; unchanged when it is not due."""
    if not warn_due(clock, at):
        return clock
    return replace(clock, warned_at=clock.warn_at, warn_at=None)


def breach_due(clock: Clock, at: datetime) -> bool:
    """Return whether the deadline has been reached without a stop."""
    return clock.state is ClockState.RUNNING and clock.due_at is not None and clock.due_at <= at


def breach(clock: Clock, at: datetime) -> Clock:
    """Record the breach, at the instant it was due; unchanged when it is not due."""
    if not breach_due(clock, at):
        return clock
    return replace(clock, state=ClockState.BREACHED, breached_at=clock.due_at, due_at=None, warn_at=None)


def climb(clock: Clock, terms: SlaTerms, rung: Rung) -> Clock:
    """Record a step of the ladder as taken and look ahead to the next one."""
    return _with_rung(replace(clock, climbed=(*clock.climbed, rung)), terms)


def close_run(clock: Clock, terms: SlaTerms, at: datetime) -> Clock:
    """Count the last run under these terms, so that what follows may be counted under others; moves no deadline."""
    end = min(moment for moment in (clock.paused_since, clock.ended_at, at) if moment is not None)
    return replace(clock, used=open_time_used(clock, terms, end), running_since=max(end, clock.running_since))


def change_terms(clock: Clock, old: SlaTerms, new: SlaTerms, at: datetime) -> Clock:
    """Put a clock under new terms from `at` on; an ended one is only counted under the old.

    The open time consumed so far is what the old calendar counted; paused time and a recorded breach or warning stay.
    A breached clock keeps the target it broke. When the new target is already used up the clock is due at `at`, never
    earlier: before the change nobody had promised it. A metric the new terms do not promise is cancelled.
    """
    clock = _settled(clock, at)
    target = new.targets.for_metric(clock.metric)
    if target is None and clock.state is not ClockState.BREACHED:
        clock = cancel(clock, at)
    clock = close_run(clock, old, at)
    if target is not None and clock.state in {ClockState.RUNNING, ClockState.PAUSED}:
        clock = replace(clock, target=target)
    return _with_deadlines(clock, new)


def next_deadline(clocks: Iterable[Clock]) -> Deadline | None:
    """Return what comes next; equal instants warn first, then breach, then climb the ladder, then go by metric."""
    deadlines = [
        Deadline(moment, clock, kind)
        for clock in clocks
        if not clock.is_ended
        for moment, kind in (
            (clock.warn_at, DeadlineKind.WARN),
            (clock.due_at, DeadlineKind.BREACH),
            (clock.rung_at, DeadlineKind.RUNG),
        )
        if moment is not None
    ]
    return min(
        deadlines,
        key=lambda deadline: (
            deadline.at,
            _ORDER[deadline.kind],
            deadline.clock.metric,
            deadline.clock.episode,
            deadline.clock.number,
        ),
        default=None,
    )


def clock_for(clocks: Iterable[Clock], metric: Metric, episode: int) -> Clock | None:
    """Return the clock of one metric in one episode."""
    return next((clock for clock in clocks if clock.metric is metric and clock.episode == episode), None)


def with_clock(clocks: tuple[Clock, ...], clock: Clock) -> tuple[Clock, ...]:
    """Return the clocks with this one in the place of its metric and episode, or at the end.

    A metric that starts again in its episode (a next response, an owner's silence) thus replaces its ended clock; what
    that one recorded is on the timeline by then.
    """
    if clock_for(clocks, clock.metric, clock.episode) is None:
        return (*clocks, clock)
    return tuple(clock if (kept.metric, kept.episode) == (clock.metric, clock.episode) else kept for kept in clocks)


def _ended(clock: Clock, state: ClockState, at: datetime) -> Clock:
    if clock.is_ended:
        return clock
    instant = max(at, clock.started_at)
    if clock.breached_at is not None and instant < clock.breached_at:
        clock = replace(clock, state=ClockState.RUNNING, breached_at=None)
    clock = _settled(clock, instant)
    if clock.state is ClockState.BREACHED:
        state = ClockState.BREACHED
    paused_total = clock.paused_total
    if clock.paused_since is not None:
        paused_total += open_time_between(None, clock.paused_since, instant)
    ended = replace(clock, state=state, ended_at=instant, due_at=None, warn_at=None, paused_total=paused_total)
    return replace(ended, rung=None, rung_at=None)


def _settled(clock: Clock, at: datetime) -> Clock:
    """Record a breach that lies before `at`, so that a late stop or pause cannot hide it."""
    if clock.due_at is not None and clock.due_at < at:
        return breach(clock, at)
    return clock


def _with_deadlines(clock: Clock, terms: SlaTerms) -> Clock:
    """Set the deadlines of a run that has just begun at `running_since`."""
    if clock.state is not ClockState.RUNNING:
        return _with_rung(clock, terms)
    due_at = _instant_of(clock, terms, clock.target)
    warn_at: datetime | None = None
    if clock.warned_at is None and terms.warn_fraction is not None:
        warn_at = _instant_of(clock, terms, clock.target * terms.warn_fraction)
        if warn_at >= due_at:
            warn_at = None
    return _with_rung(replace(clock, due_at=due_at, warn_at=warn_at), terms)


def _with_rung(clock: Clock, terms: SlaTerms) -> Clock:
    """Set the next step of the ladder; a clock that stands still has none."""
    step = next(steps_left(terms.ladder, clock.metric, clock.climbed), None)
    if step is None or clock.is_ended or clock.paused_since is not None:
        return replace(clock, rung=None, rung_at=None)
    return replace(clock, rung=step.do, rung_at=_instant_of(clock, terms, clock.target * step.at))


def _instant_of(clock: Clock, terms: SlaTerms, consumed: timedelta) -> datetime:
    """Return when this run brings the consumption to `consumed`; at once when it already has."""
    return add_open_time(terms.calendar, clock.running_since, max(consumed - clock.used, _ZERO))
