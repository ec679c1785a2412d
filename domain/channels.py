"""The transports a customer can reach us on, and what kind of message arrived."""

from enum import StrEnum
from typing import Final


class Channel(StrEnum):
    EMAIL = "email"
    WEB_CHAT = "web_chat"
    SMS = "sms"
    WHATSAPP = "whatsapp"
    VOICE = "voice"
    VIDEO = "video"
    MESSENGER = "messenger"
    INSTAGRAM = "instagram"
    X = "x"
    TELEGRAM = "telegram"
    SLACK = "slack"
    WEBHOOK = "webhook"


class MessageKind(StrEnum):
    """What an inbound message asks of us; only `MESSAGE` reopens, restarts clocks or routes."""

    MESSAGE = "message"
    AUTO_REPLY = "auto_reply"
    BOUNCE = "bounce"
    CLOSING_THANKS = "closing_thanks"
    BLOCKED = "blocked"
    """From an address on the block list: kept, and nobody is told."""
    SURVEY_ANSWER = "survey_answer"
    """A number that answers how easy it was."""

    @property
    def wants_an_answer(self) -> bool:
        return self is MessageKind.MESSAGE


CALLS: Final = frozenset({Channel.VOICE, Channel.VIDEO})
"""Somebody is rung up, or is on the line."""

WAITED_ON: Final = CALLS | {Channel.WEB_CHAT}
"""Channels whose customers stay there while they wait, and who leave when it takes too long: one thing at a time."""

SENDER_AUTHENTICATED_BY_PLATFORM: Final = frozenset(
    {
        Channel.SMS,
        Channel.WHATSAPP,
        Channel.MESSENGER,
        Channel.INSTAGRAM,
        Channel.X,
        Channel.TELEGRAM,
        Channel.SLACK,
    }
)
"""Channels whose platform vouches for the sender. A caller id, a typed address and a From line are hints only."""
