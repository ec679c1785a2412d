"""API keys as records; the keys themselves are never stored."""

from sqlmodel import col, func, select
from sqlmodel.ext.asyncio.session import AsyncSession

from storage.tables import ApiKey


async def other_admin_keys(session: AsyncSession, key_id: str) -> int:
    """How many admin keys work besides this one; locks them, so that two revocations don't count on each other."""
    statement = (
        select(ApiKey.id)
        .where(
            col(ApiKey.role) == "admin",
            col(ApiKey.id) != key_id,
            col(ApiKey.revoked_at).is_(None),
            col(ApiKey.expires_at).is_(None) | (col(ApiKey.expires_at) > func.now()),
        )
        .order_by(col(ApiKey.id))
        .with_for_update()
    )
    return len((await session.exec(statement)).all())
