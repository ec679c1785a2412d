"""What the rules promise to people: customers in an overflow, agents at the end of a shift or worn out, assistants."""

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from domain.routing.matching import match
from domain.routing.model import AgentCapacity, AgentKind, CustomerHours, WaitingCase
from domain.routing.policy import CostWeights, OverflowRule, RoutingPolicy, WaitingWorth
from domain.routing.presets import live_calls
from domain.routing.success import SuccessLearner

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
NOTHING_LEARNED = SuccessLearner().model()
CALLS = frozenset({"voice"})
RUSH = OverflowRule("rush", "support", waiting_over=1, protect_value_over=2.0, protection=3.0)


def waiting(name: str, *, waited: timedelta = timedelta(), **changes: object) -> WaitingCase:
    return replace(WaitingCase(name, 1, "support", NOW - waited, "voice", 100), **changes)


def agent(name: str, **changes: object) -> AgentCapacity:
    return replace(AgentCapacity(name, ("support",), 100, CALLS), **changes)


@settings(max_examples=50, deadline=None)
@given(
    st.integers(2, 6),
    st.floats(2.0, 50.0),
    st.floats(0.05, 1.0),
    st.integers(1, 5),
    st.integers(3, 20),
)
def test_under_an_endless_rush_of_gold_nobody_waits_much_past_the_bound(
    golds: int, gold_value: float, plain_value: float, plain_priority: int, bound_minutes: int
) -> None:
    """One agent takes a call a minute, `golds` new gold customers come in each: the plain one is still answered."""
    bound = timedelta(minutes=bound_minutes)
    policy = RoutingPolicy(overflow=(RUSH,), longest_wait=bound)
    plain = waiting("plain", waited=timedelta(seconds=1), value_weight=plain_value, priority=plain_priority)
    queue = {plain.conversation_id: plain}
    for minute in range(bound_minutes + 3):
        now = NOW + timedelta(minutes=minute)
        for at in range(golds):
            one = WaitingCase(f"gold-{minute}-{at}", 1, "support", now, "voice", 100, priority=1)
            queue[one.conversation_id] = replace(one, value_weight=gold_value)
        (decision,) = match(list(queue.values()), [agent("ann")], policy, NOTHING_LEARNED, now).decisions
        del queue[decision.conversation_id]
        if decision.conversation_id == "plain":
            assert minute > 0, "gold goes first while nobody has waited past the bound"
            break
    assert "plain" not in queue
    assert decision.waited <= bound + timedelta(minutes=1, seconds=1)


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 5), st.integers(1, 5), st.floats(2.0, 10.0), st.integers(0, 300))
def test_while_a_queue_overflows_the_protected_go_before_equals_who_are_not(
    gold_priority: int, plain_priority: int, value: float, seconds: int
) -> None:
    waited = timedelta(seconds=seconds)
    gold = waiting("gold", waited=waited, value_weight=value, priority=min(gold_priority, plain_priority))
    plain = waiting("plain", waited=waited, priority=max(gold_priority, plain_priority))
    (decision,) = match([gold, plain], [agent("ann")], RoutingPolicy(overflow=(RUSH,)), NOTHING_LEARNED, NOW).decisions
    assert decision.conversation_id == "gold"
    assert any(part.name == "value" and part.value > 0 for part in decision.urgency_parts)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.integers(1, 240), min_size=1, max_size=5),
    st.lists(st.one_of(st.none(), st.integers(-5, 180)), min_size=1, max_size=4),
    st.lists(st.sampled_from((0.5, 1.0, 1.25, 2.0)), min_size=4, max_size=4),
    st.sampled_from((1.0, 1.5)),
)
def test_no_work_is_given_that_would_outlast_the_shift(
    work: list[int], left: list[int | None], pace: list[float], factor: float
) -> None:
    cases = [waiting(f"case-{at}", expected_handle=timedelta(minutes=one)) for at, one in enumerate(work)]
    staff = [
        agent(
            f"agent-{at}",
            shift_ends_at=None if one is None else NOW + timedelta(minutes=one),
            pace=pace[at],
        )
        for at, one in enumerate(left)
    ]
    by_id = {one.agent_id: one for one in staff}
    answer = match(cases, staff, RoutingPolicy(shift_end_factor=factor), NOTHING_LEARNED, NOW)
    for decision in answer.decisions:
        taker = by_id[decision.agent_id]
        if taker.shift_ends_at is not None:
            assert decision.case.expected_handle is not None
            assert decision.case.expected_handle * taker.pace * factor <= taker.shift_ends_at - NOW
            assert taker.shift_ends_at > NOW


@settings(max_examples=50, deadline=None)
@given(
    st.sampled_from(("Europe/Paris", "America/New_York", "Asia/Kolkata", "Pacific/Auckland")),
    st.integers(0, 23),
    st.integers(0, 23),
    st.integers(0, 47),
)
def test_nobody_is_called_outside_their_local_hours_and_the_next_opening_is_told(
    zone: str, opens: int, closes: int, half_hours: int
) -> None:
    now = NOW + timedelta(minutes=30 * half_hours)
    hours = CustomerHours(zone, time(opens), time(closes))
    case = waiting("one", customer_hours=hours)
    local = now.astimezone(ZoneInfo(zone)).time()
    is_open = opens <= local.hour < closes if opens <= closes else local.hour >= opens or local.hour < closes
    answer = match([case], [agent("ann")], RoutingPolicy(), NOTHING_LEARNED, now)
    assert bool(answer.decisions) == is_open
    if not is_open and opens != closes:
        assert answer.next_change_at is not None
        assert now < answer.next_change_at <= now + timedelta(hours=24)
        assert answer.next_change_at.astimezone(ZoneInfo(zone)).hour == opens


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 20), st.one_of(st.just(0.0), st.floats(0.1, 12.0)), st.booleans())
def test_the_worn_out_are_spared_but_nobody_is_left_waiting_for_it(hard_cases: int, hours: float, hard: bool) -> None:
    tired = agent("ann", recent_hard_cases=hard_cases, time_at_full_load=timedelta(hours=hours))
    case = waiting("one", hard=hard)
    worn = bool(hours) or (hard and bool(hard_cases))
    both = match([case], [tired, agent("bob")], RoutingPolicy(), NOTHING_LEARNED, NOW).decisions
    assert [one.agent_id for one in both] == ["bob" if worn else "ann"]
    (alone,) = match([case], [tired], RoutingPolicy(), NOTHING_LEARNED, NOW).decisions
    guard = -sum(part.value for part in alone.parts if part.name in {"strain", "hard_cases"})
    assert 0 <= guard <= CostWeights().burn_out_cap + 1e-9
    assert alone.score > 0


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 3), st.integers(1, 8), st.floats(0.0, 30.0))
def test_an_assistant_takes_what_fits_and_a_price_never_leaves_a_customer_waiting(
    held: int, queue: int, price: float
) -> None:
    assistant = AgentCapacity(
        "assistant", ("support",), 100, frozenset({"web_chat"}), load=held * 25, kind=AgentKind.AI, cost_per_case=price
    )
    cases = [WaitingCase(f"case-{at}", at, "support", NOW, "web_chat", 25) for at in range(queue)]
    calls = [waiting("call")]
    answer = match([*cases, *calls], [assistant], RoutingPolicy(), NOTHING_LEARNED, NOW)
    assert len(answer.decisions) == min(queue, 4 - held)
    assert all(one.case.channel == "web_chat" and one.score > 0 for one in answer.decisions)


@settings(max_examples=50, deadline=None)
@given(st.floats(0.01, 30.0))
def test_between_equals_the_cheaper_takes_it(price: float) -> None:
    assistant = agent("assistant", kind=AgentKind.AI, cost_per_case=price)
    (decision,) = match([waiting("one")], [assistant, agent("zoe")], RoutingPolicy(), NOTHING_LEARNED, NOW).decisions
    assert decision.agent_id == "zoe"


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 300), st.integers(10, 900)), min_size=1, max_size=6),
    st.lists(st.booleans(), min_size=1, max_size=4),
    st.floats(0.1, 5.0),
)
def test_a_place_is_kept_from_late_cases_only_and_never_more_than_one(
    calls: list[tuple[int, int]], freed_lately: list[bool], below: float
) -> None:
    """Against the same policy that keeps none: nobody gets what they had not, and who loses had the last place."""
    target = timedelta(seconds=20)
    cases = [
        waiting(
            f"case-{at}",
            waited=timedelta(seconds=waited),
            next_breach_at=NOW - timedelta(seconds=waited) + target,
            expected_handle=timedelta(seconds=work),
        )
        for at, (waited, work) in enumerate(calls)
    ]
    staff = [agent(f"agent-{at}", freed_at=NOW if lately else None) for at, lately in enumerate(freed_lately)]
    plain = replace(live_calls(), waiting=WaitingWorth(affinity_wait=timedelta()))
    sparing = replace(plain, waiting=replace(plain.waiting, spare_below=below))
    before = {one.conversation_id: one for one in match(cases, staff, plain, NOTHING_LEARNED, NOW).decisions}
    after = {one.conversation_id for one in match(cases, staff, sparing, NOTHING_LEARNED, NOW).decisions}
    assert after <= before.keys()
    put_off = [before[one] for one in before.keys() - after]
    assert len(put_off) <= 1
    for one in put_off:
        assert one.waited > target
        assert one.urgency < below
        assert len(before) == len(staff)
        assert freed_lately[int(one.agent_id.removeprefix("agent-"))]
