"""The signals that are owed to workflows: claimed by conversation, sent in the order of their ids, then taken off.

A claim is a transaction that holds the first owed row of some conversations. Another relay skips these conversations,
because their next rows only come to the front once the first is gone. A relay that dies gives its claim back by its
broken connection; what it had sent and not yet taken off is sent again under the same id, which the workflow knows.
"""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from psycopg.rows import class_row
from pydantic import JsonValue

from storage.database import Database, LedgerConnection

SIGNALS_CHANNEL: Final = "baton_signals"

_LOOK_AHEAD: Final = 16
"""So many of the oldest signals are looked at for each conversation wanted, before all of them are."""

# The oldest of a conversation within the oldest of all is the first that it is owed. Asking of each whether there is an
# earlier one costs a walk over what was just taken off, again and again, for a conversation that is owed thousands.
_FRONT: Final = """
with oldest as materialized (
    select id, conversation_id, not_before from signals where not set_aside order by id limit %(at_most)s
), fronts as (
    select distinct on (conversation_id) id, not_before from oldest order by conversation_id, id
)
select s.conversation_id, (select count(*) from oldest) as looked_at
from fronts join signals s on s.id = fronts.id
where fronts.not_before is null or fronts.not_before <= clock_timestamp()
order by s.id
limit %(conversations)s
for update of s skip locked
"""
_OWED: Final = """
select s.id, s.conversation_id, s.kind, s.payload, s.attempts,
       c.customer_id, c.opened_at, c.state, c.pool, c.channels, cu.segment
from unnest(%s::text[]) as held(conversation_id)
cross join lateral (
    select * from signals line
    where line.conversation_id = held.conversation_id and not line.set_aside
    order by line.id limit %s
) as s
left join conversations c on c.id = s.conversation_id
left join customers cu on cu.id = c.customer_id
order by s.id
"""
_TAKE_OFF: Final = "delete from signals where id = any(%s)"
_LATER: Final = """
update signals set attempts = attempts + 1, not_before = clock_timestamp() + %s, error = %s where id = %s
"""
_PAUSE: Final = """
update signals set not_before = clock_timestamp() + %s
where id in (
    select (select min(id) from signals where conversation_id = paused.id and not set_aside)
    from unnest(%s::text[]) as paused(id)
) and not_before is null
"""
_SET_ASIDE: Final = "update signals set attempts = attempts + 1, set_aside = true, error = %s where id = %s"


@dataclass(frozen=True, slots=True)
class OwedSignal:
    """A row of the outbox beside what its conversation's workflow would be started with; none if it is gone."""

    id: int
    conversation_id: str
    kind: str
    payload: dict[str, JsonValue]
    attempts: int
    customer_id: str | None
    opened_at: datetime | None
    state: str | None
    pool: str | None
    channels: list[str] | None
    segment: str | None

    @property
    def conversation_has_ended(self) -> bool:
        return self.state in {"closed", "merged", None}


class Claim:
    """The owed signals of some conversations, for as long as the transaction around it is open."""

    def __init__(self, connection: LedgerConnection, lines: dict[str, list[OwedSignal]]) -> None:
        self.connection = connection
        self.lines = lines
        """By conversation, each in the order in which it is to be sent."""

    async def take_off(self, signal_ids: Iterable[int]) -> None:
        """The workflows have these."""
        await self.connection.execute(_TAKE_OFF, (list(signal_ids),))

    async def later(self, signal_id: int, delay: timedelta, error: str) -> None:
        """Send this, and so its conversation's next ones, not before the delay is over."""
        await self.connection.execute(_LATER, (delay, error, signal_id))

    async def pause(self, conversation_ids: list[str], span: timedelta) -> None:
        """Send nothing more to these for a while."""
        await self.connection.execute(_PAUSE, (span, conversation_ids))

    async def set_aside(self, signal_id: int, error: str) -> None:
        """Never send this again by itself; its conversation's next ones proceed."""
        await self.connection.execute(_SET_ASIDE, (error, signal_id))


@asynccontextmanager
async def claim(database: Database, *, conversations: int, signals_each: int) -> AsyncIterator[Claim]:
    """Hold the lines of up to so many conversations that nobody else holds."""
    async with database.ledger.connection() as connection:
        lines: dict[str, list[OwedSignal]] = {one: [] for one in await _fronts(connection, conversations)}
        if lines:
            async with connection.cursor(row_factory=class_row(OwedSignal)) as cursor:
                await cursor.execute(_OWED, (list(lines), signals_each))
                async for signal in cursor:
                    lines[signal.conversation_id].append(signal)
        yield Claim(connection, lines)


async def _fronts(connection: LedgerConnection, conversations: int) -> list[str]:
    """Lock the first owed signal of up to so many conversations, those that wait the longest first."""
    near = _LOOK_AHEAD * conversations
    found = await (await connection.execute(_FRONT, {"at_most": near, "conversations": conversations})).fetchall()
    if len(found) < conversations and (not found or found[0][1] == near):
        # The oldest are of few conversations, or held by others: they hold nobody back who comes after them.
        everything = {"at_most": None, "conversations": conversations}
        found = await (await connection.execute(_FRONT, everything)).fetchall()
    return [row[0] for row in found]
