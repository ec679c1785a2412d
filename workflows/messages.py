"""What goes in and out of a conversation's workflow: signals from the outbox, updates from the API, queries.

Workflow id `conversation/{con_id}`, type `Conversation`. Every signal has two arguments: the outbox row's id, by which
a repeat is known, and one of the dataclasses below. Every update takes one of the dataclasses below and answers with a
`ConversationView`; a refused one fails with an `ApplicationError` whose type is a `RefusalCode`.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from domain.channels import Channel, MessageKind


class SignalName(StrEnum):
    MESSAGE_RECEIVED = "message_received"
    OFFER_MADE = "offer_made"
    OFFER_LOST = "offer_lost"
    AGENT_LEFT = "agent_left"
    POLICY_CHANGED = "policy_changed"
    CUSTOMER_LEFT = "customer_left"
    SUGGESTION_ANSWERED = "suggestion_answered"


class UpdateName(StrEnum):
    ACCEPT_OFFER = "accept_offer"
    DECLINE_OFFER = "decline_offer"
    CLAIM = "claim"
    REPLY = "reply"
    TRANSFER = "transfer"
    HOLD = "hold"
    RESUME = "resume"
    RESOLVE = "resolve"
    END_WRAP_UP = "end_wrap_up"
    EXTEND_WRAP_UP = "extend_wrap_up"
    REOPEN = "reopen"
    REASSIGN = "reassign"
    SUGGEST_CHANNEL = "suggest_channel"


class QueryName(StrEnum):
    STATE = "state"
    WHY_WAITING = "why_waiting"
    TIMELINE_TAIL = "timeline_tail"


def workflow_id(conversation_id: str) -> str:
    return f"conversation/{conversation_id}"


# --- signals -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class MessageReceived:
    """A stored inbound message; its words stay in the ledger."""

    message_id: str
    thread_id: str
    channel: str
    kind: MessageKind
    at: datetime


@dataclass(frozen=True, slots=True)
class OfferMade:
    """The dispatcher has committed an offer for the queue ticket named."""

    offer_id: str
    ticket: int
    agent_id: str
    expires_at: datetime
    auto_accept: bool
    reason: str


@dataclass(frozen=True, slots=True)
class OfferLost:
    """The ledger has ended a pending offer: its agent went away."""

    offer_id: str
    agent_id: str
    cause: str


@dataclass(frozen=True, slots=True)
class AgentLeft:
    """The responsible agent went away and their conversations are to be given to others."""

    agent_id: str
    cause: str


@dataclass(frozen=True, slots=True)
class PolicyChanged:
    """Policies, calendars or settings have changed: take the terms of this conversation again."""

    cause: str


@dataclass(frozen=True, slots=True)
class CustomerLeft:
    """The customer ended the session on this thread (closed the chat, hung up)."""

    thread_id: str
    at: datetime


@dataclass(frozen=True, slots=True)
class SuggestionAnswered:
    """The customer has answered a suggestion by its link; `callback_at` is when they wish to be called."""

    suggestion_id: str
    accepts: bool
    at: datetime
    callback_at: datetime | None = None


# --- updates -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AcceptOffer:
    """`ticket` and `expires_at` come from the ledger: the accept may overtake the signal that tells of the offer."""

    offer_id: str
    ticket: int
    agent_id: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class DeclineOffer:
    offer_id: str
    agent_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Claim:
    agent_id: str


@dataclass(frozen=True, slots=True)
class Reply:
    """A stored draft is to be sent (`internal` false) or filed as a note.

    `by_supervisor` lets a supervisor write into a conversation that somebody else is responsible for.
    """

    message_id: str
    agent_id: str
    thread_id: str | None
    channel: str | None
    internal: bool
    by_supervisor: bool = False


@dataclass(frozen=True, slots=True)
class Transfer:
    """Exactly one of the three targets is set; a warm transfer keeps the sender responsible until the accept."""

    agent_id: str
    warm: bool
    note: str
    to_agent: str | None = None
    to_pool: str | None = None
    to_skills: tuple[tuple[str, int], ...] = ()
    by_supervisor: bool = False


@dataclass(frozen=True, slots=True)
class Hold:
    agent_id: str
    by_supervisor: bool = False


@dataclass(frozen=True, slots=True)
class Resume:
    agent_id: str
    by_supervisor: bool = False


@dataclass(frozen=True, slots=True)
class Resolve:
    agent_id: str
    wrap_up_code: str
    note: str | None = None
    by_supervisor: bool = False


@dataclass(frozen=True, slots=True)
class EndWrapUp:
    agent_id: str
    by_supervisor: bool = False


@dataclass(frozen=True, slots=True)
class ExtendWrapUp:
    agent_id: str
    by_supervisor: bool = False


@dataclass(frozen=True, slots=True)
class Reopen:
    agent_id: str
    by_supervisor: bool = False


@dataclass(frozen=True, slots=True)
class Reassign:
    """A supervisor takes the conversation from whoever has it and gives it to an agent, or back to the queue."""

    supervisor: str
    reason: str
    to_agent: str | None = None


@dataclass(frozen=True, slots=True)
class SuggestChannel:
    """`reason` is for colleagues; the customer is told in Baton's own words."""

    agent_id: str
    channel: Channel
    reason: str
    by_supervisor: bool = False


# --- answers -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ConversationView:
    """What an update or the `state` query answers with."""

    conversation_id: str
    state: str
    episode: int
    agent_id: str | None
    owner_id: str | None
    waiting_for: str | None
    waiting_until: datetime | None
    step: int


@dataclass(frozen=True, slots=True)
class TimelineLine:
    at: datetime
    kind: str
    text: str
