"""The agents a pass may give something to, as the engine reads them.

Those with room are locked: skipping one who is only being looked at would say "nobody is free" while they are. Those
without are only read, where the answer may depend on them: a full agent can be worth waiting for, and a case is kept
from who declined it only while somebody else could take it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from psycopg.rows import class_row

from domain.channels import Channel
from domain.routing.experience import Experience
from domain.routing.from_settings import expected_work
from domain.routing.model import AgentCapacity, AgentKind, SoonFree
from domain.routing.policy import RoutingPolicy
from domain.routing.workday import RECENT_CASES, LiveCase, hard_cases_in_a_row, soon_free
from domain.settings import Settings
from storage.database import LedgerConnection
from storage.ledger.agent_hours import Shifts
from storage.ledger.pool_queue import WhatWaits

FORECASTS_UP_TO: Final = 50
"""So many agents who are soon free are weighed; in a long queue none is: everybody who frees up finds work there."""

EVERY_CHANNEL: Final = frozenset(channel.value for channel in Channel)
_TRANSFERS_ONLY: Final = "transfers_only"
_TOGETHER: Final = timedelta(hours=4)
"""Hard cases further apart than this are not in a row."""

_COLUMNS: Final = """
id, pool, also_pools, kind, skills, languages, least(capacity, load_limit) as capacity, load, channel_ceilings,
preferences, presence, presence_channels, presence_since, last_assigned_at, time_zone, hours::text as hours,
cost_per_case, expected_success,
strain_at(load, capacity, presence, strain_seconds, strain_counted_at, %(now)s) as strain_seconds
"""
_PRESENT: Final = """
from agents
where active and presence in ('online', 'transfers_only')
  and (pool = any(%(pools)s) or also_pools ?| %(pools)s or id = any(%(named)s))
"""
_WITH_ROOM: Final = f"""
select {_COLUMNS} {_PRESENT} and least(capacity, load_limit) > load order by id for no key update
"""
_EVERYONE: Final = f"select {_COLUMNS} {_PRESENT} order by id for no key update"
_OTHERS: Final = f"select {_COLUMNS} {_PRESENT} and id <> all(%(locked)s) order by id"
_CHANNEL_LOADS: Final = """
select agent_id, channel, count(*) from (
    select agent_id, channel from assignments where ended_at is null and agent_id = any(%(agents)s)
    union all
    select agent_id, channel from offers where state = 'pending' and agent_id = any(%(agents)s)
) as held group by agent_id, channel
"""
_LATEST: Final = """
select agent.id, latest.intent
from unnest(%(agents)s::text[]) as agent(id)
cross join lateral (
    select c.intent, a.started_at from assignments a join conversations c on c.id = a.conversation_id
    where a.agent_id = agent.id and a.started_at > %(since)s and a.how <> 'switch'
    order by a.started_at desc limit %(latest)s
) as latest
order by agent.id, latest.started_at desc
"""
_FREED: Final = """
select agent_id, max(ended_at) from assignments where agent_id = any(%(agents)s) and ended_at > %(since)s
group by agent_id
"""
_LIVE: Final = """
select a.agent_id, a.units, a.started_at, a.channel, c.intent, c.customer_id,
       case when c.state = 'wrap_up' then c.waiting_until end as ends_at
from assignments a join conversations c on c.id = a.conversation_id
where a.ended_at is null and a.units > 0 and a.agent_id = any(%(agents)s) and c.state in ('assigned', 'wrap_up')
"""


@dataclass(frozen=True, slots=True)
class _AgentRow:
    id: str
    pool: str
    also_pools: list[str]
    kind: str
    skills: dict[str, int]
    languages: list[str]
    capacity: int
    load: int
    channel_ceilings: dict[str, int]
    preferences: dict[str, float]
    presence: str
    presence_channels: list[str] | None
    presence_since: datetime
    last_assigned_at: datetime | None
    time_zone: str | None
    hours: str | None
    cost_per_case: float
    expected_success: float | None
    strain_seconds: float


@dataclass(frozen=True, slots=True)
class Roster:
    """Everyone present, the room that is soon to come back, and what an admin expects of whom (probabilities)."""

    agents: list[AgentCapacity]
    soon_free: tuple[SoonFree, ...]
    expected: dict[str, float]


class AgentReader:
    """Reads the agents for the passes of one pool."""

    def __init__(self) -> None:
        self._shifts = Shifts()

    async def locked(
        self,
        connection: LedgerConnection,
        pools: Sequence[str],
        waits: WhatWaits,
        settings: Settings,
        policy: RoutingPolicy,
        experience: Experience,
        now: datetime,
        *,
        briefly: bool,
        interrupting: frozenset[str],
    ) -> Roster:
        """Lock who has room, and read the others where they matter; `briefly` for a queue too long to wait for whom.

        While a call of an `interrupting` channel waits, nobody is too busy to be locked.
        """
        named = [agent_id for agent_id, tickets in waits.named_agents.items() if tickets]
        asked = {"pools": list(pools), "named": named, "now": now}
        may_interrupt = any(waits.channels[channel] for channel in interrupting)
        rows = await _agents(connection, _EVERYONE if may_interrupt else _WITH_ROOM, asked)
        locked = [row.id for row in rows]
        if not briefly or waits.declined:
            rows += await _agents(connection, _OTHERS, {**asked, "locked": locked})
        loads = await _channel_loads(connection, [row.id for row in rows if interrupting or row.channel_ceilings])
        in_a_row = await self._hard_in_a_row(connection, locked, waits, settings, now)
        freed = await _freed_at(connection, rows, policy, now)
        with_room = frozenset(locked)
        agents = [
            self._capacity(
                row,
                loads.get(row.id, {}),
                in_a_row.get(row.id, 0),
                freed.get(row.id),
                experience.pace(row.id),
                now,
                is_locked=row.id in with_room,
            )
            for row in rows
        ]
        coming: tuple[SoonFree, ...] = ()
        if not briefly:
            coming = await _soon_free(connection, [row.id for row in rows], settings, policy, experience, now)
        return Roster(agents, coming, _expected(rows))

    async def read(
        self,
        connection: LedgerConnection,
        pools: Sequence[str],
        named: str | None,
        settings: Settings,
        policy: RoutingPolicy,
        experience: Experience,
        now: datetime,
    ) -> Roster:
        """Everyone present, only looked at."""
        asked = {"pools": list(pools), "named": [] if named is None else [named], "now": now, "locked": []}
        rows = await _agents(connection, _OTHERS, asked)
        loads = await _channel_loads(connection, [row.id for row in rows if row.channel_ceilings])
        freed = await _freed_at(connection, rows, policy, now)
        agents = [
            self._capacity(
                row, loads.get(row.id, {}), 0, freed.get(row.id), experience.pace(row.id), now, is_locked=True
            )
            for row in rows
        ]
        coming = await _soon_free(connection, [row.id for row in rows], settings, policy, experience, now)
        return Roster(agents, coming, _expected(rows))

    def _capacity(
        self,
        row: _AgentRow,
        channel_load: dict[str, int],
        hard_in_a_row: int,
        freed_at: datetime | None,
        pace: float,
        now: datetime,
        *,
        is_locked: bool,
    ) -> AgentCapacity:
        return AgentCapacity(
            agent_id=row.id,
            pools=(row.pool, *row.also_pools),
            capacity=row.capacity,
            accepts=EVERY_CHANNEL if row.presence_channels is None else frozenset(row.presence_channels),
            # Who became free since the others were locked is for the next pass.
            load=row.load if is_locked else max(row.load, row.capacity),
            skills=row.skills,
            languages=frozenset(row.languages),
            channel_load=channel_load,
            channel_ceilings=row.channel_ceilings,
            transfers_only=row.presence == _TRANSFERS_ONLY,
            last_assigned_at=row.last_assigned_at,
            shift_ends_at=self._shifts.ends_at(row.time_zone, row.hours, now),
            preferences=row.preferences,
            kind=AgentKind(row.kind),
            cost_per_case=row.cost_per_case,
            pace=pace,
            freed_at=freed_at,
            recent_hard_cases=0 if row.kind == AgentKind.AI else hard_in_a_row,
            time_at_full_load=timedelta() if row.kind == AgentKind.AI else timedelta(seconds=row.strain_seconds),
        )

    async def _hard_in_a_row(
        self,
        connection: LedgerConnection,
        agent_ids: list[str],
        waits: WhatWaits,
        settings: Settings,
        now: datetime,
    ) -> dict[str, int]:
        """Nobody asks how hard an agent had it while nothing hard is waiting."""
        hard = {profile.intent for profile in settings.profiles.values() if profile.is_hard}
        if not agent_ids or not any(waits.intents[intent] for intent in hard):
            return {}
        found = await connection.execute(
            _LATEST, {"agents": agent_ids, "since": now - _TOGETHER, "latest": RECENT_CASES}
        )
        latest: dict[str, list[bool]] = {}
        async for agent_id, intent in found:
            latest.setdefault(agent_id, []).append(intent in hard)
        return {agent_id: hard_cases_in_a_row(cases) for agent_id, cases in latest.items()}


async def _freed_at(
    connection: LedgerConnection, rows: Sequence[_AgentRow], policy: RoutingPolicy, now: datetime
) -> dict[str, datetime]:
    """When who came, or had a conversation end, lately; asked only for a policy that keeps last places free."""
    if policy.waiting.spare_below <= 0:
        return {}
    since = now - policy.waiting.spare_for
    found = await connection.execute(_FREED, {"agents": [row.id for row in rows], "since": since})
    ended: dict[str, datetime] = dict(await found.fetchall())
    return {row.id: max(ended.get(row.id, row.presence_since), row.presence_since) for row in rows}


def _expected(rows: Sequence[_AgentRow]) -> dict[str, float]:
    return {row.id: row.expected_success for row in rows if row.expected_success is not None}


async def _agents(connection: LedgerConnection, query: str, asked: Mapping[str, object]) -> list[_AgentRow]:
    async with connection.cursor(row_factory=class_row(_AgentRow)) as cursor:
        await cursor.execute(query.encode(), asked)
        return await cursor.fetchall()


async def _channel_loads(connection: LedgerConnection, agent_ids: list[str]) -> dict[str, dict[str, int]]:
    loads: dict[str, dict[str, int]] = {agent_id: {} for agent_id in agent_ids}
    if loads:
        held = await connection.execute(_CHANNEL_LOADS, {"agents": agent_ids})
        async for agent_id, channel, count in held:
            loads[agent_id][channel] = count
    return loads


async def _soon_free(
    connection: LedgerConnection,
    agent_ids: list[str],
    settings: Settings,
    policy: RoutingPolicy,
    experience: Experience,
    now: datetime,
) -> tuple[SoonFree, ...]:
    live: list[LiveCase] = []
    found = await connection.execute(_LIVE, {"agents": agent_ids})
    async for agent_id, units, started_at, channel, intent, customer_id, ends_at in found:
        work = expected_work(settings, experience, channel, intent, customer_id)
        usual = None if work is None else work * experience.pace(agent_id)
        live.append(LiveCase(agent_id, units, started_at, usual, ends_at))
    return soon_free(live, now, policy.waiting.horizon)[:FORECASTS_UP_TO]
