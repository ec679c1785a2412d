"""The two everyday cases of taking a message in, each a single statement: most messages need no second round trip.

A statement by itself is a transaction. Where it finds another case, or a repeat, it writes nothing.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Final

from psycopg.types.json import Jsonb

from domain.channels import Channel, MessageKind
from storage.database import LedgerConnection
from storage.ids import new_id
from storage.ledger.intake_message import Intake, TakenIn
from storage.ledger.opening import DEFAULT_POOL, MERGE_SCOPE

# The open conversation is locked, so that outbox rows of one conversation commit in the order of their ids, and so
# that nobody closes or merges it between this look and the write.
LOOK: Final = """
sender as (
    select id, customer_id from identities
    where kind = %(sender_kind)s and address = %(address)s and verified = %(verified)s
), named as (
    select t.id, t.conversation_id, t."references", 0 as place
    from threads t join sender s on s.customer_id = t.customer_id
    where t.channel = %(channel)s and t.account = %(account)s and t.thread_key = %(thread_key)s
    union all
    select t.id, t.conversation_id, t."references", array_position(%(reply_to)s::text[], m.provider_message_id)
    from messages m
    join threads t on t.id = m.thread_id
    join sender s on s.customer_id = t.customer_id
    where m.channel = %(channel)s and m.account = %(account)s and m.provider_message_id = any(%(reply_to)s::text[])
), conversation as (
    select c.id, c.pool, c.episode, c.customer_id
    from conversations c join sender s on s.customer_id = c.customer_id
    where c.state not in ('closed', 'merged')
      and (c.merge_scope = %(scope)s or c.id in (select n.conversation_id from named n))
    order by c.id in (select n.conversation_id from named n) desc, c.opened_at
    limit 1
    for no key update of c
), thread as (
    select n.id, n."references" from named n join conversation c on c.id = n.conversation_id
    order by n.place desc limit 1
)
"""
TELL: Final = """
signal as (
    insert into signals (conversation_id, kind, payload, created_at, attempts, set_aside)
    select conversation_id, 'message_received',
           jsonb_build_object('message_id', id, 'thread_id', thread_id, 'channel', channel, 'kind', kind, 'at', at),
           at, 0, false
    from message where %(signal)s
), event as (
    insert into events (at, kind, conversation_id, customer_id, pool, episode, data, dedupe_key)
    select at, 'message_received', message.conversation_id, customer_id, place.pool, place.episode,
           jsonb_build_object('message_id', id, 'thread_id', thread_id, 'channel', channel, 'kind', kind),
           'message_received:' || id
    from message, place
)
select id, conversation_id, customer_id, thread_id from message
"""
# A known sender goes on in the open conversation's thread.
_CONTINUE: Final = f"""
with {LOOK}, place as (
    select pool, episode from conversation
), message as (
    insert into messages
        (id, conversation_id, thread_id, customer_id, direction, kind, author_kind, author_id, channel, account,
         provider_message_id, subject, text, full_text, html, attachments, sent_at, delivery, at)
    select %(id)s, conversation.id, thread.id, conversation.customer_id, 'inbound', %(kind)s, 'customer',
           conversation.customer_id, %(channel)s, %(account)s, %(provider_message_id)s, %(subject)s, %(text)s,
           %(full_text)s, %(html)s, '[]', %(sent_at)s, 'received', clock_timestamp()
    from conversation, thread
    where not exists (select from blocked_addresses where kind = %(sender_kind)s and address = %(address)s)
    on conflict (channel, account, provider_message_id) where provider_message_id is not null do nothing
    returning id, conversation_id, thread_id, customer_id, channel, kind, at
), touched as (
    update threads set last_inbound_at = message.at, address = %(address)s, identity_id = sender.id
    from message, sender where threads.id = message.thread_id
), {TELL}
"""  # noqa: S608 -- put together of constants
# A sender nobody knows begins, when their address says nothing of anybody.
_BEGIN: Final = f"""
with customer as (
    insert into customers
        (id, display_name, segment, languages, preferred_channels, attributes, created_at, updated_at)
    select %(customer)s, %(name)s, 'standard', '[]', '[]', '{{}}', clock_timestamp(), clock_timestamp()
    where not exists (
        select from identities where kind = %(sender_kind)s and address = %(address)s
    ) and not exists (
        select from identity_hints where kind = %(sender_kind)s and address = %(address)s
    ) and not exists (
        select from blocked_addresses where kind = %(sender_kind)s and address = %(address)s
    ) and not exists (
        select from messages
        where channel = %(channel)s and account = %(account)s and provider_message_id = %(provider_message_id)s
    )
    returning id
), identity as (
    insert into identities (id, customer_id, kind, address, verified, display_name, created_at)
    select %(identity)s, id, %(sender_kind)s, %(address)s, %(verified)s, %(display_name)s, clock_timestamp()
    from customer
), place as (
    insert into conversations
        (id, customer_id, merge_scope, state, step, episode, subject, priority, channels, opened_at, updated_at, pool)
    select %(conversation)s, id, %(scope)s, 'new', 0, 1, %(subject)s, 3, %(channels)s, clock_timestamp(),
           clock_timestamp(), {DEFAULT_POOL}
    from customer
    returning id as conversation_id, customer_id as owner, pool, episode, opened_at
), opened as (
    insert into events (at, kind, conversation_id, customer_id, pool, episode, data, dedupe_key)
    select opened_at, 'conversation_opened', place.conversation_id, place.owner, pool, episode,
           jsonb_build_object('channel', %(channel)s::text, 'previous_owner', null),
           'conversation_opened:' || place.conversation_id
    from place
    returning at
), thread as (
    insert into threads
        (id, conversation_id, customer_id, identity_id, channel, account, address, thread_key, subject, "references",
         opened_at, last_inbound_at)
    select %(thread)s, place.conversation_id, place.owner, %(identity)s, %(channel)s, %(account)s, %(address)s,
           %(thread_key)s, %(subject)s, '[]', clock_timestamp(), clock_timestamp()
    from place
), message as (
    insert into messages
        (id, conversation_id, thread_id, customer_id, direction, kind, author_kind, author_id, channel, account,
         provider_message_id, subject, text, full_text, html, attachments, sent_at, delivery, at)
    select %(id)s, place.conversation_id, %(thread)s, place.owner, 'inbound', %(kind)s, 'customer', place.owner,
           %(channel)s, %(account)s, %(provider_message_id)s, %(subject)s, %(text)s, %(full_text)s, %(html)s, '[]',
           %(sent_at)s, 'received', clock_timestamp()
    from place, opened
    returning id, conversation_id, thread_id, customer_id, channel, kind, at
), {TELL}
"""  # noqa: S608 -- put together of constants


async def continued(connection: LedgerConnection, message: Intake) -> TakenIn | None:
    """The message in the thread its sender is known by; None when it is not that simple."""
    if message.channel is Channel.EMAIL or message.files or message.kind is MessageKind.SURVEY_ANSWER:
        return None
    return await _by_itself(connection, _CONTINUE, {**looked_for(message), **_written(message)})


async def begun(connection: LedgerConnection, message: Intake) -> TakenIn | None:
    """The message as the first one of a new customer; None when it is not that simple.

    Raises `psycopg.errors.UniqueViolation` when somebody else wrote of the same sender in this moment.
    """
    plain = message.kind.wants_an_answer and not (message.files or message.proven_too or message.claimed)
    if message.channel is Channel.EMAIL or not plain:
        return None
    asked = {
        **looked_for(message),
        **_written(message),
        "customer": new_id("cus"),
        "identity": new_id("idn"),
        "conversation": new_id("con"),
        "thread": new_id("thr"),
        "name": message.display_name or message.sender.value,
        "display_name": message.display_name,
        "channels": Jsonb([message.channel.value]),
    }
    return await _by_itself(connection, _BEGIN, asked)


Parameters = dict[str, str | bool | list[str] | datetime | Jsonb | None]


def looked_for(message: Intake) -> Parameters:
    """What `LOOK` is asked with."""
    return {
        "channel": message.channel.value,
        "account": message.account,
        "provider_message_id": message.provider_message_id,
        "sender_kind": message.sender.kind.value,
        "address": message.sender.value,
        "verified": message.verified,
        "thread_key": message.key_of_thread,
        "reply_to": list(message.reply_to),
        "scope": MERGE_SCOPE,
    }


def _written(message: Intake) -> Parameters:
    return {
        "id": new_id("msg"),
        "kind": message.kind.value,
        "subject": message.subject,
        "text": message.text,
        "full_text": message.quoted_text,
        "html": message.html,
        "sent_at": message.sent_at,
        "signal": True,
    }


async def _by_itself(connection: LedgerConnection, statement: str, asked: Parameters) -> TakenIn | None:
    async with alone(connection):
        row = await (await connection.execute(statement.encode(), asked)).fetchone()
    return None if row is None else TakenIn(row[0], row[1], row[2], row[3], duplicate=False)


@asynccontextmanager
async def alone(connection: LedgerConnection) -> AsyncIterator[None]:
    """Let each statement be a transaction: no round trips for its begin and its commit."""
    await connection.set_autocommit(True)
    try:
        yield
    finally:
        await connection.set_autocommit(False)
