"""The matching transaction: who waits in a pool meets who is free, and the offers are committed or nothing is.

A pass holds the pool's lease, so that passes of one pool follow each other and the holder of an older lease commits
nothing; then the tickets, then the agents. Tickets that somebody else holds are skipped: whoever holds one is about to
change it. Agents are waited for: skipping one who is only being looked at would say "nobody is free" while they are.
"""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import msgspec
from psycopg import IntegrityError
from psycopg.rows import class_row

from domain.channels import Channel
from domain.errors import InvalidInput
from domain.routing.from_settings import VALUE_WEIGHTS, made_urgent, policy_of, pools_reached
from domain.routing.matching import match
from domain.routing.model import (
    AgentCapacity,
    AgentKind,
    Decision,
    Matching,
    SkillNeed,
    SuccessModel,
    Unmatched,
    WaitingCase,
)
from domain.routing.policy import RoutingPolicy
from domain.settings import DEFAULTS, Json, Settings, settings_from_json
from storage.database import Database, LedgerConnection
from storage.ids import new_id

QUEUE_CHANNEL: Final = "baton_queue"
MOST_TICKETS: Final = 5_000
REASONS_UP_TO: Final = 1_000
"""Longer queues are not told, ticket by ticket, why they wait: it would cost more than the matching."""

_EVERY_CHANNEL: Final = frozenset(channel.value for channel in Channel)
_TRANSFERS_ONLY: Final = "transfers_only"

_TAKE_LEASE: Final = """
insert into dispatcher_leases (pool, token, holder, taken_at) values (%s, 1, %s, clock_timestamp())
on conflict (pool) do update
    set token = dispatcher_leases.token + 1, holder = excluded.holder, taken_at = excluded.taken_at
returning token
"""
_HOLD_LEASE: Final = "select token, clock_timestamp() from dispatcher_leases where pool = %s for no key update"
_SETTINGS: Final = "select key, value from settings"
_ANYONE_FREE: Final = """
select exists (
    select from agents a
    where a.active and a.presence in ('online', 'transfers_only')
      and least(a.capacity, a.load_limit) - a.load >= (select min(t.units) from queue_tickets t where t.pool = %(pool)s)
      and (a.pool = any(%(pools)s)
           or a.id in (select t.only_agent from queue_tickets t where t.pool = %(pool)s and t.only_agent is not null))
)
"""
# A warm transfer leaves the conversation with its agent until the next one accepts: that agent is not the next one.
_TICKETS: Final = """
select t.conversation_id, t.ticket, t.episode, t.queued_at, t.channel, t.units, t.priority, t.urgent, t.segment,
       t.intent, t.product, t.sentiment, t.languages, t.required_skills, t.next_breach_at, t.excluded,
       t.exclusions_clear_at, t.only_agent, t.affinity_agent, t.affinity_at, t.offer_seconds, t.auto_accept,
       (select a.agent_id from assignments a where a.conversation_id = t.conversation_id and a.ended_at is null)
           as held_by
from queue_tickets t
where t.pool = %s and t.conversation_id <> all(%s)
  and not exists (select from offers o where o.conversation_id = t.conversation_id and o.state = 'pending')
order by t.urgent desc, t.queued_at, t.conversation_id
limit %s
for update of t skip locked
"""
_AGENTS: Final = """
select id, pool, kind, skills, languages, least(capacity, load_limit) as capacity, load, channel_ceilings, preferences,
       presence, last_assigned_at
from agents
where active and presence in ('online', 'transfers_only') and (pool = any(%s) or id = any(%s))
order by id
for no key update
"""
_CHANNEL_LOADS: Final = """
select agent_id, channel, count(*) from (
    select agent_id, channel from assignments where ended_at is null and units > 0 and agent_id = any(%(agents)s)
    union all
    select agent_id, channel from offers where state = 'pending' and agent_id = any(%(agents)s)
) as held group by agent_id, channel
"""
_OFFER: Final = """
with decided as materialized (
    select * from jsonb_to_recordset(%(decided)s::jsonb) as d(
        offer_id text, decision_id text, conversation_id text, ticket int, episode int, agent_id text, channel text,
        units int, reason text, score float8, expires_at timestamptz, policy_version text, model_version text,
        signal jsonb, record jsonb)
), offered as (
    insert into offers (id, conversation_id, ticket, episode, agent_id, pool, channel, units, state, reason, score,
                        created_at, expires_at)
    select offer_id, conversation_id, ticket, episode, agent_id, %(pool)s, channel, units, 'pending', reason, score,
           %(now)s, expires_at
    from decided
), taken as (
    update agents set load = agents.load + given.units, last_assigned_at = %(now)s
    from (select agent_id, sum(units)::int as units from decided group by agent_id) as given
    where agents.id = given.agent_id
), left_the_queue as (
    delete from queue_tickets using decided where queue_tickets.conversation_id = decided.conversation_id
), recorded as (
    insert into routing_decisions (id, conversation_id, offer_id, pool, at, policy_version, model_version, record)
    select decision_id, conversation_id, offer_id, %(pool)s, %(now)s, policy_version, model_version, record
    from decided
)
insert into signals (conversation_id, kind, payload, created_at, attempts, set_aside)
select conversation_id, 'offer_made', signal, clock_timestamp(), 0, false from decided order by conversation_id
"""
_RING: Final = "select pg_notify('baton_signals', '')"


class FencedOffError(Exception):
    """Another dispatcher has taken the lease of the pool: this one may commit nothing any more."""


@dataclass(frozen=True, slots=True)
class Lease:
    pool: str
    token: int


@dataclass(frozen=True, slots=True)
class RefusedOffer:
    """An offer that a constraint of the database did not take; nothing of it is left."""

    conversation_id: str
    agent_id: str
    constraint: str


@dataclass(frozen=True, slots=True)
class MadeOffer:
    offer_id: str
    conversation_id: str
    agent_id: str


@dataclass(frozen=True, slots=True)
class Pass:
    """What one pass did. `next_change_at` is when time alone may change the answer, by the database's clock `at`.

    With `settings_unreadable` it went by the defaults: customers do not wait because a setting can't be read.
    """

    at: datetime
    offers: tuple[MadeOffer, ...] = ()
    refused: tuple[RefusedOffer, ...] = ()
    unmatched: tuple[Unmatched, ...] = ()
    next_change_at: datetime | None = None
    settings_unreadable: bool = False

    @property
    def until_next_change(self) -> timedelta | None:
        return None if self.next_change_at is None else self.next_change_at - self.at


@dataclass(frozen=True, slots=True)
class _Ticket:
    conversation_id: str
    ticket: int
    episode: int
    queued_at: datetime
    channel: str
    units: int
    priority: int
    urgent: bool
    segment: str
    intent: str | None
    product: str | None
    sentiment: float | None
    languages: list[str]
    required_skills: list[tuple[str, int]]
    next_breach_at: datetime | None
    excluded: list[str]
    exclusions_clear_at: datetime | None
    only_agent: str | None
    affinity_agent: str | None
    affinity_at: datetime | None
    offer_seconds: float
    auto_accept: bool
    held_by: str | None

    def case(self, pool: str, policy: RoutingPolicy) -> WaitingCase:
        waiting = WaitingCase(
            conversation_id=self.conversation_id,
            ticket=self.ticket,
            pool=pool,
            queued_at=self.queued_at,
            channel=self.channel,
            units=self.units,
            required_skills=tuple(SkillNeed(skill, level) for skill, level in self.required_skills),
            languages=frozenset(self.languages),
            priority=self.priority,
            segment=self.segment,
            value_weight=VALUE_WEIGHTS.get(self.segment, 1.0),
            intent=self.intent,
            product=self.product,
            sentiment=self.sentiment,
            next_breach_at=self.next_breach_at,
            excluded=frozenset(self.excluded) | ({self.held_by} if self.held_by is not None else frozenset()),
            exclusions_clear_at=self.exclusions_clear_at,
            only_agent=self.only_agent,
            affinity_agent=self.affinity_agent,
            affinity_at=self.affinity_at,
        )
        return made_urgent(waiting, policy) if self.urgent else waiting


@dataclass(frozen=True, slots=True)
class _AgentRow:
    id: str
    pool: str
    kind: str
    skills: dict[str, int]
    languages: list[str]
    capacity: int
    load: int
    channel_ceilings: dict[str, int]
    preferences: dict[str, float]
    presence: str
    last_assigned_at: datetime | None

    def offered_capacity(self, channel_load: dict[str, int]) -> AgentCapacity:
        return AgentCapacity(
            agent_id=self.id,
            pools=(self.pool,),
            capacity=self.capacity,
            accepts=_EVERY_CHANNEL,
            load=self.load,
            skills=self.skills,
            languages=frozenset(self.languages),
            channel_load=channel_load,
            channel_ceilings=self.channel_ceilings,
            transfers_only=self.presence == _TRANSFERS_ONLY,
            last_assigned_at=self.last_assigned_at,
            preferences=self.preferences,
            kind=AgentKind(self.kind),
        )


@dataclass(frozen=True, slots=True)
class _OfferSignal:
    """The fields of the workflow's `OfferMade`."""

    offer_id: str
    ticket: int
    agent_id: str
    expires_at: datetime
    auto_accept: bool
    reason: str


@dataclass(frozen=True, slots=True)
class _DecidedOffer:
    offer_id: str
    decision_id: str
    conversation_id: str
    ticket: int
    episode: int
    agent_id: str
    channel: str
    units: int
    reason: str
    score: float
    expires_at: datetime
    policy_version: str
    model_version: str
    signal: _OfferSignal
    record: Decision


def _plain_number(value: object) -> float | int:
    """The scalars of arrays are numbers of Python's by inheritance only, which the encoder does not take for them."""
    if isinstance(value, float):
        return float(value)
    if isinstance(value, int):
        return int(value)
    raise TypeError(f"a decision holds a {type(value).__name__}")


_ENCODER: Final = msgspec.json.Encoder(enc_hook=_plain_number)


async def take_lease(database: Database, pool: str, holder: str) -> Lease:
    """Become the pool's dispatcher; whoever was it before is fenced off from here on."""
    async with database.ledger.connection() as connection:
        row = await (await connection.execute(_TAKE_LEASE, (pool, holder))).fetchone()
    if row is None:
        raise RuntimeError(f"the lease of pool {pool} was not given")
    return Lease(pool, row[0])


async def read_settings(connection: LedgerConnection) -> Settings:
    """What the admin has set, defaults for the rest.

    Raises:
        InvalidInput: a stored setting cannot be read.
    """
    rows = await (await connection.execute(_SETTINGS)).fetchall()
    document: dict[str, Json] = dict(rows)
    return settings_from_json(document)


async def match_pool(
    database: Database, lease: Lease, success: SuccessModel, *, passed_over: Sequence[str] = ()
) -> Pass:
    """Offer what waits in the pool to who is free, in one transaction; `passed_over` conversations are left alone.

    An offer that a constraint refuses is left out and told; the others are made.

    Raises:
        FencedOffError: the lease is no longer ours; nothing was changed.
    """
    async with database.ledger.connection() as connection:
        now = await _hold(connection, lease)
        try:
            settings, unreadable = await read_settings(connection), False
        except InvalidInput:
            settings, unreadable = DEFAULTS, True
        policy = policy_of(settings)
        pools = list(pools_reached(lease.pool, policy))
        found = await (await connection.execute(_ANYONE_FREE, {"pool": lease.pool, "pools": pools})).fetchone()
        if found is None or not found[0]:
            return Pass(now, settings_unreadable=unreadable)
        async with connection.cursor(row_factory=class_row(_Ticket)) as cursor:
            await cursor.execute(_TICKETS, (lease.pool, list(passed_over), MOST_TICKETS))
            tickets = {ticket.conversation_id: ticket for ticket in await cursor.fetchall()}
        if not tickets:
            return Pass(now, settings_unreadable=unreadable)
        agents = await _lock_agents(connection, pools, tickets.values())
        cases = [ticket.case(lease.pool, policy) for ticket in tickets.values()]
        # A long queue takes a while to solve: the loop has heartbeats to send meanwhile.
        matching: Matching = await asyncio.to_thread(
            match, cases, agents, policy, success, now, tell_unmatched=len(cases) <= REASONS_UP_TO
        )
        decided = [_decided(decision, tickets[decision.conversation_id], now) for decision in matching.decisions]
        refused = await _write(connection, lease.pool, decided, now)
        lost = {one.conversation_id for one in refused}
        return Pass(
            now,
            tuple(
                MadeOffer(one.offer_id, one.conversation_id, one.agent_id)
                for one in decided
                if one.conversation_id not in lost
            ),
            tuple(refused),
            matching.unmatched,
            matching.next_change_at,
            unreadable,
        )


async def _hold(connection: LedgerConnection, lease: Lease) -> datetime:
    row = await (await connection.execute(_HOLD_LEASE, (lease.pool,))).fetchone()
    if row is None or row[0] != lease.token:
        raise FencedOffError(lease.pool)
    now: datetime = row[1]
    return now


async def _lock_agents(
    connection: LedgerConnection, pools: Sequence[str], tickets: Iterable[_Ticket]
) -> list[AgentCapacity]:
    named = {ticket.only_agent for ticket in tickets if ticket.only_agent is not None}
    async with connection.cursor(row_factory=class_row(_AgentRow)) as cursor:
        await cursor.execute(_AGENTS, (list(pools), list(named)))
        agents = await cursor.fetchall()
    loads: dict[str, dict[str, int]] = {agent.id: {} for agent in agents if agent.channel_ceilings}
    if loads:
        held = await connection.execute(_CHANNEL_LOADS, {"agents": list(loads)})
        async for agent_id, channel, count in held:
            loads[agent_id][channel] = count
    return [agent.offered_capacity(loads.get(agent.id, {})) for agent in agents]


def _decided(decision: Decision, ticket: _Ticket, now: datetime) -> _DecidedOffer:
    offer_id = new_id("off")
    expires_at = now + timedelta(seconds=ticket.offer_seconds)
    return _DecidedOffer(
        offer_id=offer_id,
        decision_id=new_id("dec"),
        conversation_id=ticket.conversation_id,
        ticket=ticket.ticket,
        episode=ticket.episode,
        agent_id=decision.agent_id,
        channel=ticket.channel,
        units=decision.units,
        reason=decision.sentence,
        score=decision.score,
        expires_at=expires_at,
        policy_version=decision.policy_version,
        model_version=decision.model_version,
        signal=_OfferSignal(
            offer_id, ticket.ticket, decision.agent_id, expires_at, ticket.auto_accept, decision.sentence
        ),
        record=decision,
    )


async def _write(
    connection: LedgerConnection, pool: str, decided: Sequence[_DecidedOffer], now: datetime
) -> list[RefusedOffer]:
    if not decided:
        return []
    refused: list[RefusedOffer] = []
    try:
        await _write_together(connection, pool, decided, now)
    except IntegrityError:
        # Rare, and something is wrong when it happens: find the one by giving each a try of its own.
        for one in decided:
            try:
                await _write_together(connection, pool, [one], now)
            except IntegrityError as error:
                refused.append(
                    RefusedOffer(one.conversation_id, one.agent_id, error.diag.constraint_name or str(error))
                )
    await connection.execute(_RING)
    return refused


async def _write_together(
    connection: LedgerConnection, pool: str, decided: Sequence[_DecidedOffer], now: datetime
) -> None:
    async with connection.transaction():
        await connection.execute(_OFFER, {"decided": _ENCODER.encode(decided).decode(), "pool": pool, "now": now})
