"""An agent's working hours as they are stored, read as a calendar; each form is read once."""

from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

import msgspec

from domain.shifts import Shift, shift_at
from domain.sla.calendar import Calendar
from storage.ledger.case_facts import calendar_from

_ANY_DAY: Final = datetime(2026, 1, 1, tzinfo=UTC)


@lru_cache(maxsize=4096)
def hours_calendar(time_zone: str | None, hours: str | None) -> Calendar | None:
    """Return the calendar of an agent's hours, given as JSON; public holidays are no part of it.

    None for who has none. Hours without any open time are none, as nobody is hired to be never there, and hours that
    nobody can read keep nobody from working.
    """
    if hours is None:
        return None
    try:
        weekly = msgspec.json.decode(hours, type=dict[str, list[list[str]]] | None)
        if not weekly or not any(weekly.values()):
            return None
        return calendar_from(time_zone or "UTC", weekly, {}, _ANY_DAY)
    except (ValueError, msgspec.MsgspecError):
        return None


class Shifts:
    """When whose hours end, remembered until that changes: most agents of a house share a few calendars."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], Shift | None] = {}

    def ends_at(self, time_zone: str | None, hours: str | None, now: datetime) -> datetime | None:
        """When the present hours end, an instant past when they are over, None for an agent without any."""
        if hours is None:
            return None
        key = (time_zone or "UTC", hours)
        shift = self._known.get(key)
        if key not in self._known or (shift is not None and shift.known_until <= now):
            shift = self._known[key] = shift_at(hours_calendar(*key), now)
        return None if shift is None else shift.ends_at
