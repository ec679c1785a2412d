"""A step in the making: the state as it changes and the commands that go with it."""

from dataclasses import replace
from datetime import datetime, timedelta

from domain.conversation.commands import (
    Command,
    Dequeue,
    EndAssignment,
    EndOffer,
    Enqueue,
    Happened,
    KeepClock,
    OfferEnd,
)
from domain.conversation.refusals import Refusal, RefusalCode
from domain.conversation.state import ConversationState, Phase, Waiting
from domain.conversation.terms import Assessment, SkillNeeds
from domain.sla import clock as sla
from domain.sla.policy import Metric, PauseReason, Rung, SlaTerms

REPEATING_METRICS = frozenset({Metric.NEXT_RESPONSE, Metric.OWNER_SILENCE})


class Draft:
    def __init__(self, state: ConversationState, now: datetime) -> None:
        self._before = state
        self.state = state
        self.now = now
        self.commands: list[Command] = []

    @property
    def case(self) -> Assessment:
        if self.state.case is None:
            raise Refusal(RefusalCode.WRONG_STATE, "nothing has been said in this conversation yet")
        return self.state.case

    def order(self, command: Command) -> None:
        self.commands.append(command)

    def happened(self, kind: str, /, *, agent: str | None = None, **facts: str | float | None) -> None:
        self.order(Happened(kind, self.now, agent, tuple(facts.items())))

    def demand_open(self) -> None:
        if self.state.phase.is_final:
            raise Refusal(RefusalCode.CONVERSATION_ENDED, f"the conversation is {self.state.phase.value}")

    def go_to(self, phase: Phase) -> None:
        """Enter a phase and stop or resume the clocks as the promise says for it."""
        was = self.state.phase
        self.state = replace(
            self.state,
            phase=phase,
            idle_since=(self.state.idle_since if was is phase else self.now)
            if phase is Phase.PENDING_CUSTOMER
            else None,
            hold_until=self.state.hold_until if phase is Phase.ON_HOLD else None,
        )
        self._let_clocks_follow_phase()

    # --- clocks ----------------------------------------------------------------------------------------------------

    def start_clock(self, metric: Metric, at: datetime) -> None:
        """Start a clock of the present episode unless one of this metric already runs, or ran when it runs but once."""
        if self.case.promise is None:
            return
        last = sla.clock_for(self.state.clocks, metric, self.state.episode)
        if last is not None and (not last.is_ended or metric not in REPEATING_METRICS):
            return
        number = last.number + 1 if last else 1
        clock = sla.start_clock(self.case.promise, metric, self.state.episode, at, number)
        if clock is not None:
            paused = pauses_clocks(self.case.promise, self.state.phase)
            self._keep(sla.pause(clock, self.now) if paused else clock, is_new=True)

    def meet_clock(self, metric: Metric) -> None:
        for clock in self.state.clocks:
            if clock.metric is metric:
                self._keep(sla.meet(clock, self.now))

    def cancel_clock(self, metric: Metric) -> None:
        for clock in self.state.clocks:
            if clock.metric is metric:
                self._keep(sla.cancel(clock, self.now))

    def keep_clock(self, clock: sla.Clock, *, is_new: bool = False) -> None:
        """Take a clock's new form; `is_new` for one that was not this conversation's before."""
        self._keep(clock, is_new=is_new)

    def resume_clocks(self, at: datetime) -> None:
        """Let the clocks run on from the instant of what ended the pause, which may be learnt of later."""
        if self.case.promise is not None:
            for clock in self.state.clocks:
                self._keep(sla.resume(clock, self.case.promise, at))

    def change_promise(self, old: SlaTerms | None, new: SlaTerms | None) -> None:
        """Put the clocks that were begun under one promise under another, or give them up when there is none."""
        if old is None or old == new:
            return
        for clock in self.state.clocks:
            if not clock.is_ended:
                self._keep(sla.cancel(clock, self.now) if new is None else sla.change_terms(clock, old, new, self.now))
        self._let_clocks_follow_phase()

    def _let_clocks_follow_phase(self) -> None:
        promise = self.case.promise
        if promise is None:
            return
        paused = pauses_clocks(promise, self.state.phase)
        for clock in self.state.clocks:
            self._keep(sla.pause(clock, self.now) if paused else sla.resume(clock, promise, self.now))

    def _keep(self, clock: sla.Clock, *, is_new: bool = False) -> None:
        """Take a clock's new form; a breach that a late stop brought to light is told like any other."""
        old = None if is_new else sla.clock_for(self.state.clocks, clock.metric, clock.episode)
        if old == clock:
            return
        self.state = replace(self.state, clocks=sla.with_clock(self.state.clocks, clock))
        promise = self.case.promise
        used = sla.open_time_used(clock, promise, self.now) if clock.is_ended and promise is not None else timedelta(0)
        self.order(KeepClock(clock, used))
        if clock.breached_at is not None and (old is None or old.breached_at is None):
            self.order(Happened("sla_breached", clock.breached_at, self.state.agent_id, _clock_facts(clock)))

    # --- the queue -------------------------------------------------------------------------------------------------

    def enqueue(
        self,
        *,
        exclude: str | None = None,
        urgent: bool = False,
        only_agent: str | None = None,
        pool: str | None = None,
        skills: SkillNeeds = (),
        warm_from: str | None = None,
        owner_until: datetime | None = None,
    ) -> None:
        """Return to the queue with the next ticket and the original age; who declined stays out for this round."""
        was = self.state.waiting
        excluded = was.excluded if was else ()
        clear_at = was.exclusions_clear_at if was else None
        if exclude is not None and exclude not in excluded:
            excluded = (*excluded, exclude)
        if exclude is not None:
            clear_at = self.now + self.case.rules.exclusion_cooldown
        queued_at = self.state.queued_at or self.now
        waits_since = self.state.waits_since or queued_at
        self.state = replace(self.state, tickets=self.state.tickets + 1, queued_at=queued_at, waits_since=waits_since)
        waiting = Waiting(
            ticket=self.state.tickets,
            pool=pool or (was.pool if was else self.case.pool),
            queued_at=waits_since,
            entered_at=self.now,
            skills=skills or (was.skills if was else self.case.skills),
            urgent=urgent or (was.urgent if was else self.is_raised()),
            excluded=excluded,
            exclusions_clear_at=clear_at,
            only_agent=only_agent,
            warm_from=warm_from,
            owner_until=owner_until,
        )
        self.state = replace(self.state, waiting=waiting, offer=None)
        if warm_from is None:
            self.go_to(Phase.QUEUED)
        self.happened("queued", pool=waiting.pool, ticket=waiting.ticket)

    def refresh_ticket(self) -> None:
        """At the end of the step let the queue know how the case looks now, if it looks any different."""
        ticket = _ticket(self.state)
        before = (_ticket(self._before), self._before.case, self._before.priority)
        if ticket is not None and (ticket, self.state.case, self.state.priority) != before:
            self.order(ticket)

    def leave_queue(self, *, must_wait: bool = False) -> None:
        """Stop waiting; an offer on its way is taken back."""
        waiting, offer = self.state.waiting, self.state.offer
        if offer is not None:
            self.order(EndOffer(offer.offer_id, OfferEnd.RESCINDED))
            self.happened("offer_rescinded", agent=offer.agent_id, offer_id=offer.offer_id)
        if waiting is not None and offer is None:
            self.order(Dequeue(waiting.ticket, must_wait=must_wait))
        self.state = replace(self.state, waiting=None, offer=None)

    def is_raised(self) -> bool:
        """Whether the ladder of a promise still open, or an escalation, had raised the urgency before."""
        return self.state.escalation > 0 or any(
            Rung.RAISE in clock.climbed for clock in self.state.clocks if not clock.is_ended
        )

    # --- responsibility --------------------------------------------------------------------------------------------

    def release(self, cause: str) -> None:
        """End the present assignment; its owner stays the owner."""
        if self.state.assignment is None:
            return
        self.order(EndAssignment(self.state.assignment.assignment_id, cause))
        self.state = replace(self.state, assignment=None, owner_since=self.now)
        self.cancel_clock(Metric.OWNER_SILENCE)


def pauses_clocks(promise: SlaTerms, phase: Phase) -> bool:
    """Return whether clocks of a promise stand still in a phase."""
    return phase in {Phase.PENDING_CUSTOMER, Phase.ON_HOLD} and promise.pauses_on(PauseReason(phase.value))


def _ticket(state: ConversationState) -> Enqueue | None:
    if state.waiting is None or state.offer is not None:
        return None
    # Who was promised something and has it not is no less urgent for that.
    next_breach = min((at for clock in state.clocks if (at := clock.promised_at)), default=None)
    return Enqueue(state.waiting, next_breach, state.owner, state.owner_since)


def _clock_facts(clock: sla.Clock) -> tuple[tuple[str, str | float | None], ...]:
    return (
        ("metric", clock.metric.value),
        ("number", clock.number),
        ("target_seconds", clock.target.total_seconds()),
    )
