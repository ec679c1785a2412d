"""A small ledger that carries a conversation's commands out as `domain/conversation/commands.py` promises.

Everything of a step is done or nothing is. What the database's constraints would refuse fails as an assertion: the
conversation must never ask for it. What it may ask for and not get is `LedgerRefusal`.
"""

from copy import deepcopy
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import assert_never

from domain.conversation.commands import (
    Absorb,
    Command,
    Dequeue,
    EndAssignment,
    EndOffer,
    Enqueue,
    Handover,
    Happened,
    KeepClock,
    OfferEnd,
    PassOn,
    PassOnLeaving,
    RaiseAlert,
    RecordResolution,
    SendReply,
    StartAssignment,
)
from domain.conversation.journey_commands import AskSurvey, EndSuggestion, JudgeSuggestion, OfferSwitch, OpenThread
from domain.conversation.refusals import RefusalCode
from domain.sla.clock import Clock
from domain.sla.policy import Metric

CAPACITY = 100
PENDING = "pending"
REVOKED = "revoked"


class LedgerRefusal(Exception):  # noqa: N818 -- the step is refused, nothing failed
    def __init__(self, code: RefusalCode) -> None:
        super().__init__(code)
        self.code = code


@dataclass
class OfferRow:
    offer_id: str
    ticket: int
    agent_id: str
    units: int
    expires_at: datetime
    state: str = PENDING


@dataclass
class AssignmentRow:
    assignment_id: str
    agent_id: str
    units: int
    is_live: bool = True


@dataclass
class AgentRow:
    """`elsewhere` is what other conversations hold, `load` the column that every change adds to or takes from."""

    elsewhere: int = 0
    load: int = 0


ClockKey = tuple[Metric, int, int]


@dataclass
class Tables:
    agents: dict[str, AgentRow]
    ticket: Enqueue | None = None
    offered_tickets: set[int] = field(default_factory=set)
    offers: dict[str, OfferRow] = field(default_factory=dict)
    assignments: dict[str, AssignmentRow] = field(default_factory=dict)
    clocks: dict[ClockKey, Clock] = field(default_factory=dict)
    breaches: list[ClockKey] = field(default_factory=list)
    breaches_told: int = 0
    resolutions: dict[int, RecordResolution] = field(default_factory=dict)
    sent: list[str] = field(default_factory=list)
    passed_on: list[str] = field(default_factory=list)
    accepted: list[str] = field(default_factory=list)
    absorbed: list[str] = field(default_factory=list)
    takes_clocks_over: bool = False
    """Whether clocks of another conversation come with this step: these may have been broken there."""
    alerts: list[str] = field(default_factory=list)
    suggestions: dict[str, str] = field(default_factory=dict)
    suggested: list[str] = field(default_factory=list)
    judged: list[str] = field(default_factory=list)
    threads: list[str] = field(default_factory=list)
    surveys: list[str] = field(default_factory=list)

    def pending_offers(self) -> list[OfferRow]:
        return [offer for offer in self.offers.values() if offer.state == PENDING]

    def live_assignments(self) -> list[AssignmentRow]:
        return [assignment for assignment in self.assignments.values() if assignment.is_live]


class Ledger:
    def __init__(self, agents: tuple[str, ...]) -> None:
        self.tables = Tables({agent: AgentRow() for agent in agents})

    def carry_out(self, commands: tuple[Command, ...], *, units: int, episode: int, now: datetime) -> None:
        """Do all of a step, or raise `LedgerRefusal` and have done nothing."""
        before = deepcopy(self.tables)
        self.tables.takes_clocks_over = False
        try:
            for command in commands:
                self._carry_out_one(command, units=units, episode=episode, now=now)
        except LedgerRefusal:
            self.tables = before
            raise
        self.check()

    def has_room(self, agent_id: str, units: int) -> bool:
        return self.tables.agents[agent_id].load + units <= CAPACITY

    def make_offer(self, offer_id: str, agent_id: str, units: int, expires_at: datetime) -> OfferRow:
        """What the dispatcher commits: the ticket is spent, the units are taken."""
        ticket = self.tables.ticket
        assert ticket is not None
        row = OfferRow(offer_id, ticket.waiting.ticket, agent_id, units, expires_at)
        self.tables.ticket = None
        self.tables.offered_tickets.add(row.ticket)
        self.tables.offers[offer_id] = row
        self._take(agent_id, units)
        self.check()
        return row

    def revoke_offers(self, agent_id: str) -> list[OfferRow]:
        """What happens at once to the pending offers of an agent who goes away."""
        revoked = [offer for offer in self.tables.pending_offers() if offer.agent_id == agent_id]
        for offer in revoked:
            self._end_offer(offer, REVOKED)
        return revoked

    def occupy(self, agent_id: str, units: int) -> None:
        """Let other conversations hold so much of an agent, as far as there is room."""
        agent = self.tables.agents[agent_id]
        own = agent.load - agent.elsewhere
        agent.elsewhere = min(units, CAPACITY - own)
        agent.load = own + agent.elsewhere
        self.check()

    def check(self) -> None:
        """S3, S4: what the database's indexes and checks hold, and that the load is what the rows say."""
        tables = self.tables
        assert len(tables.pending_offers()) <= 1, "two live offers"
        assert len(tables.live_assignments()) <= 1, "two live assignments"
        assert not (tables.ticket and tables.pending_offers()), "waiting in the queue while it is offered"
        for agent_id, agent in tables.agents.items():
            held = [offer.units for offer in tables.pending_offers() if offer.agent_id == agent_id]
            held += [row.units for row in tables.live_assignments() if row.agent_id == agent_id]
            assert agent.load == agent.elsewhere + sum(held), f"{agent_id}: load {agent.load}, rows {held}"
            assert 0 <= agent.load <= CAPACITY, f"{agent_id}: load {agent.load}"

    def _carry_out_one(  # noqa: C901, PLR0912, PLR0915 -- one case a command
        self, command: Command, *, units: int, episode: int, now: datetime
    ) -> None:
        tables = self.tables
        match command:
            case Enqueue(waiting):
                if waiting.ticket in tables.offered_tickets:
                    return
                assert tables.ticket is None or tables.ticket.waiting.ticket <= waiting.ticket, "an old ticket"
                tables.ticket = command
            case Dequeue(ticket, must_wait):
                self._dequeue(ticket, must_wait=must_wait)
            case EndOffer(offer_id, end):
                offer = tables.offers[offer_id]
                if end in {OfferEnd.ACCEPTED, OfferEnd.DECLINED} and offer.state != PENDING:
                    raise LedgerRefusal(RefusalCode.OFFER_GONE)
                if end is OfferEnd.ACCEPTED:
                    tables.accepted.append(offer_id)
                    offer.state = end.value  # the units pass over to the assignment
                elif offer.state == PENDING:
                    self._end_offer(offer, end.value)
            case StartAssignment():
                self._start_assignment(command, units)
            case EndAssignment(assignment_id):
                row = tables.assignments[assignment_id]
                assert row.is_live, "an assignment ends once"
                row.is_live = False
                tables.agents[row.agent_id].load -= row.units
            case SendReply(message_id):
                assert message_id not in tables.sent, "a reply is sent once"
                tables.sent.append(message_id)
            case KeepClock(clock):
                self._keep_clock(clock, now)
            case RecordResolution():
                assert episode not in tables.resolutions, "an episode is resolved once"
                tables.resolutions[episode] = command
            case Absorb(merge_id):
                assert merge_id not in tables.absorbed, "a merge is absorbed once"
                tables.absorbed.append(merge_id)
                tables.takes_clocks_over = True
            case PassOn(message_id):
                tables.passed_on.append(message_id)
            case PassOnLeaving(thread_id):
                tables.passed_on.append(thread_id)
            case RaiseAlert(alert_id):
                assert alert_id not in tables.alerts, "an alert's id is used once"
                tables.alerts.append(alert_id)
            case OfferSwitch(suggestion_id, _, channel):
                assert "offered" not in tables.suggestions.values(), "one open suggestion at a time"
                assert channel not in tables.suggested, "nobody is asked twice for the same"
                tables.suggestions[suggestion_id] = "offered"
                tables.suggested.append(channel)
            case EndSuggestion(suggestion_id, end):
                assert tables.suggestions[suggestion_id] == "offered", "a suggestion is answered once"
                tables.suggestions[suggestion_id] = end.value
            case OpenThread(suggestion_id, thread_id):
                assert thread_id not in tables.threads, "a channel joins once"
                tables.threads.append(thread_id)
            case JudgeSuggestion(suggestion_id):
                assert tables.suggestions[suggestion_id] == "accepted", "only what was accepted is judged"
                assert suggestion_id not in tables.judged, "a suggestion is judged once"
                tables.judged.append(suggestion_id)
            case AskSurvey(survey_id):
                assert survey_id not in tables.surveys, "an episode is asked about once"
                tables.surveys.append(survey_id)
            case Happened(kind):
                tables.breaches_told += kind == "sla_breached"
            case _:
                assert_never(command)

    def _dequeue(self, ticket: int, *, must_wait: bool) -> None:
        row = self.tables.ticket
        if row is not None and row.waiting.ticket == ticket:
            self.tables.ticket = None
            return
        if must_wait:
            raise LedgerRefusal(RefusalCode.NOT_WAITING)
        for offer in self.tables.pending_offers():
            if offer.ticket == ticket:
                self._end_offer(offer, OfferEnd.RESCINDED.value)

    def _start_assignment(self, command: StartAssignment, units: int) -> None:
        tables = self.tables
        assert command.assignment_id not in tables.assignments, "an assignment's id is used once"
        assert not tables.live_assignments(), "two live assignments"
        if command.how is Handover.SWITCH:
            if not self.has_room(command.agent_id, units):
                units = list(tables.assignments.values())[-1].units
            self._take(command.agent_id, units)
        elif command.offer_id is None:
            if not self.has_room(command.agent_id, units):
                raise LedgerRefusal(RefusalCode.NO_CAPACITY)
            self._take(command.agent_id, units)
        else:
            offer = tables.offers[command.offer_id]
            assert (offer.state, offer.agent_id) == (OfferEnd.ACCEPTED.value, command.agent_id), (
                "not this agent's offer"
            )
            units = offer.units
        tables.assignments[command.assignment_id] = AssignmentRow(command.assignment_id, command.agent_id, units)

    def _keep_clock(self, clock: Clock, now: datetime) -> None:
        """S12: one breach a clock, at the instant that was due, never before it, never after a stop."""
        key = (clock.metric, clock.episode, clock.number)
        before = self.tables.clocks.get(key)
        if before is None:
            if clock.breached_at is not None:
                assert self.tables.takes_clocks_over, "a clock does not begin broken"
                self.tables.breaches.append(key)
            earlier = [kept for at, kept in self.tables.clocks.items() if at[:2] == key[:2]]
            assert len(earlier) == clock.number - 1, "clocks of a metric are numbered one by one"
            assert all(kept.is_ended for kept in earlier), "a clock starts again when the last has ended"
        else:
            assert not before.is_ended, "a clock that has ended does not change"
            assert clock.started_at == before.started_at, "a clock keeps its beginning"
            assert clock.climbed[: len(before.climbed)] == before.climbed, "a step that was taken stays taken"
            if before.breached_at is not None:
                assert clock.breached_at == before.breached_at, "a breach stays as it is"
            elif clock.breached_at is not None:
                assert clock.breached_at == before.due_at, "a breach is the instant that was due"
                assert clock.breached_at <= now, "a breach is never early"
                self.tables.breaches.append(key)
        self.tables.clocks[key] = clock

    def _take(self, agent_id: str, units: int) -> None:
        agent = self.tables.agents[agent_id]
        agent.load += units
        assert agent.load <= CAPACITY, f"{agent_id} is over capacity"

    def _end_offer(self, offer: OfferRow, state: str) -> None:
        self.tables.offers[offer.offer_id] = replace(offer, state=state)
        self.tables.agents[offer.agent_id].load -= offer.units
