"""What the responsible agent does: reply, hold, transfer, resolve, wrap up, reopen."""

from dataclasses import replace

from domain.conversation.commands import Handover, SendReply
from domain.conversation.customer_side import begin_episode, end_episode
from domain.conversation.draft import Draft
from domain.conversation.events import (
    Held,
    Reopened,
    Replied,
    Resolved,
    Resumed,
    Transferred,
    WrapUpEnded,
    WrapUpExtended,
)
from domain.conversation.offering import start_assignment
from domain.conversation.refusals import Refusal, RefusalCode
from domain.conversation.state import EndReason, Phase, WrapUp
from domain.sla.policy import Metric

REMEMBERED_REPLIES = 50


def replied(draft: Draft, event: Replied) -> None:
    """A public reply answers the customer and stops the response clocks; a note only shows that the owner is there."""
    if event.message_id in draft.state.replies:
        return
    draft.demand_open()
    if not event.internal:
        demand_responsible(draft, event.agent_id, by_supervisor=event.by_supervisor)
        demand_phase(draft, Phase.ASSIGNED, Phase.PENDING_CUSTOMER, Phase.ON_HOLD, Phase.WRAP_UP)
    draft.order(SendReply(event.message_id, event.internal))
    draft.state = replace(draft.state, replies=(*draft.state.replies, event.message_id)[-REMEMBERED_REPLIES:])
    draft.happened("note_added" if event.internal else "replied", agent=event.agent_id, message_id=event.message_id)
    if event.internal:
        if event.agent_id == draft.state.agent_id:
            _restart_silence(draft)
        return
    tallies = draft.state.tallies
    draft.meet_clock(Metric.FIRST_RESPONSE)
    draft.meet_clock(Metric.NEXT_RESPONSE)
    draft.meet_clock(Metric.OWNER_SILENCE)
    draft.state = replace(
        draft.state,
        unanswered_since=None,
        first_response_at=draft.state.first_response_at or draft.now,
        owner_since=draft.now,
        tallies=replace(tallies, outbound=tallies.outbound + 1),
    )
    if draft.state.phase is not Phase.WRAP_UP:
        draft.go_to(Phase.PENDING_CUSTOMER)


def held(draft: Draft, event: Held) -> None:
    """Stop the clocks that a hold stops; asked again, only the limit of the hold is set anew."""
    demand_responsible(draft, event.agent_id, by_supervisor=event.by_supervisor)
    until = None if event.limit is None else draft.now + event.limit
    if draft.state.phase is Phase.ON_HOLD:
        draft.state = replace(draft.state, hold_until=until)
        return
    demand_phase(draft, Phase.ASSIGNED, Phase.PENDING_CUSTOMER)
    if draft.state.assignment is None:
        raise Refusal(RefusalCode.WRONG_STATE, "nobody has the conversation: it waits for the customer")
    draft.go_to(Phase.ON_HOLD)
    draft.state = replace(draft.state, hold_until=until)
    draft.happened("held", agent=event.agent_id, until=until.isoformat() if until else None)


def end_hold(draft: Draft) -> None:
    """The limit of the hold is reached: the agent is expected to go on."""
    draft.go_to(Phase.ASSIGNED)
    draft.happened("resumed", agent=draft.state.agent_id, cause="hold_limit")


def resumed(draft: Draft, event: Resumed) -> None:
    demand_responsible(draft, event.agent_id, by_supervisor=event.by_supervisor)
    if draft.state.phase is Phase.ASSIGNED:
        return
    demand_phase(draft, Phase.ON_HOLD)
    draft.go_to(Phase.ASSIGNED)
    draft.happened("resumed", agent=event.agent_id)


def transferred(draft: Draft, event: Transferred) -> None:
    """Warm: the sender stays responsible until the accept. Cold: released now; age and clocks are kept."""
    demand_responsible(draft, event.agent_id, by_supervisor=event.by_supervisor)
    demand_phase(draft, Phase.ASSIGNED, Phase.PENDING_CUSTOMER, Phase.ON_HOLD)
    if draft.state.waiting is not None:
        raise Refusal(RefusalCode.WRONG_STATE, "a transfer is already under way")
    sender = draft.state.assignment
    if sender is None:
        raise Refusal(RefusalCode.NOT_YOURS, "nobody is responsible for the conversation")
    if event.to_agent == sender.agent_id:
        raise Refusal(RefusalCode.WRONG_STATE, "the conversation is already with that agent")
    for_lack_of_fit = event.to_agent is None
    tallies = draft.state.tallies
    draft.state = replace(
        draft.state,
        tallies=replace(
            tallies, transfers=tallies.transfers + 1, misroutes=tallies.misroutes + (1 if for_lack_of_fit else 0)
        ),
    )
    draft.happened(
        "transferred",
        agent=event.agent_id,
        kind="warm" if event.warm else "cold",
        to_agent=event.to_agent,
        to_pool=event.to_pool,
        to_skills=", ".join(f"{skill} {level}" for skill, level in event.to_skills) or None,
    )
    if not event.warm:
        draft.release("transferred")
    draft.enqueue(
        exclude=sender.agent_id,
        only_agent=event.to_agent,
        pool=event.to_pool,
        skills=event.to_skills,
        warm_from=sender.assignment_id if event.warm else None,
    )


def resolved(draft: Draft, event: Resolved) -> None:
    """End the episode and begin the wrap-up; a supervisor may also resolve what nobody has taken yet."""
    state = draft.state
    if state.wrap_up is not None and state.wrap_up.code == event.wrap_up_code and state.phase is Phase.WRAP_UP:
        demand_responsible(draft, event.agent_id, by_supervisor=event.by_supervisor)
        return
    if state.phase.is_waiting and event.by_supervisor:
        draft.leave_queue()
    else:
        demand_responsible(draft, event.agent_id, by_supervisor=event.by_supervisor)
        demand_phase(draft, Phase.ASSIGNED, Phase.PENDING_CUSTOMER, Phase.ON_HOLD)
        if state.waiting is not None:
            draft.leave_queue()
    end_episode(draft, EndReason.RESOLVED, event.wrap_up_code)
    limit = draft.case.rules.wrap_up_limit
    if draft.state.assignment is None or not limit:
        draft.release("resolved")
        draft.go_to(Phase.RESOLVED)
        return
    draft.state = replace(draft.state, wrap_up=WrapUp(event.wrap_up_code, draft.now + limit))
    draft.go_to(Phase.WRAP_UP)


def wrap_up_ended(draft: Draft, event: WrapUpEnded) -> None:
    if draft.state.phase is Phase.RESOLVED and (event.by_supervisor or draft.state.owner == event.agent_id):
        return
    draft.demand_open()
    demand_phase(draft, Phase.WRAP_UP)
    demand_responsible(draft, event.agent_id, by_supervisor=event.by_supervisor)
    end_wrap_up(draft, "by_hand")


def end_wrap_up(draft: Draft, cause: str) -> None:
    """Give the units back; the reopen window runs from the resolve."""
    draft.happened("wrap_up_ended", agent=draft.state.agent_id, cause=cause)
    draft.release("resolved")
    draft.state = replace(draft.state, wrap_up=None)
    draft.go_to(Phase.RESOLVED)


def wrap_up_extended(draft: Draft, event: WrapUpExtended) -> None:
    draft.demand_open()
    demand_phase(draft, Phase.WRAP_UP)
    demand_responsible(draft, event.agent_id, by_supervisor=event.by_supervisor)
    wrap_up = draft.state.wrap_up
    if wrap_up is None or wrap_up.extended:
        raise Refusal(RefusalCode.ALREADY_EXTENDED, "a wrap-up is extended once")
    ends_at = wrap_up.ends_at + draft.case.rules.wrap_up_extension
    draft.state = replace(draft.state, wrap_up=replace(wrap_up, ends_at=ends_at, extended=True))
    draft.happened("wrap_up_extended", agent=event.agent_id)


def reopened(draft: Draft, event: Reopened) -> None:
    """An agent takes a resolved conversation up again; it takes room like a claim."""
    state = draft.state
    draft.demand_open()
    demand_phase(draft, Phase.WRAP_UP, Phase.RESOLVED)
    by = "supervisor" if event.by_supervisor else "agent"
    if state.phase is Phase.WRAP_UP:
        demand_responsible(draft, event.agent_id, by_supervisor=event.by_supervisor)
        begin_episode(draft, draft.now, by=by)
        return
    begin_episode(draft, draft.now, by=by)
    if event.by_supervisor:
        draft.enqueue()
    else:
        start_assignment(draft, event.agent_id, None, Handover.REOPEN)


def _restart_silence(draft: Draft) -> None:
    draft.meet_clock(Metric.OWNER_SILENCE)
    if draft.state.unanswered_since is not None:
        draft.start_clock(Metric.OWNER_SILENCE, draft.now)


def demand_responsible(draft: Draft, agent_id: str, *, by_supervisor: bool) -> None:
    """S7: only the assignee or a supervisor; the owner too while an idle conversation holds nobody's units."""
    state = draft.state
    draft.demand_open()
    if by_supervisor or state.agent_id == agent_id:
        return
    if state.assignment is None and state.phase.is_in_work and state.owner == agent_id:
        return
    raise Refusal(RefusalCode.NOT_YOURS, "you are not responsible for this conversation")


def demand_phase(draft: Draft, *phases: Phase) -> None:
    if draft.state.phase not in phases:
        allowed = ", ".join(phase.value for phase in phases)
        raise Refusal(
            RefusalCode.WRONG_STATE, f"the conversation is {draft.state.phase.value}; this is done when it is {allowed}"
        )
