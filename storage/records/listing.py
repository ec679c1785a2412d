"""Rows in the order of one text column, as lists are paged."""

from collections.abc import Sequence
from typing import TypeVar

from sqlmodel import SQLModel, col, select
from sqlmodel.ext.asyncio.session import AsyncSession

Row = TypeVar("Row", bound=SQLModel)


async def rows_after(
    session: AsyncSession, table: type[Row], column: str, after: str | None, limit: int
) -> Sequence[Row]:
    """Up to `limit` rows whose `column` comes after `after`."""
    key = col(getattr(table, column)).collate("C")
    statement = select(table).order_by(key).limit(limit)
    if after is not None:
        statement = statement.where(key > after)
    return (await session.exec(statement)).all()
