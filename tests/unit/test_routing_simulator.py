from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from domain.routing.presets import live_calls, tickets
from domain.routing.success import SuccessLearner
from simulator.routing.baselines import (
    BestAvailable,
    Bullseye,
    FirstComeLongestIdle,
    GeneralisedCMu,
    GreedyBestPair,
    HighestSpareCapacity,
    MaxWeight,
    PriorityFirst,
    PunctualFirst,
    RoundRobin,
    ShortestPunctualFirst,
    SkillsWithTimeout,
    SpecialistFirst,
    shares_of_intents,
)
from simulator.routing.bound import fluid_score
from simulator.routing.call_log import CallTraces, LoggedCall, read_calls
from simulator.routing.engine import Router, simulate
from simulator.routing.generated import generated_day, generated_resolutions
from simulator.routing.incident_log import incident_trace, read_incidents
from simulator.routing.measures import measure, over_seeds
from simulator.routing.ours import WholeQueue
from simulator.routing.patience import kaplan_meier
from simulator.routing.trace import Presence, Trace, TraceAgent, TraceCase

NINE = datetime(2026, 3, 2, 9, tzinfo=UTC)
NOTHING_LEARNED = SuccessLearner().model()


def call(name: str, second: int, *, work: int = 60, patience: int | None = None) -> TraceCase:
    return TraceCase(
        name,
        NINE + timedelta(seconds=second),
        timedelta(seconds=work),
        timedelta(seconds=work),
        timedelta(seconds=20),
        "voice",
        100,
        patience=None if patience is None else timedelta(seconds=patience),
    )


def one_agent(minutes: int = 60) -> TraceAgent:
    return TraceAgent("ann", (Presence(NINE, NINE + timedelta(minutes=minutes)),), 100, frozenset({"voice"}))


def test_a_case_waits_for_the_agent_and_an_impatient_one_leaves() -> None:
    trace = Trace("t", (call("first", 0), call("second", 10, patience=30), call("third", 20)), (one_agent(),))
    run = simulate(trace, FirstComeLongestIdle())
    assert {one.case.case_id: (one.waited.total_seconds(), one.agent_id) for one in run.outcomes} == {
        "first": (0.0, "ann"),
        "second": (30.0, None),
        "third": (40.0, "ann"),
    }


def test_work_begun_is_finished_after_the_shift_and_nothing_more_begins() -> None:
    trace = Trace("t", (call("first", 50), call("second", 55)), (one_agent(minutes=1),))
    outcomes = {one.case.case_id: one.agent_id for one in simulate(trace, FirstComeLongestIdle()).outcomes}
    assert outcomes == {"first": "ann", "second": None}


def test_the_measures_are_those_of_the_definitions() -> None:
    trace = Trace("t", (call("first", 0), call("second", 10, patience=30), call("third", 20)), (one_agent(),))
    measured = measure([simulate(trace, FirstComeLongestIdle())], NOTHING_LEARNED)
    assert measured.on_time == pytest.approx(1 / 3)
    assert measured.abandoned == pytest.approx(1 / 3)
    assert measured.score == pytest.approx(0.5)
    assert measured.mean_wait == pytest.approx(20)
    assert measured.cost == pytest.approx((40 + 300) / 3)
    assert over_seeds([measured])["score"].half_width is None


ROUTERS = (
    FirstComeLongestIdle,
    PriorityFirst,
    PunctualFirst,
    ShortestPunctualFirst,
    RoundRobin,
    HighestSpareCapacity,
    GeneralisedCMu,
    MaxWeight,
    lambda: SpecialistFirst({}),
    lambda: Bullseye(NOTHING_LEARNED, timedelta(seconds=15)),
    lambda: SkillsWithTimeout(NOTHING_LEARNED, timedelta(seconds=30)),
    lambda: BestAvailable(NOTHING_LEARNED),
    lambda: GreedyBestPair(NOTHING_LEARNED),
    lambda: WholeQueue(live_calls(), NOTHING_LEARNED),
    lambda: WholeQueue(tickets(), NOTHING_LEARNED),
)


@pytest.mark.parametrize("router", ROUTERS)
def test_every_router_accounts_for_every_case_once_and_repeats_itself(router: type[Router]) -> None:
    trace = generated_day(seed=3, cases=150, agents=6)
    run = simulate(trace, router())
    assert sorted(one.case.case_id for one in run.outcomes) == sorted(one.case_id for one in trace.cases)
    assert simulate(trace, router()) == run


def who_got_what(trace: Trace, router: Router) -> dict[str, str | None]:
    return {one.case.case_id: one.agent_id for one in simulate(trace, router).outcomes}


def there(name: str, **changes: object) -> TraceAgent:
    return replace(one_agent(), agent_id=name, **changes)


def test_spare_capacity_is_a_share_and_not_a_number_of_units() -> None:
    chats = tuple(replace(call(f"chat-{at}", at), units=34) for at in range(3))
    trace = Trace("t", chats, (there("big", capacity=200), there("small", capacity=100)))
    assert who_got_what(trace, HighestSpareCapacity()) == {"chat-0": "big", "chat-1": "small", "chat-2": "big"}


def test_the_inner_ring_is_asked_first_and_the_next_opens_in_its_time() -> None:
    history = generated_resolutions(seed=2, agents=2, count=3_000)
    learner = SuccessLearner()
    learner.learn_all(history)
    known = learner.model()
    loan = replace(call("loan", 0), intent="loan")
    odds = {name: known.probability(name, "loan", None, "", "voice").value for name in ("agent-000", "agent-001")}
    best, other = max(odds, key=odds.__getitem__), min(odds, key=odds.__getitem__)
    both = Trace("t", (loan,), (there(best), there(other)))
    assert who_got_what(both, Bullseye(known, timedelta(seconds=15))) == {"loan": best}
    (alone,) = simulate(Trace("t", (loan,), (there(other),)), Bullseye(known, timedelta(seconds=15))).outcomes
    assert (alone.agent_id, alone.waited) == (other, timedelta(seconds=30))


def test_the_specialist_of_a_kind_takes_it_before_who_does_everything() -> None:
    shares = {"ann": {"card": 0.2, "loan": 0.8}, "bob": {"card": 1.0}}
    cards = Trace("t", (replace(call("card", 0), intent="card"),), (there("ann"), there("bob")))
    assert who_got_what(cards, SpecialistFirst(shares)) == {"card": "bob"}
    assert shares_of_intents(generated_resolutions(seed=1, agents=1, count=4)).keys() == {"agent-000"}


def test_gc_mu_takes_the_short_one_of_equal_waits_and_max_weight_the_longer_queue() -> None:
    first = call("first", 0, work=30)
    waiting = (call("long", 5, work=300), replace(call("short", 5, work=60), intent="short"))
    assert [
        one.case.case_id for one in simulate(Trace("t", (first, *waiting), (one_agent(),)), GeneralisedCMu()).outcomes
    ] == [
        "first",
        "short",
        "long",
    ]
    crowd = tuple(replace(call(f"card-{at}", 10, work=100), intent="card") for at in range(3))
    queue = Trace("t", (first, replace(call("loan", 5, work=100), intent="loan"), *crowd), (one_agent(),))
    assert [one.case.case_id for one in simulate(queue, MaxWeight()).outcomes][1] == "card-0"


def test_a_place_is_kept_from_a_long_late_call_for_two_minutes_at_most() -> None:
    calls = (call("first", 0), call("late", 5, work=600))
    router = WholeQueue(live_calls(), NOTHING_LEARNED)
    alone = simulate(Trace("t", calls, (one_agent(),)), router)
    assert [one.waited.total_seconds() for one in alone.outcomes] == [0.0, 60 + 120 - 5]
    router = WholeQueue(live_calls(), NOTHING_LEARNED)
    another = simulate(Trace("t", (*calls, call("in time", 100)), (one_agent(),)), router)
    assert {one.case.case_id: one.waited.total_seconds() for one in another.outcomes} == {
        "first": 0.0,
        "in time": 0.0,
        "late": 160 + 120 - 5,
    }


def test_no_router_beats_the_fluid_bound() -> None:
    trace = generated_day(seed=5, cases=150, agents=6)
    bound = fluid_score(trace)
    for router in ROUTERS:
        assert measure([simulate(trace, router())], NOTHING_LEARNED).score <= bound + 1e-9


def test_equal_seeds_generate_equal_days() -> None:
    assert generated_day(seed=1, cases=50, agents=4) == generated_day(seed=1, cases=50, agents=4)
    assert generated_day(seed=1, cases=50, agents=4) != generated_day(seed=2, cases=50, agents=4)


def test_who_was_answered_is_censored_and_not_patient() -> None:
    curve = kaplan_meier([10, 20, 20, 30, 40], [True, False, True, False, True])
    assert curve.seconds.tolist() == [10, 20, 40]
    assert curve.survival.tolist() == pytest.approx([0.8, 0.6, 0.0])
    assert curve.drawn(0.0, 0.1) == 10
    assert curve.drawn(15.0, 0.9) == 40


def test_a_call_log_becomes_days_with_the_staff_that_was_there(tmp_path) -> None:  # noqa: ANN001 - pytest's path
    rows = [
        "head",
        "L1\t1\t77\t2\tPS\t990201\t9:00:00\t9:00:05\t5\t0:00:00\t0:00:00\t0\tAGENT\t9:00:05\t9:03:05\t180\tZOE",
        "L1\t2\t0\t0\tNW\t990201\t9:01:00\t9:01:05\t5\t9:01:05\t9:01:35\t30\tHANG\t0:00:00\t0:00:00\t0\tNO_SERVER",
        "L1\t3\t0\t0\tNW\t990201\t9:02:00\t9:02:05\t5\t0:00:00\t0:00:00\t0\tHANG\t0:00:00\t0:00:00\t0\tNO_SERVER",
        "L1\t4\t0\t0\tNW\t990201\t9:04:00\t9:04:05\t5\t9:04:05\t9:04:09\t4\tAGENT\t9:04:09\t9:05:09\t60\tZOE",
        "L1\t5\t0\t0\tNW\t990201\t9:04:00\t9:04:05\t5\t0:00:00\t0:00:00\t0\tPHANTOM\t0:00:00\t0:00:00\t0\tNO_SERVER",
        "a row with shifted columns",
    ]
    path = tmp_path / "log.txt"
    path.write_text("\n".join(rows))
    calls = read_calls(path)
    assert [one.served_by for one in calls] == ["ZOE", None, "ZOE"]
    (day,) = CallTraces.of(calls, calls).days(seed=1)
    assert [case.patience for case in day.cases[1:2]] == [timedelta(seconds=30)]
    assert [one.agent_id for one in day.agents] == ["ZOE"]
    assert len(day.agents[0].presences) == 1


def test_the_length_of_a_known_callers_calls_is_expected_again() -> None:
    def past(minute: int, customer: str | None, seconds: int | None) -> LoggedCall:
        spent = None if seconds is None else timedelta(seconds=seconds)
        at = NINE + timedelta(minutes=minute)
        return LoggedCall(str(minute), customer, 1, "PS", at, timedelta(seconds=5), spent and "ZOE", spent)

    calls = [*(past(at, "7", 300) for at in range(12)), *(past(at, None, 60) for at in range(12, 24))]
    (day,) = CallTraces.of([past(40, None, 60), past(41, "7", 60), past(42, "9", None)], calls).days(seed=1)
    assert [case.expected_work.total_seconds() - 25 for case in day.cases] == [180, 240, 180]


def test_an_incident_log_becomes_a_trace_of_the_groups_and_days_that_were(tmp_path) -> None:  # noqa: ANN001 - pytest's path
    names = "number,assigned_to,assignment_group,opened_at,priority,reopen_count"
    head = names.split(",") + [f"c{at}" for at in range(10)] + ["category", "category"]
    rows = [",".join(head)]
    for at in range(40):
        opened = f"1/3/2016 {9 + at // 10}:{at % 10}0" if at % 10 < 6 else f"1/3/2016 {9 + at // 10}:5{at % 10}"
        held = ("7", "9") if at % 4 == 0 else ("9",)
        rows += [",".join([f"{at:03}", who, "G", opened, "3", "0", *["x"] * 10, "C", "S"]) for who in held]
    path = tmp_path / "log.csv"
    path.write_text("\n".join(rows))
    incidents = read_incidents(path)
    assert len(incidents) == 40
    assert incidents[0].assigned == ("7", "9")
    trace = incident_trace(incidents, incidents, seed=1)
    assert [one.agent_id for one in trace.agents] == ["9"]
    assert len(trace.cases) == 40
