"""The floor: its conversations, their steps, and what follows from a step."""

from dataclasses import dataclass, field
from datetime import datetime
from random import Random

from bench.month.agenda import Agenda, Talk
from bench.month.books import Books
from bench.month.terms import HOUSE, INTENTS, MINUTE, NEEDS, PROMISES, SECOND, journey_terms, rules_on
from domain.conversation import events
from domain.conversation.commands import Command, EndOffer, Enqueue, OfferEnd
from domain.conversation.deadlines import deadlines
from domain.conversation.journey_commands import AskSurvey, OfferSwitch
from domain.conversation.projection import project
from domain.conversation.refusals import Refusal, RefusalCode
from domain.conversation.state import ConversationState, Phase
from domain.conversation.step import step
from domain.conversation.terms import Assessment
from domain.sla.policy import SlaTerms
from storage.ledger.steps import write_step


@dataclass
class Floor:
    """What all who act in the month share; `words` are the answers that messages carry, by their ids."""

    books: Books
    random: Random
    agents: tuple[str, ...]
    agenda: Agenda = field(default_factory=Agenda)
    talks: dict[str, Talk] = field(default_factory=dict)
    queue: dict[str, tuple[Talk, Enqueue]] = field(default_factory=dict)
    words: dict[str, str] = field(default_factory=dict)
    promises: dict[str, SlaTerms | None] = field(default_factory=lambda: PROMISES[0])
    steps: int = 0

    def case(self, talk: Talk, channel: str | None = None) -> Assessment:
        channel = channel or (talk.state.case.channel if talk.state.case else talk.channel)
        return Assessment(
            channel, "default", talk.segment, talk.intent, 0.9, self.random.choice((0.5, 0.0, -0.6)), "en", None, 3,
            NEEDS.get(talk.intent, ()), ("en",), None, self.promises[talk.segment], rules_on(channel), None,
            journey_terms(),
        )  # fmt: skip

    async def known(self, conversation_id: str) -> Talk:
        """A conversation that the ledger itself may have opened."""
        if conversation_id not in self.talks:
            row = await (
                await self.books.connection.execute(
                    "select customer_id, opened_at, channels ->> 0 from conversations where id = %s", (conversation_id,)
                )
            ).fetchone()
            assert row is not None
            threads = await (
                await self.books.connection.execute(
                    "select channel, id from threads where conversation_id = %s order by id", (conversation_id,)
                )
            ).fetchall()
            state = ConversationState(conversation_id, row[0], row[1])
            intent = self.random.choice(INTENTS)
            self.talks[conversation_id] = Talk(state, row[0], dict(threads), row[2], intent, "standard")
        return self.talks[conversation_id]

    async def place(self, thread_id: str) -> tuple[str, str, str]:
        """The conversation a thread is in, its customer, its state."""
        row = await (
            await self.books.connection.execute(
                "select c.id, c.customer_id, c.state from threads t join conversations c on c.id = t.conversation_id"
                " where t.id = %s",
                (thread_id,),
            )
        ).fetchone()
        assert row is not None
        await self.known(row[0])
        return row[0], row[1], row[2]

    async def owe(self, conversation_id: str, kind: str, payload: dict[str, str], now: datetime) -> None:
        await self.books.insert(
            "signals", conversation_id=conversation_id, kind=kind, payload=payload, created_at=now, attempts=0,
            set_aside=False,
        )  # fmt: skip
        self.tell(self.talks[conversation_id], now)

    def tell(self, talk: Talk, now: datetime) -> None:
        """Soon, mostly; sometimes it takes minutes."""
        if not talk.hears:
            talk.hears = True
            unit = MINUTE if self.random.random() < 0.1 else SECOND
            self.agenda.plan(now + unit * self.random.uniform(0, 3), "hears", talk)

    async def tell_of(self, message_id: str, now: datetime) -> None:
        """A message may have gone to a conversation that is owed it now."""
        query = "select conversation_id from messages where id = %s"
        row = await (await self.books.connection.execute(query, (message_id,))).fetchone()
        if row is not None:
            self.tell(await self.known(row[0]), now)

    async def tell_survivor(self, talk: Talk, now: datetime) -> None:
        into = await self.books.merged_into(talk.id)
        if into is not None:
            self.tell(await self.known(into), now)

    async def step(self, talk: Talk, now: datetime, event: events.Event) -> Refusal | None:
        """Let the domain decide and the ledger write; what either refuses is what is returned."""
        try:
            done = step(talk.state, event, now)
        except Refusal as refused:
            return refused
        if done.state == talk.state:
            return None
        before = talk.state
        if done.commands or project(done.state) != project(before):
            try:
                async with self.books.connection.transaction():
                    await write_step(self.books.connection, done.state, done.commands, now, frozenset(), HOUSE)
            except Refusal as refused:
                if refused.code is RefusalCode.CONVERSATION_ENDED:
                    self.end_as_merged(talk, now)
                return refused
            self.steps += 1
        talk.state = done.state
        self._follow(talk, before, done.commands, now)
        return None

    def _follow(self, talk: Talk, before: ConversationState, commands: tuple[Command, ...], now: datetime) -> None:
        random, state = self.random, talk.state
        if state.waiting is None or state.offer is not None:
            self.queue.pop(state.conversation_id, None)
        for command in commands:
            if isinstance(command, Enqueue):
                self.queue[state.conversation_id] = (talk, command)
            if isinstance(command, EndOffer) and command.end is OfferEnd.TIMED_OUT and before.offer is not None:
                self.agenda.plan(now + random.uniform(1, 20) * MINUTE, "returns", None, before.offer.agent_id)
            if isinstance(command, OfferSwitch):
                word = random.choice((command.channel.value, "yes", "no", ""))
                if word:
                    self.agenda.plan(now + random.uniform(5, 90) * SECOND, "writes", talk, talk.channel, word)
            if isinstance(command, AskSurvey) and random.random() < 0.5:
                self.agenda.plan(
                    now + random.uniform(1, 600) * MINUTE, "scores", talk, command.survey_id, str(random.randint(1, 7))
                )
        is_given = state.assignment is not None and state.assignment != before.assignment
        is_woken = state.phase is Phase.ASSIGNED and before.phase is Phase.PENDING_CUSTOMER
        if is_given or is_woken:
            self.agenda.plan(now + random.uniform(0.5, 12) * MINUTE, "agent", talk)
            self._sometimes_merge(talk, now)
        upcoming = deadlines(state)
        talk.wakes_at = max(upcoming[0].at, now) if upcoming else None
        if talk.wakes_at is not None:
            self.agenda.plan(talk.wakes_at, "deadline", talk)

    def _sometimes_merge(self, talk: Talk, now: datetime) -> None:
        if self.random.random() < 0.02:
            self.agenda.plan(now + self.random.uniform(0, 3) * MINUTE, "merged", talk)

    def end_as_merged(self, talk: Talk, at: datetime) -> None:
        self.queue.pop(talk.id, None)
        talk.state = step(talk.state, events.MergedAway(at), at).state
        talk.wakes_at = None


class OnFloor:
    """Somebody who acts in the month, with what of the floor they reach for most."""

    def __init__(self, floor: Floor) -> None:
        self._floor = floor
        self._books = floor.books
        self._connection = floor.books.connection
        self._random = floor.random
        self._agenda = floor.agenda
