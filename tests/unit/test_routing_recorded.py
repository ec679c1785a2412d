from dataclasses import replace
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from domain.routing.model import AgentCapacity, SkillNeed, WaitingCase
from domain.routing.policy import RoutingPolicy, WideningStep
from domain.routing.presets import tickets
from domain.routing.success import SuccessLearner
from simulator.routing.recorded import PoolPolicies, RecordedAgent, RecordedCase, compare
from simulator.routing.trace import Presence
from storage.ledger.routing_history import DecidedCase
from workers.replay import NothingToReplayError, other_policies, other_staff, read_policy, recorded_cases

NINE = datetime(2026, 3, 2, 9, tzinfo=UTC)
NOTHING_LEARNED = SuccessLearner().model()
USUAL = PoolPolicies(RoutingPolicy())
MINUTE = timedelta(minutes=1)


def told(name: str, second: int, **changes: object) -> WaitingCase:
    case = WaitingCase(name, 1, "support", NINE + timedelta(seconds=second), "web_chat", 34)
    return replace(case, **changes)


def stay(name: str, second: int, *, by: str | None = "ann", minutes: int = 5, **changes: object) -> RecordedCase:
    case = told(name, second, **changes)
    taken_at = None if by is None else case.queued_at + timedelta(seconds=10)
    return RecordedCase(name, case, timedelta(minutes=minutes), by, taken_at)


def online(name: str, **changes: object) -> RecordedAgent:
    agent = replace(AgentCapacity(name, ("support",), 34, frozenset({"web_chat"})), **changes)
    return RecordedAgent(agent, (Presence(NINE, NINE + timedelta(hours=1)),))


def test_a_period_under_its_own_policy_and_staff_changes_nothing() -> None:
    cases, staff = [stay("a", 0), stay("b", 5), stay("c", 30)], [online("ann"), online("bob")]
    same = compare(cases, staff, staff, USUAL, USUAL, NOTHING_LEARNED)
    assert same.changed == ()
    assert same.present == same.other
    assert same.recorded.mean_wait == pytest.approx(10)
    assert [(one.agent_id, one.cases, one.other_cases) for one in same.agents] == [("ann", 2, 2), ("bob", 1, 1)]


def test_one_agent_fewer_makes_customers_wait_and_miss_their_promise() -> None:
    promised = NINE + timedelta(minutes=2)
    cases = [stay("a", 0), stay("b", 5, next_breach_at=promised)]
    staff = [online("ann"), online("bob")]
    fewer = compare(cases, staff, staff[:1], USUAL, USUAL, NOTHING_LEARNED)
    assert (fewer.present.on_time, fewer.other.on_time) == (1.0, 0.0)
    (changed,) = fewer.changed
    assert (changed.conversation_id, changed.agent, changed.other_agent) == ("b", "bob", "ann")
    assert (changed.wait, changed.other_wait) == (0.0, 295.0)


def test_another_policy_is_asked_at_the_instants_at_which_it_widens() -> None:
    cases = [stay("a", 0, required_skills=(SkillNeed("billing", 3),))]
    staff = [online("ann", skills={"billing": 2})]
    widening = RoutingPolicy(widening=(WideningStep(timedelta(seconds=90), 1),))
    never = compare(cases, staff, staff, USUAL, PoolPolicies(widening), NOTHING_LEARNED)
    assert (never.present.taken, never.other.taken) == (0, 1)
    assert never.other.mean_wait == 90


def test_each_pool_is_replayed_under_its_own_policy_and_shared_agents_are_given_once() -> None:
    needs = (SkillNeed("billing", 3),)
    cases = [stay("a", 0, pool="hotline", required_skills=needs), stay("b", 0, required_skills=needs)]
    staff = [online("ann", pools=("support", "hotline"), skills={"billing": 2})]
    widening = RoutingPolicy(widening=(WideningStep(timedelta(seconds=90), 1),))
    one = compare(cases, staff, staff, USUAL, PoolPolicies(RoutingPolicy(), {"hotline": widening}), NOTHING_LEARNED)
    assert {case.case_id: case.other_agent for case in one.changed} == {"a": "ann"}
    both = compare(cases, staff, staff, USUAL, PoolPolicies(widening), NOTHING_LEARNED)
    assert sorted(case.other_wait for case in both.changed if case.other_wait is not None) == [90, 390]


def test_policies_are_asked_for_all_pools_or_for_one() -> None:
    present = PoolPolicies(RoutingPolicy(version="now"), {"hotline": RoutingPolicy(version="calls now")})
    assert other_policies(present, []) == present
    assert other_policies(present, ["tickets"]) == PoolPolicies(tickets())
    mixed = other_policies(present, ["back_office=tickets"])
    assert mixed.versions == ("now", "tickets-1", "calls now")
    assert [mixed.of(pool).version for pool in ("hotline", "back_office", "new")] == ["calls now", "tickets-1", "now"]
    with pytest.raises(NothingToReplayError, match="two policies are asked for hotline"):
        other_policies(present, ["hotline=tickets", "hotline=live_calls"])


def test_ceilings_and_what_an_agent_already_holds_are_kept_while_it_is_replayed() -> None:
    cases = [stay("a", 0), stay("b", 1)]
    staff = [online("ann", capacity=100, channel_ceilings={"web_chat": 1})]
    held = compare(cases, staff, staff, USUAL, USUAL, NOTHING_LEARNED)
    assert held.present.taken == 2
    assert held.present.mean_wait == pytest.approx(299 / 2)


def decided(name: str, second: int, *, queued: int = 0, by: str | None = None, until: int | None = None) -> DecidedCase:
    at = NINE + timedelta(seconds=second)
    ended = None if until is None else NINE + timedelta(seconds=until)
    return DecidedCase(at, "policy-1", "model-1", told(name, queued), by, None if by is None else at, ended)


def test_repeated_offers_of_one_stay_are_one_case_and_a_later_stay_is_another() -> None:
    decisions = [
        decided("a", 1),
        decided("a", 31, by="bob", until=91),
        decided("a", 600, queued=590, by="ann"),
        decided("b", 5),
    ]
    first, later, open_one = recorded_cases(decisions, NINE + timedelta(seconds=900))
    assert (first.taken_by, first.work) == ("bob", MINUTE)
    assert (later.taken_by, later.work) == ("ann", timedelta(seconds=300))
    assert (open_one.taken_by, open_one.work) == (None, MINUTE)
    assert len({first.case_id, later.case_id, open_one.case_id}) == 3


def test_a_staff_may_lose_some_and_gain_twins_but_only_of_who_was_there() -> None:
    staff = [online("ann"), online("bob")]
    names = [one.agent.agent_id for one in other_staff(staff, ["ann"], ["bob", "bob"])]
    assert names == ["bob", "bob (twin 1)", "bob (twin 2)"]
    with pytest.raises(NothingToReplayError, match="cat"):
        other_staff(staff, ["cat"], [])


def test_a_policy_file_is_read_back_as_printed_and_a_misspelt_knob_is_refused(tmp_path) -> None:  # noqa: ANN001 - pytest's path
    policy = RoutingPolicy(version="mine-1", widening=(WideningStep(timedelta(seconds=90), 1),))
    path = tmp_path / "policy.json"
    path.write_bytes(msgspec.json.encode(policy))
    assert read_policy(str(path)) == policy
    assert read_policy("tickets") == tickets()
    path.write_text('{"urgency": {"wiat": 2.0}}')
    with pytest.raises(NothingToReplayError, match=r"urgency\.wiat"):
        read_policy(str(path))
    path.write_text('{"epsilon": -1}')
    with pytest.raises(NothingToReplayError, match="negative"):
        read_policy(str(path))


def test_nothing_recorded_is_said_and_not_simulated() -> None:
    with pytest.raises(ValueError, match="nothing to replay"):
        compare([], [online("ann")], [online("ann")], USUAL, USUAL, NOTHING_LEARNED)
