"""A month in virtual time, on the real state machine and the real ledger; `python -m bench.month` plays longer ones."""

import re
from pathlib import Path

import pytest
from psycopg.rows import dict_row

from api.kpis import table_rows
from bench.month.judge import differing, simulate
from bench.month.terms import MONTH
from storage.database import Database
from storage.records.kpis import kpi_records, kpi_report

CONVERSATIONS = 60


async def test_the_kpis_of_a_month_are_those_of_its_log_and_nothing_is_violated(database: Database) -> None:
    judged = await simulate(database, CONVERSATIONS, seed=4)
    assert judged.violations == []
    assert judged.differing == []
    assert judged.resolved >= CONVERSATIONS // 2
    assert judged.breaches > 0
    assert len(judged.merged) >= 6, "conversations are merged in many states"
    assert min(judged.unmerged, judged.split, judged.passed_on) > 0
    assert {"accepted", "declined", "ignored"} <= judged.suggestions.keys()
    assert judged.surveys_answered > 0


async def test_a_record_that_its_log_does_not_tell_makes_the_figures_differ(database: Database) -> None:
    """The comparison is trusted once it went red."""
    judged = await simulate(database, 12, seed=2)
    assert judged.differing == []
    async with database.ledger.connection() as connection:
        await connection.execute("update resolutions set transfers = transfers + 1, touches = touches + 1")
        await connection.execute("update clocks set state = 'breached' where state = 'met'")
    assert {line.split(":")[1].strip() for line in await differing(database)} >= {
        "transfer_rate",
        "context_preservation_score",
        "sla_attainment",
    }


def queries_of_the_docs() -> dict[str, str]:
    """The queries of docs/kpis.md by the name in their first line, asked at the end of the month, which lies ahead."""
    page = (Path(__file__).parents[2] / "docs" / "kpis.md").read_text()
    written = {":'from'": "%(from)s::timestamptz", ":'to'": "%(to)s::timestamptz", "now()": "%(to)s::timestamptz"}
    for name, value in written.items():
        page = page.replace(name, value)
    return dict(re.findall(r"```sql\n-- (\S+)\n(.*?)```", page, flags=re.DOTALL))


async def test_the_queries_of_the_docs_give_the_figures_of_the_api(database: Database) -> None:
    await simulate(database, 40, seed=6)
    figures = dict(table_rows(kpi_report(MONTH, await kpi_records(database, MONTH, MONTH.end)).overall))
    queries = queries_of_the_docs()
    base = queries.pop("base")
    assert len(queries) == 20
    async with database.ledger.connection() as connection, connection.cursor(row_factory=dict_row) as cursor:
        for name, query in queries.items():
            await cursor.execute(f"{base}\n{query}".encode(), {"from": MONTH.start, "to": MONTH.end})
            found = await cursor.fetchone()
            assert found is not None
            told = {part: figures[name][part] for part in found}
            assert {part: float(value or 0) for part, value in found.items()} == pytest.approx(
                {part: float(value or 0) for part, value in told.items()}, rel=1e-6, abs=1e-3
            ), name
            assert any(found.values()), f"{name} says nothing of this month"
