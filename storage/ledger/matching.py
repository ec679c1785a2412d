"""The matching transaction: who waits in a pool meets who is free, and the offers are committed or nothing is.

A pass holds the pool's lease, so that passes of one pool follow each other and the holder of an older lease commits
nothing; then the agents, then the tickets of those it has decided on. Agents are waited for: skipping one who is only
being looked at would say "nobody is free" while they are. Tickets that somebody else holds, or has changed since they
were read, are skipped: whoever holds one is about to change it. Since a pass never waits for a ticket while it holds
agents, it stands in nobody's way for ever, although the others lock tickets first.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import msgspec
from psycopg import IntegrityError

from domain.errors import InvalidInput
from domain.routing.expected_success import WithExpectations
from domain.routing.experience import NOTHING_EXPERIENCED, Experience
from domain.routing.from_settings import policy_of, pools_reached
from domain.routing.matching import match
from domain.routing.model import Decision, Matching, SuccessModel, Unmatched
from domain.settings import DEFAULTS
from storage.database import Database, LedgerConnection
from storage.ids import new_id
from storage.ledger.case_facts import read_settings
from storage.ledger.interrupts import interrupting_channels, interruptions, left_in_peace
from storage.ledger.pool_queue import PoolQueue
from storage.ledger.roster import AgentReader
from storage.ledger.ticket import Ticket

QUEUE_CHANNEL: Final = "baton_queue"
REASONS_UP_TO: Final = 1_000
"""Longer queues are not told, ticket by ticket, why they wait: it would cost more than the matching."""

_TAKE_LEASE: Final = """
insert into dispatcher_leases (pool, token, holder, taken_at) values (%s, 1, %s, clock_timestamp())
on conflict (pool) do update
    set token = dispatcher_leases.token + 1, holder = excluded.holder, taken_at = excluded.taken_at
returning token
"""
_HOLD_LEASE: Final = """
update dispatcher_leases set passed_at = clock_timestamp() where pool = %s and token = %s returning clock_timestamp()
"""
_NEGLECTED: Final = """
select l.pool, l.token from dispatcher_leases l
where coalesce(l.passed_at, l.taken_at) < clock_timestamp() - %s
  and exists (select from queue_tickets t where t.pool = l.pool)
order by l.pool
"""
_ANYONE_FREE: Final = """
select exists (select from queue_tickets where pool = %(pool)s and channel = any(%(interrupting)s)) or exists (
    select from agents a
    where a.active and a.presence in ('online', 'transfers_only')
      and least(a.capacity, a.load_limit) - a.load >= (select min(t.units) from queue_tickets t where t.pool = %(pool)s)
      and (a.pool = any(%(pools)s) or a.also_pools ?| %(pools)s
           or a.id in (select coalesce(t.only_agent, t.affinity_agent) from queue_tickets t
                       where t.pool = %(pool)s and (t.only_agent is not null or t.owner_until > clock_timestamp())))
)
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


async def neglected_pools(database: Database, unseen_for: timedelta) -> list[Lease]:
    """The pools in which somebody waits and nobody has looked for so long, under the lease that is in force.

    A pass under another holder's lease is safe: passes of a pool exclude each other, and each reads what it decides on
    after it has the lease's row.
    """
    async with database.ledger.connection() as connection:
        rows = await (await connection.execute(_NEGLECTED, (unseen_for,))).fetchall()
    return [Lease(pool, token) for pool, token in rows]


async def match_pool(
    database: Database,
    lease: Lease,
    success: SuccessModel,
    experience: Experience = NOTHING_EXPERIENCED,
    *,
    queue: PoolQueue | None = None,
    agents: AgentReader | None = None,
    passed_over: Sequence[str] = (),
) -> Pass:
    """Offer what waits in the pool to who is free, in one transaction; `passed_over` conversations are left alone.

    A `queue` and `agents` kept from pass to pass spare reading again what has not changed; whatever they hold, the
    ledger decides.
    An offer that a constraint refuses is left out and told; the others are made.

    Raises:
        FencedOffError: the lease is no longer ours; nothing was changed.
    """
    queue = PoolQueue(lease.pool) if queue is None else queue
    reader = AgentReader() if agents is None else agents
    async with database.ledger.connection() as connection:
        now = await _hold(connection, lease)
        try:
            settings, unreadable = await read_settings(connection), False
        except InvalidInput:
            settings, unreadable = DEFAULTS, True
        policy = policy_of(settings, lease.pool)
        pools = list(pools_reached(lease.pool, policy))
        interrupting = interrupting_channels(settings)
        asked = {"pool": lease.pool, "pools": pools, "interrupting": list(interrupting)}
        found = await (await connection.execute(_ANYONE_FREE, asked)).fetchone()
        if found is None or not found[0]:
            return Pass(now, settings_unreadable=unreadable)
        await queue.follow(connection, settings, policy, experience, now, list(passed_over))
        if not queue.tickets:
            return Pass(now, settings_unreadable=unreadable)
        in_brief = len(queue.tickets) > REASONS_UP_TO
        roster = await reader.locked(
            connection,
            pools,
            queue.waits,
            settings,
            policy,
            experience,
            now,
            briefly=in_brief,
            interrupting=interrupting,
        )
        chances = WithExpectations(success, roster.expected) if roster.expected else success
        # A long queue takes a while to solve: the loop has heartbeats to send meanwhile.
        matching: Matching = await asyncio.to_thread(
            match,
            queue.waiting,
            [left_in_peace(agent, interrupting) for agent in roster.agents],
            policy,
            chances,
            now,
            soon_free=roster.soon_free,
            tell_unmatched=not in_brief,
        )
        decisions = [*matching.decisions]
        if any(queue.waits.channels[channel] for channel in interrupting):
            calls = [ticket for ticket in queue.tickets.values() if ticket.channel in interrupting]
            cases = [ticket.case(lease.pool, settings, policy, experience, now) for ticket in calls]
            decisions += interruptions(cases, roster.agents, decisions, interrupting, policy, chances, now)
        held = await queue.lock(connection, [decision.conversation_id for decision in decisions])
        decided = [
            _decided(decision, queue.tickets[decision.conversation_id], now)
            for decision in decisions
            if decision.conversation_id in held
        ]
        refused = await _write(connection, lease.pool, decided, now)
        lost = {one.conversation_id for one in refused}
        made = tuple(
            MadeOffer(one.offer_id, one.conversation_id, one.agent_id)
            for one in decided
            if one.conversation_id not in lost
        )
    queue.offered(one.conversation_id for one in made)
    return Pass(now, made, tuple(refused), matching.unmatched, matching.next_change_at, unreadable)


async def _hold(connection: LedgerConnection, lease: Lease) -> datetime:
    row = await (await connection.execute(_HOLD_LEASE, (lease.pool, lease.token))).fetchone()
    if row is None:
        raise FencedOffError(lease.pool)
    # Told once the row is ours, so that passes of one pool see the time go forward.
    now: datetime = row[0]
    return now


def _decided(decision: Decision, ticket: Ticket, now: datetime) -> _DecidedOffer:
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
