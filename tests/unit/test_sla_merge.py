from datetime import UTC, datetime, time, timedelta

from domain.sla.calendar import Calendar
from domain.sla.clock import Clock, ClockState, breach, clock_for, meet, pause, resume, start_clock, warn
from domain.sla.merge import merge_clocks
from domain.sla.policy import Metric, PolicyId, SlaTargets, SlaTerms

HOUR = timedelta(hours=1)
MONDAY = datetime(2026, 3, 2, tzinfo=UTC)
OFFICE = Calendar("UTC", (((time(9), time(17)),),) * 5 + ((), ()))
SURVIVING_EPISODE = 3


def at(hours: float) -> datetime:
    return MONDAY + hours * HOUR


def terms(target: timedelta = 10 * HOUR, calendar: Calendar | None = None) -> SlaTerms:
    return SlaTerms(PolicyId("p"), 1, SlaTargets(resolution=target, next_response=target), 0.8, calendar)


def clock(when: float, episode: int, under: SlaTerms, metric: Metric = Metric.RESOLUTION) -> Clock:
    begun = start_clock(under, metric, episode, at(when))
    assert begun is not None
    return begun


def merged(
    ours: Clock | None,
    theirs: Clock,
    when: float,
    our_terms: SlaTerms | None = None,
    their_terms: SlaTerms | None = None,
) -> Clock:
    clocks = merge_clocks(
        () if ours is None else (ours,),
        our_terms or terms(),
        (theirs,),
        their_terms or terms(),
        SURVIVING_EPISODE,
        at(when),
    )
    kept = clock_for(clocks, theirs.metric, SURVIVING_EPISODE)
    assert kept is not None
    return kept


def test_the_earlier_deadline_of_the_two_is_kept() -> None:
    early, late = clock(0, SURVIVING_EPISODE, terms()), clock(5, SURVIVING_EPISODE, terms())
    assert merged(early, late, 6) == early
    taken = merged(late, early, 6)
    assert (taken.due_at, taken.warn_at, taken.target, taken.used) == (at(10), at(8), 10 * HOUR, 6 * HOUR)


def test_a_deadline_taken_over_belongs_to_the_survivors_episode() -> None:
    taken = merged(None, clock(0, 7, terms()), 1)
    assert (taken.episode, taken.number) == (SURVIVING_EPISODE, 1)


def test_an_open_promise_outlasts_an_ended_one() -> None:
    answered = meet(clock(0, SURVIVING_EPISODE, terms()), at(1))
    taken = merged(answered, clock(4, 1, terms()), 5)
    assert (taken.due_at, taken.number) == (at(14), 2)
    assert merged(clock(4, SURVIVING_EPISODE, terms()), answered, 5).due_at == at(14)


def test_metrics_only_one_of_them_has_are_all_kept() -> None:
    ours = clock(0, SURVIVING_EPISODE, terms())
    theirs = clock(0, 1, terms(), Metric.NEXT_RESPONSE)
    clocks = merge_clocks((ours,), terms(), (theirs,), terms(), SURVIVING_EPISODE, at(1))
    assert [kept.metric for kept in clocks] == [Metric.RESOLUTION, Metric.NEXT_RESPONSE]


def test_a_breach_of_either_stays_and_is_not_repeated() -> None:
    breached = breach(clock(0, 1, terms()), at(10))
    running = clock(5, SURVIVING_EPISODE, terms())
    taken = merged(running, breached, 12)
    assert (taken.state, taken.breached_at) == (ClockState.BREACHED, at(10))
    assert breach(taken, at(100)) == taken


def test_a_deadline_passed_unnoticed_is_a_breach_at_its_instant() -> None:
    assert merged(None, clock(0, 1, terms()), 12).breached_at == at(10)
    assert merged(clock(0, SURVIVING_EPISODE, terms()), clock(5, 1, terms()), 12).breached_at == at(10)


def test_a_warning_given_before_the_merge_is_not_given_again() -> None:
    taken = merged(None, warn(clock(0, 1, terms()), at(8)), 9)
    assert (taken.warned_at, taken.warn_at) == (at(8), None)


def test_a_deadline_keeps_its_instant_under_another_calendar() -> None:
    theirs = clock(16, 1, terms(calendar=OFFICE))
    taken = merged(None, theirs, 20, their_terms=terms(calendar=OFFICE))
    assert taken.due_at == theirs.due_at == at(24 + 24 + 10)
    assert taken.used == HOUR
    left = at(24 + 24 + 10) - at(20)
    assert taken.target == HOUR + left
    assert resume(pause(taken, at(20)), terms(), at(21)).due_at == at(24 + 24 + 11)


def test_a_paused_promise_competes_as_if_it_ran_on_now() -> None:
    paused = pause(clock(0, 1, terms()), at(9))
    taken = merged(clock(15, SURVIVING_EPISODE, terms()), paused, 20)
    assert (taken.state, taken.used) == (ClockState.PAUSED, 9 * HOUR)
    assert resume(taken, terms(), at(20)).due_at == at(21)
    nearly_done = clock(10.5, SURVIVING_EPISODE, terms())
    assert merged(nearly_done, paused, 20) == nearly_done
