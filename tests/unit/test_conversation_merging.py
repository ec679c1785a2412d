"""Two conversations become one; a second channel joins; threads leave: what each does to a conversation."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from domain.channels import Channel, MessageKind
from domain.conversation.commands import (
    Absorb,
    Dequeue,
    EndAssignment,
    EndOffer,
    Enqueue,
    PassOn,
    PassOnLeaving,
)
from domain.conversation.deadlines import Due, deadlines
from domain.conversation.events import (
    Absorbed,
    CustomerLeft,
    Escalated,
    IdentityLinked,
    MergedAway,
    Resolved,
    ThreadsSplit,
)
from domain.conversation.handover import hand_over
from domain.conversation.journey import Callback, Switch
from domain.conversation.merging import new_needs
from domain.conversation.refusals import RefusalCode
from domain.conversation.state import Phase
from domain.sla.clock import ClockState
from domain.sla.policy import Metric
from tests.unit.conversation_builders import (
    CASE,
    MINUTE,
    NO_PROMISE,
    PROMISE,
    START,
    Conversation,
    claim,
    reply,
)

SMS = replace(CASE, channel="sms")


def merged_into(survivor: Conversation, loser: Conversation, *, unfit: bool = False, heard: bool = True) -> None:
    """Let the survivor hear of it at the later of both instants."""
    survivor.now = max(survivor.now, loser.now)
    handed = hand_over(loser.state) if heard else None
    survivor.happens(Absorbed("mrg_1", survivor.now, survivor.case, handed, loser.case.promise, unfit=unfit))


JOINED: list[tuple[Callable[[Conversation], Conversation], Phase]] = [
    (Conversation.queued, Phase.QUEUED),
    (Conversation.offered, Phase.OFFERED),
    (Conversation.assigned, Phase.ASSIGNED),
    (Conversation.pending, Phase.ASSIGNED),
    (Conversation.idle, Phase.QUEUED),
    (Conversation.in_wrap_up, Phase.ASSIGNED),
    (Conversation.resolved, Phase.QUEUED),
]


@pytest.mark.parametrize(("come", "phase"), JOINED)
def test_a_second_channel_joins_in_whatever_state_with_one_offer_and_one_owner(
    come: Callable[[Conversation], Conversation], phase: Phase
) -> None:
    talk = come(Conversation())
    before = talk.state
    talk.happens(talk.wrote(thread="thr_sms", case=SMS))
    after = talk.state
    assert (after.phase, after.threads, after.channels) == (phase, ("thr_1", "thr_sms"), ("web_chat", "sms"))
    assert (after.offer, after.agent_id) == (before.offer, before.agent_id), "nobody is offered it a second time"
    assert after.owner == before.owner
    back_to_queue = phase is Phase.QUEUED and not before.phase.is_waiting
    assert after.tickets == before.tickets + back_to_queue
    assert after.episode == before.episode + (before.resolved_at is not None)


def test_the_survivor_waits_at_the_age_of_the_one_that_waited_longer() -> None:
    older = Conversation().queued()
    younger = Conversation(now=START + 5 * MINUTE).queued()
    merged_into(younger, older)
    assert younger.ticket().waiting.queued_at == START
    assert younger.state.tickets == 1, "it keeps its place"


def test_what_was_counted_of_an_unresolved_loser_is_counted_on_and_told() -> None:
    survivor, loser = Conversation().offered("ann"), Conversation().assigned("ben")
    offers = survivor.state.tallies.offers + loser.state.tallies.offers
    merged_into(survivor, loser)
    assert survivor.state.tallies.offers == offers
    assert survivor.ordered(Absorb) == [Absorb("mrg_1", counts_on=True)]


def test_what_was_counted_of_a_resolved_loser_stays_with_it() -> None:
    survivor = Conversation().assigned("ann")
    before = survivor.state.tallies
    merged_into(survivor, Conversation().resolved("ben"))
    assert (survivor.state.tallies, survivor.ordered(Absorb)) == (before, [Absorb("mrg_1")])


def test_the_earliest_unmet_deadline_is_kept_per_metric() -> None:
    older = Conversation().queued()
    younger = Conversation(now=START + 5 * MINUTE).queued()
    ours = younger.clock(Metric.FIRST_RESPONSE)
    merged_into(younger, older)
    kept = younger.clock(Metric.FIRST_RESPONSE)
    assert (kept.due_at, kept.number) == (START + 10 * MINUTE, ours.number + 1)
    assert younger.clock(Metric.RESOLUTION).due_at == older.clock(Metric.RESOLUTION).due_at


def test_a_breach_that_nobody_noticed_is_the_survivors_once() -> None:
    older = Conversation().queued()
    younger = Conversation(now=START + 30 * MINUTE).queued()
    merged_into(younger, older)
    assert younger.clock(Metric.FIRST_RESPONSE).breached_at == START + 10 * MINUTE
    assert younger.timeline().count("sla_breached") == 1


def test_how_long_the_losers_agent_was_silent_is_not_held_against_the_survivors() -> None:
    loser = Conversation().assigned("ben")
    survivor = Conversation(now=START + 10 * MINUTE).assigned("ann")
    merged_into(survivor, loser)
    assert survivor.clock(Metric.OWNER_SILENCE).due_at == START + 25 * MINUTE


def test_a_first_response_still_owed_to_the_losers_customer_is_owed_by_the_survivor() -> None:
    survivor = Conversation().pending("ann")
    loser = Conversation(now=START + MINUTE).queued()
    merged_into(survivor, loser)
    assert survivor.state.phase is Phase.ASSIGNED
    assert survivor.clock(Metric.FIRST_RESPONSE).due_at == START + 11 * MINUTE
    survivor.happens(reply("rep_9", "ann"))
    assert survivor.clock(Metric.FIRST_RESPONSE).state is ClockState.MET


def test_a_promise_only_the_loser_had_is_kept() -> None:
    survivor = Conversation(case=NO_PROMISE).queued()
    merged_into(survivor, Conversation().queued())
    assert survivor.state.case is not None
    assert survivor.state.case.promise == PROMISE
    assert survivor.clock(Metric.FIRST_RESPONSE).due_at == START + 10 * MINUTE


@pytest.mark.parametrize("come", [Conversation.in_wrap_up, Conversation.resolved])
def test_an_unanswered_message_of_the_loser_begins_the_next_episode(
    come: Callable[[Conversation], Conversation],
) -> None:
    survivor = come(Conversation())
    still_there = survivor.state.agent_id is not None
    merged_into(survivor, Conversation(now=survivor.now).queued())
    assert survivor.state.episode == 2
    assert survivor.state.phase is (Phase.ASSIGNED if still_there else Phase.QUEUED)
    assert survivor.state.unanswered_since is not None


def test_two_resolved_conversations_stay_resolved() -> None:
    survivor = Conversation().resolved()
    merged_into(survivor, Conversation().resolved("ben"))
    assert (survivor.state.phase, survivor.state.episode) == (Phase.RESOLVED, 1)


def test_a_loser_that_waited_for_its_customer_leaves_a_resolved_survivor_waiting_for_them() -> None:
    survivor = Conversation().resolved()
    merged_into(survivor, Conversation().idle("ben"))
    assert (survivor.state.phase, survivor.state.episode) == (Phase.PENDING_CUSTOMER, 2)
    assert survivor.ordered(Enqueue) == []


def test_a_call_promised_by_the_loser_is_made_by_the_survivor() -> None:
    loser, survivor = Conversation().pending(), Conversation().assigned()
    callback = Callback("sug_1", loser.now + 15 * MINUTE)
    journey = replace(loser.state.journey, accepted=Switch("sug_1", Channel.VOICE), callback=callback, asked=("voice",))
    loser.state = replace(loser.state, journey=journey)
    merged_into(survivor, loser)
    assert survivor.state.journey.callback == callback
    assert survivor.state.journey.asked == ("voice",)
    assert next(one.at for one in deadlines(survivor.state) if one.due is Due.CALLBACK) == callback.at


def test_skills_are_joined_and_stay_joined() -> None:
    french = replace(CASE, skills=(("billing", 5), ("french", 2)))
    survivor = Conversation().queued()
    merged_into(survivor, Conversation(case=french).queued())
    assert survivor.ticket().waiting.skills == (("billing", 5), ("french", 2))
    survivor.happens(survivor.wrote())
    assert survivor.state.case is not None
    assert survivor.state.case.skills == (("billing", 5), ("french", 2))
    assert new_needs(CASE.skills, french.skills) == french.skills
    assert new_needs(french.skills, CASE.skills) == ()


def test_an_owner_who_lacks_a_joined_skill_gives_it_to_somebody_who_has_it() -> None:
    survivor = Conversation().assigned("ann")
    merged_into(survivor, Conversation().queued(), unfit=True)
    assert survivor.state.phase is Phase.QUEUED
    assert [ended.cause for ended in survivor.ordered(EndAssignment)] == ["merged"]
    assert survivor.state.tallies.reroutes == 1
    assert "rerouted" in survivor.timeline()


def test_an_offer_to_somebody_who_lacks_a_joined_skill_is_taken_back() -> None:
    survivor = Conversation().offered("ann")
    merged_into(survivor, Conversation().queued(), unfit=True)
    assert survivor.state.offer is None
    assert len(survivor.ordered(EndOffer)) == 1
    assert survivor.ticket().waiting.ticket == 2


def test_an_owner_who_waits_for_the_customer_keeps_it_until_they_write() -> None:
    survivor = Conversation().pending("ann")
    merged_into(survivor, Conversation().pending("ben"), unfit=True)
    assert (survivor.state.phase, survivor.state.agent_id) == (Phase.PENDING_CUSTOMER, "ann")


def test_a_loser_that_had_heard_nothing_hands_nothing_over() -> None:
    survivor = Conversation().pending("ann")
    merged_into(survivor, Conversation().queued(), heard=False)
    assert survivor.state.phase is Phase.PENDING_CUSTOMER
    assert survivor.ordered(Absorb) == [Absorb("mrg_1")]


@pytest.mark.parametrize("come", [Conversation.queued, Conversation.assigned, Conversation.resolved])
def test_the_survivor_has_no_less_authority_than_the_loser_had(come: Callable[[Conversation], Conversation]) -> None:
    survivor, loser = come(Conversation()), Conversation().assigned("ben")
    loser.happens(Escalated("ben", "they ask for the manager", None, by_supervisor=False))
    merged_into(survivor, loser)
    assert (survivor.state.escalation, survivor.state.priority) == (1, 2)
    assert survivor.timeline().count("urgency_raised") == 1
    assert survivor.state.waiting is None or survivor.ticket().waiting.urgent


def test_the_survivor_keeps_the_authority_it_has() -> None:
    survivor, loser = Conversation().assigned("ann"), Conversation().assigned("ben")
    for _ in range(2):
        survivor.happens(Escalated("ann", "they ask for the manager", None, by_supervisor=False))
    loser.happens(Escalated("ben", "they ask for the manager", None, by_supervisor=False))
    merged_into(survivor, loser)
    assert (survivor.state.escalation, "urgency_raised" in survivor.timeline()) == (2, False)


def test_what_was_raised_for_a_loser_that_is_resolved_is_over() -> None:
    survivor, loser = Conversation().assigned("ann"), Conversation().assigned("ben")
    loser.happens(Escalated("ben", "they ask for the manager", None, by_supervisor=False))
    loser.happens(Resolved("ben", "solved", None, by_supervisor=False))
    merged_into(survivor, loser)
    assert survivor.state.escalation == 0


def test_a_place_in_the_queue_is_as_urgent_as_the_losers_promise_had_become() -> None:
    loser = Conversation().queued()
    loser.passes(9 * MINUTE)
    survivor = Conversation(now=loser.now).queued()
    assert loser.ticket().waiting.urgent
    merged_into(survivor, loser)
    assert survivor.ticket().waiting.urgent


def test_that_the_customer_left_is_passed_on_by_the_loser() -> None:
    loser = Conversation().queued()
    loser.happens(MergedAway(loser.now))
    assert loser.happens(CustomerLeft("thr_1", 7)) == (PassOnLeaving("thr_1", 7),)


def test_the_loser_stops_and_passes_on_what_still_reaches_it() -> None:
    loser = Conversation().offered("ann")
    assert loser.happens(MergedAway(loser.now)) == ()
    assert (loser.state.phase, loser.state.offer, loser.state.waiting) == (Phase.MERGED, None, None)
    assert loser.happens(loser.wrote()) == (PassOn("msg_2"),)
    assert loser.refuses(claim("ann")) is RefusalCode.CONVERSATION_ENDED
    assert loser.happens(MergedAway(loser.now)) == ()


def test_a_conversation_that_ended_before_it_heard_anything_passes_everything_on() -> None:
    loser = Conversation()
    loser.happens(MergedAway(loser.now))
    assert loser.happens(loser.wrote()) == (PassOn("msg_1"),)


def test_a_merge_into_a_loser_is_its_survivors_to_absorb() -> None:
    loser = Conversation().queued()
    loser.happens(MergedAway(loser.now))
    assert loser.happens(Absorbed("mrg_2", loser.now, CASE, None, None, unfit=False)) == ()


def test_a_split_takes_threads_and_what_was_owed_on_them_away() -> None:
    talk = Conversation().pending("ann")
    talk.happens(talk.wrote(thread="thr_sms", case=SMS))
    assert talk.state.phase is Phase.ASSIGNED
    talk.happens(ThreadsSplit(("thr_sms",), ("web_chat",), None, CASE))
    assert (talk.state.threads, talk.state.channels) == (("thr_1",), ("web_chat",))
    assert (talk.state.phase, talk.state.unanswered_since) == (Phase.PENDING_CUSTOMER, None)
    assert talk.clock(Metric.NEXT_RESPONSE).state is ClockState.CANCELLED


def test_a_split_leaves_what_is_unanswered_on_the_other_threads() -> None:
    talk = Conversation().assigned("ann")
    talk.happens(talk.wrote(thread="thr_sms", case=SMS))
    talk.happens(ThreadsSplit(("thr_sms",), ("web_chat",), START, CASE))
    assert (talk.state.phase, talk.state.unanswered_since) == (Phase.ASSIGNED, START)
    assert not talk.clock(Metric.FIRST_RESPONSE).is_ended


def test_a_reply_that_overtook_the_news_of_a_split_stays_a_reply() -> None:
    talk = Conversation().pending("ann")
    talk.happens(ThreadsSplit(("thr_sms",), ("web_chat",), START, CASE))
    assert (talk.state.phase, talk.state.unanswered_since) == (Phase.PENDING_CUSTOMER, None)


def test_a_linked_customer_is_the_customer_from_then_on() -> None:
    talk = Conversation().queued()
    talk.happens(IdentityLinked("cus_2", replace(CASE, segment="platinum", priority=1), "identity_verified"))
    assert talk.state.customer_id == "cus_2"
    assert talk.timeline() == ["identity_linked"]
    assert talk.ordered(Dequeue) == []
    assert talk.happens(IdentityLinked("cus_2", CASE, "again")) == ()


def test_the_last_outbox_id_heard_is_handed_over() -> None:
    talk = Conversation()
    talk.happens(replace(talk.wrote(), signal_id=7))
    talk.happens(replace(talk.wrote(MessageKind.CLOSING_THANKS), signal_id=9))
    assert hand_over(talk.state).heard == 9
