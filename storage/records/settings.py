"""The settings document, one row per top-level key."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Final

from sqlalchemy import text
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from domain.settings_reader import Json
from storage.tables import Pool, Setting

_RING_POOLS: Final = text("select pg_notify('baton_queue', name) from pools")


async def settings_document(session: AsyncSession) -> dict[str, Json]:
    """What an admin has set; what is missing has its default."""
    return {row.key: row.value for row in await session.exec(select(Setting))}


async def keep_settings(session: AsyncSession, changed: Mapping[str, Json], at: datetime) -> None:
    """Store these keys, and let every dispatcher look again."""
    for key, value in changed.items():
        await session.merge(Setting(key=key, value=value, updated_at=at))
    await session.flush()
    await (await session.connection()).execute(_RING_POOLS)


async def missing_pools(session: AsyncSession, names: Iterable[str]) -> set[str]:
    """Those of the names that no pool has."""
    wanted = set(names)
    known = (await session.exec(select(Pool.name).where(col(Pool.name).in_(wanted)))).all()
    return wanted - set(known)
