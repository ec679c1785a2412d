"""The conversation's state machine: an event comes, the next state and the commands go."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import assert_never

from domain.conversation import agent_side, customer_side, endings, escalation, merging, offering, suggesting
from domain.conversation.commands import Command
from domain.conversation.deadlines import deadline_reached
from domain.conversation.draft import Draft
from domain.conversation.events import (
    Absorbed,
    AgentLeft,
    ChannelSuggested,
    Claimed,
    CustomerLeft,
    CustomerWrote,
    DeadlineReached,
    EndedByHand,
    Escalated,
    Event,
    Held,
    IdentityLinked,
    MergedAway,
    OfferAccepted,
    OfferDeclined,
    OfferLost,
    OfferMade,
    Reassigned,
    Reopened,
    Replied,
    Resolved,
    Resumed,
    SuggestionAnswered,
    TermsChanged,
    ThreadsSplit,
    Transferred,
    WrapUpEnded,
    WrapUpExtended,
)
from domain.conversation.state import ConversationState


@dataclass(frozen=True, slots=True)
class Step:
    state: ConversationState
    commands: tuple[Command, ...]


def step(state: ConversationState, event: Event, now: datetime) -> Step:
    """Return what follows from an event at the instant `now`.

    A step is a proposal: the ledger carries all of its commands out or refuses them all, and then the old state stands.
    An event that changes nothing returns the state as it was and no commands. Raises `Refusal` when a request cannot be
    carried out.
    """
    draft = Draft(state, now)
    _apply(draft, event)
    suggesting.consider(draft, state)
    draft.refresh_ticket()
    if draft.state == state and not draft.commands:
        return Step(state, ())
    return Step(replace(draft.state, step=state.step + 1), tuple(draft.commands))


def _apply(draft: Draft, event: Event) -> None:  # noqa: C901, PLR0912, PLR0915 -- one line an event
    match event:
        case CustomerWrote():
            customer_side.customer_wrote(draft, event)
        case CustomerLeft():
            customer_side.customer_left(draft, event)
        case TermsChanged():
            customer_side.terms_changed(draft, event)
        case Absorbed():
            merging.absorbed(draft, event)
        case MergedAway():
            merging.merged_away(draft, event)
        case ThreadsSplit():
            merging.threads_split(draft, event)
        case IdentityLinked():
            merging.identity_linked(draft, event)
        case OfferMade():
            offering.offer_made(draft, event)
        case OfferLost():
            offering.offer_lost(draft, event)
        case OfferAccepted():
            offering.offer_accepted(draft, event)
        case OfferDeclined():
            offering.offer_declined(draft, event)
        case AgentLeft():
            offering.agent_left(draft, event)
        case Claimed():
            offering.claimed(draft, event)
        case Reassigned():
            offering.reassigned(draft, event)
        case Replied():
            agent_side.replied(draft, event)
        case Held():
            agent_side.held(draft, event)
        case Resumed():
            agent_side.resumed(draft, event)
        case Transferred():
            agent_side.transferred(draft, event)
        case Resolved():
            agent_side.resolved(draft, event)
        case WrapUpEnded():
            agent_side.wrap_up_ended(draft, event)
        case WrapUpExtended():
            agent_side.wrap_up_extended(draft, event)
        case Reopened():
            agent_side.reopened(draft, event)
        case Escalated():
            escalation.escalated(draft, event)
        case EndedByHand():
            endings.ended_by_hand(draft, event)
        case ChannelSuggested():
            suggesting.channel_suggested(draft, event)
        case SuggestionAnswered():
            customer_side.suggestion_answered(draft, event)
        case DeadlineReached():
            deadline_reached(draft)
        case _:
            assert_never(event)
