"""The part of a step that moves responsibility: offers end, assignments end and begin, agents get and lose room."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final

from domain.conversation.commands import (
    Dequeue,
    EndAssignment,
    EndOffer,
    Handover,
    OfferEnd,
    StartAssignment,
)
from domain.conversation.refusals import Refusal, RefusalCode
from storage.database import LedgerConnection
from storage.ledger.step_queue import unheard_offers
from storage.ledger.step_record import StepRecord

_AGENTS_OF: Final = """
select id from agents
where id in (select agent_id from offers where id = any(%(offers)s)
             union select agent_id from assignments where id = any(%(assignments)s)
             union select unnest(%(agents)s::text[]))
order by id for no key update
"""
_END_OFFER: Final = """
update offers set state = %s, ended_at = %s, decline_reason = %s
where id = %s and state = 'pending' returning agent_id, units
"""
_RELEASE: Final = """
update agents set load = load - %(units)s, load_limit = greatest(capacity, load - %(units)s), updated_at = %(at)s
where id = %(agent)s returning jsonb_build_array(pool) || also_pools
"""
_UNRESPONSIVE: Final = """
with gone as (
    update agents set presence = 'not_responding', presence_since = %(at)s::timestamptz,
                      updated_at = %(at)s::timestamptz
    where id = %(agent)s and presence in ('online', 'transfers_only')
    returning id, pool, capacity
), ended as (
    update presence_spans set ended_at = %(at)s::timestamptz from gone where agent_id = gone.id and ended_at is null
)
insert into events (at, kind, agent_id, pool, data)
select %(at)s::timestamptz, 'presence_changed', id, pool,
       jsonb_build_object('presence', 'not_responding', 'cause', 'offer_timed_out', 'capacity', capacity)
from gone
"""
# A statement of its own: within one, nothing says that the old span ends before the new one begins.
_UNRESPONSIVE_SPAN: Final = """
insert into presence_spans (agent_id, presence, capacity, started_at)
select id, presence, capacity, %(at)s from agents where id = %(agent)s
"""
_TAKE_ROOM: Final = """
update agents set load = load + %(units)s, last_assigned_at = %(at)s, updated_at = %(at)s
where id = %(agent)s and active and load + %(units)s <= capacity
"""
# The assignment that ends with a switch has just given its units back: whatever the limit is now, they were held.
_TAKE_BACK: Final = """
update agents set load = load + %(units)s, load_limit = greatest(load_limit, load + %(units)s), updated_at = %(at)s
where id = %(agent)s
"""
_SWITCHED_FROM: Final = """
select channel, units from assignments where conversation_id = %s and end_cause = 'channel_changed'
order by ended_at desc, started_at desc, id desc limit 1
"""
_CEILING_REACHED: Final = """
select from agents
where id = %(agent)s and (channel_ceilings ->> %(channel)s)::int <= (
    select count(*) from (
        select from offers where agent_id = %(agent)s and state = 'pending' and channel = %(channel)s
        union all
        select from assignments where agent_id = %(agent)s and ended_at is null and channel = %(channel)s
    ) as holdings)
"""
_ASSIGNED: Final = "update agents set last_assigned_at = %(at)s where id = %(agent)s"
_END_ASSIGNMENT: Final = """
update assignments set ended_at = %s, end_cause = %s where id = %s and ended_at is null returning agent_id, units
"""
# The whole earlier history is visible unless somebody else's record shares an address with this customer.
_START_ASSIGNMENT: Final = """
insert into assignments
    (id, conversation_id, episode, agent_id, offer_id, channel, units, how, score, full_history, started_at)
select %(id)s::text, %(conversation)s::text, %(episode)s, %(agent)s::text, %(offer)s::text, %(channel)s::text,
       coalesce(offer.units, %(units)s), %(how)s::text, offer.score,
       not exists (
           select from identities mine join identities other using (kind, address)
           join messages m on m.customer_id = other.customer_id
           where mine.customer_id = %(customer)s::text and other.customer_id <> %(customer)s::text),
       %(at)s
from (select 1) as one left join offers offer on offer.id = %(offer)s::text
"""


async def move_responsibility(connection: LedgerConnection, record: StepRecord) -> set[str]:
    """Offers and assignments; returns the pools in which an agent has become freer."""
    unheard = [
        EndOffer(offer_id, OfferEnd.RESCINDED)
        for leaving in record.of(Dequeue)
        for offer_id in await unheard_offers(connection, record, leaving)
    ]
    endings = unheard + record.of(EndOffer)
    await _lock_agents(connection, record, endings)
    pools: set[str] = set()
    for ending in endings:
        pools |= await _end_offer(connection, record, ending)
    for command in record.commands:
        # In their order: what begins in a step may end in it too.
        if isinstance(command, EndAssignment):
            cursor = await connection.execute(_END_ASSIGNMENT, (record.at, command.cause, command.assignment_id))
            pools |= await _release_rows(connection, record.at, await cursor.fetchall())
        elif isinstance(command, StartAssignment):
            await _start_assignment(connection, record, command)
    return pools


async def _lock_agents(connection: LedgerConnection, record: StepRecord, endings: Sequence[EndOffer]) -> None:
    offers = [ending.offer_id for ending in endings]
    assignments = [released.assignment_id for released in record.of(EndAssignment)]
    agents = [taken.agent_id for taken in record.of(StartAssignment)]
    if offers or assignments or agents:
        await connection.execute(_AGENTS_OF, {"offers": offers, "assignments": assignments, "agents": agents})


async def _end_offer(connection: LedgerConnection, record: StepRecord, command: EndOffer) -> set[str]:
    cursor = await connection.execute(_END_OFFER, (command.end.value, record.at, command.reason, command.offer_id))
    rows = await cursor.fetchall()
    if not rows and command.end in {OfferEnd.ACCEPTED, OfferEnd.DECLINED}:
        raise Refusal(RefusalCode.OFFER_GONE, "this offer is no longer yours")
    if command.end is OfferEnd.ACCEPTED:
        return set()
    pools = await _release_rows(connection, record.at, rows)
    if command.end is OfferEnd.TIMED_OUT:
        for agent_id, _ in rows:
            gone = await connection.execute(_UNRESPONSIVE, {"agent": agent_id, "at": record.at})
            if gone.rowcount:
                await connection.execute(_UNRESPONSIVE_SPAN, {"agent": agent_id, "at": record.at})
    return pools


async def _release_rows(connection: LedgerConnection, at: datetime, rows: Iterable[tuple[str, int]]) -> set[str]:
    pools: set[str] = set()
    for agent_id, units in rows:
        cursor = await connection.execute(_RELEASE, {"agent": agent_id, "units": units, "at": at})
        pools |= {pool for row in await cursor.fetchall() for pool in row[0]}
    return pools


async def _start_assignment(connection: LedgerConnection, record: StepRecord, command: StartAssignment) -> None:
    channel, units = record.case.channel, record.case.rules.units
    if command.how is Handover.SWITCH:
        channel, units = await _switch_room(connection, record, command.agent_id)
    elif command.offer_id is None:
        full = await connection.execute(_CEILING_REACHED, {"agent": command.agent_id, "channel": record.case.channel})
        if await full.fetchone() is not None:
            raise Refusal(RefusalCode.NO_CAPACITY, f"the agent holds as many on {record.case.channel} as they may")
        room = await connection.execute(
            _TAKE_ROOM, {"agent": command.agent_id, "units": record.case.rules.units, "at": record.at}
        )
        if room.rowcount == 0:
            raise Refusal(
                RefusalCode.NO_CAPACITY, f"it takes {record.case.rules.units} units and the agent has no such room"
            )
    else:
        await connection.execute(_ASSIGNED, {"agent": command.agent_id, "at": record.at})
    await connection.execute(
        _START_ASSIGNMENT,
        {
            "id": command.assignment_id,
            "conversation": record.state.conversation_id,
            "customer": record.customer_id,
            "episode": record.shown.episode,
            "agent": command.agent_id,
            "offer": command.offer_id,
            "channel": channel,
            "units": units,
            "how": command.how.value,
            "at": record.at,
        },
    )


async def _switch_room(connection: LedgerConnection, record: StepRecord, agent_id: str) -> tuple[str, int]:
    """The channel and units to go on with: those of the new channel, or where these are too many the old ones."""
    channel, units = record.case.channel, record.case.rules.units
    full = await connection.execute(_CEILING_REACHED, {"agent": agent_id, "channel": channel})
    if await full.fetchone() is None:
        room = await connection.execute(_TAKE_ROOM, {"agent": agent_id, "units": units, "at": record.at})
        if room.rowcount:
            return channel, units
    row = await (await connection.execute(_SWITCHED_FROM, (record.state.conversation_id,))).fetchone()
    if row is None:
        raise LookupError(f"{record.state.conversation_id} switched its channel with nobody responsible")
    await connection.execute(_TAKE_BACK, {"agent": agent_id, "units": row[1], "at": record.at})
    return row[0], row[1]
