"""The ladder: what a conversation does by itself when a promise is at risk or broken.

Each step is on the timeline with its reason. A step that cannot be done gives way to the supervisor's: when nobody is
there to take the conversation from, the next one up is called at once.
"""

from dataclasses import replace

from domain.conversation.commands import AlertKind, RaiseAlert
from domain.conversation.draft import Draft
from domain.conversation.state import Phase
from domain.conversation.suggesting import suggest_for
from domain.sla.clock import Clock, climb, next_deadline
from domain.sla.ladder import steps_left
from domain.sla.policy import Metric, Rung
from domain.suggestions.rules import Cause

AT_RISK = "sla_at_risk"
BROKEN = "sla_breached"


def climb_ladder(draft: Draft) -> None:
    """Take the step that is due now."""
    deadline = next_deadline(draft.state.clocks)
    promise = draft.case.promise
    if deadline is None or deadline.clock.rung is None or promise is None:
        return
    clock = climb(deadline.clock, promise, deadline.clock.rung)
    draft.keep_clock(clock)
    match deadline.clock.rung:
        case Rung.RAISE:
            draft.happened("urgency_raised", agent=draft.state.agent_id, metric=clock.metric.value, cause=_cause(clock))
            _make_urgent(draft)
        case Rung.SUGGEST:
            suggest(draft, clock.metric, _cause(clock))
        case Rung.REROUTE:
            if not _reroute(draft, clock):
                _call_instead(draft, clock)
        case Rung.SUPERVISOR:
            call_supervisor(draft, AlertKind.SLA, metric=clock.metric, reason=_cause(clock))


def suggest(draft: Draft, metric: Metric, cause: str) -> None:
    """Suggest a faster channel to the customer, where a rule has one to give."""
    if draft.state.unanswered_since is not None:
        draft.happened("suggestion_due", agent=draft.state.agent_id, metric=metric.value, cause=cause)
        suggest_for(draft, Cause.SLA_AT_RISK)


def call_supervisor(draft: Draft, kind: AlertKind, *, metric: Metric | None, reason: str) -> None:
    """Put an alert before the supervisors; it stands until somebody acknowledges it or its cause is gone."""
    number = draft.state.alerts + 1
    draft.state = replace(draft.state, alerts=number)
    alert_id = f"alr_{draft.state.conversation_id.removeprefix('con_')}_{number}"
    draft.order(RaiseAlert(alert_id, kind, metric, reason))
    draft.happened(
        "supervisor_alerted",
        agent=draft.state.agent_id,
        alert_id=alert_id,
        metric=metric.value if metric else None,
        cause=reason,
    )


def _reroute(draft: Draft, clock: Clock) -> bool:
    """From a silent agent, or from the one agent it was kept for, to the best available; tells whether it was."""
    waiting, silent, tallies = draft.state.waiting, draft.state.assignment, draft.state.tallies
    if waiting is not None and waiting.only_agent is not None and draft.state.phase is Phase.QUEUED:
        draft.state = replace(draft.state, waiting=replace(waiting, only_agent=None))
        _make_urgent(draft)
        draft.happened("transfer_failed", agent=waiting.only_agent, metric=clock.metric.value, cause=_cause(clock))
        return True
    if (
        draft.state.phase is not Phase.ASSIGNED
        or silent is None
        or waiting is not None
        or tallies.reroutes >= draft.case.rules.max_reroutes
    ):
        _make_urgent(draft)
        return False
    draft.state = replace(draft.state, tallies=replace(tallies, reroutes=tallies.reroutes + 1))
    draft.happened("rerouted", agent=silent.agent_id, cause=_cause(clock), metric=clock.metric.value)
    draft.release("sla_breach")
    draft.enqueue(exclude=silent.agent_id, urgent=True)
    return True


def _call_instead(draft: Draft, clock: Clock) -> None:
    """Take the supervisor's step early, if this ladder still has one for the clock."""
    promise = draft.case.promise
    if promise is None:
        return
    left = steps_left(promise.ladder, clock.metric, clock.climbed)
    if any(step.do is Rung.SUPERVISOR for step in left):
        draft.keep_clock(climb(clock, promise, Rung.SUPERVISOR))
        call_supervisor(draft, AlertKind.SLA, metric=clock.metric, reason=_cause(clock))


def _make_urgent(draft: Draft) -> None:
    waiting = draft.state.waiting
    if waiting is not None and not waiting.urgent:
        draft.state = replace(draft.state, waiting=replace(waiting, urgent=True))


def _cause(clock: Clock) -> str:
    return AT_RISK if clock.breached_at is None else BROKEN
