"""What a customer's message, silence or leaving does to a conversation."""

from dataclasses import replace
from datetime import timedelta

import pytest

from domain.channels import MessageKind
from domain.conversation.commands import Dequeue, EndOffer, Enqueue, OfferEnd, PassOn, RecordResolution
from domain.conversation.events import CustomerLeft, TermsChanged
from domain.conversation.state import EndReason, Phase
from domain.sla.clock import ClockState
from domain.sla.policy import Metric, SlaTargets
from tests.unit.conversation_builders import (
    CASE,
    HOUR,
    MINUTE,
    NO_PROMISE,
    PROMISE,
    RULES,
    START,
    Conversation,
    reply,
    transfer,
)

UNROUTED = [kind for kind in MessageKind if not kind.wants_an_answer]


def test_the_first_message_puts_the_conversation_into_the_queue() -> None:
    talk = Conversation().queued()
    assert talk.state.phase is Phase.QUEUED
    ticket = talk.ticket()
    assert ticket.waiting.ticket == 1
    assert ticket.waiting.queued_at == START
    assert ticket.waiting.skills == CASE.skills
    assert ticket.next_breach_at == START + 10 * MINUTE


def test_clocks_run_from_when_a_message_was_stored_however_late_it_is_learnt_of() -> None:
    talk = Conversation(now=START + HOUR)
    talk.happens(talk.wrote(at=START))
    assert talk.clock(Metric.FIRST_RESPONSE).started_at == START
    assert talk.state.queued_at == START
    talk.passes(timedelta(0))
    assert talk.clock(Metric.FIRST_RESPONSE).breached_at == START + 10 * MINUTE


@pytest.mark.parametrize("kind", UNROUTED)
def test_what_wants_no_answer_neither_reopens_nor_routes_nor_restarts_a_clock(kind: MessageKind) -> None:
    for talk in (Conversation().queued(), Conversation().pending(), Conversation().resolved()):
        before = talk.state
        assert talk.happens(talk.wrote(kind)) == ()
        assert (talk.state.phase, talk.state.clocks, talk.state.waiting) == (
            before.phase,
            before.clocks,
            before.waiting,
        )
        assert talk.state.tallies.inbound == before.tallies.inbound + 1


def test_an_auto_reply_routes_nothing_even_as_the_first_message() -> None:
    talk = Conversation()
    assert talk.happens(talk.wrote(MessageKind.AUTO_REPLY)) == ()
    assert (talk.state.phase, talk.state.waiting) == (Phase.NEW, None)
    talk.happens(talk.wrote())
    assert talk.state.phase is Phase.QUEUED


def test_a_second_message_keeps_the_age_and_the_ticket_and_shows_the_queue_the_new_case() -> None:
    talk = Conversation().queued()
    talk.now += MINUTE
    talk.happens(talk.wrote(case=replace(CASE, skills=(("refunds", 2),))))
    assert talk.ticket().waiting.ticket == 1
    assert talk.ticket().waiting.queued_at == START
    assert talk.ticket().waiting.skills == (("refunds", 2),)


def test_a_second_message_that_changes_nothing_for_the_queue_does_not_write_to_it() -> None:
    talk = Conversation().queued()
    talk.happens(talk.wrote())
    assert talk.ordered(Enqueue) == []


def test_skills_that_a_transfer_named_outlast_a_new_assessment() -> None:
    talk = Conversation().assigned()
    talk.happens(transfer("ann", to_skills=(("legal", 4),)))
    talk.happens(talk.wrote(case=replace(CASE, skills=(("refunds", 2),))))
    assert talk.state.waiting is not None
    assert talk.state.waiting.skills == (("legal", 4),)


def test_a_message_on_another_channel_joins_at_once_without_a_second_offer() -> None:
    talk = Conversation().assigned()
    talk.happens(talk.wrote(thread="thr_2", case=replace(CASE, channel="email")))
    assert talk.state.threads == ("thr_1", "thr_2")
    assert talk.state.channels == talk.state.episode_channels == ("web_chat", "email")
    assert talk.ordered(Enqueue) == []
    assert talk.state.agent_id == "ann"


def test_the_next_response_runs_from_the_oldest_unanswered_message() -> None:
    talk = Conversation().pending()
    talk.now += MINUTE
    first = talk.now
    talk.happens(talk.wrote())
    talk.now += MINUTE
    talk.happens(talk.wrote())
    assert talk.state.unanswered_since == first
    assert talk.clock(Metric.NEXT_RESPONSE).started_at == first
    assert talk.clock(Metric.NEXT_RESPONSE).number == 1


def test_the_oldest_of_messages_out_of_order_counts() -> None:
    talk = Conversation().pending()
    talk.now += MINUTE
    talk.happens(talk.wrote())
    talk.happens(talk.wrote(at=talk.now - 30 * MINUTE))
    assert talk.state.unanswered_since == talk.now - 30 * MINUTE


def test_before_the_first_response_no_next_response_is_owed() -> None:
    talk = Conversation().assigned()
    talk.happens(talk.wrote())
    assert not talk.has_clock(Metric.NEXT_RESPONSE)


def test_a_message_takes_a_held_or_pending_conversation_up_again() -> None:
    talk = Conversation().pending()
    paused = talk.clock(Metric.RESOLUTION)
    assert paused.state is ClockState.PAUSED
    written = talk.now + MINUTE
    talk.now += 10 * MINUTE
    talk.happens(talk.wrote(at=written))
    assert talk.state.phase is Phase.ASSIGNED
    resumed = talk.clock(Metric.RESOLUTION)
    assert resumed.running_since == written  # not when it was learnt of
    assert talk.clock(Metric.OWNER_SILENCE).started_at == talk.now


def test_an_idle_conversation_wakes_into_the_queue_with_its_owner_preferred() -> None:
    talk = Conversation().idle()
    talk.now += 48 * HOUR
    talk.happens(talk.wrote())
    ticket = talk.ticket()
    assert ticket.waiting.queued_at == talk.now
    assert (ticket.affinity_agent, ticket.waiting.excluded) == ("ann", ())
    assert ticket.next_breach_at == talk.now + 20 * MINUTE
    assert talk.state.queued_at == START  # what the episode's record says of the first wait is not rewritten
    assert talk.state.accepted_at is not None
    assert talk.state.queued_at <= talk.state.accepted_at


def test_a_message_within_the_reopen_window_begins_an_episode_in_the_same_conversation() -> None:
    talk = Conversation().resolved()
    before = talk.state
    talk.now += 71 * HOUR
    talk.happens(talk.wrote())
    assert (talk.state.phase, talk.state.episode) == (Phase.QUEUED, 2)
    assert talk.ticket().affinity_agent == "ann"
    assert talk.ticket().waiting.queued_at == talk.now
    assert talk.clock(Metric.NEXT_RESPONSE).started_at == talk.now
    assert talk.clock(Metric.RESOLUTION).started_at == talk.now
    assert not talk.has_clock(Metric.FIRST_RESPONSE)
    assert talk.state.first_response_at == before.first_response_at
    assert (talk.state.tallies.inbound, talk.state.tallies.offers) == (1, 0)
    assert talk.timeline()[0] == "reopened"


def test_a_message_during_the_wrap_up_begins_an_episode_with_the_same_agent() -> None:
    talk = Conversation().in_wrap_up()
    talk.happens(talk.wrote())
    assert (talk.state.phase, talk.state.episode, talk.state.agent_id) == (Phase.ASSIGNED, 2, "ann")
    assert talk.ordered(Enqueue) == []


def test_a_message_after_the_end_is_passed_on_and_changes_nothing() -> None:
    talk = Conversation().closed()
    before = talk.state
    message = talk.wrote()
    assert talk.happens(message) == (PassOn(message.message_id),)
    assert replace(talk.state, step=before.step) == before


def test_who_leaves_before_anybody_accepted_has_abandoned() -> None:
    talk = Conversation().queued()
    talk.happens(CustomerLeft("thr_1"))
    assert (talk.state.phase, talk.state.end_reason) == (Phase.RESOLVED, EndReason.ABANDONED)
    assert talk.ordered(Dequeue) == [Dequeue(1)]
    assert talk.ordered(RecordResolution) == [RecordResolution(None, "abandoned")]
    assert talk.clock(Metric.FIRST_RESPONSE).state is ClockState.CANCELLED
    assert talk.clock(Metric.RESOLUTION).state is ClockState.CANCELLED


def test_who_leaves_while_it_is_offered_takes_the_offer_back() -> None:
    talk = Conversation().offered()
    talk.happens(CustomerLeft("thr_1"))
    assert talk.ordered(EndOffer) == [EndOffer("off_1", OfferEnd.RESCINDED)]
    assert talk.state.phase is Phase.RESOLVED


def test_who_leaves_one_of_two_threads_is_still_waiting() -> None:
    talk = Conversation().queued()
    talk.happens(talk.wrote(thread="thr_2"))
    talk.happens(CustomerLeft("thr_1"))
    assert talk.state.phase is Phase.QUEUED


def test_who_leaves_an_agent_leaves_the_resolving_to_them() -> None:
    talk = Conversation().assigned()
    talk.happens(CustomerLeft("thr_1"))
    assert (talk.state.phase, talk.timeline()) == (Phase.ASSIGNED, ["customer_left"])


def test_a_change_of_terms_carries_the_elapsed_time_over() -> None:
    talk = Conversation().queued()
    talk.now += 4 * MINUTE
    tighter = replace(CASE, promise=replace(PROMISE, version=2, targets=SlaTargets(first_response=5 * MINUTE)))
    talk.happens(TermsChanged(tighter, "a new policy"))
    assert talk.clock(Metric.FIRST_RESPONSE).due_at == START + 5 * MINUTE
    assert talk.ticket().next_breach_at == START + 5 * MINUTE
    assert talk.clock(Metric.RESOLUTION).state is ClockState.CANCELLED  # no longer promised


def test_a_change_of_terms_keeps_a_recorded_breach() -> None:
    talk = Conversation().queued()
    talk.passes(11 * MINUTE)
    looser = replace(CASE, promise=replace(PROMISE, targets=SlaTargets(first_response=HOUR)))
    talk.happens(TermsChanged(looser, "a new policy"))
    assert talk.clock(Metric.FIRST_RESPONSE).breached_at == START + 10 * MINUTE


def test_a_message_understood_under_another_promise_carries_the_elapsed_time_over() -> None:
    talk = Conversation().queued()
    talk.now += 4 * MINUTE
    tighter = replace(PROMISE, version=2, targets=replace(PROMISE.targets, first_response=5 * MINUTE))
    talk.happens(talk.wrote(case=replace(CASE, promise=tighter)))
    assert talk.clock(Metric.FIRST_RESPONSE).due_at == START + 5 * MINUTE


def test_clocks_of_a_withdrawn_promise_stop() -> None:
    talk = Conversation().queued()
    talk.happens(TermsChanged(NO_PROMISE, "the policy is gone"))
    assert all(clock.is_ended for clock in talk.state.clocks)
    assert talk.ticket().next_breach_at is None


def test_terms_that_no_longer_pause_let_a_pending_clock_run() -> None:
    talk = Conversation().pending()
    talk.happens(TermsChanged(replace(CASE, promise=replace(PROMISE, pause_on=())), "a stricter policy"))
    assert talk.clock(Metric.RESOLUTION).state is ClockState.RUNNING


def test_terms_that_come_before_the_first_message_are_kept() -> None:
    talk = Conversation()
    talk.happens(TermsChanged(CASE, "settings"))
    assert (talk.state.case, talk.state.phase) == (CASE, Phase.NEW)


def test_without_a_promise_it_is_routed_all_the_same() -> None:
    talk = Conversation(case=NO_PROMISE).assigned()
    talk.happens(reply("rep_1", "ann"))
    assert talk.state.clocks == ()
    assert talk.state.phase is Phase.PENDING_CUSTOMER
    assert talk.case.rules == RULES


def test_news_of_an_ended_conversation_changes_nothing() -> None:
    talk = Conversation().closed()
    before = talk.state
    assert talk.happens(TermsChanged(NO_PROMISE, "settings")) == ()
    assert talk.happens(CustomerLeft("thr_1")) == ()
    assert talk.state == before
