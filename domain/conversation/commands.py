"""What a step asks of the world. The ledger carries all commands of one step out in one transaction, or none."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from domain.conversation.journey_commands import JourneyCommand
from domain.conversation.state import Waiting
from domain.sla.clock import Clock
from domain.sla.policy import Metric


class OfferEnd(StrEnum):
    ACCEPTED = "accepted"
    DECLINED = "declined"
    TIMED_OUT = "timed_out"
    RESCINDED = "rescinded"


class Handover(StrEnum):
    """How an assignment began."""

    OFFER = "offer"
    CLAIM = "claim"
    REOPEN = "reopen"
    SWITCH = "switch"
    """The same agent goes on, on a dearer channel: nobody new touches the conversation."""


@dataclass(frozen=True, slots=True)
class Enqueue:
    """Put, or refresh, the conversation's ticket; a ticket that was already offered is never put back.

    `next_breach_at` is the earliest instant of a promise still open: to come, or past when it is broken.
    """

    waiting: Waiting
    next_breach_at: datetime | None
    affinity_agent: str | None
    affinity_at: datetime | None


@dataclass(frozen=True, slots=True)
class Dequeue:
    """Take the ticket away, and with it an offer for it that the conversation has not heard of yet.

    With `must_wait` the ledger refuses the step when the ticket is no longer there to be taken.
    """

    ticket: int
    must_wait: bool = False


@dataclass(frozen=True, slots=True)
class EndOffer:
    """`ACCEPTED` is refused by the ledger unless the offer is still pending; the other ends then change nothing."""

    offer_id: str
    end: OfferEnd
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class StartAssignment:
    """Without an offer whose units pass over, the agent must have room or the ledger refuses the step.

    Where there is no room for a `SWITCH`, the units of the assignment that ends with it pass over.
    """

    assignment_id: str
    agent_id: str
    offer_id: str | None
    how: Handover


@dataclass(frozen=True, slots=True)
class EndAssignment:
    assignment_id: str
    cause: str


@dataclass(frozen=True, slots=True)
class SendReply:
    """Release a stored draft: a public one to its channel, an internal one to the timeline."""

    message_id: str
    internal: bool


@dataclass(frozen=True, slots=True)
class KeepClock:
    """`used` is the open time consumed until the clock's end; zero while it is not ended."""

    clock: Clock
    used: timedelta = timedelta(0)


@dataclass(frozen=True, slots=True)
class RecordResolution:
    """Write the resolution record of the present episode, once; `open_time` is that since the conversation began."""

    wrap_up_code: str | None
    end_reason: str
    open_time: timedelta = timedelta(0)


@dataclass(frozen=True, slots=True)
class PassOn:
    """A message reached a conversation that has ended: give it to the customer's open or a new one.

    `signal_id` is the outbox id it came under: by it the ledger knows a message that was taken in before the end.
    """

    message_id: str
    signal_id: int = 0


@dataclass(frozen=True, slots=True)
class PassOnLeaving:
    """That the customer has left reached a conversation after it was merged: its survivor is to hear of it.

    It is owed under the outbox id `signal_id` it came under, by which the survivor knows a repeat.
    """

    thread_id: str
    signal_id: int


class AlertKind(StrEnum):
    """Why a supervisor is called."""

    SLA = "sla"
    ESCALATION = "escalation"


@dataclass(frozen=True, slots=True)
class RaiseAlert:
    """Put an alert before the supervisors; `metric` is the promise it is about, `reason` why in a word or sentence."""

    alert_id: str
    kind: AlertKind
    metric: Metric | None
    reason: str


@dataclass(frozen=True, slots=True)
class Absorb:
    """What a merge handed over is part of this step; `counts_on` when what was counted of it goes on in the episode."""

    merge_id: str
    counts_on: bool = False


@dataclass(frozen=True, slots=True)
class Happened:
    """A line for the timeline. `facts` are names and values a reader may see, never a message's words."""

    kind: str
    at: datetime
    agent_id: str | None = None
    facts: tuple[tuple[str, str | int | float | None], ...] = ()


Command = (
    Enqueue
    | Dequeue
    | EndOffer
    | StartAssignment
    | EndAssignment
    | SendReply
    | KeepClock
    | RecordResolution
    | PassOn
    | PassOnLeaving
    | Absorb
    | RaiseAlert
    | Happened
    | JourneyCommand
)
