"""The month judged: violations, and whether the tables and the log tell the same KPIs."""

import time
from dataclasses import dataclass

from bench.month.play import Month
from bench.month.terms import MONTH
from domain.kpis.scope import Dimension
from storage.database import Database, LedgerConnection
from storage.records.kpi_log import kpi_records_from_log
from storage.records.kpis import kpi_records, kpi_report
from storage.violations import violations


@dataclass(frozen=True)
class Judgement:
    conversations: int
    steps: int
    seconds: float
    violations: list[str]
    differing: list[str]
    resolved: int
    breaches: int
    merged: dict[str, int]
    unmerged: int
    split: int
    passed_on: int
    suggestions: dict[str, int]
    surveys_answered: int


async def simulate(database: Database, conversations: int, seed: int) -> Judgement:
    """Play the month and judge it; the database is empty but for its schema."""
    began = time.perf_counter()
    async with database.ledger.connection() as connection:
        month = Month(database, connection, conversations, seed)
        await month.run()
        await connection.commit()
        found = await violations(connection)
        breaches = await _number(connection, "select count(*) from clocks where breached_at is not null")
        states = await (
            await connection.execute("select state, count(*) from suggestions group by state order by state")
        ).fetchall()
        answered = await _number(connection, "select count(*) from surveys where score is not null")
        total = await _number(connection, "select count(*) from conversations")
        passed_on = await _number(connection, "select count(*) from events where kind = 'message_passed_on'")
    resolved = kpi_report(MONTH, await kpi_records(database, MONTH, MONTH.end)).overall.resolved
    return Judgement(
        total,
        month.floor.steps,
        time.perf_counter() - began,
        [f"{one.invariant} {one.checker} {one.subject}: {one.detail}" for one in found],
        await differing(database),
        resolved,
        breaches,
        dict(month.merges.merged.most_common()),
        month.merges.unmerged,
        month.merges.split_off,
        passed_on,
        {str(state): int(number) for state, number in states},
        answered,
    )


async def differing(database: Database) -> list[str]:
    """Where the KPIs of the tables and those of the log are not the same, over all and in groups."""
    tables = await kpi_records(database, MONTH, MONTH.end)
    log = await kpi_records_from_log(database, MONTH, MONTH.end)
    found: list[str] = []
    for group_by in ((), (Dimension.CHANNEL,), (Dimension.INTENT, Dimension.SEGMENT), (Dimension.AGENT,)):
        told, folded = kpi_report(MONTH, tables, group_by), kpi_report(MONTH, log, group_by)
        if told == folded:
            continue
        overall = [
            f"{group_by}: {name}: {getattr(told.overall, name)} <> {getattr(folded.overall, name)}"
            for name in told.overall.__dataclass_fields__
            if getattr(told.overall, name) != getattr(folded.overall, name)
        ]
        found += overall or [f"{group_by}: a group differs"]
    return found


async def _number(connection: LedgerConnection, query: str) -> int:
    row = await (await connection.execute(query.encode())).fetchone()
    assert row is not None
    return int(row[0])
