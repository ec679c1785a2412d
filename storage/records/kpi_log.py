"""The KPIs computed again from the log of events: they must be those of the tables (S13).

Of agents whose changes of presence were told before these named the capacity, the spans are all there is.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from psycopg.rows import class_row

from domain.kpis.log import Json, LogLine, LogRecords, records_from_log
from domain.kpis.presence_log import PresenceLine, presence_from_log
from domain.kpis.records import PresenceSpan, TimeRange
from domain.kpis.scope import RETURN_WINDOW
from storage.database import PATIENCE, Database, LedgerConnection
from storage.records.kpis import PRESENCE, KpiRecords

_LINES: Final = """
select at, kind, conversation_id, customer_id, coalesce(episode, 1) as episode, data
from events
where conversation_id is not null or kind in ('identity_linked', 'identity_unlinked')
order by id
"""
_PRESENCE_LINES: Final = """
select at, agent_id, pool, data ->> 'presence' as presence, (data ->> 'capacity')::int as capacity
from events where kind in ('presence_changed', 'capacity_changed') order by id
"""


@dataclass(frozen=True, slots=True)
class _Line:
    at: datetime
    kind: str
    conversation_id: str | None
    customer_id: str | None
    episode: int
    data: Mapping[str, Json]


async def kpi_records_from_log(database: Database, range_: TimeRange, now: datetime) -> KpiRecords:
    """Read the whole log, however long, and fold it; meant for proving, not for answering."""
    async with database.ledger.connection() as connection, connection.transaction():
        await connection.execute("set transaction isolation level repeatable read read only")
        await connection.execute(PATIENCE)
        return await read_kpi_records_from_log(connection, range_, now)


async def read_kpi_records_from_log(connection: LedgerConnection, range_: TimeRange, now: datetime) -> KpiRecords:
    """The same within the snapshot of the caller's transaction."""
    async with connection.cursor(row_factory=class_row(_Line)) as cursor:
        rows = await (await cursor.execute(_LINES)).fetchall()
    presence = await _presence(connection, range_, now)
    lines = (LogLine(row.at, row.kind, row.conversation_id, row.customer_id, row.episode, row.data) for row in rows)
    return _within(range_, records_from_log(lines, now), presence)


async def _presence(connection: LedgerConnection, range_: TimeRange, now: datetime) -> tuple[PresenceSpan, ...]:
    asked = {"start": range_.start, "end": range_.end, "now": now}
    async with connection.cursor(row_factory=class_row(PresenceSpan)) as cursor:
        spans = await (await cursor.execute(PRESENCE, asked)).fetchall()
    async with connection.cursor(row_factory=class_row(PresenceLine)) as cursor:
        lines = await (await cursor.execute(_PRESENCE_LINES)).fetchall()
    told = presence_from_log(lines, now)
    found = [span for span in spans if span.agent_id not in told]
    for agent_spans in told.values():
        found += [span for span in agent_spans if _touches(range_, span.started_at, span.ended_at)]
    return tuple(sorted(found, key=lambda span: (span.agent_id, span.started_at)))


def _within(range_: TimeRange, log: LogRecords, presence: tuple[PresenceSpan, ...]) -> KpiRecords:
    last_return = range_.end + RETURN_WINDOW
    return KpiRecords(
        episodes=tuple(one for one in log.episodes if one.resolved_at < range_.end),
        openings=tuple(one for one in log.openings if one.opened_at <= last_return),
        presence=presence,
        handled=tuple(span for span in log.handled if _touches(range_, span.started_at, span.ended_at)),
        unforeseen=tuple(span for span in log.unforeseen if _touches(range_, span.started_at, span.ended_at)),
    )


def _touches(range_: TimeRange, started_at: datetime, ended_at: datetime | None) -> bool:
    return started_at < range_.end and (ended_at is None or ended_at > range_.start)
