"""Customers and their identities as records."""

from collections import defaultdict
from collections.abc import Sequence

from psycopg import AsyncConnection
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from storage.ledger.suggesting import look_for_others
from storage.tables import Customer, Identity


async def customers_after(
    session: AsyncSession, address: str | None, after: str | None, limit: int
) -> Sequence[Customer]:
    """Up to `limit` customers after an id, only those with an address when one is given."""
    key = col(Customer.id).collate("C")
    statement = select(Customer).order_by(key).limit(limit)
    if after is not None:
        statement = statement.where(key > after)
    if address is not None:
        owners = select(Identity.customer_id).where(col(Identity.address) == address)
        statement = statement.where(col(Customer.id).in_(owners))
    return (await session.exec(statement)).all()


async def identities_of(session: AsyncSession, customer_ids: Sequence[str]) -> dict[str, list[Identity]]:
    """The identities of some customers, by customer, oldest first."""
    statement = select(Identity).where(col(Identity.customer_id).in_(customer_ids)).order_by(col(Identity.id))
    found: defaultdict[str, list[Identity]] = defaultdict(list)
    for identity in await session.exec(statement):
        found[identity.customer_id].append(identity)
    return dict(found)


async def suggest_others(session: AsyncSession, customer_id: str) -> None:
    """Suggest whoever else may be this customer, by what the session has written of them."""
    await session.flush()
    driver = (await (await session.connection()).get_raw_connection()).driver_connection
    if not isinstance(driver, AsyncConnection):
        raise TypeError("the ledger is reached by psycopg")
    await look_for_others(driver, customer_id)
