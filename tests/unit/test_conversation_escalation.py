"""Escalations, limited holds, and ends that are no resolution."""

from dataclasses import replace

import pytest

from domain.conversation.commands import (
    AlertKind,
    Dequeue,
    EndAssignment,
    EndOffer,
    OfferEnd,
    RaiseAlert,
    RecordResolution,
    SendReply,
)
from domain.conversation.deadlines import Due, deadlines
from domain.conversation.events import CustomerLeft, EndedByHand, Escalated, Held, Resumed
from domain.conversation.projection import project
from domain.conversation.refusals import RefusalCode
from domain.conversation.state import EndReason, Phase
from domain.sla.clock import ClockState
from domain.sla.policy import Metric
from tests.unit.conversation_builders import CASE, HOUR, MINUTE, START, Conversation, resolve, transfer

WHY = "They ask for the manager"


def escalate(agent: str, pool: str | None = None, *, by_supervisor: bool = False) -> Escalated:
    return Escalated(agent, WHY, pool, by_supervisor)


def end(agent: str, reason: EndReason = EndReason.SPAM, *, by_supervisor: bool = False) -> EndedByHand:
    return EndedByHand(agent, reason, by_supervisor)


def test_an_escalation_raises_the_priority_and_calls_the_supervisors() -> None:
    talk = Conversation().assigned("ann")
    talk.happens(escalate("ann"))
    assert (talk.state.priority, project(talk.state).priority, talk.state.agent_id) == (2, 2, "ann")
    assert talk.ordered(RaiseAlert) == [RaiseAlert("alr_1_1", AlertKind.ESCALATION, None, WHY)]
    talk.happens(escalate("ann"))
    assert talk.state.priority == 1
    assert talk.refuses(escalate("ann")) is RefusalCode.WRONG_STATE


def test_an_escalation_never_lowers_a_priority() -> None:
    talk = Conversation(case=replace(CASE, priority=1)).assigned("ann")
    talk.happens(escalate("ann"))
    assert talk.state.priority == 1


def test_an_escalation_to_a_pool_hands_over_with_age_and_clocks() -> None:
    talk = Conversation().assigned("ann")
    talk.now += MINUTE
    talk.happens(escalate("ann", "second line"))
    waiting = talk.ticket().waiting
    assert talk.ordered(EndAssignment) == [EndAssignment("asg_1_1", "escalated")]
    assert (waiting.pool, waiting.excluded, waiting.urgent, waiting.queued_at) == ("second line", ("ann",), True, START)
    assert talk.clock(Metric.FIRST_RESPONSE).state is ClockState.RUNNING


def test_a_supervisor_escalates_what_waits_and_it_becomes_urgent() -> None:
    talk = Conversation().queued()
    assert talk.refuses(escalate("ann")) is RefusalCode.NOT_YOURS
    talk.happens(escalate("sue", by_supervisor=True))
    assert talk.ticket().waiting.urgent


def test_an_escalation_takes_back_the_transfer_and_the_offer_under_way() -> None:
    talk = Conversation().assigned("ann")
    talk.happens(transfer("ann", warm=True, to_agent="ben"))
    talk.happens(talk.offer_to("ben"))
    talk.happens(escalate("ann", "second line"))
    assert talk.ordered(EndOffer) == [EndOffer("off_2", OfferEnd.RESCINDED)]
    assert talk.ticket().waiting.only_agent is None


def test_only_the_responsible_agent_or_a_supervisor_escalates() -> None:
    assert Conversation().assigned("ann").refuses(escalate("ben")) is RefusalCode.NOT_YOURS
    assert Conversation().resolved().refuses(escalate("sue", by_supervisor=True)) is RefusalCode.WRONG_STATE


def test_the_next_episode_begins_at_its_own_priority() -> None:
    talk = Conversation().assigned("ann")
    talk.happens(escalate("ann"))
    talk.happens(resolve("ann"))
    talk.passes(5 * MINUTE)
    talk.happens(talk.wrote())
    assert (talk.state.episode, talk.state.priority) == (2, 3)


def test_a_limited_hold_ends_by_itself() -> None:
    talk = Conversation().assigned("ann")
    talk.happens(Held("ann", by_supervisor=False, limit=2 * MINUTE))
    assert (START + 2 * MINUTE, Due.HOLD) in [deadline[:2] for deadline in deadlines(talk.state)]
    talk.passes(2 * MINUTE)
    assert (talk.state.phase, talk.timeline(), talk.state.hold_until) == (Phase.ASSIGNED, ["resumed"], None)
    assert talk.clock(Metric.RESOLUTION).paused_total == 2 * MINUTE


def test_a_hold_asked_for_again_has_the_new_limit() -> None:
    talk = Conversation().assigned("ann")
    talk.happens(Held("ann", by_supervisor=False, limit=2 * MINUTE))
    talk.happens(Held("ann", by_supervisor=False))
    assert talk.passes(HOUR) == ()
    talk.happens(Resumed("ann", by_supervisor=False))
    assert talk.state.phase is Phase.ASSIGNED


def test_a_message_ends_a_hold_and_its_limit() -> None:
    talk = Conversation().assigned("ann")
    talk.happens(Held("ann", by_supervisor=False, limit=2 * MINUTE))
    talk.happens(talk.wrote())
    assert (talk.state.phase, talk.state.hold_until) == (Phase.ASSIGNED, None)


@pytest.mark.parametrize("reason", [EndReason.SPAM, EndReason.BOUNCE_STORM])
def test_what_no_customer_wrote_closes_at_once_and_keeps_no_promise(reason: EndReason) -> None:
    talk = Conversation().pending("ann")
    talk.happens(talk.wrote())
    talk.happens(end("ann", reason))
    assert (talk.state.phase, talk.state.end_reason) == (Phase.CLOSED, reason)
    (record,) = talk.ordered(RecordResolution)
    assert (record.end_reason, record.wrap_up_code) == (reason.value, None)
    assert {clock.state for clock in talk.state.clocks if clock.metric is not Metric.FIRST_RESPONSE} == {
        ClockState.CANCELLED
    }
    assert deadlines(talk.state) == []


@pytest.mark.parametrize("reason", [EndReason.ABANDONED, EndReason.CUSTOMER_ENDED, EndReason.NO_ANSWER_WANTED])
def test_other_ends_keep_the_reopen_window_and_need_no_wrap_up(reason: EndReason) -> None:
    talk = Conversation().assigned("ann")
    talk.happens(end("ann", reason))
    assert (talk.state.phase, talk.state.assignment) == (Phase.RESOLVED, None)
    assert talk.happens(end("ann", reason)) == ()
    talk.happens(talk.wrote())
    assert (talk.state.episode, talk.state.phase) == (2, Phase.QUEUED)


def test_the_note_that_says_why_is_filed_with_the_end() -> None:
    talk = Conversation().assigned("ann")
    talk.happens(EndedByHand("ann", EndReason.SPAM, by_supervisor=False, note_id="msg_note"))
    assert talk.ordered(SendReply) == [SendReply("msg_note", internal=True)]


def test_what_waits_is_a_supervisors_to_end() -> None:
    talk = Conversation().queued()
    assert talk.refuses(end("ann")) is RefusalCode.NOT_YOURS
    talk.happens(end("sue", by_supervisor=True))
    assert talk.ordered(Dequeue) == [Dequeue(1)]


def test_an_end_takes_back_the_offer_under_way() -> None:
    talk = Conversation().offered("ann")
    talk.happens(end("sue", by_supervisor=True))
    assert talk.ordered(EndOffer) == [EndOffer("off_1", OfferEnd.RESCINDED)]


def test_a_customer_who_leaves_what_had_gone_idle_has_ended_it() -> None:
    talk = Conversation().idle("ann")
    talk.happens(CustomerLeft("thr_1"))
    assert (talk.state.phase, talk.state.end_reason) == (Phase.RESOLVED, EndReason.CUSTOMER_ENDED)


def test_a_customer_who_leaves_an_agent_at_work_ends_nothing() -> None:
    talk = Conversation().pending("ann")
    talk.happens(CustomerLeft("thr_1"))
    assert (talk.state.phase, talk.state.end_reason) == (Phase.PENDING_CUSTOMER, None)
