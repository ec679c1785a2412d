"""Agents' working hours: until when somebody takes new work, and when they may be told to go home."""

from dataclasses import dataclass
from datetime import datetime

from domain.sla.calendar import Calendar, is_open, next_opening, open_until


@dataclass(frozen=True, slots=True)
class Shift:
    """`ends_at` is when an agent's present hours end, in the past when they are over; it holds until `known_until`."""

    ends_at: datetime
    known_until: datetime


def shift_at(hours: Calendar | None, now: datetime) -> Shift | None:
    """Return the shift at `now`, outside of the hours one that ended at once, until the next begins.

    None for who has no hours, and for hours that never end.

    Raises:
        NeverOpenError: the hours never come again.
    """
    ends = open_until(hours, now)
    if hours is None or ends is None:
        return None
    return Shift(ends, ends if ends > now else next_opening(hours, now))


def suggested_presence(presence: str, hours: Calendar | None, now: datetime) -> str | None:
    """Return what an agent may want to be instead: who is still there past the end of their shift may go."""
    if hours is None or presence == "offline" or is_open(hours, now):
        return None
    return "offline"
