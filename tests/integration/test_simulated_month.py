"""A month in virtual time, on the real state machine and the real ledger; `bench/month.py` plays 5,000."""

from bench.month import differing, simulate
from storage.database import Database

CONVERSATIONS = 60


async def test_the_kpis_of_a_month_are_those_of_its_log_and_nothing_is_violated(database: Database) -> None:
    judged = await simulate(database, CONVERSATIONS, seed=4)
    assert judged.violations == []
    assert judged.differing == []
    assert judged.resolved >= CONVERSATIONS // 2
    assert judged.breaches > 0
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
