"""Agents' working hours: until when somebody takes new work, and when they may be told to go home."""

from datetime import datetime

from domain.sla.calendar import Calendar, is_open, open_until


def shift_end(hours: Calendar | None, now: datetime) -> datetime | None:
    """Return when the agent's working time ends: `now` outside their hours, None for who has none or never ends."""
    return open_until(hours, now)


def suggested_presence(presence: str, hours: Calendar | None, now: datetime) -> str | None:
    """Return what an agent may want to be instead: who is still there past the end of their shift may go."""
    if hours is None or presence == "offline" or is_open(hours, now):
        return None
    return "offline"
