"""Two conversations become one: the commit of this transaction decides, everything else follows from it.

The loser ends here: its offer is taken back, its agent's units return, its threads and messages move. Its workflow is
told, and so is the survivor's, which takes over what the loser's last written step had handed over. Messages the loser
had not taken in by then reach the survivor as signals that are owed anew.

Rows are locked in the ledger's order, with the customers and their identities before: customers, identities,
conversations, queue ticket, agents, offers, assignments, the rest.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from psycopg.errors import DeadlockDetected
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from domain.identity.addresses import AddressKind, NormalAddress
from domain.identity.linking import Conflict, conflicts_of
from storage.database import Database, LedgerConnection
from storage.ids import new_id
from storage.ledger.recorded import recorded_assignments

_MOST_RACES: Final = 50

# A merge points all earlier losers of its loser at its own survivor: one hop is enough.
_WHERE_NOW: Final = """
select asked.id, coalesce(c.merged_into, c.id) as now_id, now_in.customer_id
from unnest(%s::text[]) with ordinality as asked(id, place)
left join conversations c on c.id = asked.id
left join conversations now_in on now_in.id = coalesce(c.merged_into, c.id)
order by asked.place
"""
_LOCK_CUSTOMERS: Final = "select from customers where id = any(%s) order by id for no key update"
_LOCK_IDENTITIES: Final = "select from identities where customer_id = any(%s) order by id for no key update"
_PROVEN: Final = "select customer_id, kind, address from identities where customer_id = any(%s) and verified"
_LOCK_CONVERSATIONS: Final = """
select id, customer_id, state, opened_at, pool, episode, agent_id, channels,
       exists (select from assignments a where a.conversation_id = c.id and a.ended_at is null) as is_held
from conversations c where id = any(%s) order by id for no key update
"""
_NOW: Final = "select greatest(%s::timestamptz, clock_timestamp())"

_LEAVE_QUEUE: Final = "delete from queue_tickets where conversation_id = %s"
_LOCK_AGENTS: Final = """
select from agents
where id in (select agent_id from offers where conversation_id = %(loser)s::text and state = 'pending'
             union select agent_id from assignments where conversation_id = %(loser)s::text and ended_at is null)
order by id for no key update
"""
_GIVE_BACK: Final = """
with rescinded as (
    update offers set state = 'rescinded', ended_at = %(at)s::timestamptz
    where conversation_id = %(loser)s::text and state = 'pending' returning id, agent_id, units
), released as (
    update assignments set ended_at = greatest(%(at)s::timestamptz, started_at), end_cause = 'merged'
    where conversation_id = %(loser)s::text and ended_at is null returning agent_id, units
), told as (
    insert into events (at, kind, conversation_id, customer_id, agent_id, pool, episode, data, dedupe_key)
    select %(at)s::timestamptz, 'offer_rescinded', %(loser)s::text, %(from_customer)s::text, agent_id,
           %(pool)s::text, %(episode)s::int, jsonb_build_object('offer_id', id, 'cause', 'merged'),
           'offer_rescinded:' || id
    from rescinded
), held as (
    select agent_id, sum(units)::int as units
    from (select agent_id, units from rescinded union all select agent_id, units from released) as every
    group by agent_id
)
update agents
set load = load - held.units, load_limit = greatest(capacity, load - held.units), updated_at = %(at)s::timestamptz
from held where agents.id = held.agent_id returning agents.pool
"""
_RELEASED: Final = "select id from assignments where conversation_id = %s and end_cause = 'merged'"
_END_CLOCKS: Final = """
update clocks set state = case when state = 'breached' then state else 'cancelled' end,
                  ended_at = greatest(%(at)s::timestamptz, started_at, breached_at), due_at = null
where conversation_id = %(loser)s::text and ended_at is null
"""
# The customer goes on in the survivor: what the loser had asked them is open no more.
_END_SUGGESTION: Final = """
with ended as (
    update suggestions set state = 'ignored', ended_at = %(at)s::timestamptz
    where conversation_id = %(loser)s::text and state = 'offered' returning id, channel
)
insert into events (at, kind, conversation_id, customer_id, pool, episode, data, dedupe_key)
select %(at)s::timestamptz, 'suggestion_ignored', %(loser)s::text, %(from_customer)s::text, %(pool)s::text,
       %(episode)s::int, jsonb_build_object('suggestion_id', id, 'channel', channel, 'cause', 'merged'),
       'suggestion_ignored:' || id
from ended
"""
# How long the loser's agent was silent is nobody's concern any more; what else a supervisor was called for goes on.
_HAND_ALERTS_ON: Final = """
with settled as (
    update alerts set settled_at = %(at)s::timestamptz
    where conversation_id = %(loser)s::text and settled_at is null and metric = 'owner_silence'
)
update alerts set conversation_id = %(survivor)s::text, episode = %(survivor_episode)s::int,
                  pool = %(survivor_pool)s::text, agent_id = %(survivor_agent)s::text
where conversation_id = %(loser)s::text and settled_at is null and metric is distinct from 'owner_silence'
"""
# Both may have been written to under one key: the survivor's thread keeps it, and with it the messages to come.
_MOVE_THREADS: Final = """
update threads set conversation_id = %(survivor)s::text, customer_id = %(customer)s::text,
    thread_key = case when exists (
        select from threads same
        where same.conversation_id = %(survivor)s::text and same.channel = threads.channel
          and same.account = threads.account and same.thread_key = threads.thread_key
    ) then threads.thread_key || ' (' || threads.id || ')' else threads.thread_key end
where conversation_id = %(loser)s::text returning id
"""
_MOVE_MESSAGES: Final = """
update messages set conversation_id = %(survivor)s::text, customer_id = %(customer)s::text
where conversation_id = %(loser)s::text returning case when thread_id is null then id end
"""
# The addresses that wrote in the loser belong to the survivor's customer from now on: what they write next goes there.
_MOVE_IDENTITIES: Final = """
update identities set customer_id = %(customer)s::text
where customer_id <> %(customer)s::text
  and id in (select identity_id from threads where id = any(%(threads)s::text[])) returning id
"""
_END_LOSER: Final = """
update conversations set state = 'merged', merged_into = %(survivor)s::text, closed_at = %(at)s::timestamptz,
    updated_at = %(at)s::timestamptz, agent_id = null, waiting_for = null, waiting_until = null, queued_at = null
where id = %(loser)s::text
"""
_SHORTEN_CHAINS: Final = "update conversations set merged_into = %(survivor)s::text where merged_into = %(loser)s::text"
_RECORD: Final = """
insert into merges (id, survivor_id, loser_id, heir_id, cause, by, at, handover, threads, notes, identities,
                    loser_customer_id)
select %(merge)s::text, %(survivor)s::text, %(loser)s::text, %(survivor)s::text, %(cause)s::text, %(by)s::text,
       %(at)s::timestamptz, (select facts from handovers where conversation_id = %(loser)s::text),
       to_jsonb(%(threads)s::text[]), to_jsonb(%(notes)s::text[]), to_jsonb(%(identities)s::text[]),
       %(from_customer)s::text
"""
# What the loser had not absorbed itself, its survivor absorbs beside it.
_INHERIT: Final = """
update merges set heir_id = %(survivor)s::text where heir_id = %(loser)s::text and absorbed_at is null returning id
"""
_TELL: Final = """
with owed as (
    insert into signals (conversation_id, kind, payload, created_at, attempts, set_aside)
    select %(survivor)s::text, 'absorb',
           jsonb_build_object('merge_id', id, 'loser_id', loser_id, 'cause', cause, 'at', at), %(at)s::timestamptz, 0,
           false
    from merges where heir_id = %(survivor)s::text and absorbed_at is null
      and (id = %(merge)s::text or id = any(%(inherited)s::text[]))
    order by at
    returning id
), ended as (
    insert into signals (conversation_id, kind, payload, created_at, attempts, set_aside)
    values (%(loser)s::text, 'merged_away',
            jsonb_build_object('survivor_id', %(survivor)s::text, 'at', %(at)s::timestamptz),
            %(at)s::timestamptz, 0, false)
)
insert into events (at, kind, conversation_id, customer_id, agent_id, pool, episode, data, dedupe_key)
values
    (%(at)s::timestamptz, 'conversation_absorbed', %(survivor)s::text, %(customer)s::text, %(survivor_agent)s::text,
     %(survivor_pool)s::text, %(survivor_episode)s::int,
     jsonb_build_object('merge_id', %(merge)s::text, 'conversation_id', %(loser)s::text, 'cause', %(cause)s::text,
                        'by', %(by)s::text, 'channels', %(channels)s::jsonb, 'threads', to_jsonb(%(threads)s::text[])),
     'conversation_absorbed:' || %(merge)s::text),
    (%(at)s::timestamptz, 'merged', %(loser)s::text, %(from_customer)s::text, %(agent)s::text, %(pool)s::text,
     %(episode)s::int,
     jsonb_build_object('merge_id', %(merge)s::text, 'into', %(survivor)s::text, 'cause', %(cause)s::text,
                        'by', %(by)s::text) || %(record)s::jsonb,
     'merged:' || %(merge)s::text)
"""
_RING: Final = "select pg_notify('baton_signals', ''), pg_notify('baton_events', '')"


class MergeRefusal(StrEnum):
    UNKNOWN = "unknown"
    """There is no such conversation."""
    SAME = "same_conversation"
    """A conversation can't become part of itself."""
    ENDED = "conversation_ended"
    """One of the two is closed: it keeps its place in the history."""
    CONFLICT = "identity_conflict"
    """Both customers have proven addresses of a kind, and different ones: they may be two people."""


class MergeRefused(Exception):  # noqa: N818 -- the field's word: a request is refused, nothing failed
    """Nothing was merged."""

    def __init__(self, code: MergeRefusal, conversation_id: str, against: tuple[Conflict, ...] = ()) -> None:
        super().__init__(f"{code}: {conversation_id}")
        self.code = code
        self.conversation_id = conversation_id
        self.against = against


@dataclass(frozen=True, slots=True)
class Merged:
    """`merge_id` is None when the two had been one before: then nothing was written and the loser is the other name."""

    survivor_id: str
    loser_id: str
    merge_id: str | None
    customer_id: str
    """The survivor's: the loser's threads and their addresses are this customer's now."""
    at: datetime


@dataclass(frozen=True, slots=True)
class _Now:
    id: str
    now_id: str | None
    customer_id: str | None


@dataclass(frozen=True, slots=True)
class _Party:
    id: str
    customer_id: str
    state: str
    opened_at: datetime
    pool: str
    episode: int
    agent_id: str | None
    channels: list[str]
    is_held: bool


async def merge(
    database: Database, one: str, other: str, *, cause: str, by: str | None, at: datetime, one_person: bool = False
) -> Merged:
    """Merge in a transaction of its own, again when another merge stood in its way; see `merge_conversations`."""
    for _ in range(_MOST_RACES):
        try:
            async with database.ledger.connection() as connection, connection.transaction():
                return await merge_conversations(
                    connection, one, other, cause=cause, by=by, at=at, one_person=one_person
                )
        except DeadlockDetected:
            continue  # whoever won has gone on; now it can be seen what they wrote
    raise RuntimeError(f"lost {_MOST_RACES} races for one merge")


async def merge_conversations(
    connection: LedgerConnection,
    one: str,
    other: str,
    *,
    cause: str,
    by: str | None,
    at: datetime,
    one_person: bool = False,
) -> Merged:
    """Make one conversation of two, in the caller's transaction, and owe both workflows the news.

    The survivor is the one with an accepted assignment, else the older. Conversations that were merged before stand for
    their survivors. The two may belong to two customers: then the addresses that wrote in the loser become the
    survivor's customer's, and linking the rest of the two customers is the caller's to do, afterwards. That their
    proven addresses speak against it is overridden by `one_person`: somebody with authority knows better. `at` is
    moved up to the ledger's clock. Customers, then conversations are locked in the order of their ids; a caller that
    locks more locks customers first.

    Raises:
        MergeRefused: the two are the same, one does not exist or is closed, or they are of two people; nothing was
            written.
    """
    if one == other:
        raise MergeRefused(MergeRefusal.SAME, one)
    for _ in range(_MOST_RACES):
        places = await _where_now(connection, one, other)
        ids = sorted({place.now_id or place.id for place in places})
        if len(ids) == 1:
            survivor = ids[0]
            gone = other if one == survivor else one
            return Merged(survivor, gone, None, places[0].customer_id or "", at)
        parties = await _locked(connection, ids, places)
        if parties is not None:
            if not one_person:
                await _demand_one_person(connection, parties)
            survivor_row, loser_row = _ranked(parties)
            return await _merge(connection, survivor_row, loser_row, cause, by, at)
    raise RuntimeError(f"lost {_MOST_RACES} races for one merge")


async def _where_now(connection: LedgerConnection, one: str, other: str) -> list[_Now]:
    async with connection.cursor(row_factory=class_row(_Now)) as cursor:
        places = await (await cursor.execute(_WHERE_NOW, ([one, other],))).fetchall()
    for place in places:
        if place.now_id is None or place.customer_id is None:
            raise MergeRefused(MergeRefusal.UNKNOWN, place.id)
    return places


async def _locked(connection: LedgerConnection, ids: Sequence[str], places: Sequence[_Now]) -> list[_Party] | None:
    """Both, locked; None when they are no longer what they were when it was looked where they are."""
    customers = sorted({place.customer_id for place in places if place.customer_id is not None})
    await connection.execute(_LOCK_CUSTOMERS, (customers,))
    if len(customers) > 1:
        await connection.execute(_LOCK_IDENTITIES, (customers,))
    async with connection.cursor(row_factory=class_row(_Party)) as cursor:
        parties = await (await cursor.execute(_LOCK_CONVERSATIONS, (list(ids),))).fetchall()
    if any(party.state == "merged" or party.customer_id not in customers for party in parties):
        return None
    for party in parties:
        if party.state == "closed":
            raise MergeRefused(MergeRefusal.ENDED, party.id)
    return parties


async def _demand_one_person(connection: LedgerConnection, parties: Sequence[_Party]) -> None:
    customers = sorted({party.customer_id for party in parties})
    if len(customers) == 1:
        return
    proven: dict[str, set[NormalAddress]] = {customer: set() for customer in customers}
    cursor = await connection.execute(_PROVEN, (customers,))
    for customer, kind, address in await cursor.fetchall():
        proven[customer].add(NormalAddress(AddressKind(kind), address))
    against = conflicts_of(*proven.values())
    if against:
        raise MergeRefused(MergeRefusal.CONFLICT, parties[0].id, against)


def _ranked(parties: Sequence[_Party]) -> tuple[_Party, _Party]:
    """Survivor and loser: an accepted assignment counts most, then age."""
    survivor, loser = sorted(parties, key=lambda party: (not party.is_held, party.opened_at, party.id))
    return survivor, loser


async def _merge(
    connection: LedgerConnection, survivor: _Party, loser: _Party, cause: str, by: str | None, at: datetime
) -> Merged:
    row = await (await connection.execute(_NOW, (at,))).fetchone()
    if row is None:
        raise RuntimeError("the database has no clock")
    merge_id = new_id("mrg")
    facts: dict[str, object] = {
        "merge": merge_id,
        "survivor": survivor.id,
        "loser": loser.id,
        "customer": survivor.customer_id,
        "from_customer": loser.customer_id,
        "at": row[0],
        "cause": cause,
        "by": by,
        "agent": loser.agent_id,
        "pool": loser.pool,
        "episode": loser.episode,
        "survivor_agent": survivor.agent_id,
        "survivor_pool": survivor.pool,
        "survivor_episode": survivor.episode,
        "channels": Jsonb(loser.channels),
    }
    pools = await _end_work(connection, facts)
    facts |= await _move(connection, facts)
    await connection.execute(_END_LOSER, facts)
    await connection.execute(_SHORTEN_CHAINS, facts)
    facts["record"] = await _record(connection, loser.id)
    inherited = await (await connection.execute(_INHERIT, facts)).fetchall()
    await connection.execute(_RECORD, facts)
    await connection.execute(_TELL, facts | {"inherited": [merge[0] for merge in inherited]})
    await connection.execute(_RING)
    for pool in sorted(pools):
        await connection.execute("select pg_notify('baton_queue', %s)", (pool,))
    return Merged(survivor.id, loser.id, merge_id, survivor.customer_id, row[0])


async def _end_work(connection: LedgerConnection, facts: Mapping[str, object]) -> set[str]:
    """Nobody waits for, is offered or has the loser any more; returns the pools in which an agent is freer."""
    await connection.execute(_LEAVE_QUEUE, (facts["loser"],))
    await connection.execute(_LOCK_AGENTS, facts)
    freed = await (await connection.execute(_GIVE_BACK, facts)).fetchall()
    await connection.execute(_END_CLOCKS, facts)
    await connection.execute(_END_SUGGESTION, facts)
    await connection.execute(_HAND_ALERTS_ON, facts)
    return {str(row[0]) for row in freed}


async def _record(connection: LedgerConnection, loser_id: str) -> Jsonb:
    """What the log has to tell of the assignment that ended with the loser."""
    released = [str(row[0]) for row in await (await connection.execute(_RELEASED, (loser_id,))).fetchall()]
    if not released:
        return Jsonb({})
    return Jsonb({"record": {"assignments": await recorded_assignments(connection, released)}})


async def _move(connection: LedgerConnection, facts: Mapping[str, object]) -> dict[str, list[str]]:
    """Threads, messages and addresses; returns the ids of what was moved, by its kind."""
    threads = [str(row[0]) for row in await (await connection.execute(_MOVE_THREADS, facts)).fetchall()]
    moved = await (await connection.execute(_MOVE_MESSAGES, facts)).fetchall()
    notes = [str(row[0]) for row in moved if row[0] is not None]
    identities = await (await connection.execute(_MOVE_IDENTITIES, {**facts, "threads": threads})).fetchall()
    return {"threads": threads, "notes": notes, "identities": [str(row[0]) for row in identities]}
