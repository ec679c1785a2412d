"""When a customer is offered another channel, and how: what an admin sets, each rule readable by itself."""

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from domain.channels import Channel


class Cause(StrEnum):
    """Why a channel is suggested."""

    SCREEN_SHARING = "screen_sharing"
    """The intent is one that is solved fastest where both see the same screen."""
    NO_PROGRESS = "no_progress"
    """Many turns were taken and it is still not resolved."""
    LONG_WAIT = "long_wait"
    """Nobody was free for a long time."""
    SLA_AT_RISK = "sla_at_risk"
    SENTIMENT_FALLS = "sentiment_falls"
    HISTORY = "history"
    """Cases like this one were resolved more often on the other channel."""
    AGENT = "agent"
    """An agent thought so."""


SUGGESTED_CHANNELS = (Channel.VIDEO, Channel.VOICE, Channel.EMAIL)
"""What a customer can be led to: a meeting by its link, a call at its time, a thread of mails."""

WRITTEN_CHANNELS = frozenset(Channel) - {Channel.VOICE, Channel.VIDEO}
"""Where a suggestion can be read and answered by a word."""


@dataclass(frozen=True, slots=True)
class SuggestionRule:
    """One rule; what does not belong to its cause is not looked at.

    `intents` are those of screen sharing, `turns` the answers given without progress, `after` the wait, `drop` by how
    much the mood (-1 to 1) must have fallen, `margin` by how much likelier (a probability) the other channel resolves.
    """

    cause: Cause
    channels: tuple[Channel, ...]
    intents: tuple[str, ...] = ()
    turns: int = 4
    after: timedelta = timedelta(minutes=5)
    drop: float = 0.6
    margin: float = 0.15


@dataclass(frozen=True, slots=True)
class SuggestionSettings:
    """All an admin decides on suggestions; the rules stand in their order, the first that has a channel counts.

    `least_success` is the learned chance (a probability) below which a channel is not suggested by itself. `hours`
    names a calendar per channel; a channel without one is always open. Without a `meeting_link` nobody is led to video,
    `{id}` in it becomes the suggestion's id. `public_url` is where customers reach this API; without it there are reply
    words only.
    """

    enabled: bool = True
    rules: tuple[SuggestionRule, ...] = (
        SuggestionRule(Cause.SCREEN_SHARING, (Channel.VIDEO,), intents=("setup_help",)),
        SuggestionRule(Cause.NO_PROGRESS, (Channel.VOICE,)),
        SuggestionRule(Cause.SENTIMENT_FALLS, (Channel.VOICE,)),
        SuggestionRule(Cause.LONG_WAIT, (Channel.VOICE, Channel.EMAIL)),
        SuggestionRule(Cause.SLA_AT_RISK, (Channel.VOICE, Channel.EMAIL)),
        SuggestionRule(Cause.HISTORY, (Channel.VIDEO, Channel.VOICE)),
    )
    least_success: float = 0.2
    lasts: timedelta = timedelta(hours=1)
    """How long a suggestion may be answered; then it counts as ignored."""
    most_per_episode: int = 2
    """Suggestions made by rules in one episode; an agent's come on top."""
    callback_after: timedelta = timedelta(minutes=15)
    """How soon after an accept a call is made, inside the hours of calls and those the customer prefers."""
    meeting_link: str = ""
    public_url: str = ""
    hours: tuple[tuple[Channel, str], ...] = ()


@dataclass(frozen=True, slots=True)
class SurveySettings:
    """CES 2.0: one question after the close of an episode, at most one per customer and period.

    Off until an admin wants it.
    """

    enabled: bool = False
    after: timedelta = timedelta(minutes=10)
    """How long after the end of an episode the customer is asked, if it has not been reopened by then."""
    period: timedelta = timedelta(days=30)
    answer_within: timedelta = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class RoiSettings:
    """The rates of the ROI view, in one currency; `churn_share` is a share from 0 to 1. Zero until an admin says so."""

    cost_per_agent_hour: float = 0.0
    cost_per_escalation: float = 0.0
    value_per_customer: float = 0.0
    churn_share: float = 0.0
