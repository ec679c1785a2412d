"""How each pool stands now: who waits, who is there, what is free."""

from datetime import datetime
from typing import Final

from pydantic import BaseModel
from sqlalchemy import text
from sqlmodel.ext.asyncio.session import AsyncSession

_QUEUES: Final = text(
    """
    select p.name as pool,
           coalesce(w.waiting, 0) as waiting, w.oldest_wait_seconds, w.next_breach_at,
           coalesce(o.pending, 0) as offers_pending, coalesce(l.standing, 0) as alerts,
           coalesce(a.presences, '{}'::jsonb) as agents_by_presence,
           coalesce(a.capacity, 0) as capacity, coalesce(a.free_units, 0) as free_units
    from pools p
    left join (
        select pool, count(*) as waiting,
               greatest(0, extract(epoch from clock_timestamp() - min(queued_at)))::float as oldest_wait_seconds,
               min(next_breach_at) as next_breach_at
        from queue_tickets group by pool
    ) w on w.pool = p.name
    left join (select pool, count(*) as pending from offers where state = 'pending' group by pool) o on o.pool = p.name
    left join (
        select pool, count(*) as standing from alerts
        where acknowledged_at is null and settled_at is null group by pool
    ) l on l.pool = p.name
    left join (
        select pool, jsonb_object_agg(presence, agents) as presences,
               coalesce(sum(capacity) filter (where presence = 'online'), 0)::bigint as capacity,
               coalesce(sum(free_units) filter (where presence = 'online'), 0)::bigint as free_units
        from (
            select pool, presence, count(*) as agents, sum(capacity) as capacity,
                   sum(greatest(0, capacity - load)) as free_units
            from agents where active group by pool, presence
        ) of_a_presence group by pool
    ) a on a.pool = p.name
    order by p.name
    """
)


class QueueStanding(BaseModel):
    """Capacity and free units are those of the agents who are online."""

    pool: str
    waiting: int
    oldest_wait_seconds: float | None
    next_breach_at: datetime | None
    offers_pending: int
    alerts: int
    agents_by_presence: dict[str, int]
    capacity: int
    free_units: int


async def queue_standings(session: AsyncSession) -> list[QueueStanding]:
    """Every pool, by name."""
    return [
        QueueStanding.model_validate(dict(row))
        for row in (await (await session.connection()).execute(_QUEUES)).mappings()
    ]
