"""Keeping health scores: of two scores of one customer the later counts, in whatever order they come."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from psycopg.errors import DeadlockDetected

from storage.database import Database, LedgerConnection
from storage.ledger.customer_lookup import CustomerRef, held_customers

_MOST_RACES: Final = 50

_KEEP: Final = """
with told as (
    select distinct on (customer_id) customer_id, score, at
    from unnest(%(customers)s::text[], %(scores)s::float8[], %(at)s::timestamptz[]) as given(customer_id, score, at)
    order by customer_id, at desc
), due as (
    select c.id, told.score, told.at from customers c join told on told.customer_id = c.id
    where c.health_at is null or c.health_at < told.at
    order by c.id for no key update of c
)
update customers set health_score = due.score, health_at = due.at, updated_at = clock_timestamp()
from due where customers.id = due.id
"""


@dataclass(frozen=True, slots=True)
class HealthScore:
    """From 0, about to leave, to 1."""

    customer: CustomerRef
    score: float
    at: datetime


@dataclass(frozen=True, slots=True)
class HealthKept:
    """`updated` customers have a new score, `unknown` scores were of nobody we know; the rest were no news."""

    updated: int
    unknown: int


async def keep_health(database: Database, scores: Sequence[HealthScore]) -> HealthKept:
    for _ in range(_MOST_RACES):
        try:
            async with database.ledger.connection() as connection, connection.transaction():
                return await _keep(connection, scores)
        except DeadlockDetected:
            continue
    raise RuntimeError(f"lost {_MOST_RACES} races for some scores")


async def _keep(connection: LedgerConnection, scores: Sequence[HealthScore]) -> HealthKept:
    customers = await held_customers(connection, {score.customer for score in scores})
    known = [score for score in scores if score.customer in customers]
    kept = await connection.execute(
        _KEEP,
        {
            "customers": [customers[score.customer] for score in known],
            "scores": [score.score for score in known],
            "at": [score.at for score in known],
        },
    )
    return HealthKept(kept.rowcount, len(scores) - len(known))
