"""The KPIs computed again from the log of events: they must be those of the tables (S13).

Presence is read from its spans, which are a log of their own: each is written when it begins and when it ends.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from psycopg.rows import class_row

from domain.kpis.log import Json, LogLine, LogRecords, records_from_log
from domain.kpis.records import PresenceSpan, TimeRange
from domain.kpis.scope import RETURN_WINDOW
from storage.database import Database
from storage.records.kpis import PRESENCE, KpiRecords

_LINES: Final = """
select at, kind, conversation_id, customer_id, coalesce(episode, 1) as episode, data
from events
where conversation_id is not null or kind in ('identity_linked', 'identity_unlinked')
order by id
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
    asked = {"start": range_.start, "end": range_.end, "now": now}
    async with database.ledger.connection() as connection, connection.transaction():
        await connection.execute("set transaction isolation level repeatable read read only")
        async with connection.cursor(row_factory=class_row(_Line)) as cursor:
            rows = await (await cursor.execute(_LINES)).fetchall()
        async with connection.cursor(row_factory=class_row(PresenceSpan)) as cursor:
            presence = await (await cursor.execute(PRESENCE, asked)).fetchall()
    lines = (LogLine(row.at, row.kind, row.conversation_id, row.customer_id, row.episode, row.data) for row in rows)
    return _within(range_, records_from_log(lines, now), tuple(presence))


def _within(range_: TimeRange, log: LogRecords, presence: tuple[PresenceSpan, ...]) -> KpiRecords:
    last_return = range_.end + RETURN_WINDOW
    return KpiRecords(
        episodes=tuple(one for one in log.episodes if one.resolved_at < range_.end),
        openings=tuple(one for one in log.openings if one.opened_at <= last_return),
        presence=presence,
        handled=tuple(
            span
            for span in log.handled
            if span.started_at < range_.end and (span.ended_at is None or span.ended_at > range_.start)
        ),
        unforeseen=tuple(
            span
            for span in log.unforeseen
            if span.started_at < range_.end and (span.ended_at is None or span.ended_at > range_.start)
        ),
    )
