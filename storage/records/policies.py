"""Rules of the house: calendars, SLA policies, wrap-up codes, and how a change of them reaches open conversations."""

from datetime import datetime
from typing import Final

from sqlalchemy import text
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from storage.tables import Calendar, SlaPolicyRow

_ALONE: Final = text("select pg_advisory_xact_lock(hashtextextended('baton rules of the house', 0))")
_INSTANT: Final = text(
    """
    select greatest(clock_timestamp(), max(updated_at) + interval '1 microsecond') from (
        select updated_at from settings union all select updated_at from sla_policies
        union all select updated_at from calendars) changes
    """
)
_TELL: Final = text(
    """
    insert into signals (conversation_id, kind, payload, created_at, attempts, set_aside)
    select id, 'policy_changed', jsonb_build_object('cause', cast(:cause as text)), clock_timestamp(), 0, false
    from conversations where state not in ('closed', 'merged', 'new') order by id
    """
)
_HINT: Final = text("select pg_notify('baton_signals', ''), pg_notify('baton_settings', '')")


async def instant_of_change(session: AsyncSession) -> datetime:
    """When a change of rules counts as made: later than every earlier one.

    Who remembers rules compares the newest instant only, so changes are committed in the order of their instants.
    """
    await (await session.connection()).execute(_ALONE)
    instant: datetime = (await (await session.connection()).execute(_INSTANT)).scalar_one()
    return instant


async def tell_open_conversations(session: AsyncSession, cause: str) -> None:
    """Owe every open conversation the news that rules have changed."""
    await session.flush()
    await (await session.connection()).execute(_TELL, {"cause": cause})
    await (await session.connection()).execute(_HINT)


async def locked_calendar(session: AsyncSession, calendar_id: str) -> Calendar | None:
    return (await session.exec(select(Calendar).where(col(Calendar.id) == calendar_id).with_for_update())).first()


async def locked_policy(session: AsyncSession, policy_id: str) -> SlaPolicyRow | None:
    statement = select(SlaPolicyRow).where(col(SlaPolicyRow.id) == policy_id).with_for_update()
    return (await session.exec(statement)).first()
