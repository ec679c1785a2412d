"""A message that reached a conversation after its end: it goes to where the customer is served now."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from psycopg.errors import DeadlockDetected, UniqueViolation
from psycopg.rows import class_row

from domain.channels import Channel, MessageKind
from storage.database import LedgerConnection
from storage.ledger.opening import (
    MERGE_SCOPE,
    CustomerLinked,
    NewThread,
    Place,
    add_thread,
    open_conversation,
    previous_conversation,
)

_MOST_RACES: Final = 50

_STRAY: Final = """
select m.id, m.customer_id, m.kind, m.thread_id, m.conversation_id,
       t.identity_id, t.channel, t.account, t.address, t.thread_key, t.subject, t."references",
       c.state, c.merged_into
from messages m
join conversations c on c.id = m.conversation_id
left join threads t on t.id = m.thread_id
where m.id = %s
"""
# A merge may have been followed by another one: the last survivor counts.
_SURVIVOR: Final = """
with recursive chain as (
    select id, merged_into, customer_id, 0 as step from conversations where id = %s
    union all
    select c.id, c.merged_into, c.customer_id, chain.step + 1
    from conversations c join chain on c.id = chain.merged_into where chain.step < 100
)
select customer_id from chain order by step desc limit 1
"""
_OPEN: Final = """
select id as conversation_id, pool, episode from conversations
where customer_id = %s and merge_scope = %s and state not in ('closed', 'merged')
for no key update
"""
_SAME_THREAD: Final = """
select id from threads where channel = %s and account = %s and thread_key = %s and conversation_id = %s
"""
_MOVE: Final = """
with message as (
    update messages set conversation_id = %(conversation)s, thread_id = %(thread)s, customer_id = %(customer)s
    where id = %(id)s and conversation_id = %(from)s
    returning id, conversation_id, thread_id, channel, kind, at
), touched as (
    update threads set last_inbound_at = message.at from message where threads.id = message.thread_id
), moved as (
    insert into events (at, kind, conversation_id, customer_id, pool, episode, data, dedupe_key)
    select clock_timestamp(), 'message_passed_on', conversation_id, %(customer)s, %(pool)s, %(episode)s,
           jsonb_build_object('message_id', id, 'thread_id', thread_id, 'from', %(from)s::text),
           'message_passed_on:' || id || ':' || conversation_id
    from message
)
insert into signals (conversation_id, kind, payload, created_at, attempts, set_aside)
select conversation_id, 'message_received',
       jsonb_build_object('message_id', id, 'thread_id', thread_id, 'channel', channel, 'kind', kind, 'at', at),
       clock_timestamp(), 0, false
from message
"""
# The conversation is locked, so that outbox rows of one conversation commit in the order of their ids.
_TELL_ONCE: Final = """
with place as (
    select m.id, m.thread_id, m.conversation_id, m.customer_id, c.pool, c.episode
    from messages m join conversations c on c.id = m.conversation_id where m.id = %(id)s
    for no key update of c
), told as (
    insert into events (at, kind, conversation_id, customer_id, pool, episode, data, dedupe_key)
    select clock_timestamp(), 'message_passed_on', conversation_id, customer_id, pool, episode,
           jsonb_build_object('message_id', id, 'thread_id', thread_id, 'from', %(from)s::text),
           'message_passed_on:' || id || ':' || conversation_id
    from place
    on conflict (dedupe_key) where dedupe_key is not null do nothing
    returning id
)
insert into signals (conversation_id, kind, payload, created_at, attempts, set_aside)
select conversation_id, 'message_received',
       jsonb_build_object('message_id', id, 'thread_id', thread_id, 'channel', channel, 'kind', kind, 'at', at),
       clock_timestamp(), 0, false
from messages where id = %(id)s and exists (select from told)
"""
# An outbox id up to this one is part of what the conversation has written: a repeat of it has no effect left to have.
_HEARD: Final = "select from handovers where conversation_id = %(id)s and %(signal)s between 1 and heard"
_FORWARD: Final = """
insert into signals (conversation_id, kind, payload, created_at, attempts, set_aside)
select c.merged_into, s.kind, s.payload, clock_timestamp(), 0, false
from signals s join conversations c on c.id = s.conversation_id where s.id = %s and c.merged_into is not null
"""
_FORWARD_LEAVING: Final = """
insert into signals (id, conversation_id, kind, payload, created_at, attempts, set_aside) overriding system value
select %(signal)s, c.merged_into, 'customer_left',
       jsonb_build_object('thread_id', %(thread)s::text, 'at', %(at)s::timestamptz), clock_timestamp(), 0, false
from conversations c where c.id = %(conversation)s and c.merged_into is not null
on conflict (id) do nothing
"""
_RING: Final = "select pg_notify('baton_signals', ''), pg_notify('baton_events', '')"


class Passed(StrEnum):
    """What became of a message whose conversation took no more."""

    ON = "on"
    """It is in an open conversation now, and that one is owed the signal."""
    FILED = "filed"
    """It wants no answer: it stays where it is."""
    NOWHERE = "nowhere"
    """By the ledger its conversation is still open: nothing was done."""


class _MovedMeanwhile(Exception):  # noqa: N818 -- says what happened; caught within this module
    """The message is no longer where it was found."""


@dataclass(frozen=True, slots=True)
class _Stray:
    id: str
    customer_id: str
    kind: str
    thread_id: str | None
    conversation_id: str
    identity_id: str | None
    channel: str | None
    account: str | None
    address: str | None
    thread_key: str | None
    subject: str | None
    references: list[str] | None
    state: str
    merged_into: str | None

    @property
    def is_stranded(self) -> bool:
        return self.state in {"closed", "merged"}


async def pass_on(connection: LedgerConnection, message_id: str, ended_conversation_id: str) -> Passed:
    """Give a stored message to its customer's open or a new conversation; one transaction, or part of the caller's.

    `ended_conversation_id` is the conversation that would not take it. A merge may have moved the message since: then
    only the signal is owed anew.
    """
    for _ in range(_MOST_RACES):
        try:
            async with connection.transaction():
                return await _pass_on_once(connection, message_id, ended_conversation_id)
        except (UniqueViolation, DeadlockDetected, _MovedMeanwhile, CustomerLinked):
            continue  # somebody else opened the customer's conversation, or moved the message, in this moment
    raise RuntimeError(f"lost {_MOST_RACES} races for one message")


async def was_heard(connection: LedgerConnection, conversation_id: str, signal_id: int) -> bool:
    """Whether the conversation had taken this message in before it ended: then its effect is with the survivor too."""
    cursor = await connection.execute(_HEARD, {"id": conversation_id, "signal": signal_id})
    return await cursor.fetchone() is not None


async def forward(connection: LedgerConnection, signal_id: int) -> None:
    """Owe a merged conversation's signal to its survivor as well."""
    await connection.execute(_FORWARD, (signal_id,))
    await connection.execute(_RING)


async def forward_leaving(
    connection: LedgerConnection, conversation_id: str, thread_id: str, signal_id: int, at: datetime
) -> None:
    """Owe the survivor of a merged conversation that the customer left, under the outbox id that told of it."""
    await connection.execute(
        _FORWARD_LEAVING, {"conversation": conversation_id, "thread": thread_id, "signal": signal_id, "at": at}
    )
    await connection.execute(_RING)


async def _pass_on_once(connection: LedgerConnection, message_id: str, ended_conversation_id: str) -> Passed:
    async with connection.cursor(row_factory=class_row(_Stray)) as cursor:
        stray = await (await cursor.execute(_STRAY, (message_id,))).fetchone()
    if stray is None:
        return Passed.FILED  # erased meanwhile
    if not stray.is_stranded:
        if stray.conversation_id == ended_conversation_id:
            return Passed.NOWHERE
        await connection.execute(_TELL_ONCE, {"id": message_id, "from": ended_conversation_id})
        await connection.execute(_RING)
        return Passed.ON
    thread = _thread(stray)
    if not MessageKind(stray.kind).wants_an_answer or thread is None:
        return Passed.FILED
    customer_id = stray.customer_id
    if stray.merged_into is not None:
        customer_id = await _customer_of_survivor(connection, stray.merged_into)
    place = await _open_place(connection, customer_id)
    joins = None if place is None else "passed_on"
    if place is None:
        previous = await previous_conversation(connection, customer_id)
        owner = previous.owner_id if previous else None
        place = await open_conversation(connection, customer_id, thread.channel, thread.subject, owner)
    thread_id = await _same_thread(connection, thread, place)
    if thread_id is None:
        thread_id = await add_thread(connection, place, customer_id, thread, joins=joins)
    moved = await connection.execute(
        _MOVE,
        {
            "id": stray.id,
            "conversation": place.conversation_id,
            "thread": thread_id,
            "customer": customer_id,
            "pool": place.pool,
            "episode": place.episode,
            "from": stray.conversation_id,
        },
    )
    if moved.rowcount == 0:
        raise _MovedMeanwhile
    await connection.execute(_RING)
    return Passed.ON


def _thread(stray: _Stray) -> NewThread | None:
    if (
        stray.identity_id is None
        or stray.channel is None
        or stray.account is None
        or stray.address is None
        or stray.thread_key is None
    ):
        return None
    references = tuple(stray.references or ())
    return NewThread(
        stray.identity_id,
        Channel(stray.channel),
        stray.account,
        stray.address,
        stray.thread_key,
        stray.subject,
        references,
    )


async def _customer_of_survivor(connection: LedgerConnection, merged_into: str) -> str:
    row = await (await connection.execute(_SURVIVOR, (merged_into,))).fetchone()
    if row is None:
        raise RuntimeError(f"{merged_into} is named as a survivor and does not exist")
    return str(row[0])


async def _open_place(connection: LedgerConnection, customer_id: str) -> Place | None:
    async with connection.cursor(row_factory=class_row(Place)) as cursor:
        return await (await cursor.execute(_OPEN, (customer_id, MERGE_SCOPE))).fetchone()


async def _same_thread(connection: LedgerConnection, thread: NewThread, place: Place) -> str | None:
    cursor = await connection.execute(
        _SAME_THREAD, (thread.channel.value, thread.account, thread.key, place.conversation_id)
    )
    row = await cursor.fetchone()
    return None if row is None else str(row[0])
