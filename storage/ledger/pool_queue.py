"""The waiting queue of a pool, kept from one pass to the next: a pass reads only the tickets that have changed."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from psycopg.rows import class_row

from domain.routing.from_settings import VALUE_WEIGHTS, made_urgent
from domain.routing.model import SkillNeed, WaitingCase
from domain.routing.policy import RoutingPolicy
from domain.routing.queue import WaitingQueue
from storage.database import LedgerConnection

MOST_TICKETS: Final = 5_000
_MOST_CHANGES: Final = 50_000
"""A queue remembers every demand it has seen; after so many changes it is read anew."""

# Every update of a row changes its xmin. A warm transfer leaves the conversation with its agent until the next one
# accepts: that agent is not the next one.
# Whether it is still kept for its owner changes with time, with the owner's presence, and before a breach.
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
_TICKETS: Final = """
select t.xmin::text as version, t.conversation_id, t.ticket, t.episode, t.queued_at, t.channel, t.units, t.priority,
       t.urgent, t.segment, t.intent, t.product, t.sentiment, t.languages, t.required_skills, t.next_breach_at,
       t.excluded, t.exclusions_clear_at, t.only_agent, t.affinity_agent, t.affinity_at, t.offer_seconds, t.auto_accept,
       a.agent_id as held_by
from queue_tickets t
left join assignments a on a.conversation_id = t.conversation_id and a.ended_at is null
where t.conversation_id = any(%s)
"""
_LOCK: Final = """
select conversation_id, xmin::text from queue_tickets where conversation_id = any(%s) for update skip locked
"""


@dataclass(frozen=True, slots=True)
class Ticket:
    version: str
    conversation_id: str
    ticket: int
    episode: int
    queued_at: datetime
    channel: str
    units: int
    priority: int
    urgent: bool
    segment: str
    intent: str | None
    product: str | None
    sentiment: float | None
    languages: list[str]
    required_skills: list[tuple[str, int]]
    next_breach_at: datetime | None
    excluded: list[str]
    exclusions_clear_at: datetime | None
    only_agent: str | None
    affinity_agent: str | None
    affinity_at: datetime | None
    offer_seconds: float
    auto_accept: bool
    held_by: str | None
    kept_for_owner: bool = False

    @property
    def named_agent(self) -> str | None:
        """The one agent it may be offered to, if it is not for all."""
        return self.affinity_agent if self.kept_for_owner and self.only_agent is None else self.only_agent

    def case(self, pool: str, policy: RoutingPolicy) -> WaitingCase:
        waiting = WaitingCase(
            conversation_id=self.conversation_id,
            ticket=self.ticket,
            pool=pool,
            queued_at=self.queued_at,
            channel=self.channel,
            units=self.units,
            required_skills=tuple(SkillNeed(skill, level) for skill, level in self.required_skills),
            languages=frozenset(self.languages),
            priority=self.priority,
            segment=self.segment,
            value_weight=VALUE_WEIGHTS.get(self.segment, 1.0),
            intent=self.intent,
            product=self.product,
            sentiment=self.sentiment,
            next_breach_at=self.next_breach_at,
            excluded=frozenset(self.excluded) | ({self.held_by} if self.held_by is not None else frozenset()),
            exclusions_clear_at=self.exclusions_clear_at,
            only_agent=self.named_agent,
            affinity_agent=self.affinity_agent,
            affinity_at=self.affinity_at,
        )
        return made_urgent(waiting, policy) if self.urgent else waiting


class PoolQueue:
    """What waits in one pool, as the engine reads it; `follow` brings it up to what the ledger says now."""

    def __init__(self, pool: str) -> None:
        self.pool = pool
        self.waiting = WaitingQueue()
        self.tickets: dict[str, Ticket] = {}
        self._policy_version = ""
        self._changes = 0

    async def follow(self, connection: LedgerConnection, policy: RoutingPolicy, passed_over: list[str]) -> None:
        """Take in what is new or changed, the urgent and the oldest first, and let go of what waits no more."""
        if policy.version != self._policy_version or self._changes > _MOST_CHANGES:
            self.waiting, self.tickets, self._changes = WaitingQueue(), {}, 0
            self._policy_version = policy.version
        cursor = await connection.execute(_STANDING, (self.pool, passed_over, MOST_TICKETS))
        standing = {row[0]: (row[1], row[2], row[3]) for row in await cursor.fetchall()}
        gone = [
            conversation_id
            for conversation_id, known in self.tickets.items()
            if standing.get(conversation_id) != (known.version, known.held_by, known.kept_for_owner)
        ]
        for conversation_id in gone:
            self._remove(conversation_id)
        missing = [conversation_id for conversation_id in standing if conversation_id not in self.tickets]
        if missing:
            async with connection.cursor(row_factory=class_row(Ticket)) as rows:
                await rows.execute(_TICKETS, (missing,))
                for ticket in await rows.fetchall():
                    _, _, kept = standing[ticket.conversation_id]
                    self._add(replace(ticket, kept_for_owner=kept), policy)

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

    def _add(self, ticket: Ticket, policy: RoutingPolicy) -> None:
        self.tickets[ticket.conversation_id] = ticket
        self.waiting.add(ticket.case(self.pool, policy))
        self._changes += 1

    def _remove(self, conversation_id: str) -> None:
        del self.tickets[conversation_id]
        self.waiting.remove(conversation_id)
