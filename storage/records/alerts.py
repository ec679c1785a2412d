"""Calls for a supervisor, as supervisors list and acknowledge them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import text
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from storage.tables import Alert

_ACKNOWLEDGE: Final = text(
    """
    with acknowledged as (
        update alerts set acknowledged_at = clock_timestamp(), acknowledged_by = :by
        where id = :alert and acknowledged_at is null
        returning id, conversation_id, episode, pool, agent_id, acknowledged_at, acknowledged_by
    )
    insert into events (at, kind, conversation_id, customer_id, agent_id, pool, episode, data)
    select a.acknowledged_at, 'alert_acknowledged', a.conversation_id, c.customer_id, a.agent_id, a.pool, a.episode,
           jsonb_build_object('alert_id', a.id, 'by', a.acknowledged_by)
    from acknowledged a join conversations c on c.id = a.conversation_id
    """
)
_RING: Final = text("select pg_notify('baton_events', '')")


async def alerts_after(
    session: AsyncSession, pool: str | None, after: tuple[datetime, str] | None, limit: int, *, standing: bool
) -> Sequence[Alert]:
    """Up to `limit` alerts, the oldest first; those that stand, or all there have been."""
    raised, key = col(Alert.raised_at), col(Alert.id).collate("C")
    statement = select(Alert).order_by(raised, key).limit(limit)
    if standing:
        statement = statement.where(col(Alert.acknowledged_at).is_(None), col(Alert.settled_at).is_(None))
    if pool is not None:
        statement = statement.where(col(Alert.pool) == pool)
    if after is not None:
        statement = statement.where((raised > after[0]) | ((raised == after[0]) & (key > after[1])))
    return (await session.exec(statement)).all()


async def acknowledge_alert(session: AsyncSession, alert_id: str, by: str) -> Alert | None:
    """Take it on; who is second is told who was first, and nothing changes. None when there is no such alert."""
    connection = await session.connection()
    await connection.execute(_ACKNOWLEDGE, {"alert": alert_id, "by": by})
    await connection.execute(_RING)
    return (await session.exec(select(Alert).where(col(Alert.id) == alert_id))).first()
