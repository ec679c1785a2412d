"""What leads a customer from channel to channel: the terms for it, and what a conversation remembers of it."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from domain.channels import Channel
from domain.suggestions.advice import Reachable
from domain.suggestions.answers import AnswerWord
from domain.suggestions.rules import Cause, SuggestionRule


@dataclass(frozen=True, slots=True)
class SuggestionTerms:
    """What may be suggested to this customer now; `stay_success` is the chance that it is resolved where it is."""

    rules: tuple[SuggestionRule, ...]
    reachable: tuple[Reachable, ...]
    least_success: float
    lasts: timedelta
    most_per_episode: int
    callback_after: timedelta
    stay_success: float | None = None

    def on(self, channel: Channel) -> Reachable | None:
        return next((one for one in self.reachable if one.channel is channel), None)


@dataclass(frozen=True, slots=True)
class SurveyTerms:
    after: timedelta
    period: timedelta
    answer_within: timedelta


@dataclass(frozen=True, slots=True)
class JourneyTerms:
    """`words` are the messages of this assessment that consist of one word of an answer, by message id."""

    suggestions: SuggestionTerms | None = None
    survey: SurveyTerms | None = None
    words: tuple[tuple[str, AnswerWord], ...] = ()

    def word_of(self, message_id: str) -> AnswerWord | None:
        return next((word for said, word in self.words if said == message_id), None)


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A suggestion that waits for its answer; `inbound` and `outbound` are what had been said when it was made."""

    suggestion_id: str
    channel: Channel
    cause: Cause
    offered_at: datetime
    expires_at: datetime
    inbound: int
    outbound: int


@dataclass(frozen=True, slots=True)
class Switch:
    """A suggestion that was accepted and is not judged yet."""

    suggestion_id: str
    channel: Channel


@dataclass(frozen=True, slots=True)
class Callback:
    """A call that was promised: at its instant it becomes a thread that somebody must take."""

    suggestion_id: str
    at: datetime


@dataclass(frozen=True, slots=True)
class JourneyState:
    """`asked` are the channels that were ever suggested here. What follows `episode` belongs to that episode alone:
    how many suggestions the rules made, whether a long wait was looked at, the best mood there was.
    """

    offered: Suggestion | None = None
    accepted: Switch | None = None
    callback: Callback | None = None
    asked: tuple[str, ...] = ()
    surveyed: int = 0
    """The last episode whose customer was asked about it."""
    episode: int = 0
    by_rule: int = 0
    wait_looked_at: bool = False
    best_sentiment: float | None = None


NO_JOURNEY = JourneyState()
