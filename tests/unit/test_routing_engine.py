from dataclasses import replace
from datetime import UTC, datetime, time, timedelta

import numpy as np
import pytest

from domain.routing.matching import match
from domain.routing.model import (
    AgentCapacity,
    CustomerHours,
    Exclusion,
    ExclusionCount,
    SkillNeed,
    SoonFree,
    SuccessEstimate,
    UnmatchedReason,
    WaitingCase,
)
from domain.routing.policy import LateOrder, OverflowRule, RoutingPolicy, UrgencyWeights, WaitingWorth, WideningStep
from domain.routing.queue import WaitingQueue

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)


class Likely:
    """Probabilities by agent, 0.6 for the others."""

    version = "fixed-1"

    def __init__(self, **by_agent: float) -> None:
        self._by_agent = by_agent

    def probability(self, agent_id, intent, product, segment, channel):  # noqa: ANN001, ANN201, ARG002 - the protocol's
        return SuccessEstimate(self._by_agent.get(agent_id, 0.6), 0.6, 30, 0.05)

    def probabilities(self, agent_ids, intent, product, segment, channel):  # noqa: ANN001, ANN201, ARG002 - the protocol's
        return np.array([self._by_agent.get(one, 0.6) for one in agent_ids]), np.full(len(agent_ids), 0.05)


def waiting(name: str = "one", *, waited: timedelta = timedelta(minutes=1), **changes: object) -> WaitingCase:
    case = WaitingCase(name, 1, "support", NOW - waited, "web_chat", 34)
    return replace(case, **changes)


def agent(name: str = "ann", **changes: object) -> AgentCapacity:
    return replace(AgentCapacity(name, ("support",), 100, frozenset({"web_chat", "voice", "email"})), **changes)


def taken(cases: list[WaitingCase], staff: list[AgentCapacity], policy: RoutingPolicy | None = None, **more: object):  # noqa: ANN201
    success = more.pop("success", Likely())
    return match(cases, staff, policy or RoutingPolicy(), success, more.pop("now", NOW), **more)


def who(
    cases: list[WaitingCase], staff: list[AgentCapacity], policy: RoutingPolicy | None = None, **more: object
) -> dict[str, str]:
    return {one.conversation_id: one.agent_id for one in taken(cases, staff, policy, **more).decisions}


def test_the_more_likely_agent_gets_the_case() -> None:
    assert who([waiting()], [agent("ann"), agent("bob")], success=Likely(bob=0.9)) == {"one": "bob"}


def test_the_whole_queue_is_solved_at_once_and_not_case_by_case() -> None:
    class Apart(Likely):
        def probabilities(self, agent_ids, intent, product, segment, channel):  # noqa: ANN001, ANN202, ARG002 - the protocol's
            table = {("ann", "easy"): 0.95, ("bob", "easy"): 0.9, ("ann", "rare"): 0.9, ("bob", "rare"): 0.2}
            return np.array([table[one, intent] for one in agent_ids]), np.zeros(len(agent_ids))

    busy = {"load": 66}
    cases = [waiting("older", intent="easy", waited=timedelta(minutes=2)), waiting("newer", intent="rare")]
    assert who(cases, [agent("ann", **busy), agent("bob", **busy)], success=Apart()) == {"older": "bob", "newer": "ann"}


def test_equals_go_to_whoever_was_idle_the_longest_then_by_name() -> None:
    long_idle = agent("zoe", last_assigned_at=NOW - timedelta(minutes=20))
    assert who([waiting()], [agent("ann", last_assigned_at=NOW), long_idle]) == {"one": "zoe"}
    assert who([waiting()], [agent("bob"), agent("ann")]) == {"one": "ann"}


@pytest.mark.parametrize(
    ("case", "staff", "reason"),
    [
        (waiting(languages=frozenset({"fr"})), agent(languages=frozenset({"en"})), Exclusion.LANGUAGE),
        (waiting(required_skills=(SkillNeed("billing", 3),)), agent(skills={"billing": 2}), Exclusion.SKILL),
        (waiting(), agent(pools=("sales",)), Exclusion.POOL),
        (waiting(channel="sms"), agent(), Exclusion.PRESENCE),
        (waiting(), agent(transfers_only=True), Exclusion.PRESENCE),
        (waiting(), agent(load=70), Exclusion.CAPACITY),
        (waiting(), agent(channel_ceilings={"web_chat": 1}, channel_load={"web_chat": 1}), Exclusion.CEILING),
        (waiting(excluded=frozenset({"ann"})), agent(), Exclusion.DECLINED),
        (waiting(only_agent="bob"), agent(), Exclusion.NAMED_OTHER),
        (
            waiting(expected_handle=timedelta(minutes=30)),
            agent(shift_ends_at=NOW + timedelta(minutes=10)),
            Exclusion.SHIFT_END,
        ),
        (
            waiting(channel="voice", customer_hours=CustomerHours("Asia/Tokyo", time(9), time(18))),
            agent(),
            Exclusion.CUSTOMER_HOURS,
        ),
    ],
)
def test_each_hard_constraint_excludes_with_its_reason(
    case: WaitingCase, staff: AgentCapacity, reason: Exclusion
) -> None:
    answer = taken([case], [staff])
    assert not answer.decisions
    assert answer.unmatched[0].exclusions == (ExclusionCount(reason, 1),)


def test_a_named_transfer_reaches_an_agent_who_takes_transfers_only_whatever_their_skills() -> None:
    case = waiting(only_agent="ann", required_skills=(SkillNeed("billing", 5),), pool="elsewhere")
    assert who([case], [agent("ann", transfers_only=True), agent("bob")]) == {"one": "ann"}


def test_units_of_several_cases_in_one_pass_never_pass_the_capacity() -> None:
    cases = [waiting(str(at), units=units) for at, units in enumerate((34, 34, 34, 15, 15))]
    answer = taken(cases, [agent(load=20)])
    assert sum(one.units for one in answer.decisions) <= 80
    assert len(answer.decisions) >= 3


def test_widening_is_an_absolute_deadline_and_told_as_the_next_change() -> None:
    policy = RoutingPolicy(widening=(WideningStep(timedelta(minutes=5), lower_levels=2),))
    case = waiting(required_skills=(SkillNeed("billing", 4),), waited=timedelta(minutes=3))
    staff = [agent(skills={"billing": 2})]
    before = taken([case], staff, policy)
    assert before.next_change_at == case.queued_at + timedelta(minutes=5)
    after = taken([case], staff, policy, now=before.next_change_at)
    assert after.decisions[0].widening_step == 1
    assert after.decisions[0].waited == timedelta(minutes=5)


def test_widening_that_narrows_is_refused() -> None:
    with pytest.raises(ValueError, match="only widen"):
        RoutingPolicy(widening=(WideningStep(timedelta(minutes=5), 2), WideningStep(timedelta(minutes=9), 1)))


def test_a_decliner_is_asked_again_only_when_the_cool_down_is_over_and_nobody_else_is_there() -> None:
    case = waiting(excluded=frozenset({"ann"}), exclusions_clear_at=NOW + timedelta(minutes=1))
    alone = taken([case], [agent("ann")])
    assert not alone.decisions
    assert alone.next_change_at == case.exclusions_clear_at
    later = case.exclusions_clear_at
    assert who([case], [agent("ann")], now=later) == {"one": "ann"}
    assert who([case], [agent("ann"), agent("bob", load=100)], now=later) == {}


def test_a_full_affine_agent_is_waited_for_but_not_for_long() -> None:
    policy = RoutingPolicy(waiting=WaitingWorth(affinity_wait=timedelta(minutes=2)))
    case = waiting(affinity_agent="ann", affinity_at=NOW - timedelta(hours=1), waited=timedelta(seconds=90))
    staff = [agent("ann", load=100), agent("bob")]
    young = taken([case], staff, policy)
    assert young.unmatched[0].reason is UnmatchedReason.WAITING_IS_BETTER
    assert young.unmatched[0].waits_for == "ann"
    assert young.next_change_at == case.queued_at + timedelta(minutes=2)
    assert who([case], staff, policy, now=young.next_change_at) == {"one": "bob"}


def test_a_much_better_agent_soon_free_is_worth_a_wait_unless_a_deadline_is_near() -> None:
    soon = [SoonFree("ann", NOW + timedelta(seconds=30), 34)]
    staff = [agent("ann", load=100), agent("bob")]
    likely = Likely(ann=0.95, bob=0.2)
    waits = taken([waiting()], staff, soon_free=soon, success=likely)
    assert waits.unmatched[0].waits_for == "ann"
    assert waits.next_change_at == soon[0].at
    near = waiting(next_breach_at=NOW + timedelta(seconds=40))
    assert who([near], staff, soon_free=soon, success=likely) == {"one": "bob"}


def test_one_soon_free_place_keeps_only_one_case_waiting() -> None:
    soon = [SoonFree("ann", NOW + timedelta(seconds=30), 34)]
    staff = [agent("ann", load=100), agent("bob")]
    answer = taken([waiting("a"), waiting("b")], staff, soon_free=soon, success=Likely(ann=0.95, bob=0.2))
    assert len(answer.decisions) == 1
    assert answer.decisions[0].agent_id == "bob"


SPARING = RoutingPolicy(
    urgency=UrgencyWeights(base=0.5, priority=1.0, late=LateOrder.AFTER_PUNCTUAL), waiting=WaitingWorth(spare_below=1.2)
)
FREED = agent("ann", load=66, freed_at=NOW - timedelta(seconds=30))


def late(name: str = "one", **changes: object) -> WaitingCase:
    return waiting(name, **{"next_breach_at": NOW - timedelta(seconds=9), "priority": 5, **changes})


def test_the_last_place_freed_lately_is_kept_from_a_late_case_of_little_urgency() -> None:
    answer = taken([late()], [FREED], SPARING)
    assert [one.reason for one in answer.unmatched] == [UnmatchedReason.PLACE_KEPT_FREE]
    assert answer.next_change_at == NOW + timedelta(seconds=90)
    assert who([late(), waiting("in time", next_breach_at=NOW)], [FREED], SPARING) == {"in time": "ann"}


@pytest.mark.parametrize(
    ("case", "staff"),
    [
        (late(), [FREED, agent("bob", load=66)]),
        (late(), [replace(FREED, freed_at=NOW - timedelta(minutes=2))]),
        (late(priority=1), [FREED]),
        (late(only_agent="ann"), [FREED]),
        (waiting(next_breach_at=NOW), [FREED]),
        (waiting(), [FREED]),
    ],
    ids=["another is free", "long free", "urgent", "named", "in time", "without a deadline"],
)
def test_nothing_else_is_put_off_for_a_last_place(case: WaitingCase, staff: list[AgentCapacity]) -> None:
    assert set(who([case], staff, SPARING)) == {"one"}


def test_of_two_late_cases_the_less_urgent_is_put_off_and_an_agent_for_transfers_is_no_place() -> None:
    for_transfers = agent("zoe", transfers_only=True)
    cases = [late("less"), late("more", priority=4)]
    staff = [FREED, agent("bob", load=66, freed_at=NOW - timedelta(seconds=30)), for_transfers]
    assert set(who(cases, staff, SPARING)) == {"more"}


OVERFLOW = OverflowRule(
    "rush",
    "support",
    waiting_over=1,
    to_generalists=True,
    generalist_skills=2,
    to_pools=("sales",),
    protect_value_over=2.0,
)


def test_a_queue_over_its_limit_goes_to_generalists_at_lower_levels_and_to_the_next_pool() -> None:
    policy = RoutingPolicy(overflow=(OVERFLOW,))
    need = (SkillNeed("billing", 3),)
    generalist = agent("gil", pools=("other", "support"), skills={"billing": 2, "loans": 2}, load=66)
    neighbour = agent("sue", pools=("sales",), skills={"billing": 3}, load=66)
    cases = [waiting("a", required_skills=need), waiting("b", required_skills=need)]
    assert who(cases[:1], [generalist, neighbour], policy) == {}
    answer = taken(cases, [generalist, neighbour], policy)
    assert {one.agent_id for one in answer.decisions} == {"gil", "sue"}
    assert {one.overflow for one in answer.decisions} == {"rush"}


def test_overflow_protects_high_value_and_the_longest_wait_protects_the_others() -> None:
    gold = [waiting(f"gold-{at}", value_weight=3.0) for at in range(2)]
    plain = waiting("plain", value_weight=0.5, waited=timedelta(minutes=9))
    one_place = [agent(load=66)]
    policy = RoutingPolicy(overflow=(OVERFLOW,), longest_wait=timedelta(minutes=10))
    assert "plain" not in who([*gold, plain], one_place, policy)
    assert who([*gold, plain], one_place, policy, now=NOW + timedelta(minutes=2)) == {"plain": "ann"}


def test_an_overflow_rule_reads_as_a_sentence() -> None:
    assert OVERFLOW.sentence == (
        "When in support more than 1 wait, cases may also go to its agents with 2 skills or more, at levels lowered "
        "by 1 and to the pools sales; customers of value 2 or more count 1.5 times."
    )


def test_a_hard_case_spares_who_just_had_hard_ones() -> None:
    tired = agent("ann", recent_hard_cases=4)
    assert who([waiting(hard=True)], [tired, agent("bob")]) == {"one": "bob"}
    assert who([waiting()], [tired, agent("bob")]) == {"one": "ann"}


def test_preferences_decide_between_equals_and_never_against_the_customer() -> None:
    keen = agent("bob", preferences={"loans": 1.0})
    case = waiting(intent="loans")
    answer = taken([case], [agent("ann"), keen], success=Likely(ann=0.61))
    assert answer.decisions[0].agent_id == "bob"
    assert answer.decisions[0].by_preference
    assert who([case], [agent("ann"), keen], success=Likely(ann=0.75)) == {"one": "ann"}


def test_a_decision_tells_why_in_a_sentence() -> None:
    staff = [
        agent("ann", skills={"billing": 4}, languages=frozenset({"fr"}), load=34),
        agent("bob", skills={"billing": 3}, languages=frozenset({"fr"})),
    ]
    case = waiting(
        required_skills=(SkillNeed("billing", 3),),
        languages=frozenset({"fr"}),
        affinity_agent="ann",
        affinity_at=NOW - timedelta(days=7),
    )
    decision = taken([case], staff, success=Likely(ann=0.83)).decisions[0]
    assert decision.sentence == (
        "fr + billing, 0.83 likely to resolve (team 0.60), knows this customer, last 7 d ago, "
        "68 of 100 units taken with it, waited 1 min; next best bob (success -0.402)."
    )
    assert decision.runner_up == "bob"
    assert [one.agent_id for one in decision.candidates] == ["ann", "bob"]


def test_a_kept_queue_answers_as_a_fresh_one_after_cases_came_and_went() -> None:
    cases = [waiting(str(at), waited=timedelta(seconds=at * 7), priority=1 + at % 5) for at in range(90)]
    kept = WaitingQueue(cases)
    for at in (3, 89, 40):
        kept.remove(str(at))
    left = [case for case in cases if case.conversation_id not in {"3", "89", "40"}]
    staff = [agent("ann"), agent("bob", load=34)]
    assert taken(kept, staff) == taken(left, staff)


def test_without_telling_the_unmatched_the_decisions_are_the_same() -> None:
    cases = [waiting(str(at), affinity_agent="bob") for at in range(20)]
    staff = [agent("ann"), agent("bob", load=100), agent("cat", load=100)]
    assert taken(cases, staff, tell_unmatched=False).decisions == taken(cases, staff).decisions


def test_a_conversation_given_twice_or_an_instant_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="twice"):
        taken([waiting(), waiting()], [agent()])
    with pytest.raises(ValueError, match="zone"):
        taken([waiting()], [agent()], now=datetime(2026, 3, 2))  # noqa: DTZ001 - what is refused
