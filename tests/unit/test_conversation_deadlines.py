"""What a conversation does by itself, and when: exactly, however late it is noticed."""

from dataclasses import replace
from datetime import timedelta

import pytest

from domain.conversation.commands import EndAssignment, Enqueue, Happened, KeepClock
from domain.conversation.deadlines import Due, deadlines
from domain.conversation.events import DeadlineReached, OfferDeclined, TermsChanged
from domain.conversation.state import ConversationState, Phase
from domain.conversation.step import step
from domain.sla.clock import ClockState
from domain.sla.policy import Metric
from tests.unit.conversation_builders import (
    CASE,
    HOUR,
    MINUTE,
    NO_PROMISE,
    RULES,
    SECOND,
    START,
    Conversation,
    reply,
)


def dues(talk: Conversation) -> list[Due]:
    return [deadline.due for deadline in deadlines(talk.state)]


def test_a_new_conversation_has_no_deadline() -> None:
    assert deadlines(ConversationState("con_1", "cus_1", START)) == []


def test_every_deadline_says_in_words_why_it_is_waited_for() -> None:
    talk = Conversation().queued()
    assert deadlines(talk.state)[0].summary == "first response is at risk, gold 10 min"
    talk.passes(5 * MINUTE)
    assert [deadline.summary for deadline in deadlines(talk.state)] == [
        "first response is at risk, its urgency is raised"
    ]
    talk.passes(3 * MINUTE)
    assert deadlines(talk.state)[0].summary == "first response is slow, a faster channel is suggested"
    talk.passes(MINUTE)
    assert deadlines(talk.state)[0].summary == "first response due, gold 10 min"
    talk.happens(talk.offer_to("ann"))
    assert deadlines(talk.state)[0].summary == "offer must be answered"


def test_nothing_happens_before_its_time() -> None:
    talk = Conversation().queued()
    before = talk.state
    assert talk.passes(5 * MINUTE - SECOND) == ()
    assert talk.state is before


def test_who_waits_on_after_a_broken_promise_is_still_late_in_the_queue() -> None:
    talk = Conversation().queued()
    talk.passes(11 * MINUTE)
    offer = talk.offer_to("ann")
    talk.happens(offer)
    talk.happens(OfferDeclined(offer.offer_id, "ann", "busy"))
    assert talk.ticket().next_breach_at == START + 10 * MINUTE


def test_a_warning_says_so_and_changes_nothing_else() -> None:
    talk = Conversation().queued()
    talk.passes(5 * MINUTE)
    assert talk.timeline() == ["sla_warning"]
    assert talk.ordered(Enqueue) == []
    assert talk.clock(Metric.FIRST_RESPONSE).warned_at == START + 5 * MINUTE


@pytest.mark.parametrize("late", [timedelta(0), SECOND, 8 * HOUR])
def test_a_breach_is_the_instant_that_was_due_however_late_it_is_noticed(late: timedelta) -> None:
    talk = Conversation().queued()
    talk.passes(10 * MINUTE + late)
    clock = talk.clock(Metric.FIRST_RESPONSE)
    assert (clock.state, clock.breached_at) == (ClockState.BREACHED, START + 10 * MINUTE)


def test_a_breach_is_told_once() -> None:
    talk = Conversation().queued()
    talk.passes(10 * MINUTE)
    assert talk.timeline().count("sla_breached") == 1
    assert talk.passes(MINUTE) == ()


def test_an_answer_in_time_leaves_nothing_to_breach() -> None:
    talk = Conversation().assigned()
    talk.now += 9 * MINUTE
    talk.happens(reply("rep_1", "ann"))
    talk.happens(TermsChanged(replace(CASE, rules=replace(RULES, idle_release=None)), "settings"))
    assert talk.passes(HOUR) == ()


def test_a_conversation_whose_customer_is_silent_gives_its_units_back() -> None:
    talk = Conversation().pending("ann")
    talk.passes(15 * MINUTE)
    assert talk.ordered(EndAssignment) == [EndAssignment("asg_1_1", "idle")]
    assert (talk.state.phase, talk.state.owner) == (Phase.PENDING_CUSTOMER, "ann")
    assert dues(talk) == []


def test_another_reply_does_not_make_the_customers_silence_shorter() -> None:
    talk = Conversation().pending("ann")
    talk.now += 10 * MINUTE
    talk.happens(reply("rep_2", "ann"))
    assert deadlines(talk.state)[0] == (START + 15 * MINUTE, Due.IDLE_RELEASE, "customer is silent, capacity returns")


def test_the_reopen_window_runs_from_the_resolve_and_then_the_conversation_closes() -> None:
    talk = Conversation().resolved()
    assert deadlines(talk.state)[0].at == START + 72 * HOUR
    talk.now = START + 72 * HOUR
    talk.happens(DeadlineReached())
    assert (talk.state.phase, talk.timeline()) == (Phase.CLOSED, ["closed"])
    assert dues(talk) == []


def test_all_that_fell_due_meanwhile_happens_in_its_order() -> None:
    talk = Conversation().offered("ann")
    talk.passes(100 * HOUR)
    assert [kind for kind in talk.timeline() if kind != "sla_warning"] == [
        "offer_timed_out",
        "queued",
        "urgency_raised",
        "suggestion_due",
        "sla_breached",
        "supervisor_alerted",
        "urgency_raised",
        "sla_breached",
        "supervisor_alerted",
    ]
    breaches = [line.at for line in talk.ordered(Happened) if line.kind == "sla_breached"]
    assert breaches == [START + 10 * MINUTE, START + 4 * HOUR]
    assert len(talk.ordered(Enqueue)) == 1


def test_without_a_promise_there_is_nothing_to_breach() -> None:
    talk = Conversation(case=NO_PROMISE).queued()
    assert dues(talk) == []
    assert talk.ordered(KeepClock) == []


def test_a_wrap_up_noticed_after_the_window_ends_and_closes_at_once() -> None:
    talk = Conversation().in_wrap_up()
    talk.passes(80 * HOUR)
    assert talk.timeline() == ["wrap_up_ended", "closed"]


def test_a_step_is_a_function_of_what_it_is_given() -> None:
    talk = Conversation().assigned("ann")
    late = talk.now + HOUR
    assert step(talk.state, DeadlineReached(), late) == step(talk.state, DeadlineReached(), late)
    assert talk.state.agent_id == "ann"
