"""Open time obeys its arithmetic in every zone, and agrees with a minute-by-minute reading of the local clock."""

from datetime import UTC, date, datetime, time, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from domain.sla.calendar import Calendar, DayIntervals, add_open_time, is_open, next_opening, open_time_between

MINUTE = timedelta(minutes=1)
MINUTES_OF_DAY = 24 * 60

TURNING_DAYS = {
    "Europe/Berlin": (date(2026, 3, 29), date(2026, 10, 25)),
    "America/New_York": (date(2026, 3, 8), date(2026, 11, 1)),
    "Australia/Lord_Howe": (date(2026, 4, 5), date(2026, 10, 4)),  # by half an hour
    "America/St_Johns": (date(2010, 3, 14), date(2010, 11, 7)),  # across midnight
    "America/Sao_Paulo": (date(2018, 2, 18), date(2018, 11, 4)),  # at midnight
    "Asia/Kolkata": (date(2026, 6, 17),),
    "UTC": (date(2026, 6, 17),),
}
"""Days on which the local clock changes, or just a day where it never does."""


def interval_of(minutes: tuple[int, int]) -> tuple[time, time | None]:
    start, end = minutes
    return time(*divmod(start, 60)), None if end == MINUTES_OF_DAY else time(*divmod(end, 60))


def day_of(edges: list[int]) -> DayIntervals:
    ordered = sorted(edges)
    return tuple(interval_of((start, end)) for start, end in zip(ordered[::2], ordered[1::2], strict=False))


# Clocks change in the small hours, and just before midnight's: edges fall there more often than elsewhere.
edges = st.one_of(st.integers(0, 4 * 60), st.integers(22 * 60, MINUTES_OF_DAY), st.integers(0, MINUTES_OF_DAY))
days = st.lists(edges, max_size=6, unique=True).map(day_of)


class Place(NamedTuple):
    """A calendar and a day on which its local clock is worth a look."""

    calendar: Calendar
    day: date

    def at(self, offset: timedelta) -> datetime:
        return datetime.combine(self.day, time(), ZoneInfo(self.calendar.zone)).astimezone(UTC) + offset


@st.composite
def places(draw: st.DrawFn) -> Place:
    zone = draw(st.sampled_from(sorted(TURNING_DAYS)))
    weekly = draw(st.tuples(days, days, days, days, days, days, days).filter(any))
    day = draw(st.sampled_from(TURNING_DAYS[zone]))
    holidays = draw(st.sampled_from(((), (day,), (day - timedelta(days=1), day + timedelta(days=1)))))
    return Place(Calendar(zone, weekly, holidays), day)


offsets = st.one_of(
    st.timedeltas(timedelta(hours=-3), timedelta(hours=6)), st.timedeltas(timedelta(days=-2), timedelta(days=2))
)
durations = st.timedeltas(timedelta(0), timedelta(days=3))


def open_minutes(calendar: Calendar, start: datetime, end: datetime) -> set[datetime]:
    """Read the local clock every minute and never let it run backward: a repeated hour stays where the first ended."""
    zone = ZoneInfo(calendar.zone)
    reached = datetime.min  # noqa: DTZ901  # a wall-clock reading has no zone
    found: set[datetime] = set()
    # Two hours of run-up, so that a repeated hour in progress at the start is known as one.
    minute = start - 120 * MINUTE
    while minute < end:
        reached = max(reached, minute.astimezone(zone).replace(tzinfo=None, fold=0))
        is_open_now = reached.date() not in calendar.holidays and any(
            opens <= reached.time() and (closes is None or reached.time() < closes)
            for opens, closes in calendar.weekly[reached.weekday()]
        )
        if is_open_now and minute >= start:
            found.add(minute)
        minute += MINUTE
    return found


@settings(deadline=None)
@given(places(), st.integers(-300, 300), st.integers(1, 600))
def test_open_time_is_what_reading_the_local_clock_every_minute_finds(place: Place, offset: int, length: int) -> None:
    calendar, start = place.calendar, place.at(offset * MINUTE)
    end = start + length * MINUTE
    minutes = open_minutes(calendar, start, end)
    assert open_time_between(calendar, start, end) == len(minutes) * MINUTE
    for passed in range(0, length, 7):
        minute = start + passed * MINUTE
        assert is_open(calendar, minute) == (minute in minutes)
    if minutes:
        assert next_opening(calendar, start) == min(minutes)
        assert add_open_time(calendar, start, len(minutes) * MINUTE) == max(minutes) + MINUTE


@settings(deadline=None)
@given(places(), offsets, durations, durations)
def test_consuming_in_two_parts_is_consuming_at_once(
    place: Place, offset: timedelta, first: timedelta, second: timedelta
) -> None:
    calendar, start = place.calendar, place.at(offset)
    in_parts = add_open_time(calendar, add_open_time(calendar, start, first), second)
    assert in_parts == add_open_time(calendar, start, first + second)


@settings(deadline=None)
@given(places(), offsets, durations)
def test_the_open_time_until_a_deadline_is_what_was_to_be_consumed(
    place: Place, offset: timedelta, duration: timedelta
) -> None:
    calendar, start = place.calendar, place.at(offset)
    due = add_open_time(calendar, start, duration)
    assert open_time_between(calendar, start, due) == duration
    if duration:
        assert open_time_between(calendar, start, due - timedelta.resolution) == duration - timedelta.resolution


@settings(deadline=None)
@given(places(), offsets, durations)
def test_consuming_all_open_time_of_a_span_never_leaves_it(place: Place, offset: timedelta, length: timedelta) -> None:
    calendar, start = place.calendar, place.at(offset)
    end = start + length
    assert add_open_time(calendar, start, open_time_between(calendar, start, end)) <= end


@settings(deadline=None)
@given(places(), offsets, durations, durations, durations)
def test_a_later_start_or_a_longer_target_is_never_due_earlier(
    place: Place, offset: timedelta, later: timedelta, shorter: timedelta, extra: timedelta
) -> None:
    calendar, start = place.calendar, place.at(offset)
    assert add_open_time(calendar, start, shorter) <= add_open_time(calendar, start + later, shorter)
    assert add_open_time(calendar, start, shorter) <= add_open_time(calendar, start, shorter + extra)


@settings(deadline=None)
@given(places(), st.tuples(offsets, offsets, offsets).map(sorted))
def test_open_time_of_adjoining_spans_adds_up(place: Place, three: list[timedelta]) -> None:
    calendar = place.calendar
    first, second, third = map(place.at, three)
    parts = open_time_between(calendar, first, second) + open_time_between(calendar, second, third)
    assert parts == open_time_between(calendar, first, third) <= third - first


@settings(deadline=None)
@given(places(), offsets)
def test_the_next_opening_is_open_and_nothing_before_it_is(place: Place, offset: timedelta) -> None:
    calendar, start = place.calendar, place.at(offset)
    opening = next_opening(calendar, start)
    assert opening >= start
    assert is_open(calendar, opening)
    assert open_time_between(calendar, start, opening) == timedelta(0)
    assert is_open(calendar, start) == (opening == start)
