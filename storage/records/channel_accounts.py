"""Channel accounts as records, and the hint that one has changed."""

from typing import Final

from sqlalchemy import text
from sqlmodel.ext.asyncio.session import AsyncSession

_HINT: Final = text("select pg_notify('baton_settings', '')")


async def tell_doors(session: AsyncSession) -> None:
    """Who serves accounts looks at them again once this is committed."""
    await (await session.connection()).execute(_HINT)
