"""All a conversation knows of itself: one value, carried over continue-as-new and driven by `step`."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from domain.conversation.journey import NO_JOURNEY, JourneyState
from domain.conversation.terms import Assessment, SkillNeeds
from domain.sla.clock import Clock

LOWEST_PRIORITY: Final = 5


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
    CUSTOMER_ENDED = "customer_ended"
    """The customer ended the chat; what they came for was not settled by us."""
    SPAM = "spam"
    BOUNCE_STORM = "bounce_storm"
    """Machines answering each other."""
    NO_ANSWER_WANTED = "no_answer_wanted"
    """Nobody expects an answer: a copy for information, thanks in other words."""

    @property
    def is_of_no_customer(self) -> bool:
        """Whether nobody was served: such an episode closes at once and counts in no measure of service."""
        return self in {EndReason.SPAM, EndReason.BOUNCE_STORM}


@dataclass(frozen=True, slots=True)
class Waiting:
    """A place in the queue. Every return to the queue takes the next ticket; `queued_at` stays the original age.

    `warm_from` is the assignment that holds on until a warm transfer is accepted. Until `owner_until` it is kept for
    the owner, if they are there.
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
    owner_until: datetime | None = None


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
    `hold_until` is when a hold that was limited ends. `escalation` counts how often authority or priority was raised in
    the episode, `alerts` the alerts put before the supervisors so far.
    `queued_at` is when the episode first asked for somebody; `waits_since` is the age a place in the queue has: the
    same, until a conversation that had gone idle and given its units back is woken by the customer's next message.
    `heard` is the last outbox id whose message was taken in; `merges` counts the
    conversations that became part of this one and `joined_skills` is what they needed.
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
    heard: int = 0
    merges: int = 0
    joined_skills: SkillNeeds = ()
    tallies: Tallies = Tallies()
    hold_until: datetime | None = None
    escalation: int = 0
    alerts: int = 0

    @property
    def priority(self) -> int:
        """1 (urgent) to 5 (low): what the case has, raised by each escalation to 2 and then to 1."""
        own = self.case.priority if self.case else LOWEST_PRIORITY
        return min(own, max(3 - self.escalation, 1)) if self.escalation else own

    journey: JourneyState = NO_JOURNEY

    @property
    def agent_id(self) -> str | None:
        return self.assignment.agent_id if self.assignment else None
