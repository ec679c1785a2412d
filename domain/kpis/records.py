"""The plain records every KPI is computed from; they hold what the lifecycle events say, nothing estimated."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from domain.channels import Channel
from domain.sla.clock import ClockState
from domain.sla.policy import Metric

EASIEST = 7


@dataclass(frozen=True, slots=True)
class TimeRange:
    """From `start` until just before `end`."""

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        if self.start.tzinfo is None or self.end.tzinfo is None:
            raise ValueError("a time range is between instants with a zone")
        if self.end <= self.start:
            raise ValueError("a time range ends after it begins")

    def __contains__(self, instant: datetime) -> bool:
        return self.start <= instant < self.end


def whole_days(first: date, last: date, zone: str) -> TimeRange:
    """Return the range of all days from `first` to `last`, as they are counted in an IANA zone."""
    local = ZoneInfo(zone)
    return TimeRange(
        datetime.combine(first, time(), local).astimezone(UTC),
        datetime.combine(last + timedelta(days=1), time(), local).astimezone(UTC),
    )


@dataclass(frozen=True, slots=True)
class Opening:
    """One episode that began, ended or not: what a return is recognised by.

    A merged conversation goes by the id of its survivor.
    """

    conversation_id: str
    episode: int
    customer_id: str
    intent: str | None
    opened_at: datetime


@dataclass(frozen=True, slots=True)
class EndedClock:
    """One SLA clock whose fate is known; `business_time` is the open time it consumed, pauses left out."""

    metric: Metric
    state: ClockState
    started_at: datetime
    ended_at: datetime | None
    business_time: timedelta


@dataclass(frozen=True, slots=True)
class EpisodeRecord:
    """One ended episode of a conversation that was not merged away.

    `channels` are those used in this episode, in order of first use, and `first_channel` the one the conversation began
    on. `first_inbound_at` is the first customer message of the episode, the earliest of all merged threads, and
    `business_time` the open time from the conversation's very first inbound message to this end. `resolved_at` is the
    end of the episode, also when the customer left (`abandoned`). `effort_asked` says whether the survey was sent.
    """

    conversation_id: str
    episode: int
    customer_id: str
    intent: str | None
    segment: str
    pool: str
    agent_id: str | None
    channels: tuple[Channel, ...]
    first_channel: Channel
    opened_at: datetime
    first_inbound_at: datetime
    resolved_at: datetime
    business_time: timedelta
    queued_at: datetime | None = None
    accepted_at: datetime | None = None
    first_response_at: datetime | None = None
    abandoned: bool = False
    handle_time: timedelta = timedelta(0)
    wrap_up_time: timedelta = timedelta(0)
    offers: int = 0
    declines: int = 0
    timeouts: int = 0
    reroutes: int = 0
    transfers: int = 0
    misroutes: int = 0
    touches: int = 0
    touches_with_full_history: int = 0
    merged: int = 0
    clocks: tuple[EndedClock, ...] = ()
    effort_asked: bool = False
    effort_answer: int | None = None
    suggestions_offered: int = 0
    suggestions_accepted: int = 0
    suggestions_resolved_there: int = 0

    def __post_init__(self) -> None:
        if self.effort_answer is not None and not 1 <= self.effort_answer <= EASIEST:
            raise ValueError(f"an effort answer is from 1 to {EASIEST}, not {self.effort_answer}")
        if self.touches_with_full_history > self.touches:
            raise ValueError("no more touches saw the history than there were")

    @property
    def opening(self) -> Opening:
        """This episode as it began."""
        return Opening(self.conversation_id, self.episode, self.customer_id, self.intent, self.opened_at)


@dataclass(frozen=True, slots=True)
class PresenceSpan:
    """A stretch in which an agent was there to work, with `capacity` units; `pool` is the agent's own."""

    agent_id: str
    pool: str
    capacity: int
    started_at: datetime
    ended_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class HandledSpan:
    """A stretch in which an assignment held `units` of an agent; `expertise_match` is from 0 to 1."""

    agent_id: str
    pool: str
    units: int
    expertise_match: float
    started_at: datetime
    ended_at: datetime | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.expertise_match <= 1:
            raise ValueError(f"an expertise match is from 0 to 1, not {self.expertise_match}")
