"""Which channels a customer may be led to: by what is set up, by what they proved, and by what they have stated."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from domain.channels import Channel
from domain.sla.calendar import Calendar
from domain.suggestions.rules import SUGGESTED_CHANNELS, SuggestionSettings

_PROOF = {Channel.EMAIL: "email", Channel.VOICE: "phone"}


@dataclass(frozen=True, slots=True)
class Customer:
    """`proven` are the kinds of verified addresses; `calls` are the hours in which they like to be called."""

    preferred_channels: tuple[str, ...] = ()
    proven: tuple[str, ...] = ()
    asked: tuple[str, ...] = ()
    calls: Calendar | None = None


@dataclass(frozen=True, slots=True)
class Way:
    channel: Channel
    hours: tuple[Calendar, ...]


def ways_to(
    customer: Customer,
    settings: SuggestionSettings,
    accounts: Iterable[str],
    calendars: Mapping[str, Calendar],
) -> tuple[Way, ...]:
    """Return the ways there are, open or not at the moment.

    Mail needs a mailbox of ours and an address the customer has proven, a call a voice account and a proven telephone
    number, a meeting its link. A customer who states preferred channels is led to no other. A channel whose calendar
    is missing is left out: better no call than one at night.
    """
    ours = frozenset(accounts)
    named = dict(settings.hours)
    found: list[Way] = []
    for channel in SUGGESTED_CHANNELS:
        if channel in customer.asked or (customer.preferred_channels and channel not in customer.preferred_channels):
            continue
        if channel is Channel.VIDEO:
            there = bool(settings.meeting_link)
        else:
            there = channel in ours and _PROOF[channel] in customer.proven
        hours = calendars.get(named[channel]) if channel in named else None
        if not there or (channel in named and hours is None):
            continue
        asked_of = (hours, customer.calls if channel is Channel.VOICE else None)
        found.append(Way(channel, tuple(calendar for calendar in asked_of if calendar is not None)))
    return tuple(found)
