"""Presence: what an agent's being there means for each channel."""

from datetime import datetime
from enum import StrEnum

from domain.channels import Channel
from domain.sla.calendar import Calendar, is_open, next_closing

CALLS = frozenset({Channel.VOICE, Channel.VIDEO})


class Presence(StrEnum):
    """`NOT_RESPONDING` is set by the system alone, the others are chosen."""

    ONLINE = "online"
    AWAY = "away"
    TRANSFERS_ONLY = "transfers_only"
    OFFLINE = "offline"
    NOT_RESPONDING = "not_responding"


class Effect(StrEnum):
    """What may be offered to an agent."""

    EVERYTHING = "everything"
    NAMED = "named"
    """Only what names this agent: a transfer, a reassignment."""
    NOTHING = "nothing"


def effect_on(presence: Presence, channels: frozenset[Channel] | None, channel: Channel) -> Effect:
    """Return what an agent may be offered on a channel; `channels` are those they take work on, all when unsaid."""
    if channels is not None and channel not in channels:
        return Effect.NOTHING
    match presence:
        case Presence.ONLINE:
            return Effect.EVERYTHING
        case Presence.TRANSFERS_ONLY:
            return Effect.NAMED
        case Presence.AWAY | Presence.OFFLINE | Presence.NOT_RESPONDING:
            return Effect.NOTHING


def shift_end(hours: Calendar | None, now: datetime) -> datetime | None:
    """Return when the agent's working time ends: `now` outside their hours, None when they have none."""
    if hours is None:
        return None
    return next_closing(hours, now) if is_open(hours, now) else now


def suggested_presence(presence: Presence, hours: Calendar | None, now: datetime) -> Presence | None:
    """Return what the agent might want to be instead: who works past the end of their shift may go."""
    if hours is None or presence is Presence.OFFLINE or is_open(hours, now):
        return None
    return Presence.OFFLINE
