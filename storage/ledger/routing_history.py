"""What was decided in a period, of whom, and who was there: what a replay under another policy needs."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import msgspec
from psycopg.rows import class_row

from domain.routing.model import AgentCapacity, AgentKind, WaitingCase
from storage.database import Database
from storage.ledger.roster import EVERY_CHANNEL

# Decisions of before the case was recorded with them cannot be asked again.
_DECISIONS: Final = """
select d.id, d.at, d.policy_version, d.model_version, d.record -> 'case' as told, a.agent_id as taken_by,
       a.started_at as taken_at, a.ended_at
from routing_decisions d
left join assignments a on a.offer_id = d.offer_id
where d.at >= %(since)s and d.at < %(until)s and d.record ? 'case'
order by d.at, d.id
"""
_OTHERS: Final = """
select (select count(*) from routing_decisions d
        where d.at >= %(since)s and d.at < %(until)s and not d.record ? 'case'),
       (select count(*) from assignments a
        where a.started_at >= %(since)s and a.started_at < %(until)s and a.offer_id is null
          and a.how <> 'switch')
"""
_AGENTS: Final = """
select a.id, a.pool, a.also_pools, a.cost_per_case, a.kind, a.skills, a.languages, a.capacity, a.channel_ceilings,
       a.preferences,
       array_agg(greatest(s.started_at, %(since)s) order by s.started_at) as since,
       array_agg(least(coalesce(s.ended_at, %(until)s), %(until)s) order by s.started_at) as until
from agents a
join presence_spans s on s.agent_id = a.id
where s.presence = 'online' and s.started_at < %(until)s and coalesce(s.ended_at, %(until)s) > %(since)s
group by a.id order by a.id
"""
_RANGE: Final = "select min(at), max(at), clock_timestamp() from routing_decisions"


@dataclass(frozen=True, slots=True)
class DecidedCase:
    """One decision: the case as the engine was told of it, and who accepted the offer, if anybody did."""

    at: datetime
    policy_version: str
    model_version: str
    told: WaitingCase
    taken_by: str | None
    taken_at: datetime | None
    ended_at: datetime | None


@dataclass(frozen=True, slots=True)
class OnlineAgent:
    """An agent as the ledger knows them now, with an empty desk, and their times online within the period."""

    agent: AgentCapacity
    online: tuple[tuple[datetime, datetime], ...]


@dataclass(frozen=True, slots=True)
class RoutingHistory:
    """`unrecorded` decisions have no case beside them; `by_hand` assignments came from no decision."""

    decisions: tuple[DecidedCase, ...]
    agents: tuple[OnlineAgent, ...]
    unrecorded: int
    by_hand: int


@dataclass(frozen=True, slots=True)
class _DecisionRow:
    id: str
    at: datetime
    policy_version: str
    model_version: str
    told: object
    taken_by: str | None
    taken_at: datetime | None
    ended_at: datetime | None


@dataclass(frozen=True, slots=True)
class _AgentRow:
    id: str
    pool: str
    also_pools: list[str]
    cost_per_case: float
    kind: str
    skills: dict[str, int]
    languages: list[str]
    capacity: int
    channel_ceilings: dict[str, int]
    preferences: dict[str, float]
    since: list[datetime]
    until: list[datetime]


async def decided_between(database: Database) -> tuple[datetime, datetime, datetime] | None:
    """The instants of the first and the last decision, and the database's own; None when nothing was decided yet."""
    async with database.ledger.connection() as connection:
        row = await (await connection.execute(_RANGE)).fetchone()
    return None if row is None or row[0] is None else (row[0], row[1], row[2])


async def routing_history(database: Database, since: datetime, until: datetime) -> RoutingHistory:
    """The decisions of a period in their order, and everyone who was online in it."""
    period = {"since": since, "until": until}
    async with database.ledger.connection() as connection:
        async with connection.cursor(row_factory=class_row(_DecisionRow)) as cursor:
            await cursor.execute(_DECISIONS, period)
            decisions = await cursor.fetchall()
        async with connection.cursor(row_factory=class_row(_AgentRow)) as agents:
            await agents.execute(_AGENTS, period)
            present = await agents.fetchall()
        others = await (await connection.execute(_OTHERS, period)).fetchone()
    unrecorded, by_hand = (0, 0) if others is None else others
    return RoutingHistory(tuple(_decided(decisions)), tuple(map(_online, present)), unrecorded, by_hand)


def _decided(rows: Sequence[_DecisionRow]) -> list[DecidedCase]:
    return [
        DecidedCase(
            row.at,
            row.policy_version,
            row.model_version,
            msgspec.convert(row.told, WaitingCase),
            row.taken_by,
            row.taken_at,
            row.ended_at,
        )
        for row in rows
    ]


def _online(row: _AgentRow) -> OnlineAgent:
    return OnlineAgent(
        AgentCapacity(
            agent_id=row.id,
            pools=(row.pool, *row.also_pools),
            capacity=row.capacity,
            accepts=EVERY_CHANNEL,
            skills=row.skills,
            languages=frozenset(row.languages),
            channel_ceilings=row.channel_ceilings,
            preferences=row.preferences,
            kind=AgentKind(row.kind),
            cost_per_case=row.cost_per_case,
        ),
        tuple(zip(row.since, row.until, strict=True)),
    )
