"""Taking in what other systems tell of customers: all of it or nothing, and each event once."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from psycopg.errors import DeadlockDetected

from domain.customers.events import NewCustomerEvent
from domain.errors import FieldProblem, InvalidInput
from storage.database import Database, LedgerConnection
from storage.ids import new_id
from storage.ledger.customer_lookup import CustomerRef, held_customers

_MOST_RACES: Final = 50

# Rows in the order of their keys: two imports of one file then wait for each other instead of blocking each other.
_INSERT: Final = """
insert into customer_events (id, customer_id, source, external_id, kind, product, at, amount, currency, quantity,
                             imported_at)
select * from (
    select unnest(%(ids)s::text[]), unnest(%(customers)s::text[]), unnest(%(sources)s::text[]) as source,
           unnest(%(external)s::text[]) as external_id, unnest(%(kinds)s::text[]), unnest(%(products)s::text[]),
           unnest(%(at)s::timestamptz[]), unnest(%(amounts)s::numeric[]), unnest(%(currencies)s::text[]),
           unnest(%(quantities)s::int[]), clock_timestamp()
) given order by source, external_id
on conflict (source, external_id) do nothing
"""


@dataclass(frozen=True, slots=True)
class AddressedEvent:
    """An event, whom it is about, and where it stood in what was sent."""

    event: NewCustomerEvent
    customer: CustomerRef
    pointer: str


@dataclass(frozen=True, slots=True)
class Imported:
    """`known` events were there before, or twice in what was sent: they changed nothing."""

    stored: int
    known: int


async def import_events(database: Database, events: Sequence[AddressedEvent]) -> Imported:
    """Keep the events in one transaction.

    Raises:
        InvalidInput: some are about customers nobody knows; nothing was stored.
    """
    for _ in range(_MOST_RACES):
        try:
            async with database.ledger.connection() as connection, connection.transaction():
                return await keep_events(connection, events)
        except DeadlockDetected:
            continue
    raise RuntimeError(f"lost {_MOST_RACES} races for one import")


async def keep_events(connection: LedgerConnection, events: Sequence[AddressedEvent]) -> Imported:
    """The same as part of the caller's transaction."""
    customers = await held_customers(connection, {given.customer for given in events})
    unknown = [given for given in events if given.customer not in customers]
    if unknown:
        raise InvalidInput(
            *(
                FieldProblem(f"{given.pointer}/customer", "nobody is known by this id, or has proved this address")
                for given in unknown[:100]
            )
        )
    kept = await connection.execute(
        _INSERT,
        {
            "ids": [new_id("cev") for _ in events],
            "customers": [customers[given.customer] for given in events],
            "sources": [given.event.source for given in events],
            "external": [given.event.external_id for given in events],
            "kinds": [given.event.kind.value for given in events],
            "products": [given.event.product for given in events],
            "at": [given.event.at for given in events],
            "amounts": [given.event.amount for given in events],
            "currencies": [given.event.currency for given in events],
            "quantities": [given.event.quantity for given in events],
        },
    )
    return Imported(kept.rowcount, len(events) - kept.rowcount)
