"""Links between customers as records."""

from collections.abc import Sequence

from sqlalchemy import or_
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from storage.tables import CustomerLink


async def links_after(session: AsyncSession, customer_id: str, after: str | None, limit: int) -> Sequence[CustomerLink]:
    """Up to `limit` links of a customer after an id, whichever side they were."""
    key = col(CustomerLink.id).collate("C")
    query = (
        select(CustomerLink)
        .where(or_(col(CustomerLink.survivor_id) == customer_id, col(CustomerLink.absorbed_id) == customer_id))
        .order_by(key)
        .limit(limit)
    )
    if after is not None:
        query = query.where(key > after)
    return (await session.exec(query)).all()
