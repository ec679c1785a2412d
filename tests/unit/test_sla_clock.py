from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import msgspec

from domain.sla.calendar import Calendar
from domain.sla.clock import (
    Clock,
    ClockState,
    DeadlineKind,
    breach,
    breach_due,
    cancel,
    change_terms,
    clock_for,
    meet,
    next_deadline,
    open_time_used,
    pause,
    resume,
    start_clock,
    warn,
    warn_due,
    with_clock,
)
from domain.sla.policy import Metric, PolicyId, SlaTargets, SlaTerms

HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)
MONDAY = datetime(2026, 3, 2, tzinfo=UTC)
OFFICE = Calendar("UTC", (((time(9), time(17)),),) * 5 + ((), ()))


def at(hours: float) -> datetime:
    return MONDAY + hours * HOUR


def terms(target: timedelta | None = 10 * HOUR, calendar: Calendar | None = None) -> SlaTerms:
    targets = SlaTargets(first_response=target, next_response=HOUR)
    return SlaTerms(PolicyId("p"), 1, targets, 0.8, calendar, ladder=())


def started(under: SlaTerms | None = None, when: float = 0, metric: Metric = Metric.FIRST_RESPONSE) -> Clock:
    clock = start_clock(under or terms(), metric, 1, at(when))
    assert clock is not None
    return clock


def test_a_clock_is_due_when_its_target_is_used_up_and_warns_at_its_share() -> None:
    clock = started()
    assert (clock.warn_at, clock.due_at) == (at(8), at(10))
    assert (clock.state, clock.used) == (ClockState.RUNNING, timedelta(0))


def test_a_clock_in_office_hours_is_due_in_office_hours() -> None:
    clock = started(terms(calendar=OFFICE), when=12)
    assert clock.due_at == at(24 + 9 + 5)


def test_without_a_target_there_is_no_clock() -> None:
    assert start_clock(terms(None), Metric.FIRST_RESPONSE, 1, at(0)) is None


def test_a_reply_in_time_meets_the_clock_and_ends_it() -> None:
    clock = meet(started(), at(5))
    assert (clock.state, clock.ended_at, clock.due_at) == (ClockState.MET, at(5), None)
    assert meet(clock, at(6)) == clock
    assert pause(clock, at(6)) == resume(clock, terms(), at(6)) == cancel(clock, at(6)) == clock


def test_a_reply_at_the_very_deadline_is_in_time() -> None:
    assert meet(started(), at(10)).state is ClockState.MET


def test_a_breach_is_never_early_and_recorded_at_its_exact_instant() -> None:
    clock = started()
    just_before = at(10) - timedelta.resolution
    assert not breach_due(clock, just_before)
    assert breach(clock, just_before) == clock
    assert breach_due(clock, at(10))
    assert breach(clock, at(11)).breached_at == at(10)


def test_a_clock_breaches_once() -> None:
    clock = breach(started(), at(11))
    assert not breach_due(clock, at(12))
    assert breach(clock, at(12)) == clock
    assert next_deadline([clock]) is None


def test_a_stop_before_the_deadline_leaves_nothing_to_breach() -> None:
    assert not breach_due(meet(started(), at(9)), at(11))
    assert not breach_due(cancel(started(), at(9)), at(11))
    assert not breach_due(pause(started(), at(9)), at(11))


def test_a_late_reply_keeps_the_breach_and_its_instant() -> None:
    noticed = meet(breach(started(), at(10.5)), at(12))
    unnoticed = meet(started(), at(12))
    assert noticed == unnoticed
    assert (noticed.state, noticed.breached_at, noticed.ended_at) == (ClockState.BREACHED, at(10), at(12))
    assert noticed.is_met_late


def test_a_late_pause_or_cancel_does_not_hide_the_breach() -> None:
    assert pause(started(), at(12)).breached_at == at(10)
    assert cancel(started(), at(12)).breached_at == at(10)


def test_a_reply_committed_before_the_breach_but_learnt_of_after_it_withdraws_it() -> None:
    clock = meet(breach(started(), at(10)), at(9.5))
    assert (clock.state, clock.breached_at, clock.ended_at) == (ClockState.MET, None, at(9.5))


def test_a_pause_stops_the_clock_and_a_resume_leaves_what_was_left() -> None:
    paused = pause(started(), at(4))
    assert (paused.state, paused.due_at, paused.warn_at) == (ClockState.PAUSED, None, None)
    resumed = resume(paused, terms(), at(30))
    assert (resumed.used, resumed.paused_total) == (4 * HOUR, 26 * HOUR)
    assert (resumed.warn_at, resumed.due_at) == (at(34), at(36))


def test_a_second_pause_or_resume_changes_nothing() -> None:
    paused = pause(started(), at(4))
    assert pause(paused, at(5)) == paused
    resumed = resume(paused, terms(), at(6))
    assert resume(resumed, terms(), at(7)) == resumed


def test_a_pause_counts_open_time_only() -> None:
    office = terms(calendar=OFFICE)
    paused = pause(started(office, when=16), at(24 + 8))
    assert resume(paused, office, at(24 + 12)).used == HOUR


def test_a_pause_across_a_clock_change_counts_the_time_that_passed() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    night = datetime(2026, 3, 29, tzinfo=berlin)
    clock = start_clock(terms(), Metric.FIRST_RESPONSE, 1, night)
    assert clock is not None
    resumed = resume(pause(clock, night), terms(), night.replace(hour=6))
    assert resumed.paused_total == 5 * HOUR


def test_a_reply_while_paused_meets_the_clock() -> None:
    clock = meet(pause(started(), at(4)), at(100))
    assert (clock.state, clock.paused_total) == (ClockState.MET, 96 * HOUR)
    assert open_time_used(clock, terms(), at(200)) == 4 * HOUR


def test_a_breached_clock_still_counts_and_pauses_until_it_is_met_late() -> None:
    clock = pause(breach(started(), at(10)), at(12))
    clock = resume(clock, terms(), at(20))
    clock = meet(clock, at(21))
    assert (clock.state, clock.breached_at) == (ClockState.BREACHED, at(10))
    assert open_time_used(clock, terms(), at(50)) == 13 * HOUR


def test_an_instant_before_what_the_clock_knows_is_moved_up_to_it() -> None:
    clock = pause(started(when=2), at(1))
    assert clock.paused_since == at(2)
    assert resume(clock, terms(), at(0)).due_at == at(12)


def test_the_warning_is_given_once_at_its_instant_and_never_again_after_a_pause() -> None:
    clock = started()
    assert not warn_due(clock, at(7))
    assert warn(clock, at(7)) == clock
    warned = warn(clock, at(9))
    assert (warned.warned_at, warned.due_at) == (at(8), at(10))
    resumed = resume(pause(warned, at(9)), terms(), at(20))
    assert (resumed.warn_at, resumed.due_at) == (None, at(21))


def test_a_warning_missed_before_a_pause_is_given_at_the_resume() -> None:
    resumed = resume(pause(started(), at(9)), terms(), at(20))
    assert (resumed.warn_at, resumed.due_at) == (at(20), at(21))


def test_new_terms_carry_elapsed_and_paused_time_over() -> None:
    clock = resume(pause(started(), at(2)), terms(), at(5))
    changed = change_terms(clock, terms(), terms(20 * HOUR), at(6))
    assert (changed.used, changed.paused_total, changed.target) == (3 * HOUR, 3 * HOUR, 20 * HOUR)
    assert (changed.warn_at, changed.due_at) == (at(6 + 13), at(6 + 17))


def test_new_terms_count_the_past_in_the_old_calendar_and_the_rest_in_the_new() -> None:
    clock = started(terms(calendar=OFFICE), when=16)
    changed = change_terms(clock, terms(calendar=OFFICE), terms(), at(24))
    assert changed.due_at == at(24 + 9)


def test_a_target_already_used_up_is_due_when_it_is_promised_not_before() -> None:
    changed = change_terms(started(), terms(), terms(HOUR), at(6))
    assert (changed.due_at, changed.warn_at) == (at(6), None)
    assert breach(changed, at(7)).breached_at == at(6)


def test_new_terms_keep_a_recorded_breach_and_its_target() -> None:
    breached = breach(started(), at(10))
    changed = change_terms(breached, terms(), terms(100 * HOUR), at(12))
    assert (changed.state, changed.breached_at, changed.target) == (ClockState.BREACHED, at(10), 10 * HOUR)
    assert not breach_due(changed, at(500))


def test_new_terms_do_not_hide_a_breach_nobody_noticed_yet() -> None:
    assert change_terms(started(), terms(), terms(100 * HOUR), at(12)).breached_at == at(10)


def test_new_terms_for_a_paused_clock_apply_when_it_resumes() -> None:
    changed = change_terms(pause(started(), at(4)), terms(), terms(5 * HOUR), at(6))
    assert changed.state is ClockState.PAUSED
    assert resume(changed, terms(5 * HOUR), at(8)).due_at == at(9)


def test_a_metric_no_longer_promised_is_cancelled() -> None:
    changed = change_terms(started(), terms(), terms(None), at(6))
    assert (changed.state, changed.ended_at) == (ClockState.CANCELLED, at(6))
    assert change_terms(changed, terms(None), terms(), at(7)) == changed


def test_an_ended_clock_stays_counted_in_the_calendar_it_ran_in() -> None:
    office = terms(calendar=OFFICE)
    answered = meet(started(office, when=16), at(18))
    changed = change_terms(answered, office, terms(), at(20))
    assert (changed.state, changed.ended_at) == (ClockState.MET, at(18))
    assert open_time_used(changed, terms(), at(30)) == HOUR


def test_the_next_deadline_is_the_earliest_and_warns_before_it_breaches() -> None:
    first, second = started(), started(metric=Metric.NEXT_RESPONSE, when=9.2)
    assert next_deadline((second, first)) == (at(8), first, DeadlineKind.WARN)
    first = warn(first, at(8))
    assert next_deadline((first, second)) == (at(10), second, DeadlineKind.WARN)
    second = warn(second, at(10))
    assert next_deadline((second, first)) == (at(10), first, DeadlineKind.BREACH)
    assert next_deadline((meet(first, at(1)), pause(second, at(9.3)))) is None


def test_a_clock_takes_the_place_of_its_metric_and_episode() -> None:
    first, following = started(), started(metric=Metric.NEXT_RESPONSE)
    clocks = with_clock(with_clock((), first), following)
    answered = meet(first, at(1))
    assert with_clock(clocks, answered) == (answered, following)
    assert clock_for(clocks, Metric.NEXT_RESPONSE, 1) == following
    assert clock_for(clocks, Metric.NEXT_RESPONSE, 2) is None


def test_a_clock_survives_serialisation() -> None:
    clock = resume(pause(started(), at(4)), terms(), at(4) + 7 * timedelta.resolution)
    assert msgspec.json.decode(msgspec.json.encode(clock), type=Clock) == clock
