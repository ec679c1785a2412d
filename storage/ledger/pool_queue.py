"""The waiting queue of a pool, kept from one pass to the next: a pass reads only the tickets that have changed.

Every write of a ticket marks it with its transaction. A pass reads what was marked by a transaction that may not have
been over at the last look, and counts the rows: what has left the queue shows in the count, and only then is the whole
list compared. The few tickets whose form depends on the time are read at every pass. Some things show in neither, such
as a customer's new contract: now and then the queue is read anew.
"""

import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from psycopg.rows import class_row

from domain.routing.experience import Experience
from domain.routing.from_settings import context_version
from domain.routing.policy import RoutingPolicy
from domain.routing.queue import WaitingQueue
from domain.settings import Settings
from storage.database import LedgerConnection
from storage.ledger.ticket import COLUMNS, JOINED, Ticket

MOST_TICKETS: Final = 20_000
READ_ANEW_AFTER: Final = 60.0
"""Seconds."""
_MOST_CHANGES: Final = 50_000
"""A queue remembers every demand it has seen; after so many changes it is read anew."""

_LOOK: Final = """
select pg_snapshot_xmin(pg_current_snapshot())::text, (select count(*) from queue_tickets where pool = %(pool)s),
       array(select conversation_id from queue_tickets where pool = %(pool)s and changed >= %(since)s::text::xid8)
"""
# Every update of a row changes its xmin.
_STANDING: Final = """
select t.conversation_id, t.xmin::text, a.agent_id,
       coalesce(t.owner_until > clock_timestamp(), false)
       and coalesce(t.next_breach_at > clock_timestamp() + interval '30 seconds', true)
       and exists (select from agents o where o.id = t.affinity_agent and o.active and o.presence = 'online')
from queue_tickets t
left join assignments a on a.conversation_id = t.conversation_id and a.ended_at is null
where t.pool = %s and t.conversation_id <> all(%s)
  and not exists (select from offers o where o.conversation_id = t.conversation_id and o.state = 'pending')
order by t.urgent desc, t.queued_at, t.conversation_id
limit %s
"""
_TICKETS: Final = f"""
select {COLUMNS} from queue_tickets t {JOINED}
where t.pool = %s and t.conversation_id = any(%s)
  and not exists (select from offers o where o.conversation_id = t.conversation_id and o.state = 'pending')
"""  # noqa: S608 -- put together of constants
_LOCK: Final = """
select conversation_id, xmin::text from queue_tickets where conversation_id = any(%s) for update skip locked
"""


@dataclass(slots=True)
class WhatWaits:
    """What a pass asks of all tickets together, counted as they come and go: a long queue is not read for it."""

    channels: Counter[str] = field(default_factory=Counter)
    intents: Counter[str | None] = field(default_factory=Counter)
    named_agents: Counter[str] = field(default_factory=Counter)
    """Whom tickets name as the only one to be offered to."""
    declined: int = 0
    """Tickets that somebody declined."""

    def add(self, ticket: Ticket) -> None:
        self._count(ticket, 1)

    def remove(self, ticket: Ticket) -> None:
        self._count(ticket, -1)

    def _count(self, ticket: Ticket, by: int) -> None:
        self.channels[ticket.channel] += by
        self.intents[ticket.intent] += by
        if ticket.named_agent is not None:
            self.named_agents[ticket.named_agent] += by
        self.declined += by * bool(ticket.excluded)


class PoolQueue:
    """What waits in one pool, as the engine reads it; `follow` brings it up to what the ledger says now."""

    def __init__(self, pool: str) -> None:
        self.pool = pool
        self.waiting = WaitingQueue()
        self.tickets: dict[str, Ticket] = {}
        self.waits = WhatWaits()
        self._form = ("", "")
        self._changes = 0
        self._seen: str | None = None
        self._read_anew_at = 0.0
        self._timely: set[str] = set()

    async def follow(
        self,
        connection: LedgerConnection,
        settings: Settings,
        policy: RoutingPolicy,
        experience: Experience,
        now: datetime,
        passed_over: list[str],
    ) -> None:
        """Take in what is new or changed, the urgent and the oldest first, and let go of what waits no more."""
        form = (policy.version, context_version(settings))
        if form != self._form or self._changes > _MOST_CHANGES or time.monotonic() >= self._read_anew_at:
            self._forget()
            self._form = form
        look = await (await connection.execute(_LOOK, {"pool": self.pool, "since": self._seen or "0"})).fetchone()
        if look is None:
            raise RuntimeError("the queue was not counted")
        is_known = self._seen is not None and not passed_over
        self._seen, standing, changed = look
        if is_known:
            again = [*{*changed, *self._timely}]
            self._drop(again)
            await self._take(connection, again, settings, policy, experience, now)
        if not is_known or standing != len(self.tickets):
            await self._compare(connection, settings, policy, experience, now, passed_over)

    async def lock(self, connection: LedgerConnection, conversation_ids: list[str]) -> frozenset[str]:
        """Those of the conversations that still wait just as they did, held until the transaction ends.

        One that somebody else holds is left to them: nobody is waited for.
        """
        cursor = await connection.execute(_LOCK, (conversation_ids,))
        return frozenset(
            conversation_id
            for conversation_id, version in await cursor.fetchall()
            if self.tickets[conversation_id].version == version
        )

    def offered(self, conversation_ids: Iterable[str]) -> None:
        """These have left the queue by a commit of ours."""
        self._drop(conversation_ids)

    async def _compare(
        self,
        connection: LedgerConnection,
        settings: Settings,
        policy: RoutingPolicy,
        experience: Experience,
        now: datetime,
        passed_over: list[str],
    ) -> None:
        cursor = await connection.execute(_STANDING, (self.pool, passed_over, MOST_TICKETS))
        standing = {row[0]: (row[1], row[2]) for row in await cursor.fetchall()}
        self._drop([one for one, known in self.tickets.items() if standing.get(one) != (known.version, known.held_by)])
        missing = [conversation_id for conversation_id in standing if conversation_id not in self.tickets]
        await self._take(connection, missing, settings, policy, experience, now)

    async def _take(
        self,
        connection: LedgerConnection,
        conversation_ids: list[str],
        settings: Settings,
        policy: RoutingPolicy,
        experience: Experience,
        now: datetime,
    ) -> None:
        if not conversation_ids:
            return
        async with connection.cursor(row_factory=class_row(Ticket)) as rows:
            await rows.execute(_TICKETS.encode(), (self.pool, conversation_ids))
            for ticket in await rows.fetchall():
                self.tickets[ticket.conversation_id] = ticket
                self.waits.add(ticket)
                self.waiting.add(ticket.case(self.pool, settings, policy, experience, now))
                self._changes += 1
                if ticket.depends_on_time:
                    self._timely.add(ticket.conversation_id)

    def _drop(self, conversation_ids: Iterable[str]) -> None:
        for conversation_id in conversation_ids:
            if (ticket := self.tickets.pop(conversation_id, None)) is not None:
                self.waits.remove(ticket)
                self.waiting.remove(conversation_id)
                self._timely.discard(conversation_id)

    def _forget(self) -> None:
        self.waiting, self.tickets, self.waits = WaitingQueue(), {}, WhatWaits()
        self._timely, self._changes = set(), 0
        self._seen = None
        self._read_anew_at = time.monotonic() + READ_ANEW_AFTER
