"""The instants at which a conversation acts by itself, and what it then does."""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

from domain.conversation import suggesting
from domain.conversation.agent_side import end_hold, end_wrap_up
from domain.conversation.customer_side import callback_due
from domain.conversation.draft import Draft
from domain.conversation.ladder import climb_ladder
from domain.conversation.offering import offer_timed_out
from domain.conversation.state import ConversationState, Phase
from domain.conversation.surveying import survey_at, survey_due
from domain.sla.clock import DeadlineKind, breach, next_deadline, warn
from domain.sla.policy import Rung


class Due(StrEnum):
    OFFER = "offer"
    SLA_WARNING = "sla_warning"
    SLA_BREACH = "sla_breach"
    LADDER = "ladder"
    HOLD = "hold"
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
        target = _in_words(sla.clock.target)
        segment = state.case.segment if state.case else ""
        if sla.kind is DeadlineKind.RUNG:
            found.append(NextDeadline(sla.at, Due.LADDER, _ladder_words(name, sla.clock.rung)))
        elif sla.kind is DeadlineKind.WARN:
            found.append(NextDeadline(sla.at, Due.SLA_WARNING, f"{name} is at risk, {segment} {target}"))
        else:
            found.append(NextDeadline(sla.at, Due.SLA_BREACH, f"{name} due, {segment} {target}"))
    if state.wrap_up is not None:
        found.append(NextDeadline(state.wrap_up.ends_at, Due.WRAP_UP, "wrap-up ends"))
    if state.hold_until is not None and state.phase is Phase.ON_HOLD:
        found.append(NextDeadline(state.hold_until, Due.HOLD, "hold ends"))
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


def deadline_reached(draft: Draft) -> None:  # noqa: C901, PLR0912 -- one case a deadline
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
            case Due.LADDER:
                climb_ladder(draft)
            case Due.HOLD:
                end_hold(draft)
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
    deadline = next_deadline(draft.state.clocks)
    if deadline is not None:
        draft.keep_clock(warn(deadline.clock, draft.now))
        draft.happened("sla_warning", agent=draft.state.agent_id, metric=deadline.clock.metric.value)


def _breach(draft: Draft) -> None:
    deadline = next_deadline(draft.state.clocks)
    if deadline is not None:
        draft.keep_clock(breach(deadline.clock, draft.now))


def _ladder_words(name: str, rung: Rung | None) -> str:
    match rung:
        case Rung.SUGGEST:
            return f"{name} is slow, a faster channel is suggested"
        case Rung.REROUTE:
            return f"{name} failed, somebody else takes over"
        case Rung.SUPERVISOR:
            return f"{name} failed, a supervisor is called"
        case _:
            return f"{name} is at risk, its urgency is raised"


def _in_words(span: timedelta) -> str:
    seconds = span.total_seconds()
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.3g} s"
