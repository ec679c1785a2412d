"""Signs of life of agents' consoles, and what becomes of those who give none.

A sign is anything that comes under the agent's key: a request, an open live stream. It is noted apart from the agent's
row, so that nobody waits for the dispatcher to say that they are there.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Final

from storage.database import LedgerConnection
from storage.ledger.presence import Cause, Presence, change_presence

_SEEN: Final = """
insert into agent_leases (agent_id, seen_at)
select a.id, clock_timestamp() - signs.age
from unnest(%s::text[], %s::interval[]) as signs (agent_id, age) join agents a on a.id = signs.agent_id
order by a.id
on conflict (agent_id) do update set seen_at = greatest(agent_leases.seen_at, excluded.seen_at)
"""
_SILENT: Final = """
select l.agent_id from agent_leases l join agents a on a.id = l.agent_id
where a.active and a.presence <> 'offline' and l.seen_at < clock_timestamp() - %s
order by l.agent_id
"""
_LOCK: Final = "select from agents where id = %s for no key update"
_STILL_SILENT: Final = "select from agent_leases where agent_id = %s and seen_at < clock_timestamp() - %s"


async def note_signs_of_life(connection: LedgerConnection, ages: Mapping[str, timedelta]) -> None:
    """Note of each agent how long ago they were heard of; an older sign never replaces a newer one."""
    if ages:
        await connection.execute(_SEEN, (list(ages), list(ages.values())))


async def let_silent_agents_go(
    connection: LedgerConnection, grace: timedelta, *, reassign_on_away: bool
) -> tuple[str, ...]:
    """Put offline whose console has been silent for longer than `grace`; returns who they were.

    Their pending offers are revoked, and with `reassign_on_away` their conversations go back to the queue. Who has
    never been heard of has no console to lose; who is heard of at the last moment stays.
    """
    gone: list[str] = []
    for (agent_id,) in await (await connection.execute(_SILENT, (grace,))).fetchall():
        async with connection.transaction():
            await connection.execute(_LOCK, (agent_id,))
            if await (await connection.execute(_STILL_SILENT, (agent_id, grace))).fetchone() is None:
                continue
            await change_presence(
                connection,
                agent_id,
                Presence.OFFLINE,
                reassign_on_away=reassign_on_away,
                cause=Cause.CONNECTION_LOST,
            )
            gone.append(agent_id)
    return tuple(gone)
