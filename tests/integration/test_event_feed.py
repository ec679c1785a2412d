"""Places in the feed of events, beside transactions that left nothing."""

import psycopg

from storage.database import Database
from storage.records.event_feed import EventCursor, Sight, end_of_feed, events_after

TELL = "insert into events (at, kind, data) values (now(), 'told', '{}') returning transaction::text::bigint, id"


async def told(database_url: str) -> EventCursor:
    async with await psycopg.AsyncConnection.connect(database_url) as connection:
        row = await (await connection.execute(TELL)).fetchone()
    assert row is not None
    return EventCursor(*row)


async def burn_transactions(database_url: str) -> None:
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
        for _ in range(20):
            await connection.execute("begin")
            await connection.execute("select pg_current_xact_id()")
            await connection.execute("rollback")


async def test_a_place_is_that_of_a_stored_event_as_a_crash_may_give_empty_transactions_out_again(
    database: Database, database_url: str
) -> None:
    stored = await told(database_url)
    await burn_transactions(database_url)
    assert await end_of_feed(database) == stored
    batch = await events_after(database, EventCursor(0, 0), Sight(everything=True))
    assert batch.position == stored
    await burn_transactions(database_url)
    again = await events_after(database, batch.position, Sight(everything=True))
    assert (again.events, again.position) == ((), stored)
    unseen = await events_after(database, EventCursor(0, 0), Sight(pool="another"))
    assert (unseen.events, unseen.position) == ((), stored)
    later = await told(database_url)
    assert [event.cursor for event in (await events_after(database, stored, Sight(everything=True))).events] == [later]


async def test_an_empty_feed_has_its_beginning(database: Database) -> None:
    async with database.ledger.connection() as connection:
        await connection.execute("delete from events")
    assert await end_of_feed(database) == EventCursor(0, 0)
    batch = await events_after(database, EventCursor(0, 0), Sight(everything=True))
    assert (batch.events, batch.position, batch.is_full) == ((), EventCursor(0, 0), False)
