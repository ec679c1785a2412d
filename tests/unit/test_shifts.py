"""Working hours: until when somebody takes new work, as the desk and the dispatcher read it alike."""

from datetime import UTC, datetime, time, timedelta

import pytest

from domain.shifts import shift_at, suggested_presence
from domain.sla.calendar import Calendar, open_until
from storage.ledger.agent_hours import Shifts, hours_calendar

OFFICE = Calendar("Europe/Paris", (((time(9), time(17)),),) * 5 + ((), ()))
MONDAY_NOON = datetime(2026, 1, 5, 11, 0, tzinfo=UTC)  # noon in Paris


def test_a_shift_ends_with_its_hours_and_is_known_until_something_changes() -> None:
    on = shift_at(OFFICE, MONDAY_NOON)
    assert on is not None
    assert on.ends_at == on.known_until == MONDAY_NOON.replace(hour=16)
    off = shift_at(OFFICE, MONDAY_NOON.replace(hour=17))
    assert off is not None
    assert off.ends_at == MONDAY_NOON.replace(hour=17)
    assert off.known_until == MONDAY_NOON.replace(hour=8) + timedelta(days=1)


def test_adjoining_hours_are_one_shift() -> None:
    split = Calendar("UTC", (((time(9), time(12)), (time(12), time(17))),) * 7)
    assert open_until(split, MONDAY_NOON.replace(hour=10)) == MONDAY_NOON.replace(hour=17)
    assert open_until(None, MONDAY_NOON) is None
    assert shift_at(Calendar("UTC", (((time(0), None),),) * 7), MONDAY_NOON) is None
    assert shift_at(None, MONDAY_NOON) is None


def test_who_stays_past_their_hours_may_go() -> None:
    late = MONDAY_NOON.replace(hour=18)
    assert suggested_presence("online", OFFICE, late) == "offline"
    assert suggested_presence("offline", OFFICE, late) is None
    assert suggested_presence("online", OFFICE, MONDAY_NOON) is None
    assert suggested_presence("online", None, late) is None


@pytest.mark.parametrize(
    "stored", [None, "null", "{}", '{"mon": []}', '{"mon": [["noon", "17:00"]]}', '{"mon": 3}', "no document"]
)
def test_hours_that_say_nothing_keep_nobody_from_working(stored: str | None) -> None:
    assert hours_calendar("UTC", stored) is None
    assert Shifts().ends_at("UTC", stored, MONDAY_NOON) is None


def test_a_remembered_shift_is_looked_at_again_once_it_is_over() -> None:
    shifts = Shifts()
    stored = '{"mon": [["09:00", "17:00"]], "tue": [["09:00", "15:00"]]}'
    assert shifts.ends_at("UTC", stored, MONDAY_NOON) == MONDAY_NOON.replace(hour=17)
    evening = MONDAY_NOON.replace(hour=20)
    assert shifts.ends_at("UTC", stored, evening) == evening
    tuesday = MONDAY_NOON + timedelta(days=1)
    assert shifts.ends_at("UTC", stored, tuesday) == tuesday.replace(hour=15)
