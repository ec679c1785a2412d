"""The instants at which a conversation acts by itself, and what it then does."""

from dataclasses import replace
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from domain.conversation import suggesting
from domain.conversation.agent_side import end_wrap_up
from domain.conversation.customer_side import callback_due
from domain.conversation.draft import Draft
from domain.conversation.offering import offer_timed_out
from domain.conversation.state import ConversationState, Phase
from domain.conversation.surveying import survey_at, survey_due
from domain.sla.clock import DeadlineKind, breach, next_deadline, warn
from domain.sla.policy import Metric
from domain.suggestions.rules import Cause


class Due(StrEnum):
    OFFER = "offer"
    SLA_WARNING = "sla_warning"
    SLA_BREACH = "sla_breach"
    WRAP_UP = "wrap_up"
    IDLE_RELEASE = "idle_release"
    CLOSE = "close"
    SURVEY = "ask_survey"
    """Before `CLOSE` in the order of names, so that a survey due at the same instant is still sent."""
    SUGGESTION = "suggestion"
    LONG_WAIT = "long_wait"
    CALLBACK = "callback"


class NextDeadline(NamedTuple):
    at: datetime
    due: Due
    summary: str


def deadlines(state: ConversationState) -> list[NextDeadline]:
    """Return all deadlines to come, the earliest first."""
    found: list[NextDeadline] = []
    if state.offer is not None:
        found.append(NextDeadline(state.offer.expires_at, Due.OFFER, "offer must be answered"))
    sla = next_deadline(state.clocks)
    if sla is not None:
        name = sla.clock.metric.value.replace("_", " ")
        minutes = f"{sla.clock.target.total_seconds() / 60:g} min"
        segment = state.case.segment if state.case else ""
        if sla.kind is DeadlineKind.WARN:
            found.append(NextDeadline(sla.at, Due.SLA_WARNING, f"{name} is at risk, {segment} {minutes}"))
        else:
            found.append(NextDeadline(sla.at, Due.SLA_BREACH, f"{name} due, {segment} {minutes}"))
    if state.wrap_up is not None:
        found.append(NextDeadline(state.wrap_up.ends_at, Due.WRAP_UP, "wrap-up ends"))
    if state.case is not None:
        rules = state.case.rules
        # While a warm transfer is under way its sender holds on until somebody accepts.
        gives_back = state.assignment is not None and state.waiting is None
        if state.idle_since is not None and gives_back and rules.idle_release is not None:
            found.append(
                NextDeadline(
                    state.idle_since + rules.idle_release, Due.IDLE_RELEASE, "customer is silent, capacity returns"
                )
            )
        if state.phase is Phase.RESOLVED and state.resolved_at is not None:
            found.append(NextDeadline(state.resolved_at + rules.reopen_window, Due.CLOSE, "reopen window closes"))
    return sorted([*found, *_journey_deadlines(state)])


def _journey_deadlines(state: ConversationState) -> list[NextDeadline]:
    offered, callback = state.journey.offered, state.journey.callback
    found = [
        (offered.expires_at if offered else None, Due.SUGGESTION, "suggestion must be answered"),
        (callback.at if callback else None, Due.CALLBACK, "call the customer back"),
        (suggesting.long_wait_at(state), Due.LONG_WAIT, "the wait becomes long"),
        (survey_at(state), Due.SURVEY, "ask how easy it was"),
    ]
    return [NextDeadline(at, due, summary) for at, due, summary in found if at is not None]


def deadline_reached(draft: Draft) -> None:  # noqa: C901 -- one case a deadline
    """Do whatever is due by now, in the order in which it fell due."""
    while True:
        due = next(iter(deadlines(draft.state)), None)
        if due is None or due.at > draft.now:
            return
        match due.due:
            case Due.OFFER:
                offer_timed_out(draft)
            case Due.SLA_WARNING:
                _warn(draft)
            case Due.SLA_BREACH:
                _breach(draft)
            case Due.WRAP_UP:
                end_wrap_up(draft, "time")
            case Due.IDLE_RELEASE:
                draft.happened("capacity_released", agent=draft.state.agent_id, cause="customer_silent")
                draft.release("idle")
            case Due.SURVEY:
                survey_due(draft)
            case Due.SUGGESTION:
                suggesting.suggestion_expired(draft)
            case Due.LONG_WAIT:
                suggesting.long_wait(draft)
            case Due.CALLBACK:
                callback_due(draft)
            case Due.CLOSE:
                draft.go_to(Phase.CLOSED)
                draft.happened("closed", episodes=draft.state.episode)


def _warn(draft: Draft) -> None:
    """First rung: more urgent, and wider where it waits."""
    deadline = next_deadline(draft.state.clocks)
    if deadline is None:
        return
    draft.keep_clock(warn(deadline.clock, draft.now))
    draft.happened("sla_warning", agent=draft.state.agent_id, metric=deadline.clock.metric.value)
    _make_urgent(draft)
    suggesting.suggest_for(draft, Cause.SLA_AT_RISK)


def _breach(draft: Draft) -> None:
    """Second rung: from an owner who did not answer to the best available, then to the supervisor."""
    deadline = next_deadline(draft.state.clocks)
    if deadline is None:
        return
    draft.keep_clock(breach(deadline.clock, draft.now))
    _make_urgent(draft)
    metric = deadline.clock.metric
    tallies = draft.state.tallies
    silent = draft.state.assignment
    if (
        metric is not Metric.RESOLUTION
        and draft.state.phase is Phase.ASSIGNED
        and silent is not None
        and draft.state.waiting is None
        and tallies.reroutes < draft.case.rules.max_reroutes
    ):
        draft.state = replace(draft.state, tallies=replace(tallies, reroutes=tallies.reroutes + 1))
        draft.happened("rerouted", agent=silent.agent_id, cause="sla_breach", metric=metric.value)
        draft.release("sla_breach")
        draft.enqueue(exclude=silent.agent_id, urgent=True)
        return
    waiting = draft.state.waiting
    if waiting is not None and waiting.only_agent is not None and draft.state.phase is Phase.QUEUED:
        # The one agent it was meant for has not come: now it is for the best available.
        draft.state = replace(draft.state, waiting=replace(waiting, only_agent=None))
        draft.happened("transfer_failed", agent=waiting.only_agent)
    draft.happened("supervisor_alerted", agent=draft.state.agent_id, metric=metric.value)


def _make_urgent(draft: Draft) -> None:
    waiting = draft.state.waiting
    if waiting is not None and not waiting.urgent:
        draft.state = replace(draft.state, waiting=replace(waiting, urgent=True))
