"""Offers and what becomes of them: accepted, declined, timed out, lost; claims beside the queue."""

from dataclasses import replace

from domain.conversation.commands import EndAssignment, EndOffer, Handover, OfferEnd, StartAssignment
from domain.conversation.draft import Draft
from domain.conversation.events import (
    AgentLeft,
    Claimed,
    OfferAccepted,
    OfferDeclined,
    OfferLost,
    OfferMade,
    Reassigned,
)
from domain.conversation.refusals import Refusal, RefusalCode
from domain.conversation.state import LiveAssignment, PendingOffer, Phase
from domain.sla.policy import Metric

NO_LONGER_YOURS = "this offer is no longer yours"


def offer_made(draft: Draft, event: OfferMade) -> None:
    """Take up the dispatcher's offer, or take it back when the conversation no longer waits for it."""
    state = draft.state
    if _knows(draft, event.offer_id):
        return
    if state.waiting is None or state.offer is not None or event.ticket != state.waiting.ticket:
        draft.order(EndOffer(event.offer_id, OfferEnd.RESCINDED))
        return
    _take_offer(draft, PendingOffer(event.offer_id, event.ticket, event.agent_id, event.expires_at), event.reason)
    if event.auto_accept:
        _accept(draft)


def offer_accepted(draft: Draft, event: OfferAccepted) -> None:
    """A compare-and-set on the offer: one accept wins, a repeat of it is told the same, all others are refused."""
    state = draft.state
    if state.assignment is not None and state.assignment.offer_id == event.offer_id:
        if state.assignment.agent_id != event.agent_id:
            raise Refusal(RefusalCode.NOT_YOURS, "somebody else has accepted this offer")
        return
    _take_overtaken(draft, event)
    _demand_offer(draft, event.offer_id, event.agent_id)
    _accept(draft)


def offer_declined(draft: Draft, event: OfferDeclined) -> None:
    _take_overtaken(draft, event)
    _demand_offer(draft, event.offer_id, event.agent_id)
    tallies = draft.state.tallies
    draft.state = replace(draft.state, tallies=replace(tallies, declines=tallies.declines + 1))
    draft.order(EndOffer(event.offer_id, OfferEnd.DECLINED, event.reason))
    draft.happened("offer_declined", agent=event.agent_id, offer_id=event.offer_id, reason=event.reason)
    _wait_on(draft, exclude=event.agent_id)


def offer_lost(draft: Draft, event: OfferLost) -> None:
    """The ledger has already ended the offer: only the return to the queue is left."""
    offer, waiting = draft.state.offer, draft.state.waiting
    if offer is None and waiting is not None and waiting.ticket == event.ticket:
        # It was never taken up, but its ticket is spent: nobody would ever be offered this place again.
        draft.order(EndOffer(event.offer_id, OfferEnd.RESCINDED))
        draft.happened("offer_revoked", offer_id=event.offer_id, cause=event.cause)
        _wait_on(draft, exclude=None)
        return
    if offer is None or offer.offer_id != event.offer_id:
        return
    draft.happened("offer_revoked", agent=offer.agent_id, offer_id=offer.offer_id, cause=event.cause)
    _wait_on(draft, exclude=None)


def offer_timed_out(draft: Draft) -> None:
    """The agent did not answer in time: they become not responding and the conversation waits on at its old age."""
    offer = draft.state.offer
    if offer is None:
        return
    tallies = draft.state.tallies
    draft.state = replace(draft.state, tallies=replace(tallies, timeouts=tallies.timeouts + 1))
    draft.order(EndOffer(offer.offer_id, OfferEnd.TIMED_OUT))
    draft.happened("offer_timed_out", agent=offer.agent_id, offer_id=offer.offer_id)
    _wait_on(draft, exclude=offer.agent_id)


def claimed(draft: Draft, event: Claimed) -> None:
    """An agent takes a waiting conversation; their own pending offer is simply accepted."""
    state = draft.state
    if state.phase.is_in_work and state.agent_id == event.agent_id:
        return
    if state.offer is not None and state.offer.agent_id == event.agent_id:
        _demand_offer(draft, state.offer.offer_id, event.agent_id)
        _accept(draft)
        return
    draft.demand_open()
    if state.phase is not Phase.QUEUED:
        raise Refusal(RefusalCode.NOT_WAITING, f"the conversation is {state.phase.value}, it waits in no queue")
    draft.leave_queue(must_wait=True)
    start_assignment(draft, event.agent_id, None, Handover.CLAIM)
    draft.happened("claimed", agent=event.agent_id)


def reassigned(draft: Draft, event: Reassigned) -> None:
    """A supervisor's word: whoever has or was offered it gives it up."""
    state = draft.state
    draft.demand_open()
    if not (state.phase.is_waiting or state.phase.is_in_work):
        raise Refusal(RefusalCode.WRONG_STATE, f"a conversation that is {state.phase.value} cannot be reassigned")
    former = state.agent_id
    waiting = state.waiting
    draft.leave_queue()
    draft.release("reassigned")
    tallies = draft.state.tallies
    draft.state = replace(draft.state, waiting=waiting, tallies=replace(tallies, reroutes=tallies.reroutes + 1))
    draft.happened("rerouted", agent=former, cause="supervisor", to_agent=event.to_agent, reason=event.reason)
    draft.enqueue(exclude=former if event.to_agent != former else None, urgent=True, only_agent=event.to_agent)


def agent_left(draft: Draft, event: AgentLeft) -> None:
    """The responsible agent is gone: work that somebody must do goes back to the queue, the rest waits unowned."""
    state = draft.state
    if state.assignment is None or state.assignment.agent_id != event.agent_id:
        return
    draft.happened("agent_left", agent=event.agent_id, cause=event.cause)
    if state.phase is Phase.WRAP_UP:
        draft.release("wrap_up_ended")
        draft.state = replace(draft.state, wrap_up=None)
        draft.go_to(Phase.RESOLVED)
        return
    draft.release("agent_left")
    if state.waiting is not None:
        # A warm transfer was under way: it goes on without its sender.
        draft.state = replace(draft.state, waiting=replace(state.waiting, warm_from=None))
        draft.go_to(Phase.OFFERED if state.offer else Phase.QUEUED)
    elif state.phase is not Phase.PENDING_CUSTOMER:
        draft.enqueue(exclude=event.agent_id)


def start_assignment(draft: Draft, agent_id: str, offer_id: str | None, how: Handover) -> None:
    """Make an agent responsible; the owner-silence clock runs when the customer is waiting for a word."""
    number = draft.state.assignments + 1
    suffix = draft.state.conversation_id.removeprefix("con_")
    assignment = LiveAssignment(f"asg_{suffix}_{number}", agent_id, offer_id, draft.now)
    draft.order(StartAssignment(assignment.assignment_id, agent_id, offer_id, how))
    draft.state = replace(
        draft.state,
        assignments=number,
        assignment=assignment,
        owner=agent_id,
        owner_since=draft.now,
        accepted_at=draft.state.accepted_at or draft.now,
        waiting=None,
        offer=None,
    )
    draft.go_to(Phase.ASSIGNED)
    if draft.state.unanswered_since is not None:
        draft.start_clock(Metric.OWNER_SILENCE, draft.now)


def follow_channel(draft: Draft) -> None:
    """The conversation goes on with the same agent, on a dearer channel: from here on it holds the units of that."""
    live, waiting = draft.state.assignment, draft.state.waiting
    if live is None:
        return
    number = draft.state.assignments + 1
    assignment_id = f"asg_{draft.state.conversation_id.removeprefix('con_')}_{number}"
    draft.order(EndAssignment(live.assignment_id, "channel_changed"))
    draft.order(StartAssignment(assignment_id, live.agent_id, None, Handover.SWITCH))
    if waiting is not None and waiting.warm_from == live.assignment_id:
        draft.state = replace(draft.state, waiting=replace(waiting, warm_from=assignment_id))
    draft.state = replace(
        draft.state,
        assignments=number,
        assignment=replace(live, assignment_id=assignment_id, started_at=draft.now),
    )


def _knows(draft: Draft, offer_id: str) -> bool:
    offer, assignment = draft.state.offer, draft.state.assignment
    return (offer is not None and offer.offer_id == offer_id) or (
        assignment is not None and assignment.offer_id == offer_id
    )


def _take_offer(draft: Draft, offer: PendingOffer, reason: str | None) -> None:
    tallies = draft.state.tallies
    draft.state = replace(draft.state, offer=offer, tallies=replace(tallies, offers=tallies.offers + 1))
    if draft.state.phase is Phase.QUEUED:
        draft.go_to(Phase.OFFERED)
    draft.happened("offered", agent=offer.agent_id, offer_id=offer.offer_id, ticket=offer.ticket, reason=reason)


def _take_overtaken(draft: Draft, answer: OfferAccepted | OfferDeclined) -> None:
    """Take up an offer whose answer has overtaken the signal that tells of it; the ledger's row vouches for it."""
    waiting = draft.state.waiting
    if draft.state.offer is None and waiting is not None and waiting.ticket == answer.ticket and answer.expires_at:
        _take_offer(draft, PendingOffer(answer.offer_id, waiting.ticket, answer.agent_id, answer.expires_at), None)


def _demand_offer(draft: Draft, offer_id: str, agent_id: str) -> None:
    offer = draft.state.offer
    if offer is None or offer.offer_id != offer_id or draft.now >= offer.expires_at:
        raise Refusal(RefusalCode.OFFER_GONE, NO_LONGER_YOURS)
    if offer.agent_id != agent_id:
        raise Refusal(RefusalCode.NOT_YOURS, "the offer was made to somebody else")


def _accept(draft: Draft) -> None:
    offer, waiting, former = draft.state.offer, draft.state.waiting, draft.state.assignment
    if offer is None or waiting is None:
        raise Refusal(RefusalCode.OFFER_GONE, NO_LONGER_YOURS)
    draft.order(EndOffer(offer.offer_id, OfferEnd.ACCEPTED))
    if former is not None:
        draft.order(EndAssignment(former.assignment_id, "transferred"))
        draft.cancel_clock(Metric.OWNER_SILENCE)
    start_assignment(draft, offer.agent_id, offer.offer_id, Handover.OFFER)
    draft.happened("accepted", agent=offer.agent_id, offer_id=offer.offer_id)


def _wait_on(draft: Draft, *, exclude: str | None) -> None:
    """After an offer that came to nothing: the next ticket, or the end of a transfer to one named agent."""
    waiting = draft.state.waiting
    draft.state = replace(draft.state, offer=None)
    if waiting is None:
        return
    if waiting.only_agent is not None and waiting.warm_from is not None:
        draft.state = replace(draft.state, waiting=None)
        draft.happened("transfer_failed", agent=waiting.only_agent)
        return
    if waiting.only_agent is not None:
        draft.happened("transfer_failed", agent=waiting.only_agent)
    draft.enqueue(exclude=exclude, warm_from=waiting.warm_from)
