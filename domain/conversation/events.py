"""What can happen to a conversation. The instant it happens at is given to `step` beside the event."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from domain.channels import Channel, MessageKind
from domain.conversation.handover import Handover
from domain.conversation.state import EndReason
from domain.conversation.terms import Assessment, SkillNeeds
from domain.sla.policy import SlaTerms


@dataclass(frozen=True, slots=True)
class CustomerWrote:
    """`at` is when the message was stored: clocks run from it, however late the conversation learns of it."""

    message_id: str
    thread_id: str
    kind: MessageKind
    at: datetime
    case: Assessment
    signal_id: int = 0
    """The outbox id under which the conversation learns of it."""


@dataclass(frozen=True, slots=True)
class CustomerLeft:
    thread_id: str
    signal_id: int = 0
    """The outbox id under which the conversation learns of it."""


@dataclass(frozen=True, slots=True)
class TermsChanged:
    """Policies, calendars or settings are different now."""

    case: Assessment
    cause: str


@dataclass(frozen=True, slots=True)
class Absorbed:
    """Another conversation has become part of this one at `at`; `case` is how the whole looks now.

    No `handover`: the loser had not taken in any message yet. `unfit`: whoever has this conversation, or is offered
    it, lacks a skill that only the loser needed.
    """

    merge_id: str
    at: datetime
    case: Assessment
    handover: Handover | None
    their_promise: SlaTerms | None
    unfit: bool


@dataclass(frozen=True, slots=True)
class MergedAway:
    """This conversation became part of another one at `at`."""

    at: datetime


@dataclass(frozen=True, slots=True)
class ThreadsSplit:
    """Threads have become a conversation of their own; `channels` and `unanswered_since` are what is left."""

    thread_ids: tuple[str, ...]
    channels: tuple[str, ...]
    unanswered_since: datetime | None
    case: Assessment


@dataclass(frozen=True, slots=True)
class IdentityLinked:
    """The conversation's customer was found to be another one, who is its customer from now on."""

    customer_id: str
    case: Assessment
    cause: str


@dataclass(frozen=True, slots=True)
class OfferMade:
    offer_id: str
    ticket: int
    agent_id: str
    expires_at: datetime
    auto_accept: bool
    reason: str


@dataclass(frozen=True, slots=True)
class OfferLost:
    """The ledger has ended the offer: its agent went away, or it refused an accept.

    `ticket` is given when the ledger refused an accept: the conversation may not have taken the offer up by then.
    """

    offer_id: str
    cause: str
    ticket: int | None = None


@dataclass(frozen=True, slots=True)
class OfferAccepted:
    offer_id: str
    ticket: int
    agent_id: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class OfferDeclined:
    """`ticket` and `expires_at` are the ledger's word on the offer; None in histories older than them."""

    offer_id: str
    agent_id: str
    reason: str
    ticket: int | None = None
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class AgentLeft:
    agent_id: str
    cause: str


@dataclass(frozen=True, slots=True)
class Claimed:
    agent_id: str


@dataclass(frozen=True, slots=True)
class Replied:
    message_id: str
    agent_id: str
    internal: bool
    by_supervisor: bool


@dataclass(frozen=True, slots=True)
class Transferred:
    """Exactly one of `to_agent`, `to_pool`, `to_skills` is given."""

    agent_id: str
    warm: bool
    note: str
    to_agent: str | None
    to_pool: str | None
    to_skills: SkillNeeds
    by_supervisor: bool


@dataclass(frozen=True, slots=True)
class Held:
    """`limit` is wall time after which the hold ends by itself."""

    agent_id: str
    by_supervisor: bool
    limit: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Resumed:
    agent_id: str
    by_supervisor: bool


@dataclass(frozen=True, slots=True)
class Resolved:
    agent_id: str
    wrap_up_code: str
    note: str | None
    by_supervisor: bool


@dataclass(frozen=True, slots=True)
class WrapUpEnded:
    agent_id: str
    by_supervisor: bool


@dataclass(frozen=True, slots=True)
class WrapUpExtended:
    agent_id: str
    by_supervisor: bool


@dataclass(frozen=True, slots=True)
class Reopened:
    agent_id: str
    by_supervisor: bool


@dataclass(frozen=True, slots=True)
class Reassigned:
    """A supervisor gives the conversation to an agent, or back to the queue when none is named."""

    supervisor: str
    to_agent: str | None
    reason: str


@dataclass(frozen=True, slots=True)
class Escalated:
    """Authority or priority is raised; with `to_pool` the people of that pool take over."""

    agent_id: str
    reason: str
    to_pool: str | None
    by_supervisor: bool


@dataclass(frozen=True, slots=True)
class ChannelSuggested:
    """An agent wants the customer led to another channel; `reason` is for colleagues."""

    agent_id: str
    channel: Channel
    reason: str
    by_supervisor: bool


@dataclass(frozen=True, slots=True)
class EndedByHand:
    """Somebody ends the episode for another reason than a resolution; `note_id` is a stored note that says why."""

    agent_id: str
    reason: EndReason
    by_supervisor: bool
    note_id: str | None = None


@dataclass(frozen=True, slots=True)
class SuggestionAnswered:
    """The customer has answered by the link; `callback_at` is when they wish to be called."""

    suggestion_id: str
    accepts: bool
    at: datetime
    callback_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class DeadlineReached:
    """The time has come for whatever is due by now."""


Event = (
    CustomerWrote
    | CustomerLeft
    | TermsChanged
    | Absorbed
    | MergedAway
    | ThreadsSplit
    | IdentityLinked
    | OfferMade
    | OfferLost
    | OfferAccepted
    | OfferDeclined
    | AgentLeft
    | Claimed
    | Replied
    | Transferred
    | Held
    | Resumed
    | Resolved
    | WrapUpEnded
    | WrapUpExtended
    | Reopened
    | Reassigned
    | Escalated
    | EndedByHand
    | ChannelSuggested
    | SuggestionAnswered
    | DeadlineReached
)
