"""Agents as records: what an admin changes of them, under the lock the dispatcher takes too."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import text
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from storage.tables import Agent, Skill

_NOW: Final = text("select clock_timestamp()")
_NEW_SPAN: Final = text(
    """
    with ended as (
        update presence_spans set ended_at = :at where agent_id = :agent and ended_at is null
        returning agent_id, presence
    ), told as (
        insert into events (at, kind, agent_id, pool, data)
        select :at, 'capacity_changed', id, pool,
               jsonb_build_object('presence', ended.presence, 'capacity', cast(:capacity as int))
        from ended join agents on agents.id = ended.agent_id
    )
    insert into presence_spans (agent_id, presence, capacity, started_at)
    select agent_id, presence, cast(:capacity as int), :at from ended
    """
)
_RING_READERS: Final = text("select pg_notify('baton_events', '')")
_RING: Final = text("select pg_notify('baton_queue', :pool)")


async def agents_after(session: AsyncSession, pool: str | None, after: str | None, limit: int) -> Sequence[Agent]:
    """Up to `limit` agents after an id, of one pool when it is given."""
    key = col(Agent.id).collate("C")
    statement = select(Agent).order_by(key).limit(limit)
    if after is not None:
        statement = statement.where(key > after)
    if pool is not None:
        statement = statement.where(col(Agent.pool) == pool)
    return (await session.exec(statement)).all()


async def locked_agent(session: AsyncSession, agent_id: str) -> Agent | None:
    """The agent, held until this unit of work ends: neither load nor presence changes meanwhile."""
    statement = select(Agent).where(col(Agent.id) == agent_id).with_for_update(key_share=True)
    return (await session.exec(statement.execution_options(populate_existing=True))).first()


async def database_time(session: AsyncSession) -> datetime:
    now: datetime = (await (await session.connection()).execute(_NOW)).scalar_one()
    return now


async def add_skills(session: AsyncSession, names: Iterable[str]) -> None:
    """Skills that an agent has are skills there are."""
    rows = [{"name": name, "description": ""} for name in sorted(set(names))]
    if rows:
        await (await session.connection()).execute(insert(Skill).values(rows).on_conflict_do_nothing())


async def note_new_capacity(session: AsyncSession, agent: Agent, at: datetime) -> None:
    """From here on utilisation is measured against the new capacity: the open presence span is cut in two."""
    connection = await session.connection()
    await connection.execute(_NEW_SPAN, {"agent": agent.id, "capacity": agent.capacity, "at": at})
    await connection.execute(_RING_READERS)


async def ring_pools(session: AsyncSession, pools: Iterable[str]) -> None:
    for pool in sorted(set(pools)):
        await (await session.connection()).execute(_RING, {"pool": pool})
