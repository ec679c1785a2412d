"""Whatever happens to a clock in whatever order: one breach, at its instant, never early, never after a stop."""

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from domain.sla.calendar import Calendar, add_open_time, open_time_between
from domain.sla.clock import (
    Clock,
    ClockState,
    DeadlineKind,
    breach,
    cancel,
    change_terms,
    climb,
    meet,
    next_deadline,
    open_time_used,
    pause,
    resume,
    start_clock,
    warn,
)
from domain.sla.ladder import steps_left
from domain.sla.merge import merge_clocks
from domain.sla.policy import LadderStep, Metric, PolicyId, Rung, SlaTargets, SlaTerms

START = datetime(2026, 3, 27, 12, tzinfo=UTC)  # a Friday, two days before Berlin loses an hour
OFFICE = Calendar("Europe/Berlin", (((time(9), time(12)), (time(13), time(17))),) * 5 + ((), ((time(1), time(4)),)))
NIGHTS = Calendar("Europe/Berlin", (((time(0), time(6)), (time(22), None)),) * 7)
ZERO = timedelta(0)

calendars = st.sampled_from((None, OFFICE, NIGHTS))
targets = st.timedeltas(timedelta(microseconds=1), timedelta(hours=30))
steps = st.timedeltas(ZERO, timedelta(hours=40))
ladders = st.lists(
    st.builds(LadderStep, st.sampled_from((0.5, 0.8, 1.0, 1.5, 3.0)), st.sampled_from(Rung)), max_size=4
).map(lambda found: tuple(sorted(found, key=lambda step: step.at)))
terms = st.builds(
    lambda target, fraction, calendar, ladder: SlaTerms(
        PolicyId("p"), 1, SlaTargets(resolution=target), fraction, calendar, ladder=ladder
    ),
    targets,
    st.one_of(st.none(), st.floats(0.01, 0.99)),
    calendars,
    ladders,
)


def started(under: SlaTerms, at: datetime) -> Clock:
    clock = start_clock(under, Metric.RESOLUTION, 1, at)
    assert clock is not None
    return clock


@settings(deadline=None)
@given(terms, st.lists(st.tuples(steps, steps), max_size=6), steps)
def test_pauses_move_the_deadline_by_nothing_but_themselves(
    under: SlaTerms, runs_and_pauses: list[tuple[timedelta, timedelta]], before: timedelta
) -> None:
    now = START + before
    clock = started(under, now)
    consumed = ZERO
    for run, break_ in runs_and_pauses:
        assert clock.due_at is not None
        left = clock.due_at - now
        # Stay short of the deadline, so that the clock is still unbroken at the end.
        stop = now + min(run, left / 2)
        consumed += open_time_between(under.calendar, now, stop)
        clock = pause(clock, stop)
        now = stop + break_
        clock = resume(clock, under, now)
        assert clock.used == consumed
    target = under.targets.resolution
    assert target is not None
    assert clock.due_at == add_open_time(under.calendar, now, target - consumed)
    assert clock.paused_total == sum((break_ for _, break_ in runs_and_pauses), ZERO)


@settings(deadline=None)
@given(terms, steps)
def test_a_pause_of_no_length_changes_no_deadline(under: SlaTerms, run: timedelta) -> None:
    clock = started(under, START)
    now = START + run
    again = resume(pause(clock, now), under, now)
    if clock.due_at is not None and now <= clock.due_at:
        target = under.targets.resolution
        assert target is not None
        assert open_time_between(under.calendar, START, again.due_at or START) == target
    else:
        assert again.breached_at == clock.due_at


@settings(deadline=None)
@given(terms, terms, steps, steps)
def test_a_merge_keeps_the_earliest_deadline_to_the_instant(
    ours: SlaTerms, theirs: SlaTerms, later: timedelta, merge_after: timedelta
) -> None:
    our_clock, their_clock = started(ours, START), started(theirs, START + later)
    now = START + later + merge_after
    (kept,) = merge_clocks((our_clock,), ours, (their_clock,), theirs, 1, now)
    assert our_clock.due_at is not None
    assert their_clock.due_at is not None
    earliest = min(our_clock.due_at, their_clock.due_at)
    assert earliest == (kept.breached_at if earliest <= now else kept.due_at)
    assert kept.used <= kept.target or kept.state is ClockState.BREACHED


@dataclass(slots=True)
class Run:
    """A span in which the observer sees the clock run, and what was consumed before it."""

    consumed: timedelta
    since: datetime


class ClockMachine(RuleBasedStateMachine):
    """One clock under any order of events, seen by an observer that adds up open time on its own.

    Deadlines are carried out late or in time, as a worker that was down would.
    """

    @initialize(under=terms)
    def start(self, under: SlaTerms) -> None:
        self.now = START
        self.terms = under
        self.clock = started(under, START)
        self.run: Run | None = Run(ZERO, START)
        self.consumed = ZERO
        self.target = self.clock.target
        self.owed_since: datetime | None = None
        self.stopped_at: datetime | None = None
        self.breaches: list[datetime] = []
        self.climbed: list[Rung] = []

    def observe(self) -> None:
        """Note when, by the observer's own sum, the target was used up without a stop."""
        if self.run is None or self.owed_since is not None or self.stopped_at is not None:
            return
        due = add_open_time(self.terms.calendar, self.run.since, max(self.target - self.run.consumed, ZERO))
        if due < self.now:
            self.owed_since = due

    def note(self, changed: Clock) -> None:
        if changed.breached_at is not None and self.clock.breached_at is None:
            self.breaches.append(changed.breached_at)
        self.clock = changed

    def stop_run(self) -> None:
        if self.run is not None:
            passed = open_time_between(self.terms.calendar, self.run.since, self.now)
            self.consumed = self.run.consumed + passed
            self.run = None

    @rule(step=steps)
    def time_passes(self, step: timedelta) -> None:
        self.now += step

    @rule()
    def wake_up_at_the_deadline(self) -> None:
        deadline = next_deadline([self.clock])
        if deadline is None:
            return
        self.now = max(self.now, deadline.at)
        self.carry_out_deadlines()

    @rule()
    def carry_out_deadlines(self) -> None:
        self.observe()
        while (deadline := next_deadline([self.clock])) is not None and deadline.at <= self.now:
            before = self.clock
            match deadline.kind:
                case DeadlineKind.WARN:
                    self.note(warn(self.clock, self.now))
                case DeadlineKind.BREACH:
                    self.note(breach(self.clock, self.now))
                    if self.owed_since is None:
                        self.owed_since = self.now  # due this very instant
                case DeadlineKind.RUNG:
                    assert self.clock.rung is not None
                    self.climbed.append(self.clock.rung)
                    self.note(climb(self.clock, self.terms, self.clock.rung))
            assert self.clock != before

    @rule()
    def pause(self) -> None:
        self.observe()
        self.note(pause(self.clock, self.now))
        if self.stopped_at is None:
            self.stop_run()

    @rule()
    def resume(self) -> None:
        self.note(resume(self.clock, self.terms, self.now))
        if self.run is None and self.stopped_at is None:
            self.run = Run(self.consumed, self.now)

    @rule(new=terms)
    def change_terms(self, new: SlaTerms) -> None:
        self.observe()
        running = self.run is not None and self.stopped_at is None
        self.note(change_terms(self.clock, self.terms, new, self.now))
        if running:
            self.stop_run()
        self.terms = new
        if self.clock.state is not ClockState.BREACHED and self.stopped_at is None:
            assert new.targets.resolution is not None
            self.target = new.targets.resolution
        if running:
            self.run = Run(self.consumed, self.now)

    @rule()
    def meet(self) -> None:
        self.observe()
        self.note(meet(self.clock, self.now))
        self.end()

    @rule()
    def cancel(self) -> None:
        self.observe()
        self.note(cancel(self.clock, self.now))
        self.end()

    def end(self) -> None:
        if self.stopped_at is None:
            self.stop_run()
            self.stopped_at = self.now

    @precondition(lambda self: self.clock.is_ended)
    @rule()
    def nothing_happens_after_the_end(self) -> None:
        later = self.now + timedelta(days=1)
        assert breach(warn(self.clock, later), later) == self.clock
        assert next_deadline([self.clock]) is None

    @invariant()
    def breaches_at_most_once_and_at_the_instant_owed(self) -> None:
        assert len(self.breaches) <= 1
        if self.breaches:
            assert self.breaches == [self.owed_since] == [self.clock.breached_at]
            assert self.breaches[0] <= self.now
            assert self.stopped_at is None or self.breaches[0] <= self.stopped_at

    @invariant()
    def a_stop_in_time_is_never_followed_by_a_breach(self) -> None:
        if self.stopped_at is not None:
            assert (self.clock.state is ClockState.BREACHED) == (self.owed_since is not None)
            assert self.clock.ended_at == self.stopped_at

    @invariant()
    def has_a_deadline_exactly_while_it_runs_unbroken(self) -> None:
        assert (self.clock.due_at is not None) == (self.clock.state is ClockState.RUNNING)
        assert self.clock.warn_at is None or self.clock.due_at is not None

    @invariant()
    def climbs_each_step_once_and_only_while_it_runs(self) -> None:
        assert list(self.clock.climbed) == self.climbed
        left = [step.do for step in steps_left(self.terms.ladder, Metric.RESOLUTION, self.clock.climbed)]
        stands = self.clock.is_ended or self.clock.paused_since is not None
        assert self.clock.rung == (None if stands or not left else left[0])
        assert (self.clock.rung_at is None) == (self.clock.rung is None)

    @invariant()
    def counts_the_open_time_the_observer_counts(self) -> None:
        expected = self.consumed
        if self.run is not None:
            expected = self.run.consumed + open_time_between(self.terms.calendar, self.run.since, self.now)
        assert open_time_used(self.clock, self.terms, self.now) == expected


ClockMachine.TestCase.settings = settings(max_examples=100, stateful_step_count=25, deadline=None)
TestClockMachine = ClockMachine.TestCase
