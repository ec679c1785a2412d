"""What a day left in the ledger, counted from its rows: the figures of the demo's summary."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import LiteralString

from storage.database import LedgerConnection


@dataclass(frozen=True, slots=True)
class SlaFigures:
    """Clocks of one metric that came to a verdict; one met late counts as breached."""

    met: int
    breached: int


@dataclass(frozen=True, slots=True)
class DayFigures:
    messages_stored: int
    duplicates_stored: int
    """Inbound rows beyond the first of one provider's message."""
    conversations: int
    """Those that lived on; each counts once, however many were merged into it."""
    merged: int
    offers: Mapping[str, int]
    reroutes: int
    sla: Mapping[str, SlaFigures]
    suggestions: Mapping[str, int]


async def day_figures(connection: LedgerConnection) -> DayFigures:
    """All figures out of one snapshot; the connection is outside a transaction."""
    async with connection.transaction():
        await connection.execute("set transaction isolation level repeatable read, read only")
        stored, distinct = await _pair(
            connection,
            """
            select count(*), count(distinct (channel, account, provider_message_id))
            from messages where direction = 'inbound' and provider_message_id is not null
            """,
        )
        conversations, merged = await _pair(
            connection,
            "select count(*) filter (where state <> 'merged'), count(*) filter (where state = 'merged')"
            " from conversations",
        )
        reroutes, _ = await _pair(connection, "select count(*), 0 from events where kind = 'rerouted'")
        offers = await connection.execute("select state, count(*) from offers group by state order by state")
        suggestions = await connection.execute("select state, count(*) from suggestions group by state order by state")
        clocks = await connection.execute(
            """
            select metric, count(*) filter (where state = 'met'), count(*) filter (where breached_at is not null)
            from clocks group by metric order by metric
            """
        )
        return DayFigures(
            messages_stored=stored,
            duplicates_stored=stored - distinct,
            conversations=conversations,
            merged=merged,
            offers={str(state): int(count) for state, count in await offers.fetchall()},
            reroutes=reroutes,
            sla={str(metric): SlaFigures(int(met), int(late)) for metric, met, late in await clocks.fetchall()},
            suggestions={str(state): int(count) for state, count in await suggestions.fetchall()},
        )


async def _pair(connection: LedgerConnection, query: LiteralString) -> tuple[int, int]:
    row = await (await connection.execute(query)).fetchone()
    if row is None:
        raise LookupError("a count has one row")
    return int(row[0]), int(row[1])
