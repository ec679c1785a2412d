"""The dispatcher of the month: one queue, first come first served."""

from datetime import datetime

from psycopg.types.json import Jsonb

from bench.month.floor import OnFloor
from bench.month.terms import SECOND
from domain.conversation import events


class Dispatcher(OnFloor):
    async def dispatch(self, now: datetime) -> None:
        """First come, first served; the offer and its decision are what the dispatcher would write."""
        for conversation_id, (talk, ticket) in sorted(
            self._floor.queue.items(), key=lambda item: item[1][1].waiting.queued_at
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
            await self._books.insert(
                "offers", id=offer_id, conversation_id=conversation_id, ticket=waiting.ticket,
                episode=talk.state.episode, agent_id=agent_id, pool="default", channel=case.channel, units=units,
                state="pending", reason="first come", score=1.0, created_at=now, expires_at=expires_at,
            )  # fmt: skip
            await self._books.insert(
                "routing_decisions", id=f"dec_{offer_id}", conversation_id=conversation_id, offer_id=offer_id,
                pool="default", at=now, policy_version="1", model_version="1",
                record={"success": {"value": self._random.choice((0.25, 0.5, 0.75))}},
            )  # fmt: skip
            event = events.OfferMade(offer_id, waiting.ticket, agent_id, expires_at, False, "first come")
            await self._floor.step(talk, now, event)
            if self._random.random() > 0.07:
                self._agenda.plan(now + self._random.uniform(1, 20) * SECOND, "offered", talk, offer_id)
