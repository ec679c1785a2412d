"""What the responsible agent does: reply, hold, transfer, resolve, wrap up, reopen."""

from dataclasses import replace
from datetime import timedelta

import pytest

from domain.conversation.commands import (
    Dequeue,
    EndAssignment,
    EndOffer,
    Enqueue,
    Handover,
    Happened,
    OfferEnd,
    RecordResolution,
    SendReply,
    StartAssignment,
)
from domain.conversation.deadlines import Due, deadlines
from domain.conversation.events import Held, Reopened, Resumed, WrapUpEnded, WrapUpExtended
from domain.conversation.refusals import RefusalCode
from domain.conversation.state import EndReason, Phase
from domain.sla.clock import ClockState
from domain.sla.policy import Metric
from tests.unit.conversation_builders import (
    CASE,
    HOUR,
    MINUTE,
    RULES,
    START,
    Conversation,
    reply,
    resolve,
    transfer,
)


def test_a_public_reply_stops_the_response_clocks_and_waits_for_the_customer() -> None:
    talk = Conversation().assigned()
    talk.now += MINUTE
    talk.happens(reply("rep_1", "ann"))
    assert talk.ordered(SendReply) == [SendReply("rep_1", internal=False)]
    assert talk.clock(Metric.FIRST_RESPONSE).state is ClockState.MET
    assert talk.clock(Metric.OWNER_SILENCE).state is ClockState.MET
    assert talk.clock(Metric.RESOLUTION).state is ClockState.PAUSED
    assert (talk.state.phase, talk.state.idle_since) == (Phase.PENDING_CUSTOMER, talk.now)
    assert (talk.state.first_response_at, talk.state.unanswered_since) == (talk.now, None)


def test_a_reply_is_sent_once_however_often_it_is_asked_for() -> None:
    talk = Conversation().assigned()
    talk.happens(reply("rep_1", "ann"))
    assert talk.happens(reply("rep_1", "ann")) == ()
    assert talk.state.tallies.outbound == 1


def test_a_late_reply_tells_of_the_breach_at_its_instant() -> None:
    talk = Conversation().assigned()
    talk.now = START + 12 * MINUTE
    talk.happens(reply("rep_1", "ann"))
    clock = talk.clock(Metric.FIRST_RESPONSE)
    assert (clock.breached_at, clock.ended_at) == (START + 10 * MINUTE, talk.now)
    assert [line.at for line in talk.ordered(Happened) if line.kind == "sla_breached"] == [START + 10 * MINUTE]


def test_only_the_first_reply_is_the_first_response() -> None:
    talk = Conversation().pending()
    first = talk.state.first_response_at
    talk.now += MINUTE
    talk.happens(talk.wrote())
    talk.happens(reply("rep_2", "ann"))
    assert talk.state.first_response_at == first
    assert talk.clock(Metric.NEXT_RESPONSE).state is ClockState.MET


def test_a_note_answers_nobody_but_shows_that_the_owner_is_there() -> None:
    talk = Conversation().assigned()
    talk.now += MINUTE
    talk.happens(reply("note_1", "ann", internal=True))
    assert talk.ordered(SendReply) == [SendReply("note_1", internal=True)]
    assert talk.state.phase is Phase.ASSIGNED
    assert talk.state.unanswered_since == START
    silence = talk.clock(Metric.OWNER_SILENCE)
    assert (silence.number, silence.started_at, silence.state) == (2, talk.now, ClockState.RUNNING)
    assert talk.clock(Metric.FIRST_RESPONSE).state is ClockState.RUNNING


def test_anybody_may_leave_a_note_which_is_not_the_owners_word() -> None:
    talk = Conversation().assigned()
    talk.happens(reply("note_1", "ben", internal=True))
    assert talk.clock(Metric.OWNER_SILENCE).number == 1
    assert talk.timeline() == ["note_added"]


def test_a_note_during_a_hold_starts_no_running_clock() -> None:
    talk = Conversation().assigned()
    talk.happens(Held("ann", by_supervisor=False))
    talk.happens(reply("note_1", "ann", internal=True))
    assert talk.clock(Metric.OWNER_SILENCE).state is ClockState.PAUSED


def test_a_reply_after_the_resolve_leaves_the_wrap_up_as_it_is() -> None:
    talk = Conversation().in_wrap_up()
    talk.happens(reply("rep_1", "ann"))
    assert talk.state.phase is Phase.WRAP_UP


def test_the_owner_of_an_idle_conversation_may_write_and_resolve() -> None:
    talk = Conversation().idle("ann")
    talk.happens(reply("rep_2", "ann"))
    talk.happens(resolve("ann"))
    assert (talk.state.phase, talk.state.end_reason) == (Phase.RESOLVED, EndReason.RESOLVED)


def test_an_idle_conversation_that_nobody_has_cannot_be_held() -> None:
    talk = Conversation().idle("ann")
    assert talk.refuses(Held("ann", by_supervisor=False)) is RefusalCode.WRONG_STATE
    assert talk.refuses(Held("sue", by_supervisor=True)) is RefusalCode.WRONG_STATE


def test_a_hold_pauses_the_clocks_until_it_is_resumed() -> None:
    talk = Conversation().assigned()
    talk.now += MINUTE
    talk.happens(Held("ann", by_supervisor=False))
    assert talk.state.phase is Phase.ON_HOLD
    assert {clock.state for clock in talk.state.clocks} == {ClockState.PAUSED}
    assert talk.happens(Held("ann", by_supervisor=False)) == ()
    talk.now += HOUR
    talk.happens(Resumed("ann", by_supervisor=False))
    assert talk.clock(Metric.FIRST_RESPONSE).due_at == START + 10 * MINUTE + HOUR
    assert talk.happens(Resumed("ann", by_supervisor=False)) == ()


def test_a_warm_transfer_keeps_the_sender_until_the_accept() -> None:
    talk = Conversation().assigned("ann")
    talk.now += MINUTE
    talk.happens(transfer("ann", warm=True, to_agent="ben"))
    waiting = talk.ticket().waiting
    assert (waiting.warm_from, waiting.only_agent, waiting.queued_at) == ("asg_1_1", "ben", START)
    assert (talk.state.phase, talk.state.agent_id) == (Phase.ASSIGNED, "ann")
    talk.happens(talk.offer_to("ben"))
    assert talk.state.agent_id == "ann"
    talk.happens(talk.accept("ben"))
    assert talk.ordered(EndAssignment) == [EndAssignment("asg_1_1", "transferred")]
    assert talk.ordered(StartAssignment) == [StartAssignment("asg_1_2", "ben", "off_2", Handover.OFFER)]
    assert talk.clock(Metric.OWNER_SILENCE).number == 2


def test_a_warm_transfer_that_its_agent_declines_returns_to_the_sender() -> None:
    talk = Conversation().assigned("ann")
    talk.happens(transfer("ann", warm=True, to_agent="ben"))
    talk.happens(talk.offer_to("ben"))
    talk.happens(talk.decline("ben"))
    assert (talk.state.agent_id, talk.state.waiting, talk.state.phase) == ("ann", None, Phase.ASSIGNED)
    assert talk.timeline()[-1] == "transfer_failed"
    assert talk.ordered(Enqueue) == []


def test_a_warm_transfer_to_a_pool_asks_the_next_one() -> None:
    talk = Conversation().assigned("ann")
    talk.happens(transfer("ann", warm=True, to_pool="second line"))
    talk.happens(talk.offer_to("ben"))
    talk.happens(talk.decline("ben"))
    waiting = talk.ticket().waiting
    assert (waiting.pool, waiting.warm_from, waiting.excluded) == ("second line", "asg_1_1", ("ann", "ben"))


def test_a_sender_who_transfers_warmly_gives_nothing_back_while_the_customer_is_silent() -> None:
    talk = Conversation().pending("ann")
    talk.happens(transfer("ann", warm=True, to_pool="second line"))
    assert Due.IDLE_RELEASE not in {deadline.due for deadline in deadlines(talk.state)}
    talk.passes(HOUR)
    assert talk.state.agent_id == "ann"


def test_a_cold_transfer_releases_now_and_keeps_the_age_without_the_sender() -> None:
    talk = Conversation().assigned("ann")
    talk.now += MINUTE
    talk.happens(transfer("ann", to_skills=(("french", 2),)))
    waiting = talk.ticket().waiting
    assert talk.ordered(EndAssignment) == [EndAssignment("asg_1_1", "transferred")]
    assert (waiting.queued_at, waiting.excluded, waiting.skills) == (START, ("ann",), (("french", 2),))
    assert talk.clock(Metric.FIRST_RESPONSE).due_at == START + 10 * MINUTE
    assert (talk.state.tallies.transfers, talk.state.tallies.misroutes) == (1, 1)


def test_a_cold_transfer_that_its_agent_declines_is_for_anybody() -> None:
    talk = Conversation().assigned("ann")
    talk.happens(transfer("ann", to_agent="ben"))
    assert talk.state.tallies.misroutes == 0
    talk.happens(talk.offer_to("ben"))
    talk.happens(talk.decline("ben"))
    waiting = talk.ticket().waiting
    assert (waiting.only_agent, waiting.excluded) == (None, ("ann", "ben"))


@pytest.mark.parametrize("to_agent", ["ann", "ben"])
def test_a_transfer_goes_to_somebody_else_and_one_at_a_time(to_agent: str) -> None:
    talk = Conversation().assigned("ann")
    if to_agent != "ann":
        talk.happens(transfer("ann", warm=True, to_pool="second line"))
    assert talk.refuses(transfer("ann", to_agent=to_agent)) is RefusalCode.WRONG_STATE


def test_an_idle_conversation_has_nobody_to_transfer_it() -> None:
    assert Conversation().idle("ann").refuses(transfer("ann", to_agent="ben")) is RefusalCode.NOT_YOURS


def test_resolving_ends_the_episode_once_and_begins_the_wrap_up() -> None:
    talk = Conversation().pending()
    talk.now += MINUTE
    talk.happens(resolve("ann", "refunded"))
    (record,) = talk.ordered(RecordResolution)
    assert (record.wrap_up_code, record.end_reason) == ("refunded", "resolved")
    assert record.open_time == talk.now - talk.state.opened_at
    assert (talk.state.phase, talk.state.agent_id, talk.state.resolved_at) == (Phase.WRAP_UP, "ann", talk.now)
    assert talk.clock(Metric.RESOLUTION).state is ClockState.MET
    assert talk.ordered(EndAssignment) == []
    assert talk.happens(resolve("ann", "refunded")) == ()


def test_resolving_without_an_answer_cancels_what_was_never_met() -> None:
    talk = Conversation().in_wrap_up()
    assert talk.clock(Metric.FIRST_RESPONSE).state is ClockState.CANCELLED
    assert talk.clock(Metric.OWNER_SILENCE).state is ClockState.CANCELLED


def test_resolving_takes_a_warm_transfer_back() -> None:
    for offered in (False, True):
        talk = Conversation().assigned("ann")
        talk.happens(transfer("ann", warm=True, to_agent="ben"))
        if offered:
            talk.happens(talk.offer_to("ben"))
        talk.happens(resolve("ann"))
        taken_back = talk.ordered(EndOffer) if offered else talk.ordered(Dequeue)
        assert taken_back == ([EndOffer("off_2", OfferEnd.RESCINDED)] if offered else [Dequeue(2)])


@pytest.mark.parametrize("offered", [False, True])
def test_a_supervisor_resolves_what_nobody_has_taken(offered: bool) -> None:
    talk = Conversation().offered() if offered else Conversation().queued()
    assert talk.refuses(resolve("ann")) is RefusalCode.NOT_YOURS
    talk.happens(resolve("sue", "spam", by_supervisor=True))
    assert talk.state.phase is Phase.RESOLVED
    assert talk.ordered(RecordResolution) == [RecordResolution("spam", "resolved")]


def test_where_no_wrap_up_is_wanted_the_units_come_back_at_once() -> None:
    case = replace(CASE, rules=replace(RULES, wrap_up_limit=timedelta(0)))
    talk = Conversation(case=case).assigned()
    talk.happens(resolve("ann"))
    assert talk.state.phase is Phase.RESOLVED
    assert talk.ordered(EndAssignment) == [EndAssignment("asg_1_1", "resolved")]


@pytest.mark.parametrize("by_hand", [False, True])
def test_capacity_returns_when_the_wrap_up_ends(by_hand: bool) -> None:
    talk = Conversation().in_wrap_up()
    if by_hand:
        talk.happens(WrapUpEnded("ann", by_supervisor=False))
    else:
        talk.passes(5 * MINUTE)
    assert talk.ordered(EndAssignment) == [EndAssignment("asg_1_1", "resolved")]
    assert talk.state.phase is Phase.RESOLVED
    assert talk.happens(WrapUpEnded("ann", by_supervisor=False)) == ()
    assert talk.happens(WrapUpEnded("sue", by_supervisor=True)) == ()


def test_a_wrap_up_is_extended_once() -> None:
    talk = Conversation().in_wrap_up()
    began = talk.now
    talk.happens(WrapUpExtended("ann", by_supervisor=False))
    assert talk.state.wrap_up is not None
    assert talk.state.wrap_up.ends_at == began + 8 * MINUTE
    assert talk.refuses(WrapUpExtended("ann", by_supervisor=False)) is RefusalCode.ALREADY_EXTENDED


def test_an_agent_who_reopens_needs_room_like_a_claim() -> None:
    talk = Conversation().resolved("ann")
    talk.happens(Reopened("ben", by_supervisor=False))
    assert (talk.state.episode, talk.state.agent_id, talk.state.phase) == (2, "ben", Phase.ASSIGNED)
    assert talk.ordered(StartAssignment) == [StartAssignment("asg_1_2", "ben", None, Handover.REOPEN)]
    (line,) = [line for line in talk.ordered(Happened) if line.kind == "reopened"]
    assert dict(line.facts) == {"by": "agent", "episode": 2}


def test_a_supervisor_who_reopens_puts_it_into_the_queue() -> None:
    talk = Conversation().resolved("ann")
    talk.happens(Reopened("sue", by_supervisor=True))
    assert (talk.state.phase, talk.ticket().affinity_agent) == (Phase.QUEUED, "ann")


def test_whoever_wraps_up_may_go_on() -> None:
    talk = Conversation().in_wrap_up("ann")
    assert talk.refuses(Reopened("ben", by_supervisor=False)) is RefusalCode.NOT_YOURS
    talk.happens(Reopened("ann", by_supervisor=False))
    assert (talk.state.episode, talk.state.agent_id, talk.state.phase) == (2, "ann", Phase.ASSIGNED)
    assert talk.ordered(StartAssignment) == []
    talk.happens(resolve("ann"))
    assert len(talk.ordered(RecordResolution)) == 1
