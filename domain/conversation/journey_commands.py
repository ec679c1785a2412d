"""What a step asks of the world on the customer's journey; part of `domain.conversation.commands.Command`."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from domain.channels import Channel
from domain.suggestions.rules import Cause


class SuggestionEnd(StrEnum):
    ACCEPTED = "accepted"
    DECLINED = "declined"
    IGNORED = "ignored"


@dataclass(frozen=True, slots=True)
class OfferSwitch:
    """Keep the suggestion and tell the customer on the thread they wrote on last."""

    suggestion_id: str
    message_id: str
    channel: Channel
    cause: Cause
    expires_at: datetime
    by_agent: str | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class EndSuggestion:
    """`message_id` is what the customer is told of an accept: the meeting's link, or the time of the call, or, on the
    thread of mails that begins with it, that we go on there.
    """

    suggestion_id: str
    end: SuggestionEnd
    channel: Channel
    via: str | None = None
    message_id: str | None = None
    callback_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class OpenThread:
    """The accepted channel becomes a thread of this conversation."""

    suggestion_id: str
    thread_id: str
    channel: Channel


@dataclass(frozen=True, slots=True)
class JudgeSuggestion:
    suggestion_id: str
    resolved_there: bool


@dataclass(frozen=True, slots=True)
class AskSurvey:
    """Ask how easy it was, unless this customer has been asked within `period`."""

    survey_id: str
    message_id: str
    period: timedelta
    answer_within: timedelta


JourneyCommand = OfferSwitch | EndSuggestion | OpenThread | JudgeSuggestion | AskSurvey
