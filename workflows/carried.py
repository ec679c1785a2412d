"""What one run of a conversation hands to the next: nothing that was received may be missing from it."""

from dataclasses import dataclass

from domain.conversation.state import ConversationState
from workflows import messages
from workflows.encoding import Tagged, decode, encode, tagged

Signal = (
    messages.MessageReceived
    | messages.OfferMade
    | messages.OfferLost
    | messages.AgentLeft
    | messages.PolicyChanged
    | messages.CustomerLeft
    | messages.Absorb
    | messages.MergedAway
    | messages.ThreadsSplit
    | messages.IdentityLinked
    | messages.SuggestionAnswered
)

_SIGNAL_KINDS: dict[str, type[Signal]] = {
    kind.__name__: kind
    for kind in (
        messages.MessageReceived,
        messages.OfferMade,
        messages.OfferLost,
        messages.AgentLeft,
        messages.PolicyChanged,
        messages.CustomerLeft,
        messages.Absorb,
        messages.MergedAway,
        messages.ThreadsSplit,
        messages.IdentityLinked,
        messages.SuggestionAnswered,
    )
}


@dataclass(frozen=True, slots=True)
class Carried:
    """`inbox` are the signals not yet worked on, `seen` the ids of the last ones taken, `unsent` replies under way."""

    state: ConversationState
    inbox: tuple[Tagged, ...]
    seen: tuple[int, ...]
    unsent: tuple[str, ...]
    tail: tuple[messages.TimelineLine, ...]


def pack(
    state: ConversationState,
    inbox: tuple[Signal, ...],
    seen: tuple[int, ...],
    unsent: tuple[str, ...],
    tail: tuple[messages.TimelineLine, ...],
) -> str:
    return encode(Carried(state, tuple(tagged(signal) for signal in inbox), seen, unsent, tail)).decode()


def unpack(written: str) -> Carried:
    return decode(written, Carried)


def signal_of(written: Tagged) -> Signal:
    return decode(bytes(written.body), _SIGNAL_KINDS[written.kind])
