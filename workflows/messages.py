"""What goes in and out of a conversation's workflow: signals from the outbox, updates from the API, queries.

Workflow id `conversation/{con_id}`, type `Conversation`. Every signal has two arguments: the outbox row's id, by which
a repeat is known, and one of the dataclasses below. Every update takes one of the dataclasses below and answers with a
`ConversationView`; a refused one fails with an `ApplicationError` whose type is a `RefusalCode`.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from domain.channels import Channel, MessageKind
from domain.conversation.state import EndReason


class SignalName(StrEnum):
    MESSAGE_RECEIVED = "message_received"
    MESSAGES_RECEIVED = "messages_received"
    OFFER_MADE = "offer_made"
    OFFER_LOST = "offer_lost"
    AGENT_LEFT = "agent_left"
    POLICY_CHANGED = "policy_changed"
    CUSTOMER_LEFT = "customer_left"
    ABSORB = "absorb"
    MERGED_AWAY = "merged_away"
    THREADS_SPLIT = "threads_split"
    IDENTITY_LINKED = "identity_linked"
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
    ESCALATE = "escalate"
    CLOSE = "close"
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
    """A stored inbound message; its words stay in the ledger. `signal_id` is set on receipt."""

    message_id: str
    thread_id: str
    channel: str
    kind: MessageKind
    at: datetime
    signal_id: int = 0


@dataclass(frozen=True, slots=True)
class MessagesReceived:
    """Several at once, each with the id of the signal it is owed by."""

    messages: tuple[tuple[int, MessageReceived], ...]


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
    """The customer ended the session on this thread (closed the chat, hung up). `signal_id` is set on receipt."""

    thread_id: str
    at: datetime
    signal_id: int = 0


@dataclass(frozen=True, slots=True)
class Absorb:
    """The ledger has made another conversation part of this one; what it hands over lies with the merge."""

    merge_id: str
    loser_id: str
    cause: str
    at: datetime


@dataclass(frozen=True, slots=True)
class MergedAway:
    """The ledger has made this conversation part of another one: nothing is left to do but to pass messages on."""

    survivor_id: str
    at: datetime


@dataclass(frozen=True, slots=True)
class ThreadsSplit:
    """The ledger has made threads of this conversation the conversation `into`; the rest is what is left of it."""

    into: str
    thread_ids: tuple[str, ...]
    channels: tuple[str, ...]
    unanswered_since: datetime | None


@dataclass(frozen=True, slots=True)
class IdentityLinked:
    """The ledger has linked this conversation's customer to another one, who it belongs to from now on."""

    customer_id: str
    cause: str


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
    """`ticket` and `expires_at` come from the ledger: the answer may overtake the signal that tells of the offer."""

    offer_id: str
    ticket: int
    agent_id: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class DeclineOffer:
    """`ticket` and `expires_at` as in `AcceptOffer`; None in histories older than them."""

    offer_id: str
    agent_id: str
    reason: str
    ticket: int | None = None
    expires_at: datetime | None = None


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
    """`limit` is wall time after which the hold ends by itself."""

    agent_id: str
    by_supervisor: bool = False
    limit: timedelta | None = None


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
class Escalate:
    """Raise authority or priority; with `to_pool` the people of that pool take over."""

    agent_id: str
    reason: str
    to_pool: str | None = None
    by_supervisor: bool = False


@dataclass(frozen=True, slots=True)
class Close:
    """End the episode for another reason than a resolution; `note_id` is a stored note to be filed with it."""

    agent_id: str
    reason: EndReason
    by_supervisor: bool = False
    note_id: str | None = None


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
