"""What the ledger owes a conversation, taken to it as the relay and the workflow do."""

from dataclasses import replace
from datetime import datetime

import msgspec

from bench.month.agenda import Talk
from bench.month.floor import OnFloor
from bench.month.terms import INTENTS
from domain.conversation import events
from domain.conversation.merging import new_needs
from domain.conversation.state import Phase
from domain.suggestions.answers import AnswerWord
from storage.ledger.handovers import lacks_a_skill, read_merge
from storage.ledger.passing_on import pass_on, was_heard
from workflows import messages

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


class Relay(OnFloor):
    async def hear(self, talk: Talk, now: datetime) -> None:
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
            ended = await self._books.has_ended(talk.id) and self._random.random() < 0.5
            if kind != "merged_away" and (ended or talk.state.phase is Phase.CLOSED):
                await self._redirect(talk, signal_id, signal, now)
            else:
                await self._take(talk, signal_id, signal, now)

    async def _redirect(self, talk: Talk, signal_id: int, signal: Signal, now: datetime) -> None:
        """What the relay does with what a completed workflow no longer takes."""
        if isinstance(signal, messages.CustomerLeft):
            into = await self._books.merged_into(talk.id)
            if into is not None:
                await self._floor.owe(
                    into, "customer_left", {"thread_id": signal.thread_id, "at": signal.at.isoformat()}, now
                )
        elif isinstance(signal, messages.MessageReceived) and not await was_heard(self._connection, talk.id, signal_id):
            async with self._connection.transaction():
                await pass_on(self._connection, signal.message_id, talk.id)
            await self._floor.tell_of(signal.message_id, now)

    async def _take(self, talk: Talk, signal_id: int, signal: Signal, now: datetime) -> None:
        match signal:
            case messages.MessageReceived():
                await self._take_message(talk, signal_id, signal, now)
            case messages.Absorb():
                await self._absorb(talk, signal, now)
            case messages.MergedAway():
                self._floor.end_as_merged(talk, signal.at)
            case messages.ThreadsSplit():
                await self._floor.step(
                    talk,
                    now,
                    events.ThreadsSplit(
                        signal.thread_ids, signal.channels, signal.unanswered_since, self._floor.case(talk)
                    ),
                )
            case messages.CustomerLeft():
                left = events.CustomerLeft(signal.thread_id, signal_id)
                if await self._floor.step(talk, now, left) is not None:
                    await self._floor.step(talk, now, left)
                if talk.state.phase is Phase.MERGED:
                    await self._floor.tell_survivor(talk, now)
            case messages.PolicyChanged():
                await self._floor.step(talk, now, events.TermsChanged(self._floor.case(talk), signal.cause))

    async def _take_message(self, talk: Talk, signal_id: int, signal: messages.MessageReceived, now: datetime) -> None:
        if self._random.random() < 0.1:
            talk.intent = self._random.choice(INTENTS)
        case, word = self._floor.case(talk, signal.channel), self._floor.words.get(signal.message_id)
        if word and case.journey is not None:
            case = replace(case, journey=replace(case.journey, words=((signal.message_id, AnswerWord(word)),)))
        event = events.CustomerWrote(signal.message_id, signal.thread_id, signal.kind, signal.at, case, signal_id)
        if await self._floor.step(talk, now, event) is not None:
            await self._floor.step(talk, now, event)  # it was merged under it: this one is to be passed on
        if talk.state.phase.is_final:
            await self._floor.tell_of(signal.message_id, now)

    async def _absorb(self, talk: Talk, signal: messages.Absorb, now: datetime) -> None:
        state = talk.state
        if state.phase.is_final:
            return
        found = await read_merge(self._connection, signal.merge_id)
        agent_id = state.offer.agent_id if state.offer else state.agent_id
        needed = new_needs(state.case.skills if state.case else (), found.handover.skills if found.handover else ())
        unfit = agent_id is not None and await lacks_a_skill(self._connection, agent_id, needed)
        promise = self._floor.case(self._floor.talks[found.loser_id]).promise
        await self._floor.step(
            talk,
            now,
            events.Absorbed(signal.merge_id, signal.at, self._floor.case(talk), found.handover, promise, unfit),
        )
