"""An agent's working hours as they are stored, read as a calendar; each form is read once."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

import msgspec

from domain.sla.calendar import Calendar
from storage.ledger.case_facts import calendar_from

_ANY_DAY: Final = datetime(2026, 1, 1, tzinfo=UTC)


def hours_calendar(time_zone: str | None, hours: Mapping[str, object] | None) -> Calendar | None:
    """Return the calendar of an agent's hours, None for who has none; public holidays are no part of it.

    Hours without any open time are none: nobody is hired to be never there.
    """
    if not hours or not any(hours.values()):
        return None
    return _calendar(time_zone or "UTC", msgspec.json.encode(hours, order="sorted"))


@lru_cache(maxsize=4096)
def _calendar(time_zone: str, hours: bytes) -> Calendar:
    weekly: dict[str, Sequence[Sequence[str]]] = msgspec.json.decode(hours, type=dict[str, list[list[str]]])
    return calendar_from(time_zone, weekly, {}, _ANY_DAY)
