"""Writing a conversation's step: all of its commands in one transaction, or none, and once however often it is asked.

Rows are locked in the ledger's order: conversation, queue ticket, agents, offers, assignments, the rest.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final, TypeVar

import msgspec
from psycopg.types.json import Jsonb
from pydantic import JsonValue

from domain.conversation.commands import (
    Absorb,
    Command,
    Dequeue,
    EndAssignment,
    EndOffer,
    Enqueue,
    Handover,
    Happened,
    KeepClock,
    OfferEnd,
    PassOn,
    PassOnLeaving,
    RaiseAlert,
    RecordResolution,
    SendReply,
    StartAssignment,
)
from domain.conversation.projection import project
from domain.conversation.refusals import Refusal, RefusalCode
from domain.conversation.state import ConversationState
from storage.database import LedgerConnection
from storage.ledger.alerts import keep_alerts
from storage.ledger.journey import JourneyHouse, messages_of, write_journey
from storage.ledger.passing_on import forward_leaving, pass_on, was_heard
from storage.ledger.recorded import credited_agent, recorded

Kind = TypeVar("Kind")

_NO_HOUSE: Final = JourneyHouse()

_STANDING: Final = "select step, state, customer_id, intent from conversations where id = %s for no key update"
_UNABSORBED: Final = "select from merges where heir_id = %s and absorbed_at is null"
_ABSORB: Final = "update merges set absorbed_at = %s where id = %s and heir_id = %s and absorbed_at is null"

_DEQUEUE: Final = "delete from queue_tickets where conversation_id = %s and ticket = %s"
_UNHEARD_OFFERS: Final = """
select id from offers where conversation_id = %s and ticket = %s and state = 'pending'
"""
_LOCK_TICKET: Final = "select from queue_tickets where conversation_id = %s for update"
_WAS_OFFERED: Final = "select from offers where conversation_id = %s and ticket = %s"
_ENQUEUE: Final = """
insert into queue_tickets
    (conversation_id, ticket, pool, episode, queued_at, entered_at, channel, units, priority, urgent, segment, intent,
     product, sentiment, languages, required_skills, next_breach_at, excluded, exclusions_clear_at, only_agent,
     affinity_agent, affinity_at, owner_until, offer_seconds, auto_accept)
values
    (%(conversation)s, %(ticket)s, %(pool)s, %(episode)s, %(queued_at)s, %(entered_at)s, %(channel)s, %(units)s,
     %(priority)s, %(urgent)s, %(segment)s, %(intent)s, %(product)s, %(sentiment)s, %(languages)s, %(skills)s,
     %(next_breach_at)s, %(excluded)s, %(exclusions_clear_at)s, %(only_agent)s, %(affinity_agent)s, %(affinity_at)s,
     %(owner_until)s, %(offer_seconds)s, %(auto_accept)s)
on conflict (conversation_id) do update set
    ticket = excluded.ticket, pool = excluded.pool, episode = excluded.episode, queued_at = excluded.queued_at,
    entered_at = excluded.entered_at, channel = excluded.channel, units = excluded.units, priority = excluded.priority,
    urgent = excluded.urgent, segment = excluded.segment, intent = excluded.intent, product = excluded.product,
    sentiment = excluded.sentiment, languages = excluded.languages, required_skills = excluded.required_skills,
    next_breach_at = excluded.next_breach_at, excluded = excluded.excluded,
    exclusions_clear_at = excluded.exclusions_clear_at, only_agent = excluded.only_agent,
    affinity_agent = excluded.affinity_agent, affinity_at = excluded.affinity_at, owner_until = excluded.owner_until,
    offer_seconds = excluded.offer_seconds, auto_accept = excluded.auto_accept
"""

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

_CLOCK: Final = """
insert into clocks
    (conversation_id, metric, episode, number, policy_id, target_seconds, state, started_at, due_at, warned_at,
     breached_at, ended_at, business_seconds, paused_seconds)
values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
on conflict (conversation_id, metric, episode, number) do update set
    policy_id = excluded.policy_id, target_seconds = excluded.target_seconds, state = excluded.state,
    due_at = excluded.due_at, warned_at = excluded.warned_at, breached_at = excluded.breached_at,
    ended_at = excluded.ended_at, business_seconds = excluded.business_seconds, paused_seconds = excluded.paused_seconds
"""
_SEND: Final = """
update messages set
    at = %(at)s::timestamptz,
    delivery = case when %(is_done)s::boolean or not channel = any(%(pushed)s) then 'sent' else 'queued' end,
    sent_at = case when %(is_done)s::boolean or not channel = any(%(pushed)s) then %(at)s::timestamptz end
where id = %(id)s and delivery = 'draft' returning delivery
"""
_RESOLUTION: Final = """
insert into resolutions
    (conversation_id, episode, customer_id, intent, product, segment, pool, agent_id, first_channel, channels,
     opened_at, queued_at, accepted_at, first_response_at, resolved_at, business_seconds, wrap_up_code, end_reason,
     inbound, outbound, offers, declines, timeouts, reroutes, transfers, misroutes, touches, touches_with_history)
values
    (%(conversation)s::text, %(episode)s::int, %(customer)s, %(intent)s, %(product)s, %(segment)s, %(pool)s, %(agent)s,
     %(first_channel)s, %(channels)s, %(opened_at)s, %(queued_at)s, %(accepted_at)s, %(first_response_at)s,
     %(resolved_at)s, %(business_seconds)s, %(wrap_up_code)s, %(end_reason)s, %(inbound)s, %(outbound)s, %(offers)s,
     %(declines)s, %(timeouts)s, %(reroutes)s, %(transfers)s, %(misroutes)s,
     (select count(*) from assignments
      where conversation_id = %(conversation)s::text and episode = %(episode)s::int and how <> 'switch'),
     (select count(*) from assignments
      where conversation_id = %(conversation)s::text and episode = %(episode)s::int and how <> 'switch'
        and full_history))
on conflict (conversation_id, episode) do nothing
"""
_EVENT: Final = """
insert into events (at, kind, conversation_id, customer_id, agent_id, pool, episode, data, dedupe_key)
values (%s, %s, %s, %s, %s, %s, %s, %s, %s) on conflict (dedupe_key) where dedupe_key is not null do nothing
"""
_PROJECT: Final = """
with handed_over as (
    insert into handovers (conversation_id, heard, facts) values (%(id)s::text, %(heard)s, %(handover)s::jsonb)
    on conflict (conversation_id) do update set heard = excluded.heard, facts = excluded.facts
)
update conversations set
    step = %(step)s, state = %(state)s, episode = %(episode)s, subject = coalesce(%(subject)s::text, subject),
    intent = %(intent)s, intent_confidence = %(intent_confidence)s, sentiment = %(sentiment)s, language = %(language)s,
    priority = %(priority)s, pool = %(pool)s, agent_id = %(agent_id)s, owner_id = %(owner_id)s, channels = %(channels)s,
    waiting_for = %(waiting_for)s, waiting_until = %(waiting_until)s, queued_at = %(queued_at)s,
    resolved_at = %(resolved_at)s, end_reason = %(end_reason)s, updated_at = %(at)s::timestamptz,
    closed_at = case when %(final)s::boolean then %(at)s::timestamptz else closed_at end
where id = %(id)s::text
"""


class _Record:
    """A step on its way into the ledger."""

    def __init__(self, state: ConversationState, commands: Sequence[Command], at: datetime) -> None:
        if state.case is None:
            raise ValueError("nothing is written before the first assessment")
        self.state = state
        self.case = state.case
        self.shown = project(state)
        self.commands = commands
        self.at = at
        self.customer_id = state.customer_id
        """The ledger's word counts: a link of customers may be on its way to the conversation."""

    def of(self, kind: type[Kind]) -> list[Kind]:
        """The commands of one kind, in their order."""
        return [command for command in self.commands if isinstance(command, kind)]


async def write_step(
    connection: LedgerConnection,
    state: ConversationState,
    commands: Sequence[Command],
    at: datetime,
    pushed_channels: frozenset[str],
    house: JourneyHouse = _NO_HOUSE,
) -> tuple[str, ...]:
    """Write a step in a transaction of its own; returns the ids of the replies that must be carried to their channel.

    `state` is the conversation after the step; `pushed_channels` are those whose replies somebody has to carry out;
    `house` is what suggestions and surveys are worded with.
    A step that is already written is not written again. Raises `Refusal` when the ledger does not carry it out: then
    nothing of it is written.
    """
    record = _Record(state, commands, at)
    async with connection.transaction():
        cursor = await connection.execute(_STANDING, (state.conversation_id,))
        row = await cursor.fetchone()
        if row is None:
            raise LookupError(f"the ledger knows no conversation {state.conversation_id}")
        if row[1] == "merged" and record.shown.is_final:
            await _pass_strays_on(connection, record)
            return ()
        if row[0] >= state.step:
            return await _still_to_deliver(connection, record)
        if row[1] == "merged":
            raise Refusal(RefusalCode.CONVERSATION_ENDED, "the conversation has become part of another one")
        record.customer_id = row[2]
        if record.shown.is_final and await _is_heir(connection, state.conversation_id):
            raise Refusal(RefusalCode.WRONG_STATE, "a merge into this conversation is on its way")
        pools = await _move_queue(connection, record)
        pools |= await _move_responsibility(connection, record)
        to_deliver = [
            reply.message_id
            for reply in record.of(SendReply)
            if await _send(connection, record, reply, pushed_channels)
        ]
        to_deliver += await write_journey(connection, state, commands, at, pushed_channels, house)
        await _tell(connection, record, row[3])
        await _ring(connection, pools)
        return tuple(to_deliver)


async def _is_heir(connection: LedgerConnection, conversation_id: str) -> bool:
    """Whether a merge into the conversation is still to be absorbed."""
    cursor = await connection.execute(_UNABSORBED, (conversation_id,))
    return await cursor.fetchone() is not None


async def _pass_strays_on(connection: LedgerConnection, record: _Record) -> None:
    """Give on what came after the end.

    After a merge this is never taken for written by the number of its step: a workflow task that was lost may have
    passed on fewer messages under the same number. Each message is passed on once all the same.
    """
    for stray in record.of(PassOn):
        if not await was_heard(connection, record.state.conversation_id, stray.signal_id):
            await pass_on(connection, stray.message_id, record.state.conversation_id)
    for left in record.of(PassOnLeaving):
        await forward_leaving(connection, record.state.conversation_id, left.thread_id, left.signal_id, record.at)


async def _move_queue(connection: LedgerConnection, record: _Record) -> set[str]:
    """Tickets out and in; returns the pools in which something is waiting now."""
    for leaving in record.of(Dequeue):
        await _dequeue(connection, record, leaving)
    for entering in record.of(Enqueue):
        await _enqueue(connection, record, entering)
    return {entering.waiting.pool for entering in record.of(Enqueue)}


async def _move_responsibility(connection: LedgerConnection, record: _Record) -> set[str]:
    """Offers and assignments; returns the pools in which an agent has become freer."""
    unheard = [
        EndOffer(offer_id, OfferEnd.RESCINDED)
        for leaving in record.of(Dequeue)
        for offer_id in await _unheard_offers(connection, record, leaving)
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


async def _dequeue(connection: LedgerConnection, record: _Record, command: Dequeue) -> None:
    taken = await connection.execute(_DEQUEUE, (record.state.conversation_id, command.ticket))
    if command.must_wait and taken.rowcount == 0:
        raise Refusal(RefusalCode.NOT_WAITING, "the conversation is just being offered to somebody")


async def _unheard_offers(connection: LedgerConnection, record: _Record, command: Dequeue) -> list[str]:
    cursor = await connection.execute(_UNHEARD_OFFERS, (record.state.conversation_id, command.ticket))
    return [row[0] for row in await cursor.fetchall()]


async def _enqueue(connection: LedgerConnection, record: _Record, command: Enqueue) -> None:
    """Put the ticket; the lock waits for a dispatcher that is just offering it, and then its offer is seen."""
    waiting, case = command.waiting, record.case
    await connection.execute(_LOCK_TICKET, (record.state.conversation_id,))
    offered = await connection.execute(_WAS_OFFERED, (record.state.conversation_id, waiting.ticket))
    if await offered.fetchone() is not None:
        return
    await connection.execute(
        _ENQUEUE,
        {
            "conversation": record.state.conversation_id,
            "ticket": waiting.ticket,
            "pool": waiting.pool,
            "episode": record.shown.episode,
            "queued_at": waiting.queued_at,
            "entered_at": waiting.entered_at,
            "channel": case.channel,
            "units": record.case.rules.units,
            "priority": record.state.priority,
            "urgent": waiting.urgent,
            "segment": case.segment,
            "intent": case.intent,
            "product": case.product,
            "sentiment": case.sentiment,
            "languages": Jsonb(case.languages),
            "skills": Jsonb(waiting.skills),
            "next_breach_at": command.next_breach_at,
            "excluded": Jsonb(waiting.excluded),
            "exclusions_clear_at": waiting.exclusions_clear_at,
            "only_agent": waiting.only_agent,
            "affinity_agent": command.affinity_agent,
            "affinity_at": command.affinity_at,
            "owner_until": waiting.owner_until,
            "offer_seconds": record.case.rules.offer_timeout.total_seconds(),
            "auto_accept": record.case.rules.auto_accept,
        },
    )


async def _lock_agents(connection: LedgerConnection, record: _Record, endings: Sequence[EndOffer]) -> None:
    offers = [ending.offer_id for ending in endings]
    assignments = [released.assignment_id for released in record.of(EndAssignment)]
    agents = [taken.agent_id for taken in record.of(StartAssignment)]
    if offers or assignments or agents:
        await connection.execute(_AGENTS_OF, {"offers": offers, "assignments": assignments, "agents": agents})


async def _end_offer(connection: LedgerConnection, record: _Record, command: EndOffer) -> set[str]:
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


async def _start_assignment(connection: LedgerConnection, record: _Record, command: StartAssignment) -> None:
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


async def _switch_room(connection: LedgerConnection, record: _Record, agent_id: str) -> tuple[str, int]:
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


async def _tell(connection: LedgerConnection, record: _Record, known_intent: str | None) -> None:
    """Clocks, the resolution record, the timeline, and the row everybody reads."""
    for resolved in record.of(RecordResolution):
        await _record_resolution(connection, record, resolved)
    async with connection.cursor() as cursor:
        if clocks := record.of(KeepClock):
            await cursor.executemany(_CLOCK, [_clock_row(record, kept) for kept in clocks])
        facts = await recorded(connection, record.state, record.shown, record.commands, known_intent)
        happened = record.of(Happened)
        if facts:
            # The first line of the step carries its record; a step without a line gets one.
            first = happened[0] if happened else Happened("recorded", record.at)
            happened = [first, *happened[1:]]
        if happened:
            await cursor.executemany(
                _EVENT,
                [_event_row(record, number, line, {} if number else facts) for number, line in enumerate(happened)],
            )
    await keep_alerts(
        connection,
        record.state,
        raised=record.of(RaiseAlert),
        ended=[kept.clock for kept in record.of(KeepClock) if kept.clock.is_ended],
        is_over=bool(record.of(RecordResolution)) or record.shown.is_final,
        at=record.at,
    )
    await connection.execute(_PROJECT, _projection_row(record))
    for absorbed in record.of(Absorb):
        await connection.execute(_ABSORB, (record.at, absorbed.merge_id, record.state.conversation_id))
    await _pass_strays_on(connection, record)


async def _send(connection: LedgerConnection, record: _Record, reply: SendReply, pushed: frozenset[str]) -> bool:
    """Release a draft; tells whether somebody has to carry it to its channel."""
    cursor = await connection.execute(
        _SEND, {"id": reply.message_id, "is_done": reply.internal, "pushed": sorted(pushed), "at": record.at}
    )
    row = await cursor.fetchone()
    return row is not None and row[0] == "queued"


async def _record_resolution(connection: LedgerConnection, record: _Record, command: RecordResolution) -> None:
    shown, tallies = record.shown, record.state.tallies
    await connection.execute(
        _RESOLUTION,
        {
            "conversation": record.state.conversation_id,
            "episode": shown.episode,
            "customer": record.customer_id,
            "intent": shown.intent,
            "product": record.case.product,
            "segment": record.case.segment,
            "pool": shown.pool,
            "agent": credited_agent(record.state, shown),
            "first_channel": record.state.episode_channels[0] if record.state.episode_channels else record.case.channel,
            "channels": Jsonb(record.state.episode_channels),
            "opened_at": record.state.opened_at,
            "queued_at": record.state.queued_at,
            "accepted_at": record.state.accepted_at,
            "first_response_at": record.state.first_response_at,
            "resolved_at": shown.resolved_at or record.at,
            "business_seconds": command.open_time.total_seconds(),
            "wrap_up_code": command.wrap_up_code,
            "end_reason": command.end_reason,
            "inbound": tallies.inbound,
            "outbound": tallies.outbound,
            "offers": tallies.offers,
            "declines": tallies.declines,
            "timeouts": tallies.timeouts,
            "reroutes": tallies.reroutes,
            "transfers": tallies.transfers,
            "misroutes": tallies.misroutes,
        },
    )


def _clock_row(record: _Record, command: KeepClock) -> tuple[object, ...]:
    clock = command.clock
    return (
        record.state.conversation_id,
        clock.metric.value,
        clock.episode,
        clock.number,
        record.case.promise.policy_id if record.case.promise else "none",
        clock.target.total_seconds(),
        clock.state.value,
        clock.started_at,
        clock.due_at,
        clock.warned_at,
        clock.breached_at,
        clock.ended_at,
        command.used.total_seconds(),
        clock.paused_total.total_seconds(),
    )


def _event_row(record: _Record, number: int, line: Happened, facts: dict[str, JsonValue]) -> tuple[object, ...]:
    return (
        line.at,
        line.kind,
        record.state.conversation_id,
        record.customer_id,
        line.agent_id,
        record.shown.pool,
        record.shown.episode,
        Jsonb({**dict(line.facts), **({"record": facts} if facts else {})}),
        f"{record.state.conversation_id}:{record.state.step}:{number}",
    )


def _projection_row(record: _Record) -> dict[str, object]:
    shown = record.shown
    return {
        "id": record.state.conversation_id,
        "step": record.state.step,
        "state": shown.state,
        "episode": shown.episode,
        "subject": shown.subject,
        "intent": shown.intent,
        "intent_confidence": shown.intent_confidence,
        "sentiment": shown.sentiment,
        "language": shown.language,
        "priority": shown.priority,
        "pool": shown.pool,
        "agent_id": shown.agent_id,
        "owner_id": shown.owner_id,
        "channels": Jsonb(shown.channels),
        "waiting_for": shown.waiting_for,
        "waiting_until": shown.waiting_until,
        "queued_at": shown.queued_at,
        "resolved_at": shown.resolved_at,
        "end_reason": shown.end_reason,
        "final": shown.is_final,
        "heard": shown.handover.heard,
        "handover": msgspec.json.encode(shown.handover).decode(),
        "at": record.at,
    }


async def _still_to_deliver(connection: LedgerConnection, record: _Record) -> tuple[str, ...]:
    replies = [command.message_id for command in record.commands if isinstance(command, SendReply)]
    replies += messages_of(record.commands)
    cursor = await connection.execute(
        "select id from messages where id = any(%s) and delivery in ('queued', 'sending')", (replies,)
    )
    return tuple(row[0] for row in await cursor.fetchall())


async def _ring(connection: LedgerConnection, pools: set[str]) -> None:
    await connection.execute("select pg_notify('baton_events', '')")
    for pool in sorted(pools):
        await connection.execute("select pg_notify('baton_queue', %s)", (pool,))
