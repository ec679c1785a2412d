"""A conversation in words, for people: what it waits for and until when."""

from datetime import datetime
from typing import NamedTuple

from domain.conversation.deadlines import deadlines
from domain.conversation.state import ConversationState, Phase


class WaitingFor(NamedTuple):
    what: str
    until: datetime | None


def waiting_for(state: ConversationState) -> WaitingFor:  # noqa: C901 -- one case a phase
    """Return whose turn it is and the next instant at which the conversation acts by itself."""
    upcoming = deadlines(state)
    until = upcoming[0].at if upcoming else None
    match state.phase:
        case Phase.NEW:
            what = "the first message"
        case Phase.QUEUED:
            what = f"an agent of pool {state.waiting.pool}" if state.waiting else "an agent"
            if state.waiting and state.waiting.only_agent:
                what = f"agent {state.waiting.only_agent}"
        case Phase.OFFERED:
            what = f"agent {state.offer.agent_id} to answer the offer" if state.offer else "an answer to the offer"
        case Phase.ASSIGNED:
            what = f"a word from agent {state.agent_id}"
        case Phase.PENDING_CUSTOMER:
            what = "the time of the promised call" if state.journey.callback else "the customer"
        case Phase.ON_HOLD:
            what = f"agent {state.agent_id} to resume"
        case Phase.WRAP_UP:
            what = f"the wrap-up of agent {state.agent_id}"
        case Phase.RESOLVED:
            what = "the reopen window to close"
        case Phase.CLOSED | Phase.MERGED:
            what = "nothing"
    return WaitingFor(what, until)


def details(state: ConversationState) -> str:
    """Return a page of Markdown on the conversation for the Temporal UI; opaque ids only, nothing personal."""
    turn = waiting_for(state)
    lines = [
        f"**{state.phase.value}**, episode {state.episode}, customer `{state.customer_id}`",
        f"- channels: {', '.join(state.channels) or 'none'}",
        f"- waits for: {turn.what}" + (f" until {turn.until:%Y-%m-%d %H:%M:%S} UTC" if turn.until else ""),
    ]
    if state.case is not None:
        confidence = f" ({state.case.intent_confidence:.0%})" if state.case.intent_confidence is not None else ""
        lines.append(
            f"- intent: {state.case.intent or 'unknown'}{confidence}, segment {state.case.segment},"
            f" priority {state.case.priority}"
        )
    if state.owner is not None:
        lines.append(f"- owner: `{state.owner}`")
    lines.extend(f"- next: {item.summary} at {item.at:%Y-%m-%d %H:%M:%S} UTC" for item in deadlines(state)[:3])
    return "\n".join(lines)
