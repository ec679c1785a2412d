"""The ladder: what is done, step by step, when a promise is at risk or broken."""

from dataclasses import replace
from datetime import timedelta

import pytest

from domain.conversation.commands import AlertKind, EndAssignment, Enqueue, Happened, RaiseAlert
from domain.conversation.events import AgentLeft, TermsChanged
from domain.conversation.state import Phase
from domain.sla.policy import DEFAULT_LADDER, LadderStep, Metric, Rung
from tests.unit.conversation_builders import (
    CASE,
    HOUR,
    MINUTE,
    PROMISE,
    RULES,
    SECOND,
    START,
    Conversation,
    only,
    reply,
    transfer,
)


def talk_under(*steps: LadderStep, target: timedelta = 10 * MINUTE) -> Conversation:
    targets = replace(PROMISE.targets, first_response=target, owner_silence=None, resolution=None)
    promise = replace(PROMISE, ladder=steps, targets=targets, warn_fraction=None)
    return Conversation(case=replace(CASE, promise=promise))


def happened(talk: Conversation, kind: str) -> list[tuple[timedelta, dict[str, object]]]:
    return [(line.at - START, dict(line.facts)) for line in only(talk.commands, Happened) if line.kind == kind]


def test_the_whole_ladder_is_climbed_in_its_order_each_step_with_its_reason() -> None:
    talk = Conversation().queued()
    told: list[tuple[timedelta, str, object]] = []
    for _ in range(15):
        talk.passes(MINUTE)
        told += [(line.at - START, line.kind, dict(line.facts).get("cause")) for line in talk.ordered(Happened)]
    assert told == [
        (5 * MINUTE, "sla_warning", None),
        (8 * MINUTE, "urgency_raised", "sla_at_risk"),
        (9 * MINUTE, "suggestion_due", "sla_at_risk"),
        (10 * MINUTE, "sla_breached", None),
        (10 * MINUTE, "supervisor_alerted", "sla_breached"),
    ]


def test_raising_makes_a_waiting_conversation_urgent() -> None:
    talk = Conversation().queued()
    talk.passes(8 * MINUTE)
    assert talk.ticket().waiting.urgent


def test_raising_while_it_is_offered_leaves_the_offer_alone() -> None:
    talk = Conversation().queued()
    talk.now += 8 * MINUTE - 10 * SECOND
    talk.happens(talk.offer_to("ann"))
    talk.passes(10 * SECOND)
    assert talk.ordered(Enqueue) == []
    assert talk.state.waiting is not None
    assert talk.state.waiting.urgent


def test_what_was_raised_in_an_agents_hands_is_urgent_when_the_agent_goes_away() -> None:
    talk = Conversation().assigned("ann")
    talk.passes(8 * MINUTE)
    talk.happens(AgentLeft("ann", "offline"))
    assert talk.ticket().waiting.urgent


def test_without_an_unanswered_customer_nothing_is_suggested() -> None:
    talk = talk_under(LadderStep(0.5, Rung.SUGGEST)).pending()
    talk.passes(HOUR)
    assert happened(talk, "suggestion_due") == []


def test_an_answer_takes_it_off_the_ladder() -> None:
    talk = Conversation().assigned("ann")
    talk.passes(8 * MINUTE)
    talk.happens(reply("rep_1", "ann"))
    clock = talk.clock(Metric.FIRST_RESPONSE)
    assert (clock.climbed, clock.rung, clock.rung_at) == ((Rung.RAISE,), None, None)


def test_a_breach_takes_the_conversation_from_a_silent_agent() -> None:
    talk = Conversation().assigned("ann")
    talk.passes(10 * MINUTE)
    waiting = talk.ticket().waiting
    assert talk.ordered(EndAssignment) == [EndAssignment("asg_1_1", "sla_breach")]
    assert (waiting.excluded, waiting.urgent, waiting.queued_at) == (("ann",), True, START)
    assert talk.state.tallies.reroutes == 1


def test_after_the_last_reroute_a_supervisor_is_called_instead() -> None:
    talk = Conversation(case=replace(CASE, rules=replace(RULES, max_reroutes=0))).assigned("ann")
    talk.passes(10 * MINUTE)
    assert talk.state.agent_id == "ann"
    assert "supervisor_alerted" in talk.timeline()


def test_a_resolution_breach_calls_a_supervisor_and_leaves_the_agent() -> None:
    promise = replace(PROMISE, targets=replace(PROMISE.targets, first_response=None, owner_silence=None))
    talk = Conversation(case=replace(CASE, promise=promise)).assigned("ann")
    talk.passes(4 * HOUR)
    assert (talk.state.agent_id, talk.timeline()[-1]) == ("ann", "supervisor_alerted")


def test_an_owner_silent_too_long_is_replaced() -> None:
    promise = replace(PROMISE, targets=replace(PROMISE.targets, first_response=None))
    talk = Conversation(case=replace(CASE, promise=promise)).assigned("ann")
    talk.passes(15 * MINUTE)
    assert talk.clock(Metric.OWNER_SILENCE).breached_at == START + 15 * MINUTE
    assert (talk.state.phase, talk.state.owner) == (Phase.QUEUED, "ann")


def test_a_breach_during_a_warm_transfer_does_not_start_another() -> None:
    talk = Conversation().assigned("ann")
    talk.happens(transfer("ann", warm=True, to_pool="second line"))
    talk.passes(10 * MINUTE)
    assert (talk.state.agent_id, talk.timeline()[-1]) == ("ann", "supervisor_alerted")
    assert talk.ticket().waiting.urgent


def test_a_breach_opens_what_was_kept_for_one_agent_to_all() -> None:
    talk = Conversation().assigned("ann")
    talk.happens(transfer("ann", to_agent="ben"))
    talk.passes(10 * MINUTE)
    assert talk.ticket().waiting.only_agent is None
    assert "transfer_failed" in talk.timeline()


def test_after_a_reroute_the_supervisor_is_called_when_nobody_helps() -> None:
    talk = talk_under(LadderStep(1, Rung.REROUTE), LadderStep(1.5, Rung.SUPERVISOR)).assigned("ann")
    talk.passes(10 * MINUTE)
    assert (talk.state.phase, talk.ordered(RaiseAlert)) == (Phase.QUEUED, [])
    talk.passes(5 * MINUTE)
    assert talk.ordered(RaiseAlert) == [
        RaiseAlert("alr_1_1", AlertKind.SLA, Metric.FIRST_RESPONSE, "sla_breached"),
    ]
    assert happened(talk, "supervisor_alerted")[0][0] == 15 * MINUTE


def test_a_supervisor_called_early_is_not_called_again_by_the_same_step() -> None:
    talk = talk_under(LadderStep(1, Rung.REROUTE), LadderStep(1.5, Rung.SUPERVISOR)).queued()
    talk.passes(10 * MINUTE)
    assert len(talk.ordered(RaiseAlert)) == 1
    assert talk.passes(HOUR) == ()


def test_a_ladder_without_a_supervisor_calls_none() -> None:
    talk = talk_under(LadderStep(1, Rung.REROUTE)).queued()
    talk.passes(HOUR)
    assert talk.timeline() == ["sla_breached"]


def test_an_empty_ladder_only_records() -> None:
    talk = talk_under().assigned("ann")
    talk.passes(HOUR)
    assert (talk.timeline(), talk.state.agent_id) == (["sla_breached"], "ann")


def test_a_step_for_one_metric_leaves_the_others_alone() -> None:
    talk = talk_under(LadderStep(0.5, Rung.SUPERVISOR, (Metric.NEXT_RESPONSE,))).queued()
    talk.passes(9 * MINUTE)
    assert talk.ordered(RaiseAlert) == []


def test_a_ladder_may_take_it_from_one_silent_agent_after_the_other() -> None:
    talk = talk_under(LadderStep(1, Rung.REROUTE), LadderStep(2, Rung.REROUTE)).assigned("ann")
    talk.passes(10 * MINUTE)
    talk.happens(talk.offer_to("ben"))
    talk.happens(talk.accept("ben"))
    talk.passes(10 * MINUTE)
    assert (talk.state.phase, talk.ticket().waiting.excluded) == (Phase.QUEUED, ("ben",))
    assert talk.state.tallies.reroutes == 2


def test_the_ladder_stands_still_with_its_clock() -> None:
    talk = Conversation().pending("ann")
    assert talk.clock(Metric.RESOLUTION).rung_at is None
    talk.passes(10 * MINUTE)
    talk.happens(talk.wrote())
    assert talk.clock(Metric.RESOLUTION).rung_at == START + 10 * MINUTE + 0.8 * 4 * HOUR


def test_a_new_ladder_repeats_nothing_and_is_taken_up_where_it_stands() -> None:
    talk = Conversation().queued()
    talk.passes(9 * MINUTE)
    promise = replace(
        PROMISE, version=2, ladder=(LadderStep(0.5, Rung.RAISE), LadderStep(0.6, Rung.SUPERVISOR), *DEFAULT_LADDER[2:])
    )
    talk.happens(TermsChanged(replace(CASE, promise=promise), "the ladder was changed"))
    talk.passes(timedelta(0))
    assert "urgency_raised" not in talk.timeline()
    assert happened(talk, "supervisor_alerted")[0][1]["cause"] == "sla_at_risk"


@pytest.mark.parametrize("late", [timedelta(0), HOUR])
def test_a_worker_that_was_away_takes_every_step_once_it_is_back(late: timedelta) -> None:
    talk = talk_under(*DEFAULT_LADDER).queued()
    talk.passes(20 * MINUTE + late)
    assert talk.timeline() == ["urgency_raised", "suggestion_due", "sla_breached", "supervisor_alerted"]
    assert happened(talk, "sla_breached")[0][0] == 10 * MINUTE


def test_no_more_reroutes_than_the_house_allows() -> None:
    steps = (LadderStep(1, Rung.REROUTE), LadderStep(2, Rung.SUPERVISOR))
    talk = talk_under(*steps)
    talk.case = replace(talk.case, rules=replace(RULES, max_reroutes=0))
    talk.assigned("ann")
    talk.passes(10 * MINUTE)
    assert (talk.state.agent_id, "supervisor_alerted" in talk.timeline()) == ("ann", True)


def test_steps_stand_in_their_order_and_within_reason() -> None:
    with pytest.raises(ValueError, match="order"):
        replace(PROMISE, ladder=(LadderStep(1, Rung.REROUTE), LadderStep(0.5, Rung.RAISE)))
    with pytest.raises(ValueError, match="share"):
        LadderStep(0, Rung.RAISE)
