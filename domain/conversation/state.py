"""All a conversation knows of itself: one value, carried over continue-as-new and driven by `step`."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from domain.conversation.journey import NO_JOURNEY, JourneyState
from domain.conversation.terms import Assessment, SkillNeeds
from domain.sla.clock import Clock


class Phase(StrEnum):
    NEW = "new"
    QUEUED = "queued"
    OFFERED = "offered"
    ASSIGNED = "assigned"
    PENDING_CUSTOMER = "pending_customer"
    ON_HOLD = "on_hold"
    WRAP_UP = "wrap_up"
    RESOLVED = "resolved"
    CLOSED = "closed"
    MERGED = "merged"

    @property
    def is_final(self) -> bool:
        return self in {Phase.CLOSED, Phase.MERGED}

    @property
    def is_in_work(self) -> bool:
        """Whether somebody is expected to be responsible."""
        return self in {Phase.ASSIGNED, Phase.PENDING_CUSTOMER, Phase.ON_HOLD}

    @property
    def is_waiting(self) -> bool:
        return self in {Phase.QUEUED, Phase.OFFERED}


class EndReason(StrEnum):
    """Why an episode ended."""

    RESOLVED = "resolved"
    ABANDONED = "abandoned"
    """The customer left before anybody accepted."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A place in the queue. Every return to the queue takes the next ticket; `queued_at` stays the original age.

    `warm_from` is the assignment that holds on until a warm transfer is accepted.
    """

    ticket: int
    pool: str
    queued_at: datetime
    entered_at: datetime
    skills: SkillNeeds
    urgent: bool = False
    excluded: tuple[str, ...] = ()
    exclusions_clear_at: datetime | None = None
    only_agent: str | None = None
    warm_from: str | None = None


@dataclass(frozen=True, slots=True)
class PendingOffer:
    offer_id: str
    ticket: int
    agent_id: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class LiveAssignment:
    assignment_id: str
    agent_id: str
    offer_id: str | None
    started_at: datetime


@dataclass(frozen=True, slots=True)
class WrapUp:
    code: str
    ends_at: datetime
    extended: bool = False


@dataclass(frozen=True, slots=True)
class Tallies:
    """What has been counted in the present episode."""

    inbound: int = 0
    outbound: int = 0
    offers: int = 0
    declines: int = 0
    timeouts: int = 0
    reroutes: int = 0
    transfers: int = 0
    misroutes: int = 0


@dataclass(frozen=True, slots=True)
class ConversationState:
    """One conversation. `step` counts the changes made; the ledger knows by it which of them it already has.

    `opened_at` is the first inbound message of the conversation, `episode_opened_at` that of the present episode.
    `unanswered_since` is the oldest customer message without a public reply. `replies` are the last replies sent, by
    which a repeated request is known. `idle_since` is when the conversation began to wait for the customer.
    `queued_at` is when the episode first asked for somebody; `waits_since` is the age a place in the queue has: the
    same, until a conversation that had gone idle and given its units back is woken by the customer's next message.
    """

    conversation_id: str
    customer_id: str
    opened_at: datetime
    phase: Phase = Phase.NEW
    step: int = 0
    episode: int = 1
    episode_opened_at: datetime | None = None
    case: Assessment | None = None
    channels: tuple[str, ...] = ()
    episode_channels: tuple[str, ...] = ()
    threads: tuple[str, ...] = ()
    clocks: tuple[Clock, ...] = ()
    tickets: int = 0
    assignments: int = 0
    waiting: Waiting | None = None
    offer: PendingOffer | None = None
    assignment: LiveAssignment | None = None
    owner: str | None = None
    owner_since: datetime | None = None
    wrap_up: WrapUp | None = None
    queued_at: datetime | None = None
    waits_since: datetime | None = None
    accepted_at: datetime | None = None
    unanswered_since: datetime | None = None
    first_response_at: datetime | None = None
    idle_since: datetime | None = None
    resolved_at: datetime | None = None
    end_reason: EndReason | None = None
    replies: tuple[str, ...] = ()
    tallies: Tallies = Tallies()
    journey: JourneyState = NO_JOURNEY

    @property
    def agent_id(self) -> str | None:
        return self.assignment.agent_id if self.assignment else None
