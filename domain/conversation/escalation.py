"""Escalation: authority or priority is raised. A transfer only changes the handler."""

from dataclasses import replace

from domain.conversation.agent_side import demand_phase, demand_responsible
from domain.conversation.commands import AlertKind
from domain.conversation.draft import Draft
from domain.conversation.events import Escalated
from domain.conversation.ladder import call_supervisor
from domain.conversation.refusals import Refusal, RefusalCode
from domain.conversation.state import Phase

HIGHEST_ESCALATION = 2


def escalated(draft: Draft, event: Escalated) -> None:
    """Raise the priority, call the supervisors, and hand over to the pool that is named; age and clocks are kept.

    A waiting conversation is a supervisor's to escalate, one in work also its agent's. At the highest level with
    nobody to hand over to there is nothing left to raise, and that is refused.
    """
    state = draft.state
    if state.phase.is_waiting:
        if not event.by_supervisor:
            raise Refusal(RefusalCode.NOT_YOURS, "it waits in the queue: a supervisor may escalate it")
    else:
        demand_responsible(draft, event.agent_id, by_supervisor=event.by_supervisor)
        demand_phase(draft, Phase.ASSIGNED, Phase.PENDING_CUSTOMER, Phase.ON_HOLD)
    if state.escalation >= HIGHEST_ESCALATION and event.to_pool is None:
        raise Refusal(RefusalCode.WRONG_STATE, "it is escalated to the highest level already")
    level = min(state.escalation + 1, HIGHEST_ESCALATION)
    draft.state = replace(draft.state, escalation=level)
    draft.happened("escalated", agent=event.agent_id, level=level, to_pool=event.to_pool, priority=draft.state.priority)
    call_supervisor(draft, AlertKind.ESCALATION, metric=None, reason=event.reason)
    if event.to_pool is not None:
        _hand_over(draft, event.to_pool)
    elif draft.state.waiting is not None:
        draft.state = replace(draft.state, waiting=replace(draft.state.waiting, urgent=True))


def _hand_over(draft: Draft, pool: str) -> None:
    """To the queue of the pool: whoever has it is released, and a transfer or an offer under way is taken back."""
    former = draft.state.agent_id
    draft.leave_queue()
    draft.release("escalated")
    draft.enqueue(exclude=former, urgent=True, pool=pool, skills=draft.case.skills)
