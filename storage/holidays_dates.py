"""The public holidays of a country as plain dates, for calendars to be closed on."""

from collections.abc import Iterable
from datetime import date

from holidays import country_holidays


class UnknownHolidaysError(ValueError):
    """A country or subdivision whose holidays are not known."""


def expand_holidays(country: str, subdivision: str | None, years: Iterable[int]) -> frozenset[date]:
    """Return every public holiday of the years given, substitute days off included.

    `country` is an ISO 3166-1 code and `subdivision` the part of its ISO 3166-2 code after the dash.

    Raises:
        UnknownHolidaysError: nobody knows the holidays of that country or subdivision.
    """
    wanted = frozenset(years)
    # A substitute day may fall into the year before its holiday: New Year's Day on a Saturday.
    with_following = wanted | {year + 1 for year in wanted}
    try:
        found = country_holidays(country, subdiv=subdivision, years=with_following, expand=False)
    except NotImplementedError as error:
        raise UnknownHolidaysError(str(error)) from error
    return frozenset(day for day in found if day.year in wanted)
