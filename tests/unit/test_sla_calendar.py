from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import msgspec
import pytest

from domain.sla.calendar import (
    Calendar,
    CalendarError,
    DayIntervals,
    NeverOpenError,
    add_open_time,
    is_open,
    next_opening,
    open_time_between,
)

HOUR = timedelta(hours=1)
NINE_TO_FIVE: DayIntervals = ((time(9), time(17)),)
ALL_DAY: DayIntervals = ((time(0), None),)
OFFICE_WEEK = (NINE_TO_FIVE,) * 5 + ((), ())
BERLIN = ZoneInfo("Europe/Berlin")


def office(zone: str = "Europe/Berlin", *holidays: date) -> Calendar:
    return Calendar(zone=zone, weekly=OFFICE_WEEK, holidays=holidays)


def every_day(day: DayIntervals, zone: str = "Europe/Berlin") -> Calendar:
    return Calendar(zone=zone, weekly=(day,) * 7)


def berlin(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=BERLIN)  # type: ignore[arg-type,misc]


def test_one_hour_from_friday_half_past_four_is_due_monday_half_past_nine() -> None:
    assert add_open_time(office(), berlin(2026, 3, 6, 16, 30), HOUR) == berlin(2026, 3, 9, 9, 30)


def test_an_hour_that_ends_with_the_day_is_due_at_closing_not_at_the_next_opening() -> None:
    assert add_open_time(office(), berlin(2026, 3, 6, 16), HOUR) == berlin(2026, 3, 6, 17)


def test_a_start_before_opening_counts_from_opening() -> None:
    assert add_open_time(office(), berlin(2026, 3, 7, 3), HOUR) == berlin(2026, 3, 9, 10)


def test_nothing_to_consume_is_over_at_once() -> None:
    closed = berlin(2026, 3, 7, 3)
    assert add_open_time(office(), closed, timedelta(0)) == closed


def test_without_a_calendar_time_is_always_open() -> None:
    start = berlin(2026, 3, 28, 12)
    assert add_open_time(None, start, 24 * HOUR) == start.astimezone(UTC) + 24 * HOUR
    assert open_time_between(None, start, berlin(2026, 3, 29, 12)) == 23 * HOUR
    assert is_open(None, start)
    assert next_opening(None, start) == start


def test_a_lunch_break_is_not_consumed() -> None:
    calendar = every_day(((time(9), time(12)), (time(13), time(17))))
    assert add_open_time(calendar, berlin(2026, 3, 9, 11, 30), HOUR) == berlin(2026, 3, 9, 13, 30)


def test_a_holiday_overrides_the_week() -> None:
    calendar = office("Europe/Berlin", date(2026, 3, 9))
    assert add_open_time(calendar, berlin(2026, 3, 6, 16, 30), HOUR) == berlin(2026, 3, 10, 9, 30)
    assert not is_open(calendar, berlin(2026, 3, 9, 12))


def test_the_opening_is_open_and_the_closing_is_not() -> None:
    assert is_open(office(), berlin(2026, 3, 6, 9))
    assert not is_open(office(), berlin(2026, 3, 6, 17))


def test_the_next_opening_after_closing_is_the_next_working_day() -> None:
    assert next_opening(office(), berlin(2026, 3, 6, 17)) == berlin(2026, 3, 9, 9)
    assert next_opening(office(), berlin(2026, 3, 6, 12)) == berlin(2026, 3, 6, 12)


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("Europe/Berlin", date(2026, 3, 29), 23),
        ("Europe/Berlin", date(2026, 10, 25), 25),
        ("America/New_York", date(2026, 3, 8), 23),
        ("Australia/Lord_Howe", date(2026, 4, 5), 24.5),
        ("Australia/Lord_Howe", date(2026, 10, 4), 23.5),
        ("America/St_Johns", date(2010, 11, 7), 25),  # goes back across midnight
        ("America/Sao_Paulo", date(2018, 11, 4), 23),  # has no midnight
        ("Pacific/Apia", date(2011, 12, 30), 0),  # has no such day
        ("Asia/Kolkata", date(2026, 3, 29), 24),
    ],
)
def test_a_day_open_around_the_clock_is_as_long_as_it_really_is(zone: str, day: date, hours: float) -> None:
    only = Calendar(zone=zone, weekly=tuple(ALL_DAY if day.weekday() == weekday else () for weekday in range(7)))  # type: ignore[arg-type]
    noon = datetime.combine(day, time(12), UTC)
    assert open_time_between(only, noon - 48 * HOUR, noon + 48 * HOUR) == hours * HOUR


def test_an_edge_that_the_clock_skips_is_the_instant_of_the_skip() -> None:
    calendar = every_day(((time(2, 30), time(4)),))
    assert next_opening(calendar, berlin(2026, 3, 29, 0)) == datetime(2026, 3, 29, 1, tzinfo=UTC)
    until_skip = every_day(((time(1), time(2, 30)),))
    assert open_time_between(until_skip, berlin(2026, 3, 29, 0), berlin(2026, 3, 29, 12)) == HOUR


def test_an_edge_that_the_clock_shows_twice_is_its_first_showing() -> None:
    calendar = every_day(((time(2, 15), time(2, 45)),))
    assert next_opening(calendar, berlin(2026, 10, 25, 0)) == datetime(2026, 10, 25, 0, 15, tzinfo=UTC)
    assert open_time_between(calendar, berlin(2026, 10, 25, 0), berlin(2026, 10, 25, 12)) == HOUR / 2


def test_a_day_begun_stays_begun_where_the_clock_goes_back_across_midnight() -> None:
    sundays = Calendar("America/St_Johns", ((),) * 6 + (ALL_DAY,))
    midnight = datetime(2010, 11, 7, 2, 30, tzinfo=UTC)
    shown_as_saturday = midnight + HOUR / 2
    assert shown_as_saturday.astimezone(ZoneInfo(sundays.zone)).date() == date(2010, 11, 6)
    assert next_opening(sundays, midnight - HOUR) == midnight
    assert is_open(sundays, shown_as_saturday)
    assert open_time_between(sundays, midnight, shown_as_saturday) == HOUR / 2


def test_open_hours_across_the_change_count_real_time() -> None:
    calendar = every_day(((time(1), time(4)),))
    assert open_time_between(calendar, berlin(2026, 3, 29, 0), berlin(2026, 3, 29, 12)) == 2 * HOUR
    assert open_time_between(calendar, berlin(2026, 10, 25, 0), berlin(2026, 10, 25, 12)) == 4 * HOUR


def test_a_span_that_runs_backward_holds_no_open_time() -> None:
    assert open_time_between(office(), berlin(2026, 3, 6, 12), berlin(2026, 3, 6, 10)) == timedelta(0)


def test_two_years_of_holidays_are_an_error_not_an_endless_search() -> None:
    mondays = tuple(date(2026, 1, 5) + timedelta(weeks=week) for week in range(120))
    calendar = Calendar("UTC", (NINE_TO_FIVE, (), (), (), (), (), ()), mondays)
    with pytest.raises(NeverOpenError):
        add_open_time(calendar, datetime(2026, 1, 1, tzinfo=UTC), HOUR)


def test_instants_without_a_zone_and_negative_durations_are_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        add_open_time(office(), datetime(2026, 1, 1), HOUR)  # noqa: DTZ001  # the mistake under test
    with pytest.raises(ValueError, match="forward"):
        add_open_time(None, berlin(2026, 1, 1), -HOUR)


@pytest.mark.parametrize(
    "day",
    [
        ((time(9), time(9)),),
        ((time(9), time(8)),),
        ((time(9), time(12)), (time(11), time(13))),
        ((time(13), time(14)), (time(9), time(10))),
        ((time(9), None), (time(10), time(11))),
        ((time(9, tzinfo=UTC), time(10)),),
    ],
)
def test_open_hours_that_overlap_or_end_before_they_begin_are_refused(day: DayIntervals) -> None:
    with pytest.raises(CalendarError):
        every_day(day)


def test_a_calendar_that_never_opens_or_knows_no_zone_is_refused() -> None:
    with pytest.raises(CalendarError, match="at least once"):
        every_day(())
    with pytest.raises(CalendarError, match="zone"):
        office("Europe/Atlantis")
    with pytest.raises(CalendarError, match="in order"):
        office("UTC", date(2026, 2, 1), date(2026, 1, 1))
    with pytest.raises(CalendarError, match="seven"):
        Calendar("UTC", (ALL_DAY,) * 6)  # type: ignore[arg-type]  # the mistake under test


def test_a_calendar_survives_serialisation() -> None:
    calendar = Calendar("America/New_York", (NINE_TO_FIVE,) * 6 + (ALL_DAY,), (date(2026, 12, 25),))
    assert msgspec.json.decode(msgspec.json.encode(calendar), type=Calendar) == calendar
