"""Offers: one accept wins; whatever comes to nothing returns to the queue at its original age."""

from dataclasses import replace

import pytest

from domain.conversation.commands import (
    Dequeue,
    EndAssignment,
    EndOffer,
    Enqueue,
    Handover,
    OfferEnd,
    StartAssignment,
)
from domain.conversation.deadlines import deadlines
from domain.conversation.events import AgentLeft, OfferDeclined, OfferLost, OfferMade, Reassigned
from domain.conversation.refusals import RefusalCode
from domain.conversation.state import Phase
from domain.sla.clock import ClockState
from domain.sla.policy import Metric
from tests.unit.conversation_builders import (
    CASE,
    HOUR,
    MINUTE,
    RULES,
    SECOND,
    START,
    Conversation,
    claim,
    reply,
    resolve,
    transfer,
)


def test_an_offer_waits_for_an_answer_until_it_expires() -> None:
    talk = Conversation().offered()
    assert talk.state.phase is Phase.OFFERED
    assert deadlines(talk.state)[0].at == START + 30 * SECOND
    assert talk.ordered(Enqueue) == []


def test_an_accept_hands_over_the_offers_units() -> None:
    talk = Conversation().assigned()
    assert (talk.state.phase, talk.state.agent_id, talk.state.owner) == (Phase.ASSIGNED, "ann", "ann")
    assert talk.ordered(EndOffer) == [EndOffer("off_1", OfferEnd.ACCEPTED)]
    assert talk.ordered(StartAssignment) == [StartAssignment("asg_1_1", "ann", "off_1", Handover.OFFER)]
    assert talk.clock(Metric.OWNER_SILENCE).started_at == talk.now


def test_a_repeated_accept_is_told_the_same() -> None:
    talk = Conversation().offered()
    accept = talk.accept("ann")
    talk.happens(accept)
    talk.now += HOUR
    assert talk.happens(accept) == ()


def test_a_second_accept_is_told_no_longer_yours() -> None:
    talk = Conversation().offered("ann")
    late = talk.accept("ann")
    talk.passes(30 * SECOND)
    talk.happens(talk.offer_to("ben"))
    talk.happens(talk.accept("ben"))
    assert talk.refuses(late) is RefusalCode.OFFER_GONE


def test_an_accept_of_an_earlier_offer_does_not_take_the_present_one() -> None:
    talk = Conversation().offered("ann")
    earlier = talk.accept("ann")
    talk.happens(talk.decline("ann"))
    talk.happens(talk.offer_to("ann"))
    assert talk.refuses(earlier) is RefusalCode.OFFER_GONE


def test_an_accept_that_comes_after_the_time_but_before_the_timer_is_too_late() -> None:
    talk = Conversation().offered()
    accept = talk.accept("ann")
    talk.now += 30 * SECOND
    assert talk.refuses(accept) is RefusalCode.OFFER_GONE


@pytest.mark.parametrize("taken", [False, True])
def test_nobody_accepts_anothers_offer(taken: bool) -> None:
    talk = Conversation().offered("ann")
    stolen = replace(talk.accept("ann"), agent_id="ben")
    if taken:
        talk.happens(talk.accept("ann"))
    assert talk.refuses(stolen) is RefusalCode.NOT_YOURS


def test_an_accept_may_overtake_the_news_of_its_offer() -> None:
    talk = Conversation().queued()
    offer = talk.offer_to("ann")
    talk.happens(talk.accept("ann", offer))
    assert talk.state.agent_id == "ann"
    assert talk.state.tallies.offers == 1
    assert talk.happens(offer) == ()


def test_a_decline_may_overtake_the_news_of_its_offer() -> None:
    talk = Conversation().queued()
    offer = talk.offer_to("ann")
    talk.happens(talk.decline("ann", offer))
    assert talk.timeline() == ["offered", "offer_declined", "queued"]
    assert talk.ticket().waiting.excluded == ("ann",)
    assert (talk.state.tallies.offers, talk.state.tallies.declines) == (1, 1)
    assert talk.happens(offer) == (EndOffer("off_1", OfferEnd.RESCINDED),)
    assert talk.state.phase is Phase.QUEUED


def test_a_decline_recorded_without_its_ticket_needs_the_offer_to_be_known() -> None:
    talk = Conversation().queued()
    offer = talk.offer_to("ann")
    old = OfferDeclined(offer.offer_id, "ann", "busy")
    assert talk.refuses(old) is RefusalCode.OFFER_GONE
    talk.happens(offer)
    talk.happens(old)
    assert talk.state.phase is Phase.QUEUED


def test_an_offer_told_twice_counts_once() -> None:
    talk = Conversation().queued()
    offer = talk.offer_to("ann")
    talk.happens(offer)
    assert talk.happens(offer) == ()
    assert talk.state.tallies.offers == 1


def test_an_auto_accepted_offer_is_an_assignment_at_once() -> None:
    talk = Conversation().queued()
    talk.happens(talk.offer_to("ann", auto_accept=True))
    assert talk.state.phase is Phase.ASSIGNED


@pytest.mark.parametrize("auto_accept", [False, True])
def test_an_offer_for_a_place_no_longer_waited_in_is_taken_back(auto_accept: bool) -> None:
    talk = Conversation().queued()
    offer = talk.offer_to("ann", auto_accept=auto_accept)
    talk.happens(Reassigned("sue", None, "look again"))
    assert talk.state.tickets == 2
    assert talk.happens(offer) == (EndOffer("off_1", OfferEnd.RESCINDED),)
    assert talk.state.phase is Phase.QUEUED


def test_a_decline_returns_to_the_queue_at_the_original_age_without_the_decliner() -> None:
    talk = Conversation().offered()
    talk.now += 10 * SECOND
    talk.happens(talk.decline("ann"))
    ticket = talk.ticket().waiting
    assert (ticket.ticket, ticket.queued_at, ticket.entered_at) == (2, START, talk.now)
    assert ticket.excluded == ("ann",)
    assert ticket.exclusions_clear_at == talk.now + RULES.exclusion_cooldown
    assert talk.ordered(EndOffer) == [EndOffer("off_1", OfferEnd.DECLINED, "busy")]
    assert talk.state.tallies.declines == 1


def test_a_decline_too_late_or_of_anothers_offer_is_refused() -> None:
    talk = Conversation().offered("ann")
    decline = talk.decline("ann")
    assert talk.refuses(replace(decline, agent_id="ben")) is RefusalCode.NOT_YOURS
    assert talk.refuses(replace(decline, offer_id="off_9")) is RefusalCode.OFFER_GONE
    talk.now += 30 * SECOND
    assert talk.refuses(decline) is RefusalCode.OFFER_GONE


def test_exclusions_add_up_within_a_round_and_end_with_an_accept() -> None:
    talk = Conversation().offered("ann")
    talk.happens(talk.decline("ann"))
    talk.happens(talk.offer_to("ben"))
    talk.passes(30 * SECOND)
    assert talk.ticket().waiting.excluded == ("ann", "ben")
    talk.happens(talk.offer_to("eve"))
    talk.happens(talk.accept("eve"))
    talk.happens(AgentLeft("eve", "offline"))
    assert talk.ticket().waiting.excluded == ("eve",)


def test_an_offer_nobody_answered_times_out_and_the_conversation_waits_on() -> None:
    talk = Conversation().offered()
    talk.passes(30 * SECOND)
    assert talk.ordered(EndOffer) == [EndOffer("off_1", OfferEnd.TIMED_OUT)]
    assert talk.ticket().waiting.queued_at == START
    assert talk.state.tallies.timeouts == 1
    assert talk.state.phase is Phase.QUEUED


def test_an_offer_is_not_timed_out_a_moment_early() -> None:
    talk = Conversation().offered()
    assert talk.passes(29 * SECOND) == ()


def test_an_offer_the_ledger_revoked_returns_without_blame() -> None:
    talk = Conversation().offered()
    talk.happens(OfferLost("off_1", "offline"))
    assert talk.ticket().waiting.ticket == 2
    assert talk.ticket().waiting.excluded == ()
    assert (talk.state.tallies.timeouts, talk.state.tallies.declines) == (0, 0)


def test_the_loss_of_an_offer_already_answered_changes_nothing() -> None:
    for talk in (Conversation().assigned(), Conversation().closed()):
        assert talk.happens(OfferLost("off_1", "offline")) == ()
        assert talk.happens(OfferLost("off_1", "accept refused", 1)) == ()


def test_an_accept_that_the_ledger_refused_does_not_strand_a_conversation_unaware_of_its_offer() -> None:
    talk = Conversation().queued()
    offer = talk.offer_to("ann", auto_accept=True)
    talk.happens(OfferLost(offer.offer_id, "accept refused", offer.ticket))
    assert talk.ticket().waiting.ticket == 2
    talk.happens(offer)
    assert talk.state.phase is Phase.QUEUED
    assert talk.happens(OfferLost(offer.offer_id, "offline")) == ()


def test_a_waiting_conversation_is_claimed_when_its_ticket_is_still_there() -> None:
    talk = Conversation().queued()
    talk.happens(claim("ann"))
    assert talk.ordered(Dequeue) == [Dequeue(1, must_wait=True)]
    assert talk.ordered(StartAssignment) == [StartAssignment("asg_1_1", "ann", None, Handover.CLAIM)]
    assert talk.happens(claim("ann")) == ()
    assert talk.refuses(claim("ben")) is RefusalCode.NOT_WAITING


def test_a_claim_of_ones_own_offer_accepts_it() -> None:
    talk = Conversation().offered("ann")
    assert talk.refuses(claim("ben")) is RefusalCode.NOT_WAITING
    talk.happens(claim("ann"))
    assert talk.ordered(EndOffer) == [EndOffer("off_1", OfferEnd.ACCEPTED)]


def test_a_claim_of_ones_own_offer_is_too_late_when_it_has_expired() -> None:
    talk = Conversation().offered("ann")
    talk.now += 30 * SECOND
    assert talk.refuses(claim("ann")) is RefusalCode.OFFER_GONE


def test_a_supervisor_takes_a_conversation_from_its_agent_and_names_another() -> None:
    talk = Conversation().assigned("ann")
    talk.now += MINUTE
    talk.happens(Reassigned("sue", "ben", "knows it better"))
    waiting = talk.ticket().waiting
    assert talk.ordered(EndAssignment) == [EndAssignment("asg_1_1", "reassigned")]
    assert (waiting.only_agent, waiting.excluded, waiting.urgent, waiting.queued_at) == ("ben", ("ann",), True, START)
    assert talk.clock(Metric.OWNER_SILENCE).state is ClockState.CANCELLED


def test_a_supervisor_takes_an_offer_back() -> None:
    talk = Conversation().offered("ann")
    talk.happens(Reassigned("sue", None, "needed elsewhere"))
    assert talk.ordered(EndOffer) == [EndOffer("off_1", OfferEnd.RESCINDED)]
    assert (talk.state.phase, talk.ticket().waiting.ticket) == (Phase.QUEUED, 2)


def test_a_supervisor_ends_a_warm_transfer() -> None:
    talk = Conversation().assigned("ann")
    talk.happens(transfer("ann", warm=True, to_pool="second line"))
    talk.happens(Reassigned("sue", None, "needed elsewhere"))
    assert talk.ordered(Dequeue) == [Dequeue(2)]
    assert talk.ordered(EndAssignment) == [EndAssignment("asg_1_1", "reassigned")]
    assert talk.ticket().waiting.warm_from is None


def test_the_work_of_an_agent_who_left_goes_back_to_the_queue() -> None:
    talk = Conversation().assigned("ann")
    talk.happens(AgentLeft("ann", "connection lost"))
    assert talk.ordered(EndAssignment) == [EndAssignment("asg_1_1", "agent_left")]
    assert talk.ticket().waiting.queued_at == START
    assert talk.ticket().waiting.excluded == ("ann",)


def test_somebody_else_leaving_changes_nothing() -> None:
    talk = Conversation().assigned("ann")
    assert talk.happens(AgentLeft("ben", "offline")) == ()


def test_what_only_waits_for_its_customer_needs_nobody_when_its_agent_leaves() -> None:
    talk = Conversation().pending("ann")
    talk.happens(AgentLeft("ann", "offline"))
    assert (talk.state.phase, talk.state.assignment, talk.state.waiting) == (Phase.PENDING_CUSTOMER, None, None)
    talk.happens(talk.wrote())
    assert talk.state.phase is Phase.QUEUED


def test_the_wrap_up_of_an_agent_who_left_is_over() -> None:
    talk = Conversation().in_wrap_up("ann")
    talk.happens(AgentLeft("ann", "offline"))
    assert talk.state.phase is Phase.RESOLVED
    assert talk.ordered(EndAssignment) == [EndAssignment("asg_1_1", "wrap_up_ended")]


@pytest.mark.parametrize("offered", [False, True])
def test_a_warm_transfer_goes_on_without_a_sender_who_left(offered: bool) -> None:
    talk = Conversation().assigned("ann")
    talk.happens(transfer("ann", warm=True, to_agent="ben"))
    if offered:
        talk.happens(talk.offer_to("ben"))
    talk.happens(AgentLeft("ann", "offline"))
    assert talk.state.phase is (Phase.OFFERED if offered else Phase.QUEUED)
    assert talk.state.waiting is not None
    assert (talk.state.waiting.warm_from, talk.state.waiting.only_agent) == (None, "ben")


def test_an_offer_for_a_resolved_conversation_is_taken_back() -> None:
    talk = Conversation().queued()
    offer = talk.offer_to("ann")
    talk.happens(resolve("sue", by_supervisor=True))
    assert talk.ordered(Dequeue) == [Dequeue(1)]
    assert talk.happens(OfferMade("off_1", 1, "ann", offer.expires_at, False, "")) == (
        EndOffer("off_1", OfferEnd.RESCINDED),
    )
    assert talk.refuses(talk.accept("ann", offer)) is RefusalCode.OFFER_GONE


def test_a_claim_keeps_the_case_as_it_was_understood() -> None:
    talk = Conversation().queued()
    talk.happens(claim("ann"))
    talk.happens(reply("rep_1", "ann"))
    assert talk.state.case == CASE
