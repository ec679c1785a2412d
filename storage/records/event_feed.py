"""The lifecycle events in the order in which readers may trust that nothing earlier is still to come.

Ids are given before their transactions commit, so a reader that went by the id alone would skip what commits late.
Events are read by (transaction, id), and only those of transactions older than every one that still runs.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from pydantic import JsonValue

from storage.database import Database

LARGEST_BATCH: Final = 500

_CURSOR: Final = re.compile(r"([0-9]{1,19})-([0-9]{1,19})")
_LARGEST: Final = 2**63 - 1

# Places are those of events that are stored, never of transactions that merely ran: after a crash the server may give
# the numbers of such transactions out again.
_SETTLED: Final = """
select transaction::text::bigint, id from events
where transaction < pg_snapshot_xmin(pg_current_snapshot())
order by transaction desc, id desc limit 1
"""
_NEXT_TRANSACTION: Final = "select pg_snapshot_xmax(pg_current_snapshot())::text::bigint"
_AFTER: Final = f"""
with settled as ({_SETTLED})
select s.transaction, s.id, e.transaction::text::bigint, e.id, e.kind, e.at, e.conversation_id, e.customer_id,
       e.agent_id, e.pool, e.data - 'record' as data
from settled s left join lateral (
    select * from events
    where (transaction, id) > (%(transaction)s::text::xid8, %(id)s)
      and (transaction, id) <= (s.transaction::text::xid8, s.id)
      and (%(everything)s or pool = %(pool)s or agent_id = %(agent)s)
    order by transaction, id
    limit %(limit)s
) as e on true
order by e.transaction, e.id
"""  # noqa: S608 -- put together of constants


@dataclass(frozen=True, slots=True, order=True)
class EventCursor:
    """A place between two events; everything up to it has been read."""

    transaction: int
    id: int

    def __str__(self) -> str:
        return f"{self.transaction}-{self.id}"

    @classmethod
    def parse(cls, written: str) -> "EventCursor":
        """Read a cursor as `str` writes it; raises ValueError."""
        found = _CURSOR.fullmatch(written)
        if found is None or max(int(part) for part in found.groups()) > _LARGEST:
            raise ValueError("a cursor is two whole numbers with a hyphen between")
        return cls(int(found[1]), int(found[2]))


@dataclass(frozen=True, slots=True)
class Sight:
    """Whose events are read: all of them, or those of one pool and those that name one agent."""

    everything: bool = False
    pool: str | None = None
    agent_id: str | None = None


@dataclass(frozen=True, slots=True)
class FeedEvent:
    cursor: EventCursor
    kind: str
    at: datetime
    conversation_id: str | None
    customer_id: str | None
    agent_id: str | None
    pool: str | None
    data: Mapping[str, JsonValue]


@dataclass(frozen=True, slots=True)
class Batch:
    """Some events, and where to read on; `is_full` says that more may be there already."""

    events: tuple[FeedEvent, ...]
    position: EventCursor
    is_full: bool


async def end_of_feed(database: Database) -> EventCursor:
    """The place after all that is settled: whatever is not settled yet comes after it."""
    async with database.ledger.connection() as connection:
        row = await (await connection.execute(_SETTLED)).fetchone()
    return EventCursor(0, 0) if row is None else EventCursor(row[0], row[1])


async def is_from_this_feed(database: Database, cursor: EventCursor) -> bool:
    """Whether the cursor can have been given out: it names no transaction that has yet to begin."""
    async with database.ledger.connection() as connection:
        row = await (await connection.execute(_NEXT_TRANSACTION)).fetchone()
    return row is not None and cursor.transaction < row[0]


async def events_after(database: Database, position: EventCursor, sight: Sight, limit: int = LARGEST_BATCH) -> Batch:
    """The settled events after a place that may be seen, at most `limit`."""
    asked = {
        "transaction": str(position.transaction),
        "id": position.id,
        "everything": sight.everything,
        "pool": sight.pool,
        "agent": sight.agent_id,
        "limit": limit,
    }
    async with database.ledger.connection() as connection:
        rows = await (await connection.execute(_AFTER.encode(), asked)).fetchall()
    events = tuple(
        FeedEvent(EventCursor(transaction, number), *told)
        for _, _, transaction, number, *told in rows
        if number is not None
    )
    if len(events) == limit:
        return Batch(events, events[-1].cursor, is_full=True)
    if not rows:
        return Batch((), position, is_full=False)
    # All that is settled was looked at, also what may not be seen: it need not be looked at again.
    return Batch(events, max(position, EventCursor(rows[0][0], rows[0][1])), is_full=False)
