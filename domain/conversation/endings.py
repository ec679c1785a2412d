"""Ends that are no resolution: spam, a storm of bounces, a chat the customer ended, mail that wants no answer."""

from domain.conversation.agent_side import demand_phase, demand_responsible
from domain.conversation.commands import SendReply
from domain.conversation.customer_side import end_episode
from domain.conversation.draft import Draft
from domain.conversation.events import EndedByHand
from domain.conversation.state import Phase


def ended_by_hand(draft: Draft, event: EndedByHand) -> None:
    """End the episode without wrap-up, by its agent or a supervisor; only a supervisor ends what still waits.

    Spam and bounce storms close at once: another message from there opens a new conversation. The others keep the
    reopen window.
    """
    state = draft.state
    if state.end_reason is event.reason:
        return
    if state.phase.is_waiting and event.by_supervisor:
        draft.leave_queue()
    else:
        demand_responsible(draft, event.agent_id, by_supervisor=event.by_supervisor)
        demand_phase(draft, Phase.ASSIGNED, Phase.PENDING_CUSTOMER, Phase.ON_HOLD)
        draft.leave_queue()
    if event.note_id is not None:
        # With the end itself: what closes at once takes no note afterwards.
        draft.order(SendReply(event.note_id, internal=True))
        draft.happened("note_added", agent=event.agent_id, message_id=event.note_id)
    end_episode(draft, event.reason, None)
    draft.release("closed")
    draft.go_to(Phase.RESOLVED)
    if event.reason.is_of_no_customer:
        draft.go_to(Phase.CLOSED)
        draft.happened("closed", episodes=draft.state.episode)
