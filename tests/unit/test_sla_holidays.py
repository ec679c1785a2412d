from datetime import date

import pytest

from storage.holidays_dates import UnknownHolidaysError, expand_holidays


def test_a_subdivision_adds_its_own_holidays_to_those_of_the_country() -> None:
    epiphany = date(2026, 1, 6)
    assert epiphany in expand_holidays("DE", "BY", [2026])
    assert epiphany not in expand_holidays("DE", "BE", [2026])
    assert date(2026, 12, 25) in expand_holidays("DE", None, [2026])


def test_a_substitute_day_counts_in_the_year_it_falls_into() -> None:
    assert date(2027, 12, 31) in expand_holidays("US", None, [2027])


def test_only_the_years_asked_for_come_back() -> None:
    assert {day.year for day in expand_holidays("US", None, [2026, 2028])} == {2026, 2028}
    assert expand_holidays("US", None, []) == frozenset()


@pytest.mark.parametrize(("country", "subdivision"), [("XX", None), ("DE", "ZZ")])
def test_a_place_nobody_knows_is_refused(country: str, subdivision: str | None) -> None:
    with pytest.raises(UnknownHolidaysError):
        expand_holidays(country, subdivision, [2026])
