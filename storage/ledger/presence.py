"""An agent comes and goes: presence, its spans, the offers that are lost by it, and who has to be told.

One transaction, locked in the ledger's order: the agent, then the offers.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from psycopg.rows import class_row

from domain.channels import Channel
from storage.database import LedgerConnection


class Presence(StrEnum):
    """What an agent can choose; `not_responding` is set by the system alone."""

    ONLINE = "online"
    AWAY = "away"
    TRANSFERS_ONLY = "transfers_only"
    OFFLINE = "offline"


_LEAVING: Final = frozenset({Presence.AWAY, Presence.OFFLINE})

_AGENT: Final = "select presence, pool, presence_channels from agents where id = %s and active for no key update"
# A transfer or a reassignment named this agent when it put the conversation into the queue, in one transaction.
_REVOKE: Final = """
with lost as (
    select o.id from offers o
    where o.agent_id = %(agent)s and o.state = 'pending'
      and (%(all)s or not o.channel = any(coalesce(%(channels)s::text[], array[o.channel]))
           or %(unnamed)s and not exists (
          select from events queued
          join events named on named.transaction = queued.transaction
                           and named.conversation_id = queued.conversation_id
          where queued.conversation_id = o.conversation_id and queued.kind = 'queued'
            and queued.data ->> 'ticket' = o.ticket::text
            and named.kind in ('transferred', 'rerouted') and named.data ->> 'to_agent' = o.agent_id))
    order by o.id for update
), revoked as (
    update offers set state = 'revoked', ended_at = %(at)s from lost where offers.id = lost.id
    returning offers.id, offers.conversation_id, offers.units
), told as (
    insert into signals (conversation_id, kind, payload, created_at, attempts, set_aside)
    select conversation_id, 'offer_lost',
           jsonb_build_object('offer_id', id, 'agent_id', %(agent)s::text, 'cause', %(why)s::text),
           %(at)s, 0, false
    from revoked order by id
), given_back as (
    select count(*) as offers, coalesce(sum(units), 0)::int as units from revoked
), freed as (
    update agents set load = load - given_back.units, load_limit = greatest(capacity, load - given_back.units)
    from given_back where agents.id = %(agent)s and given_back.units > 0
)
select offers from given_back
"""
_TAKE_UP: Final = """
with ended as (
    update presence_spans set ended_at = %(at)s where agent_id = %(agent)s and ended_at is null
), changed as (
    update agents set presence = %(presence)s, presence_since = %(at)s, updated_at = %(at)s,
                      presence_channels = to_jsonb(%(channels)s::text[])
    where id = %(agent)s
    returning id, pool, capacity
)
insert into events (at, kind, agent_id, pool, data)
select %(at)s, 'presence_changed', id, pool,
       jsonb_build_object('presence', %(presence)s::text, 'from', %(before)s::text, 'cause', %(cause)s::text,
                          'channels', to_jsonb(%(channels)s::text[]), 'capacity', capacity)
from changed
"""
_OPEN_SPAN: Final = """
insert into presence_spans (agent_id, presence, capacity, started_at)
select id, presence, capacity, %(at)s from agents where id = %(agent)s
"""
_REASSIGN: Final = """
insert into signals (conversation_id, kind, payload, created_at, attempts, set_aside)
select conversation_id, 'agent_left',
       jsonb_build_object('agent_id', agent_id, 'cause', %(why)s::text), %(at)s, 0, false
from assignments where agent_id = %(agent)s and ended_at is null order by id
"""
_RING: Final = """
select pg_notify('baton_signals', ''), pg_notify('baton_queue', %(pool)s), pg_notify('baton_events', '')
"""


@dataclass(frozen=True, slots=True)
class _Standing:
    presence: str
    pool: str
    presence_channels: list[str] | None


class Cause(StrEnum):
    """Who or what changed a presence."""

    CHOSEN = "chosen"
    CONNECTION_LOST = "connection_lost"


async def change_presence(
    connection: LedgerConnection,
    agent_id: str,
    presence: Presence,
    *,
    reassign_on_away: bool,
    channels: Collection[Channel] | None = None,
    cause: Cause = Cause.CHOSEN,
) -> int | None:
    """Take up a presence in a transaction of its own; returns how many offers were revoked, None for no such agent.

    `channels` are those the agent takes new work on, all of them when None; pending offers on others are revoked.
    Nothing is written when the agent
    already has this presence on these channels.
    """
    named = None if channels is None else sorted(channel.value for channel in channels)
    async with connection.transaction(), connection.cursor(row_factory=class_row(_Standing)) as cursor:
        await cursor.execute(_AGENT, (agent_id,))
        before = await cursor.fetchone()
        if before is None:
            return None
        if before.presence == presence and before.presence_channels == named:
            return 0
        now = await _now(connection)
        facts = {
            "agent": agent_id,
            "presence": presence.value,
            "before": before.presence,
            "pool": before.pool,
            "all": presence in _LEAVING,
            "unnamed": presence is Presence.TRANSFERS_ONLY,
            "channels": named,
            "cause": cause.value,
            "why": cause.value if cause is Cause.CONNECTION_LOST else presence.value,
            "at": now,
        }
        revoked = 0
        if presence is not Presence.ONLINE or named is not None:
            row = await (await connection.execute(_REVOKE, facts)).fetchone()
            revoked = row[0] if row else 0
        await connection.execute(_TAKE_UP, facts)
        await connection.execute(_OPEN_SPAN, facts)
        if reassign_on_away and presence in _LEAVING:
            await connection.execute(_REASSIGN, facts)
        await connection.execute(_RING, facts)
        return revoked


async def _now(connection: LedgerConnection) -> datetime:
    """The database's clock, read once the agent's row is ours: spans of an agent never overlap."""
    row = await (await connection.execute("select clock_timestamp()")).fetchone()
    if row is None:
        raise RuntimeError("the database has no clock")
    now: datetime = row[0]
    return now
