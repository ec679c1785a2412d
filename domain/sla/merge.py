"""What becomes of the SLA clocks when two conversations become one."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta

from domain.sla.calendar import add_open_time, open_time_between
from domain.sla.clock import Clock, ClockState, breach, clock_for, close_run, open_time_used, with_clock
from domain.sla.policy import Metric, SlaTerms


def merge_clocks(
    survivor: tuple[Clock, ...],
    survivor_terms: SlaTerms,
    loser: tuple[Clock, ...],
    loser_terms: SlaTerms,
    episode: int,
    at: datetime,
) -> tuple[Clock, ...]:
    """Return the survivor's clocks, per metric with the earliest unmet deadline of the two, in the survivor's episode.

    A promise still open outlasts one already ended. A breached clock that nobody has met is the earliest there is, so
    it stays breached; a deadline that has passed by `at` unnoticed is recorded as the breach it is. The deadline taken
    over is kept to the instant. What is left of it is from then on counted in the survivor's calendar, and where that
    differs from the loser's the clock's target is stated anew as what was used plus what is left.

    The result is as if neither were newly paused or resumed: whoever merges then pauses or resumes what the survivor's
    state asks for.
    """
    merged = survivor
    for metric in Metric:
        theirs = _open_clock(loser, metric)
        if theirs is None:
            continue
        theirs = breach(theirs, at)
        ours = clock_for(survivor, metric, episode)
        if ours is None or ours.is_ended:
            number = 1 if ours is None else ours.number + 1
        else:
            number = ours.number
            ours = breach(ours, at)
            merged = with_clock(merged, ours)
            if _deadline(ours, survivor_terms, at) <= _deadline(theirs, loser_terms, at):
                continue
        taken = replace(theirs, episode=episode, number=number)
        merged = with_clock(merged, _recounted(taken, loser_terms, survivor_terms, at))
    return merged


def _open_clock(clocks: Iterable[Clock], metric: Metric) -> Clock | None:
    return next((clock for clock in clocks if clock.metric is metric and not clock.is_ended), None)


def _deadline(clock: Clock, terms: SlaTerms, at: datetime) -> datetime:
    """Return when the clock breached, is due, or, paused, would be due if it ran on from `at`."""
    known = clock.breached_at or clock.due_at
    if known is not None:
        return known
    left = max(clock.target - open_time_used(clock, terms, at), timedelta(0))
    return add_open_time(terms.calendar, at, left)


def _recounted(clock: Clock, old: SlaTerms, new: SlaTerms, at: datetime) -> Clock:
    """Close the run so far under the old calendar and go on in the new one, with every deadline unmoved."""
    counted = close_run(clock, old, at)
    if counted.state is not ClockState.RUNNING or counted.due_at is None:
        return counted
    left = open_time_between(new.calendar, counted.running_since, counted.due_at)
    return replace(counted, target=counted.used + left)
