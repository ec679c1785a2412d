"""Outbound messages on their way: a lease lets one attempt at a time send, and the outcome is kept once."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from psycopg.rows import class_row

from storage.database import LedgerConnection

_LEASE: Final = """
update messages m set delivery = 'sending', sending_until = clock_timestamp() + %(lease)s
from threads t
where m.id = %(id)s and t.id = m.thread_id and m.direction = 'outbound'
  and (m.delivery = 'queued' or (m.delivery = 'sending' and m.sending_until <= clock_timestamp()))
returning m.id, m.channel, m.account, t.address, coalesce(m.subject, t.subject) as subject, m.text, m.html,
          t.thread_key, t."references", m.at, m.author_kind
"""
_STANDING: Final = "select delivery, sending_until from messages where id = %s"
_FILES: Final = """
select name, content_type, size, content from attachments where message_id = %s order by position
"""
_SENT: Final = """
with message as (
    update messages set delivery = 'sent', sent_at = clock_timestamp(), sending_until = null, delivery_error = null,
        provider_message_id = %(provider)s
    where id = %(id)s and delivery = 'sending' returning *
), thread as (
    update threads set "references" = "references" || to_jsonb(array[%(provider)s::text])
    from message where threads.id = message.thread_id and message.channel = 'email'
)
insert into events (at, kind, conversation_id, customer_id, agent_id, pool, episode, data, dedupe_key)
select message.sent_at, 'message_sent', message.conversation_id, message.customer_id,
       case when message.author_kind = 'agent' then message.author_id end, c.pool, c.episode,
       jsonb_build_object('message_id', message.id, 'thread_id', message.thread_id, 'channel', message.channel),
       'message_sent:' || message.id
from message join conversations c on c.id = message.conversation_id
on conflict (dedupe_key) where dedupe_key is not null do nothing
"""
_REFUSED: Final = """
with message as (
    update messages set delivery = 'refused', sending_until = null, delivery_error = %(error)s
    where id = %(id)s and delivery = 'sending' returning *
)
insert into events (at, kind, conversation_id, customer_id, agent_id, pool, episode, data, dedupe_key)
select clock_timestamp(), 'delivery_refused', message.conversation_id, message.customer_id,
       case when message.author_kind = 'agent' then message.author_id end, c.pool, c.episode,
       jsonb_build_object('message_id', message.id, 'thread_id', message.thread_id, 'channel', message.channel,
                          'code', %(code)s::text),
       'delivery_refused:' || message.id
from message join conversations c on c.id = message.conversation_id
on conflict (dedupe_key) where dedupe_key is not null do nothing
"""
_GIVE_BACK: Final = """
update messages set delivery = 'queued', sending_until = null, delivery_error = %s
where id = %s and delivery = 'sending'
"""
_RING: Final = "select pg_notify('baton_events', '')"


@dataclass(frozen=True, slots=True)
class LeasedMessage:
    id: str
    channel: str
    account: str
    address: str
    subject: str | None
    text: str
    html: str | None
    thread_key: str
    references: list[str]
    at: datetime
    author_kind: str


@dataclass(frozen=True, slots=True)
class OutboundFile:
    name: str
    content_type: str
    size: int
    content: bytes | None


@dataclass(frozen=True, slots=True)
class NotToSend:
    """Why there was no lease: `delivery` is where the message stands, `until` when another attempt's lease ends."""

    delivery: str | None
    until: datetime | None


async def lease(connection: LedgerConnection, message_id: str, duration: timedelta) -> LeasedMessage | NotToSend:
    """The message, for this caller alone to send until the lease ends."""
    async with connection.cursor(row_factory=class_row(LeasedMessage)) as cursor:
        leased = await (await cursor.execute(_LEASE, {"id": message_id, "lease": duration})).fetchone()
    if leased is not None:
        return leased
    row = await (await connection.execute(_STANDING, (message_id,))).fetchone()
    return NotToSend(None, None) if row is None else NotToSend(row[0], row[1])


async def files_of(connection: LedgerConnection, message_id: str) -> list[OutboundFile]:
    async with connection.cursor(row_factory=class_row(OutboundFile)) as cursor:
        return await (await cursor.execute(_FILES, (message_id,))).fetchall()


async def record_sent(connection: LedgerConnection, message_id: str, provider_message_id: str) -> None:
    """The platform has it, under this id: an answer that names the id finds its thread."""
    await connection.execute(_SENT, {"id": message_id, "provider": provider_message_id})
    await connection.execute(_RING)


async def record_refused(connection: LedgerConnection, message_id: str, code: str, error: str) -> None:
    """The platform will never take it."""
    await connection.execute(_REFUSED, {"id": message_id, "code": code, "error": error})
    await connection.execute(_RING)


async def give_back(connection: LedgerConnection, message_id: str, error: str) -> None:
    """It did not work this time: whoever tries next need not wait for the lease to end."""
    await connection.execute(_GIVE_BACK, (error, message_id))
