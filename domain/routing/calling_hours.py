"""When a customer may be called: their own hours in their own zone, as the engine reads them for one day."""

from datetime import datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from domain.routing.model import CustomerHours
from domain.sla.calendar import Calendar, next_opening, open_until

DECENT_HOURS: Final = (time(8), time(21))
"""When people may be called who have said nothing about it but where they live."""


def calling_hours(hours: Calendar | None, zone: str | None, now: datetime) -> CustomerHours | None:
    """The hours that hold on the customer's day of `now`; None when nothing is known of them.

    The engine knows one span that is the same every day, so this is asked again before each pass. On a day without
    any hours left the span is empty, and begins where the next one does: a pass at that instant asks again.

    Raises:
        NeverOpenError: the hours never come.
    """
    if hours is None:
        return None if zone is None else CustomerHours(zone, *DECENT_HOURS)
    local = ZoneInfo(hours.zone)
    opens, today = next_opening(hours, now), now.astimezone(local)
    begins = opens.astimezone(local)
    if begins.date() > today.date():
        return CustomerHours(hours.zone, begins.time(), begins.time())
    closes = open_until(hours, opens)
    if closes is None or closes - opens >= timedelta(days=1):
        return None
    ends = closes.astimezone(local)
    if opens > now:
        return CustomerHours(hours.zone, begins.time(), ends.time())
    # What is open now began at some time before: midnight will do, or now for hours that run on into the next day.
    return CustomerHours(hours.zone, time() if ends.date() == today.date() else today.time(), ends.time())
