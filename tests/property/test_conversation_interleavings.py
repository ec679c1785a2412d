"""Whatever happens to a conversation in whatever order, its promises hold and it always comes to an end.

A conversation's shell, its ledger and a dispatcher are modelled just far enough: signals arrive late and twice, in the
order of the outbox; requests overtake them; deadlines are noticed late; the ledger refuses what has become impossible.
"""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from domain.channels import MessageKind
from domain.conversation.commands import Enqueue
from domain.conversation.deadlines import deadlines
from domain.conversation.description import details, waiting_for
from domain.conversation.events import (
    AgentLeft,
    Claimed,
    CustomerLeft,
    CustomerWrote,
    DeadlineReached,
    EndedByHand,
    Escalated,
    Event,
    Held,
    OfferAccepted,
    OfferDeclined,
    OfferLost,
    OfferMade,
    Reassigned,
    Reopened,
    Replied,
    Resolved,
    Resumed,
    TermsChanged,
    Transferred,
    WrapUpEnded,
    WrapUpExtended,
)
from domain.conversation.invariants import check_state
from domain.conversation.refusals import Refusal, RefusalCode
from domain.conversation.state import ConversationState, EndReason, Phase
from domain.conversation.step import Step, step
from domain.conversation.terms import Assessment, Rules
from domain.sla.calendar import Calendar
from domain.sla.policy import LadderStep, Metric, PauseReason, PolicyId, Rung, SlaTargets, SlaTerms
from tests.property.conversation_ledger import PENDING, Ledger, LedgerRefusal, OfferRow

START = datetime(2026, 3, 27, 15, tzinfo=UTC)  # a Friday afternoon, two days before Berlin loses an hour
AGENTS = ("ann", "ben", "eve")
SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)

RULES = Rules(30 * SECOND, False, 34, 5 * MINUTE, 3 * MINUTE, 72 * HOUR, 2 * MINUTE, 15 * MINUTE, 2, MINUTE)
OTHER_RULES = replace(RULES, auto_accept=True, units=15, wrap_up_limit=timedelta(0), idle_release=None, max_reroutes=0)
OFFICE = Calendar(
    "Europe/Berlin",
    (((datetime(2026, 1, 1, 9).time(), datetime(2026, 1, 1, 17).time()),),) * 5 + ((), ()),  # noqa: DTZ001 -- wall clock
)
QUICK = SlaTerms(PolicyId("quick"), 1, SlaTargets(2 * MINUTE, 4 * MINUTE, 2 * HOUR, 3 * MINUTE), 0.5)
OFFICE_HOURS = SlaTerms(
    PolicyId("office"), 1, SlaTargets(HOUR, HOUR, 8 * HOUR, None), None, OFFICE, (PauseReason.PENDING_CUSTOMER,)
)
ONLY_RESOLUTION = SlaTerms(PolicyId("resolution"), 2, SlaTargets(resolution=HOUR), 0.9, None, (), ladder=())
STEEP = replace(
    QUICK,
    policy_id=PolicyId("steep"),
    ladder=(
        LadderStep(0.5, Rung.REROUTE),
        LadderStep(0.5, Rung.SUPERVISOR, (Metric.RESOLUTION,)),
        LadderStep(1.0, Rung.SUGGEST),
        LadderStep(1.0, Rung.REROUTE),
        LadderStep(3.0, Rung.RAISE),
        LadderStep(3.0, Rung.SUPERVISOR),
    ),
)
CASES = tuple(
    Assessment(
        "web_chat", "default", "gold", "billing", 0.9, -0.25, "en", None, 3, skills, ("en",), None, promise, rules
    )
    for promise, rules, skills in (
        (QUICK, RULES, (("billing", 3),)),
        (OFFICE_HOURS, RULES, ()),
        (ONLY_RESOLUTION, replace(RULES, units=100), (("billing", 3), ("french", 2))),
        (None, OTHER_RULES, (("billing", 3),)),
        (QUICK, OTHER_RULES, ()),
        (STEEP, RULES, (("billing", 3),)),
    )
)

STARTS = (
    "queued",
    "offer on its way",
    "offered",
    "assigned",
    "pending",
    "idle",
    "warm transfer",
    "resolved",
)
SPANS = (timedelta(0), SECOND, 29 * SECOND, 30 * SECOND, 2 * MINUTE, 5 * MINUTE, 16 * MINUTE, 3 * HOUR)
spans = st.one_of(st.sampled_from(SPANS), st.timedeltas(timedelta(0), HOUR))
agents = st.sampled_from(AGENTS)
whos = st.sampled_from((None, None, None, *AGENTS))
seldom = st.sampled_from((False, False, False, True))
cases = st.sampled_from(CASES)
kinds = st.sampled_from((MessageKind.MESSAGE, *MessageKind))
threads = st.sampled_from(("thr_1", "thr_2"))
reasons = st.sampled_from([reason for reason in EndReason if reason is not EndReason.RESOLVED])
limits = st.sampled_from((None, None, MINUTE, HOUR))
RESPONSIBLE_ONLY = (Held, Resumed, Resolved, Transferred, WrapUpExtended, Escalated, EndedByHand)


def json_round_trip(value: object) -> object:
    return msgspec.json.decode(msgspec.json.encode(value), type=type(value))


def is_open(machine: "ConversationMachine") -> bool:
    return not machine.state.phase.is_final


class ConversationMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.now = START
        self.state = ConversationState("con_1", "cus_1", START)
        self.ledger = Ledger(AGENTS)
        self.outbox: list[OfferMade | OfferLost | AgentLeft] = []
        self.told: list[OfferMade] = []
        self.ended_episodes: dict[int, EndReason] = {}
        self.count = 0

    # --- the shell --------------------------------------------------------------------------------------------------

    def happens(self, event: Event) -> bool:
        """Step and write the step down; whether it was taken. A refused request must leave no trace."""
        assert json_round_trip(event) == event
        state = self.state
        try:
            done = step(state, event, self.now)
        except Refusal as refusal:
            self.refused(event, refusal.code)
            return False
        assert step(state, event, self.now) == done, "the same input gives the same step"
        assert state == self.state
        if done.state == state:
            assert done.commands == ()
            return True
        self.judge(state, event, done)
        try:
            self.ledger.carry_out(
                done.commands,
                units=done.state.case.rules.units if done.state.case else 0,
                episode=done.state.episode if done.state.resolved_at else state.episode,
                now=self.now,
            )
        except LedgerRefusal as refusal:
            self.ledger_refused(event, refusal)
            return False
        self.state = done.state
        return True

    def refused(self, event: Event, code: RefusalCode) -> None:
        assert is_request(event), f"{event} is a fact, it cannot be refused as {code}"
        with pytest.raises(Refusal, match=f"^{code}: "):
            step(self.state, event, self.now)
        if self.state.phase.is_final and not isinstance(event, OfferAccepted | OfferDeclined):
            assert code is RefusalCode.CONVERSATION_ENDED

    def ledger_refused(self, event: Event, refusal: LedgerRefusal) -> None:
        """The old state stands; an answer that the ledger refused is an offer lost."""
        if isinstance(event, OfferMade | OfferAccepted | OfferDeclined):
            assert refusal.code is RefusalCode.OFFER_GONE
            assert self.happens(OfferLost(event.offer_id, "answer refused", event.ticket))
        elif isinstance(event, Claimed):
            offer = self.state.offer
            if refusal.code is RefusalCode.OFFER_GONE and offer is not None:
                self.happens(OfferLost(offer.offer_id, "accept refused", offer.ticket))
        else:
            assert isinstance(event, Reopened), f"the ledger refused {event}"

    def judge(self, before: ConversationState, event: Event, done: Step) -> None:
        after = done.state
        assert after.step == before.step + 1
        assert json_round_trip(after) == after
        assert check_state(after) == []
        tickets = [command for command in done.commands if isinstance(command, Enqueue)]
        assert len(tickets) <= 1, "one ticket a step"
        self.judge_rights(before, event)
        self.judge_age(before, event, after)
        if before.episode_opened_at is not None and after.resolved_at and not before.resolved_at:
            assert after.end_reason is not None
            self.ended_episodes[after.episode] = after.end_reason
        assert after.episode - before.episode in {0, 1}
        if isinstance(event, DeadlineReached):
            assert all(deadline.at > self.now for deadline in deadlines(after)), "all that is due is done"

    def judge_rights(self, before: ConversationState, event: Event) -> None:
        """S7: only the assignee or a supervisor; the owner while an idle conversation holds nobody's units."""
        if isinstance(event, RESPONSIBLE_ONLY) or (isinstance(event, Replied) and not event.internal):
            idle_owner = before.owner if before.assignment is None and before.phase is Phase.PENDING_CUSTOMER else None
            assert event.by_supervisor or event.agent_id in {before.agent_id, idle_owner}

    def judge_age(self, before: ConversationState, event: Event, after: ConversationState) -> None:
        """A place in the queue keeps its age, unless the customer's next message woke an idle conversation."""
        if after.episode != before.episode or before.waits_since is None:
            return
        assert after.queued_at == before.queued_at
        woken = (
            isinstance(event, CustomerWrote) and before.assignment is None and before.phase is Phase.PENDING_CUSTOMER
        )
        assert after.waits_since is not None
        if not woken:
            assert after.waits_since == before.waits_since

    # --- the customer -----------------------------------------------------------------------------------------------

    @initialize(case=cases, start=st.sampled_from(STARTS), agent=agents)
    def begin(self, case: Assessment, start: str, agent: str) -> None:
        """Get some way along the usual road, so that what is rare is met at every place on it."""
        self.happens(CustomerWrote("msg_0", "thr_1", MessageKind.MESSAGE, self.now, case))
        if start == "queued":
            return
        self.offer(agent, auto_accept=start == "offer on its way")
        if start == "offer on its way":
            return
        self.signal_arrives()
        if start == "offered":
            return
        self.accept(self.ledger.tables.offers["off_1"])
        if start in {"pending", "idle"}:
            self.the_assignee_replies()
        if start == "warm transfer":
            self.agent_transfers(None, warm=True, by_supervisor=False, to="pool")
        if start == "resolved":
            self.agent_resolves(None, by_supervisor=False)
        if start in {"idle", "resolved"}:
            self.now += 15 * MINUTE
            self.happens(DeadlineReached())

    @rule(kind=kinds, late=spans, thread=threads, case=cases)
    def customer_writes(self, kind: MessageKind, late: timedelta, thread: str, case: Assessment) -> None:
        self.count += 1
        message_id = f"msg_{self.count}"
        before = self.state
        if not kind.wants_an_answer and before.case is not None:
            case = before.case
        self.happens(CustomerWrote(message_id, thread, kind, max(self.now - late, START), case))
        assert (message_id in self.ledger.tables.passed_on) == before.phase.is_final
        if not kind.wants_an_answer:
            assert (self.state.phase, self.state.clocks) == (before.phase, before.clocks)
            assert (self.state.waiting, self.state.episode) == (before.waiting, before.episode)
        elif not before.phase.is_final:
            assert self.state.unanswered_since is not None

    @precondition(lambda self: self.state.phase.is_waiting or self.state.phase.is_in_work)
    @rule(thread=threads)
    def customer_leaves(self, thread: str) -> None:
        self.happens(CustomerLeft(thread))

    @precondition(is_open)
    @rule(case=cases)
    def terms_change(self, case: Assessment) -> None:
        self.happens(TermsChanged(case, "an admin changed the policy"))

    # --- dispatcher, outbox and presence ----------------------------------------------------------------------------

    @precondition(lambda self: self.ledger.tables.ticket is not None)
    @rule(agent=agents, auto_accept=st.booleans(), is_prompt=st.booleans())
    def dispatcher_offers(self, agent: str, auto_accept: bool, is_prompt: bool) -> None:
        self.offer(agent, auto_accept=auto_accept)
        if is_prompt:
            self.signal_arrives()

    def offer(self, agent: str, *, auto_accept: bool) -> None:
        ticket, case = self.ledger.tables.ticket, self.state.case
        assert ticket is not None
        assert case is not None
        agent = ticket.waiting.only_agent or agent
        if not self.ledger.has_room(agent, case.rules.units):
            return
        self.count += 1
        row = self.ledger.make_offer(f"off_{self.count}", agent, case.rules.units, self.now + case.rules.offer_timeout)
        self.outbox.append(OfferMade(row.offer_id, row.ticket, agent, row.expires_at, auto_accept, "fits best"))

    @precondition(lambda self: self.outbox)
    @rule()
    def signal_arrives(self) -> None:
        if not self.outbox:
            return
        signal = self.outbox.pop(0)
        self.happens(signal)
        if isinstance(signal, OfferMade):
            self.told.append(signal)

    @precondition(lambda self: self.told)
    @rule(data=st.data())
    def an_offer_is_told_again(self, data: st.DataObject) -> None:
        before = self.state
        self.happens(data.draw(st.sampled_from(self.told)))
        assert replace(self.state, step=before.step) == before

    @rule(who=whos, reassign=st.booleans())
    def agent_goes_away(self, who: str | None, reassign: bool) -> None:
        pending = self.ledger.tables.pending_offers()
        agent = pending[0].agent_id if pending and who is None else self.person(who)
        self.outbox.extend(OfferLost(row.offer_id, "offline") for row in self.ledger.revoke_offers(agent))
        if reassign:
            self.outbox.append(AgentLeft(agent, "offline"))

    @rule(agent=agents, units=st.sampled_from((0, 60, 85, 100)))
    def agent_has_other_work(self, agent: str, units: int) -> None:
        self.ledger.occupy(agent, units)

    # --- agents -----------------------------------------------------------------------------------------------------

    def person(self, who: str | None) -> str:
        """Whoever is named; otherwise who is responsible, as most requests come from them."""
        return who or self.state.agent_id or self.state.owner or "ann"

    def answerable(self) -> OfferRow | None:
        return next(reversed(self.ledger.tables.offers.values()), None)

    @precondition(lambda self: self.ledger.tables.offers)
    @rule(data=st.data(), newest=st.booleans())
    def right_agent_accepts(self, data: st.DataObject, newest: bool) -> None:
        """Late, repeated, or before the conversation has heard of the offer; the row vouches for its agent."""
        rows = list(self.ledger.tables.offers.values())
        row = rows[-1] if newest else data.draw(st.sampled_from(rows))
        self.accept(row)

    def accept(self, row: OfferRow) -> None:
        was, before = row.state, self.state
        current = before.waiting is not None and before.waiting.ticket == row.ticket
        done = self.happens(OfferAccepted(row.offer_id, row.ticket, row.agent_id, row.expires_at))
        if done:
            assert self.now < row.expires_at or before.assignment == self.state.assignment
            assert before.agent_id == row.agent_id or was == PENDING
            assert self.state.assignment is not None
            assert self.state.assignment.offer_id == row.offer_id
        else:
            assert not (was == PENDING and current and self.now < row.expires_at)
        assert self.ledger.tables.accepted.count(row.offer_id) <= 1  # S5

    @precondition(lambda self: self.state.offer is not None)
    @rule(agent=agents)
    def any_agent_accepts(self, agent: str) -> None:
        offer = self.state.offer
        assert offer is not None
        done = self.happens(OfferAccepted(offer.offer_id, offer.ticket, agent, offer.expires_at))
        assert not done or agent == offer.agent_id

    @precondition(lambda self: self.state.offer is not None)
    @rule(agent=agents, data=st.data())
    def any_agent_declines(self, agent: str, data: st.DataObject) -> None:
        self.decline(data.draw(st.sampled_from(list(self.ledger.tables.offers.values()))), agent)

    @precondition(lambda self: self.ledger.tables.offers)
    @rule()
    def right_agent_declines(self) -> None:
        """Also before the conversation has heard of the offer."""
        row = self.answerable()
        assert row is not None
        self.decline(row, row.agent_id)

    def decline(self, row: OfferRow, agent: str) -> None:
        """An agent who declines what the ledger says is theirs always can, and once."""
        was, before = row.state, self.state
        done = self.happens(OfferDeclined(row.offer_id, agent, "busy", row.ticket, row.expires_at))
        current = before.waiting is not None and before.waiting.ticket == row.ticket
        assert done == (was == PENDING and current and agent == row.agent_id and self.now < row.expires_at)
        if done and self.state.waiting is not None:
            assert self.state.tickets == before.tickets + 1
            assert agent in self.state.waiting.excluded

    @precondition(lambda self: self.ledger.tables.ticket is not None)
    @rule(agent=agents)
    def somebody_takes_it(self, agent: str) -> None:
        self.offer(agent, auto_accept=False)
        row = self.answerable()
        if row is not None and row.state == PENDING:
            self.signal_arrives()
            self.accept(row)

    @precondition(lambda self: self.state.agent_id is not None)
    @rule()
    def the_assignee_replies(self) -> None:
        self.count += 1
        assert self.happens(Replied(f"rep_{self.count}", self.person(None), internal=False, by_supervisor=False))
        assert self.state.unanswered_since is None

    @precondition(lambda self: self.state.phase.is_waiting)
    @rule(agent=agents)
    def agent_claims(self, agent: str) -> None:
        if self.happens(Claimed(agent)):
            assert self.state.agent_id == agent

    @rule(who=whos, internal=st.booleans(), by_supervisor=seldom, repeat=st.booleans())
    def agent_replies(self, who: str | None, internal: bool, by_supervisor: bool, repeat: bool) -> None:
        self.count += not repeat
        self.happens(Replied(f"rep_{self.count}", self.person(who), internal, by_supervisor))

    @precondition(lambda self: self.state.phase.is_in_work)
    @rule(asked=st.sampled_from((Held, Resumed)), who=whos, by_supervisor=seldom, limit=limits)
    def agent_holds_or_resumes(
        self, asked: type[Held | Resumed], who: str | None, by_supervisor: bool, limit: timedelta | None
    ) -> None:
        if asked is Resumed:
            self.happens(Resumed(self.person(who), by_supervisor))
        elif self.happens(Held(self.person(who), by_supervisor, limit)):
            assert self.state.hold_until == (None if limit is None else self.now + limit)

    @precondition(lambda self: self.state.phase.is_in_work or self.state.phase.is_waiting)
    @rule(who=whos, by_supervisor=seldom, pool=st.sampled_from((None, None, "second line")))
    def agent_escalates(self, who: str | None, by_supervisor: bool, pool: str | None) -> None:
        before = self.state
        if self.happens(Escalated(self.person(who), "they ask for the manager", pool, by_supervisor)):
            assert self.state.priority <= before.priority
            assert self.state.alerts == before.alerts + 1
            assert pool is None or (self.state.waiting is not None and self.state.waiting.pool == pool)

    @precondition(lambda self: self.state.phase.is_in_work or self.state.phase.is_waiting)
    @rule(who=whos, by_supervisor=seldom, reason=reasons)
    def somebody_ends_it(self, who: str | None, by_supervisor: bool, reason: EndReason) -> None:
        if self.happens(EndedByHand(self.person(who), reason, by_supervisor)):
            assert self.state.end_reason is reason
            assert self.state.phase is (Phase.CLOSED if reason.is_of_no_customer else Phase.RESOLVED)

    @precondition(lambda self: self.state.resolved_at is not None)
    @rule(asked=st.sampled_from((WrapUpEnded, WrapUpExtended, Reopened)), who=whos, by_supervisor=seldom)
    def agent_wraps_up_or_reopens(
        self, asked: type[WrapUpEnded | WrapUpExtended | Reopened], who: str | None, by_supervisor: bool
    ) -> None:
        event = asked(self.person(who), by_supervisor)
        if self.happens(event) and isinstance(event, WrapUpEnded):
            assert self.state.phase is Phase.RESOLVED

    @rule(asked=st.sampled_from((Held, Resumed, WrapUpEnded, WrapUpExtended, Reopened)), who=whos)
    def agent_asks_anything(
        self, asked: type[Held | Resumed | WrapUpEnded | WrapUpExtended | Reopened], who: str | None
    ) -> None:
        self.happens(asked(self.person(who), by_supervisor=False))

    @precondition(lambda self: self.state.phase.is_in_work)
    @rule(
        who=whos,
        warm=st.booleans(),
        by_supervisor=seldom,
        to=st.one_of(agents, st.sampled_from(("pool", "skills"))),
    )
    def agent_transfers(self, who: str | None, warm: bool, by_supervisor: bool, to: str) -> None:
        self.happens(
            Transferred(
                self.person(who),
                warm,
                "please help",
                to_agent=to if to in AGENTS else None,
                to_pool="second line" if to == "pool" else None,
                to_skills=(("french", 3),) if to == "skills" else (),
                by_supervisor=by_supervisor,
            )
        )

    @precondition(is_open)
    @rule(who=whos, by_supervisor=seldom)
    def agent_resolves(self, who: str | None, by_supervisor: bool) -> None:
        self.happens(Resolved(self.person(who), "solved", None, by_supervisor))

    @precondition(is_open)
    @rule(to_agent=st.one_of(st.none(), agents))
    def supervisor_reassigns(self, to_agent: str | None) -> None:
        self.happens(Reassigned("sue", to_agent, "needed elsewhere"))

    @precondition(lambda self: self.state.offer is not None)
    @rule()
    def nobody_answers_the_offer(self) -> None:
        offer = self.state.offer
        assert offer is not None
        self.now = max(self.now, offer.expires_at)
        assert not self.happens(OfferAccepted(offer.offer_id, offer.ticket, offer.agent_id, offer.expires_at))
        self.happens(DeadlineReached())
        assert self.state.offer is None
        assert self.ledger.tables.offers[offer.offer_id].state != PENDING

    # --- time -------------------------------------------------------------------------------------------------------

    @rule(span=spans)
    def time_passes_unnoticed(self, span: timedelta) -> None:
        self.now += span

    @precondition(is_open)
    @rule()
    def the_timer_fires(self) -> None:
        due = [deadline for deadline in deadlines(self.state) if deadline.at <= self.now]
        before = self.state
        self.happens(DeadlineReached())
        assert (self.state != before) == bool(due)

    @precondition(lambda self: self.state.phase is not Phase.RESOLVED and bool(deadlines(self.state)))
    @rule(late=st.sampled_from((timedelta(0), SECOND, HOUR)))
    def the_next_deadline_comes(self, late: timedelta) -> None:
        self.now = max(self.now, deadlines(self.state)[0].at + late)
        self.happens(DeadlineReached())

    @precondition(lambda self: self.state.phase is Phase.RESOLVED and self.state.episode > 1)
    @rule()
    def the_reopen_window_closes(self) -> None:
        self.now = max(self.now, deadlines(self.state)[-1].at)
        self.happens(DeadlineReached())
        assert self.state.phase is Phase.CLOSED

    # --- what holds -------------------------------------------------------------------------------------------------

    @invariant()
    def the_state_is_sound(self) -> None:
        assert check_state(self.state) == []
        assert details(self.state)

    @invariant()
    def ledger_and_state_tell_the_same(self) -> None:
        """S14 where no signal is on its way; S6; each breach told once."""
        tables = self.ledger.tables
        live = [row.assignment_id for row in tables.live_assignments()]
        assert live == ([self.state.assignment.assignment_id] if self.state.assignment else [])
        assert {(clock.metric, clock.episode, clock.number): clock for clock in self.state.clocks}.items() <= (
            tables.clocks.items()
        )
        assert len(tables.breaches) == len(set(tables.breaches)) == tables.breaches_told
        assert {episode: record.end_reason for episode, record in tables.resolutions.items()} == self.ended_episodes
        if not self.outbox:
            pending = [row.offer_id for row in tables.pending_offers()]
            assert pending == ([self.state.offer.offer_id] if self.state.offer else [])

    @invariant()
    def every_alert_and_every_limit_has_its_place(self) -> None:
        assert len(self.ledger.tables.alerts) == self.state.alerts
        assert self.state.hold_until is None or self.state.phase in {Phase.ON_HOLD, Phase.MERGED}

    @invariant()
    def it_is_always_somebodys_turn(self) -> None:
        state, tables = self.state, self.ledger.tables
        if state.waiting is not None and state.offer is None:
            spent = [signal for signal in self.outbox if isinstance(signal, OfferMade)]
            in_queue = tables.ticket is not None and tables.ticket.waiting.ticket == state.waiting.ticket
            told = any(signal.ticket == state.waiting.ticket for signal in spent)
            assert in_queue != told, f"ticket {state.waiting.ticket}: in the queue {in_queue}, told of {told}"
            if in_queue:
                assert tables.ticket is not None
                assert tables.ticket.waiting == state.waiting, "the queue sees the case as it is"
                open_promises = [clock for clock in tables.clocks.values() if clock.ended_at is None]
                instants = [clock.due_at or clock.breached_at for clock in open_promises]
                earliest = min((at for at in instants if at is not None), default=None)
                assert tables.ticket.next_breach_at == earliest, "a promise is no less urgent once it is broken"
        else:
            assert tables.ticket is None
        match state.phase:
            case Phase.OFFERED | Phase.WRAP_UP | Phase.RESOLVED:
                assert waiting_for(state).until is not None
            case Phase.CLOSED:
                assert deadlines(state) == []
            case _:
                assert waiting_for(state).what

    def teardown(self) -> None:
        """From wherever it has got to, attentive people bring the conversation to its end."""
        for agent in AGENTS:
            self.ledger.occupy(agent, 0)
        for _ in range(60):
            if self.state.phase.is_final:
                break
            self.go_on()
        assert self.state.phase is Phase.CLOSED
        assert self.ledger.tables.live_assignments() == []
        assert all(agent.load == 0 for agent in self.ledger.tables.agents.values())
        self.customer_writes(MessageKind.MESSAGE, timedelta(0), "thr_1", CASES[0])
        assert not self.happens(Replied("note", "ann", internal=True, by_supervisor=True))
        assert sorted(self.ledger.tables.resolutions) == list(range(1, self.state.episode + 1))
        super().teardown()

    def go_on(self) -> None:
        state, row = self.state, self.answerable()
        if self.outbox:
            self.signal_arrives()
        elif state.offer is not None and self.now < state.offer.expires_at:
            assert row is not None
            if self.count % 2:
                self.nobody_answers_the_offer()
            else:
                self.accept(row)
        elif deadlines(state) and deadlines(state)[0].at <= self.now:
            self.happens(DeadlineReached())
        elif state.waiting is not None:
            self.offer(min(AGENTS, key=lambda agent: self.ledger.tables.agents[agent].load), auto_accept=False)
        elif state.phase.is_in_work:
            self.happens(Resolved("sue", "solved", None, by_supervisor=True))
        else:
            self.now = deadlines(state)[0].at


def is_request(event: Event) -> bool:
    """Whether somebody waits for the answer, so that it may be refused."""
    facts = CustomerWrote | CustomerLeft | TermsChanged | OfferMade | OfferLost | AgentLeft | DeadlineReached
    return not isinstance(event, facts)


TestConversation = pytest.mark.long(ConversationMachine.TestCase)
TestConversation.settings = settings(
    max_examples=800,
    stateful_step_count=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
