"""Conversations for tests: a case with its rules and promise, and a driver that feeds one event after another."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Final, TypeVar

import pytest

from domain.channels import MessageKind
from domain.conversation.commands import Command, Enqueue, Happened
from domain.conversation.events import (
    Claimed,
    CustomerWrote,
    DeadlineReached,
    Event,
    OfferAccepted,
    OfferDeclined,
    OfferMade,
    Replied,
    Resolved,
    Transferred,
)
from domain.conversation.invariants import check_state
from domain.conversation.refusals import Refusal, RefusalCode
from domain.conversation.state import ConversationState
from domain.conversation.step import step
from domain.conversation.terms import Assessment, Rules, SkillNeeds
from domain.sla.clock import Clock, clock_for
from domain.sla.policy import Metric, PolicyId, SlaTargets, SlaTerms

START: Final = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
SECOND: Final = timedelta(seconds=1)
MINUTE: Final = timedelta(minutes=1)
HOUR: Final = timedelta(hours=1)

RULES: Final = Rules(
    offer_timeout=30 * SECOND,
    auto_accept=False,
    units=34,
    wrap_up_limit=5 * MINUTE,
    wrap_up_extension=3 * MINUTE,
    reopen_window=72 * HOUR,
    exclusion_cooldown=2 * MINUTE,
    idle_release=15 * MINUTE,
    max_reroutes=2,
    owner_grace=MINUTE,
)
PROMISE: Final = SlaTerms(
    PolicyId("gold"),
    1,
    SlaTargets(first_response=10 * MINUTE, next_response=20 * MINUTE, resolution=4 * HOUR, owner_silence=15 * MINUTE),
    warn_fraction=0.5,
)
CASE: Final = Assessment(
    channel="web_chat",
    pool="default",
    segment="gold",
    intent="billing",
    intent_confidence=0.9,
    sentiment=-0.25,
    language="en",
    product=None,
    priority=3,
    skills=(("billing", 3),),
    languages=("en",),
    subject=None,
    promise=PROMISE,
    rules=RULES,
)
NO_PROMISE: Final = replace(CASE, promise=None)

Kind = TypeVar("Kind")


def only(commands: Iterable[Command], kind: type[Kind]) -> list[Kind]:
    return [command for command in commands if isinstance(command, kind)]


@dataclass
class Conversation:
    """A conversation under test: `commands` are those of the last step, `now` is its clock."""

    case: Assessment = CASE
    now: datetime = START
    state: ConversationState = field(default_factory=lambda: ConversationState("con_1", "cus_1", START))
    commands: tuple[Command, ...] = ()
    messages: int = 0
    offers: int = 0

    def happens(self, event: Event) -> tuple[Command, ...]:
        done = step(self.state, event, self.now)
        self.state, self.commands = done.state, done.commands
        assert check_state(self.state) == []
        return self.commands

    def refuses(self, event: Event) -> RefusalCode:
        with pytest.raises(Refusal) as refused:
            step(self.state, event, self.now)
        return refused.value.code

    def passes(self, span: timedelta) -> tuple[Command, ...]:
        """Let time pass and then whatever is due happen."""
        self.now += span
        return self.happens(DeadlineReached())

    def wrote(
        self,
        kind: MessageKind = MessageKind.MESSAGE,
        *,
        at: datetime | None = None,
        thread: str = "thr_1",
        case: Assessment | None = None,
    ) -> CustomerWrote:
        self.messages += 1
        return CustomerWrote(f"msg_{self.messages}", thread, kind, at or self.now, case or self.case)

    def offer_to(self, agent: str, *, auto_accept: bool = False, ticket: int | None = None) -> OfferMade:
        self.offers += 1
        return OfferMade(
            f"off_{self.offers}",
            ticket or self.state.tickets,
            agent,
            self.now + self.case.rules.offer_timeout,
            auto_accept,
            "speaks English, knows billing",
        )

    def queued(self) -> "Conversation":
        self.happens(self.wrote())
        return self

    def offered(self, agent: str = "ann") -> "Conversation":
        self.queued()
        self.happens(self.offer_to(agent))
        return self

    def assigned(self, agent: str = "ann") -> "Conversation":
        self.offered(agent)
        self.happens(self.accept(agent))
        return self

    def pending(self, agent: str = "ann") -> "Conversation":
        self.assigned(agent)
        self.happens(reply("rep_1", agent))
        return self

    def idle(self, agent: str = "ann") -> "Conversation":
        self.pending(agent)
        self.passes(15 * MINUTE)
        return self

    def in_wrap_up(self, agent: str = "ann") -> "Conversation":
        self.assigned(agent)
        self.happens(resolve(agent))
        return self

    def resolved(self, agent: str = "ann") -> "Conversation":
        self.in_wrap_up(agent)
        self.passes(5 * MINUTE)
        return self

    def closed(self) -> "Conversation":
        self.resolved()
        self.passes(72 * HOUR)
        return self

    def accept(self, agent: str, offer: OfferMade | None = None) -> OfferAccepted:
        if offer is not None:
            return OfferAccepted(offer.offer_id, offer.ticket, agent, offer.expires_at)
        pending = self.state.offer
        assert pending is not None
        return OfferAccepted(pending.offer_id, pending.ticket, agent, pending.expires_at)

    def decline(self, agent: str, offer: OfferMade | None = None) -> OfferDeclined:
        pending = offer or self.state.offer
        assert pending is not None
        return OfferDeclined(pending.offer_id, agent, "busy", pending.ticket, pending.expires_at)

    def ordered(self, kind: type[Kind]) -> list[Kind]:
        return only(self.commands, kind)

    def timeline(self) -> list[str]:
        return [line.kind for line in self.ordered(Happened)]

    def ticket(self) -> Enqueue:
        """The one ticket that the last step put into the queue."""
        (ticket,) = self.ordered(Enqueue)
        return ticket

    def clock(self, metric: Metric) -> Clock:
        found = clock_for(self.state.clocks, metric, self.state.episode)
        assert found is not None
        return found

    def has_clock(self, metric: Metric) -> bool:
        return clock_for(self.state.clocks, metric, self.state.episode) is not None


def reply(message_id: str, agent: str, *, internal: bool = False, by_supervisor: bool = False) -> Replied:
    return Replied(message_id, agent, internal, by_supervisor)


def resolve(agent: str, code: str = "solved", *, by_supervisor: bool = False) -> Resolved:
    return Resolved(agent, code, None, by_supervisor)


def transfer(
    agent: str,
    *,
    warm: bool = False,
    to_agent: str | None = None,
    to_pool: str | None = None,
    to_skills: SkillNeeds = (),
    by_supervisor: bool = False,
) -> Transferred:
    return Transferred(agent, warm, "please help", to_agent, to_pool, to_skills, by_supervisor)


def claim(agent: str) -> Claimed:
    return Claimed(agent)
