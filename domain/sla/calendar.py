"""Service calendars: in which spans of real time an SLA clock consumes its target.

A calendar is written in local wall-clock time and read in UTC instants. An edge that the local clock shows twice
(daylight saving ends) is its first showing; an edge it skips (daylight saving begins) is the instant of the skip. The
map from wall clock to instants is therefore monotonic: intervals never overlap, adjoining ones stay joined, and an
interval that spans a change counts the time that really passed.

Nothing here reads a clock or random numbers; time-zone rules come from `zoneinfo`. A workflow imports this module
passed through its sandbox, whose stand-ins for date and zone types `datetime` refuses.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from itertools import pairwise
from zoneinfo import ZoneInfo

DAYS_IN_WEEK = 7
SEARCH_LIMIT = timedelta(days=2 * 366)
"""How long a calendar may stay closed before it counts as never opening again."""

_DAY = timedelta(days=1)
_ZERO = timedelta(0)

LocalInterval = tuple[time, time | None]
"""One open span of a local day, end excluded; an end of `None` is 24:00."""

DayIntervals = tuple[LocalInterval, ...]
WeeklyIntervals = tuple[
    DayIntervals, DayIntervals, DayIntervals, DayIntervals, DayIntervals, DayIntervals, DayIntervals
]
"""Open spans for Monday to Sunday."""


class CalendarError(ValueError):
    """A calendar that cannot be used as it is written."""


class NeverOpenError(CalendarError):
    """A calendar without any open time within the search limit, so that no deadline exists."""


@dataclass(frozen=True, slots=True)
class Calendar:
    """Weekly open hours in one IANA zone; a holiday is closed all day."""

    zone: str
    weekly: WeeklyIntervals
    # Left out of the hash, not of equality: the cache below hashes a calendar on every look-up.
    holidays: tuple[date, ...] = field(default=(), hash=False)

    def __post_init__(self) -> None:
        try:
            ZoneInfo(self.zone)
        except (LookupError, ValueError, OSError) as error:
            raise CalendarError(f"unknown time zone {self.zone!r}") from error
        if len(self.weekly) != DAYS_IN_WEEK:
            raise CalendarError(f"a week has seven days, not {len(self.weekly)}")
        if not any(self.weekly):
            raise CalendarError("a calendar opens at least once a week")
        for day in self.weekly:
            _check_day(day)
        if any(earlier >= later for earlier, later in pairwise(self.holidays)):
            raise CalendarError("holidays are in order and named once")


def add_open_time(calendar: Calendar | None, start: datetime, duration: timedelta) -> datetime:
    """Return the first instant (UTC) at which `duration` of open time has passed since `start`.

    No calendar means always open. A zero duration is over at `start`, open or not.

    Raises:
        ValueError: `start` has no zone, or `duration` is negative.
        NeverOpenError: the calendar stays closed for longer than `SEARCH_LIMIT`.
    """
    instant = _in_utc(start)
    if duration < _ZERO:
        raise ValueError(f"open time only runs forward, not by {duration}")
    if calendar is None or not duration:
        return instant + duration
    left = duration
    for opens, closes in _open_spans(calendar, instant):
        if left <= closes - opens:
            return opens + left
        left -= closes - opens
    raise AssertionError("open spans never end")  # pragma: no cover


def open_time_between(calendar: Calendar | None, start: datetime, end: datetime) -> timedelta:
    """Return the open time from `start` to `end`; zero when `end` is not after `start`."""
    first, last = _in_utc(start), _in_utc(end)
    if last <= first:
        return _ZERO
    if calendar is None:
        return last - first
    total = _ZERO
    day = first.astimezone(ZoneInfo(calendar.zone)).date()
    # The day after as well: where the clock goes back across midnight, an instant shown as one day belongs to the next.
    final_day = last.astimezone(ZoneInfo(calendar.zone)).date() + _DAY
    while day <= final_day:
        for opens, closes in _open_spans_of_day(calendar, day):
            total += max(min(closes, last) - max(opens, first), _ZERO)
        day += _DAY
    return total


def is_open(calendar: Calendar | None, at: datetime) -> bool:
    """Return whether open time passes right after `at`."""
    instant = _in_utc(at)
    if calendar is None:
        return True
    day = instant.astimezone(ZoneInfo(calendar.zone)).date()
    # The next day as well, for a clock that goes back across midnight (see above).
    return any(
        opens <= instant < closes
        for candidate in (day, day + _DAY)
        for opens, closes in _open_spans_of_day(calendar, candidate)
    )


def next_opening(calendar: Calendar | None, at: datetime) -> datetime:
    """Return the first instant (UTC) from `at` on that is open; `at` itself when it is.

    Raises:
        NeverOpenError: the calendar stays closed for longer than `SEARCH_LIMIT`.
    """
    instant = _in_utc(at)
    if calendar is None:
        return instant
    opens, _ = next(_open_spans(calendar, instant))
    return opens


def next_closing(calendar: Calendar, at: datetime) -> datetime:
    """Return the instant (UTC) at which the open span at or after `at` ends; adjoining spans are one.

    A calendar that is always open closes a week from `at`, as far as anybody plans.

    Raises:
        NeverOpenError: the calendar stays closed for longer than `SEARCH_LIMIT`.
    """
    instant = _in_utc(at)
    horizon = instant + DAYS_IN_WEEK * _DAY
    end: datetime | None = None
    for opens, closes in _open_spans(calendar, instant):
        if end is not None and opens > end:
            return end
        end = closes
        if end >= horizon:
            break
    return min(end or horizon, horizon)


def _open_spans(calendar: Calendar, start: datetime) -> Iterator[tuple[datetime, datetime]]:
    """Yield the open spans from `start` on, in order, the first cut to begin at or after `start`."""
    day = start.astimezone(ZoneInfo(calendar.zone)).date()
    last_open = start
    while True:
        for opens, closes in _open_spans_of_day(calendar, day):
            if closes > start:
                yield max(opens, start), closes
                last_open = closes
        day += _DAY
        if datetime.combine(day, time(), UTC) - last_open > SEARCH_LIMIT:
            raise NeverOpenError(f"no open time within {SEARCH_LIMIT.days} days after {last_open.isoformat()}")


@lru_cache(maxsize=8192)
def _open_spans_of_day(calendar: Calendar, day: date) -> tuple[tuple[datetime, datetime], ...]:
    if day in calendar.holidays:
        return ()
    zone = ZoneInfo(calendar.zone)
    spans: list[tuple[datetime, datetime]] = []
    for local_start, local_end in calendar.weekly[day.weekday()]:
        opens = _first_showing(datetime.combine(day, local_start), zone)
        closes = _first_showing(
            datetime.combine(day + _DAY, time()) if local_end is None else datetime.combine(day, local_end), zone
        )
        if opens < closes:
            spans.append((opens, closes))
    return tuple(spans)


def _first_showing(wall: datetime, zone: ZoneInfo) -> datetime:
    """Return the first instant at which the local clock shows `wall` or, skipping it, more."""
    # Python reads a skipped wall time with the offset before the skip, which lands after the skip.
    instant = wall.replace(tzinfo=zone, fold=0).astimezone(UTC)
    if _shown_at(instant, zone) == wall:
        return instant
    before, after = wall.replace(tzinfo=zone, fold=1).astimezone(UTC), instant
    while after - before > timedelta.resolution:
        middle = before + (after - before) // 2
        if _shown_at(middle, zone) < wall:
            before = middle
        else:
            after = middle
    return after


def _shown_at(instant: datetime, zone: ZoneInfo) -> datetime:
    return instant.astimezone(zone).replace(tzinfo=None, fold=0)


def _in_utc(instant: datetime) -> datetime:
    if instant.tzinfo is None:
        raise ValueError("an instant needs a time zone")
    return instant.astimezone(UTC)


def _check_day(day: DayIntervals) -> None:
    reached: time | None = time()
    for start, end in day:
        if start.tzinfo is not None or (end is not None and end.tzinfo is not None):
            raise CalendarError("open hours are local times; the calendar names the zone")
        if reached is None or start < reached:
            raise CalendarError("open hours of one day are in order and do not overlap")
        if end is not None and end <= start:
            raise CalendarError(f"open hours end after they begin, not from {start} to {end}")
        reached = end
