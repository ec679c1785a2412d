"""The agents and the supervisor: they answer offers, reply, hand on, hold, escalate, resolve, and take up again."""

from datetime import datetime

from bench.month.agenda import Talk
from bench.month.floor import OnFloor
from bench.month.terms import DAY, HOUR, MINUTE, START
from domain.conversation import events
from domain.conversation.state import EndReason, Phase


class Agents(OnFloor):
    async def arrive(self) -> None:
        for number, agent_id in enumerate(self._floor.agents):
            skills = {"billing": 4, "accounts": 3} if number % 3 == 0 else {("billing", "accounts")[number % 2]: 3}
            await self._books.insert(
                "agents", id=agent_id, display_name=agent_id, pool="default", kind="human", skills=skills,
                languages=[], capacity=100, load=0, load_limit=100, channel_ceilings={}, preferences={},
                presence="online", presence_since=START, active=True, created_at=START, updated_at=START,
            )  # fmt: skip
            await self._books.take_up(agent_id, "online", START)

    async def answer_offer(self, talk: Talk, now: datetime, offer_id: str) -> None:
        offer = talk.state.offer
        if offer is None or offer.offer_id != offer_id:
            return
        if self._random.random() < 0.1:
            answer: events.Event = events.OfferDeclined(
                offer_id, offer.agent_id, "busy", offer.ticket, offer.expires_at
            )
        else:
            answer = events.OfferAccepted(offer_id, offer.ticket, offer.agent_id, offer.expires_at)
        if await self._floor.step(talk, now, answer) is not None:
            await self._floor.step(talk, now, events.OfferLost(offer_id, "gone", offer.ticket))

    async def act(self, talk: Talk, now: datetime) -> None:  # noqa: C901 -- one case a thing agents do
        """Whoever has the conversation replies, transfers, holds, escalates, or resolves what has gone quiet."""
        state, agent_id, random = talk.state, talk.state.agent_id, self._random
        if state.phase is Phase.RESOLVED and state.owner is not None and random.random() < 0.2:
            await self._floor.step(talk, now, events.Reopened(state.owner, by_supervisor=random.random() < 0.5))
            return
        if agent_id is None or not state.phase.is_in_work:
            return
        chance = random.random()
        if state.phase is Phase.ON_HOLD:
            await self._floor.step(talk, now, events.Resumed(agent_id, by_supervisor=False))
            self._agenda.plan(now + random.uniform(1, 10) * MINUTE, "agent", talk)
        elif state.phase is Phase.ASSIGNED and chance < 0.07 and state.waiting is None:
            to_pool = "default" if chance < 0.05 else None
            to_agent = None if to_pool else random.choice(self._floor.agents)
            event = events.Transferred(agent_id, chance < 0.03, "please", to_agent, to_pool, (), False)
            await self._floor.step(talk, now, event)
        elif chance < 0.12:
            limit = None if chance < 0.09 else 5 * MINUTE
            await self._floor.step(talk, now, events.Held(agent_id, by_supervisor=False, limit=limit))
            self._agenda.plan(now + random.uniform(1, 30) * MINUTE, "agent", talk)
        elif chance < 0.17:
            to_pool = "default" if chance < 0.14 else None
            await self._floor.step(
                talk, now, events.Escalated(agent_id, "they ask for more", to_pool, by_supervisor=False)
            )
            self._agenda.plan(now + random.uniform(1, 10) * MINUTE, "agent", talk)
        elif state.phase is Phase.ASSIGNED and chance < 0.87:
            await self._reply(talk, now, agent_id)
        elif chance > 0.98:
            reason = random.choice((EndReason.NO_ANSWER_WANTED, EndReason.CUSTOMER_ENDED, EndReason.SPAM))
            await self._floor.step(talk, now, events.EndedByHand(agent_id, reason, by_supervisor=False))
        else:
            await self._floor.step(talk, now, events.Resolved(agent_id, "resolved", None, False))
            if random.random() < 0.3:
                self._agenda.plan(now + random.uniform(0.01, 6) * DAY, "writes", talk, talk.channel)
            if random.random() < 0.1:
                self._agenda.plan(now + random.uniform(1, 48) * HOUR, "agent", talk)
            if random.random() < 0.1:
                self._agenda.plan(now + random.uniform(0.1, 60) * HOUR, "merged", talk)

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
        await self._books.insert(
            "messages", id=reply, conversation_id=talk.id, thread_id=thread[0], customer_id=thread[2],
            direction="outbound", kind="message", author_kind="agent", author_id=agent_id, channel=thread[1],
            account="main", text="words", attachments=[], at=now, delivery="draft",
        )  # fmt: skip
        await self._floor.step(talk, now, events.Replied(reply, agent_id, False, False))
        if self._random.random() < 0.5:
            self._agenda.plan(now + self._random.uniform(1, 20) * MINUTE, "writes", talk, talk.channel)
        self._agenda.plan(now + self._random.uniform(10, 40) * MINUTE, "agent", talk)

    async def supervise(self, talk: Talk, now: datetime) -> None:
        if self._random.random() < 0.5:
            await self._floor.step(talk, now, events.Escalated("sue", "it takes too long", None, by_supervisor=True))
        else:
            to_agent = self._random.choice((None, self._random.choice(self._floor.agents)))
            await self._floor.step(talk, now, events.Reassigned("sue", to_agent, "needed elsewhere"))
