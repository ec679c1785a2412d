"""Opening conversations and threads: the writes that a first message and a passed-on message share."""

from dataclasses import dataclass
from typing import Final

from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from domain.channels import Channel
from storage.database import LedgerConnection
from storage.ids import new_id

MERGE_SCOPE: Final = "default"
"""Customers are merged within one scope; only a split thread lives outside it."""

_PREVIOUS: Final = """
select c.id, c.pool, c.episode, coalesce(c.agent_id, c.owner_id) as owner_id
from conversations c where c.customer_id = %s order by c.opened_at desc, c.id desc limit 1
"""

DEFAULT_POOL: Final = """
coalesce((select p.name from settings s join pools p on p.name = s.value #>> '{}' where s.key = 'default_pool'),
         'default')
"""
"""A setting may still name a pool that is gone: that must not cost a message."""

_OPEN: Final = f"""
insert into conversations
    (id, customer_id, merge_scope, state, step, episode, subject, priority, owner_id, channels, opened_at, updated_at,
     closed_at, end_reason, pool)
values
    (%(id)s, %(customer)s, %(scope)s, %(state)s::text, 0, 1, %(subject)s, 3, %(owner)s, %(channels)s, clock_timestamp(),
     clock_timestamp(), case when %(state)s::text = 'closed' then clock_timestamp() end, %(end_reason)s,
     {DEFAULT_POOL})
returning pool
"""  # noqa: S608 -- put together of constants
_STILL_THEMSELVES: Final = "select from customers where id = %s and merged_into is null for share"
# At the instant that the row says: the log alone must give every KPI again.
_OPENED: Final = """
insert into events (at, kind, conversation_id, customer_id, pool, episode, data, dedupe_key)
select opened_at, 'conversation_opened', id, customer_id, pool, 1, %s, 'conversation_opened:' || id
from conversations where id = %s
"""
_THREAD: Final = """
insert into threads
    (id, conversation_id, customer_id, identity_id, channel, account, address, thread_key, subject, "references",
     opened_at, last_inbound_at)
values
    (%(id)s, %(conversation)s, %(customer)s, %(identity)s, %(channel)s, %(account)s, %(address)s, %(key)s, %(subject)s,
     %(references)s, clock_timestamp(), clock_timestamp())
"""
_JOINED: Final = """
insert into events (at, kind, conversation_id, customer_id, agent_id, pool, episode, data, dedupe_key)
select clock_timestamp(), 'thread_joined', id, %s, agent_id, pool, episode, %s || jsonb_build_object('state', state), %s
from conversations where id = %s
"""


@dataclass(frozen=True, slots=True)
class Place:
    """A conversation that a message can be put into."""

    conversation_id: str
    pool: str
    episode: int


@dataclass(frozen=True, slots=True)
class Previous:
    """The latest conversation of a customer; `owner_id` is the agent they know from it."""

    id: str
    pool: str
    episode: int
    owner_id: str | None


@dataclass(frozen=True, slots=True)
class NewThread:
    identity_id: str
    channel: Channel
    account: str
    address: str
    key: str
    subject: str | None
    references: tuple[str, ...] = ()


class CustomerLinked(Exception):  # noqa: N818 -- says what happened
    """The customer has just become another one: look again whose the message is."""


async def hold_customer(connection: LedgerConnection, customer_id: str) -> None:
    """Until this transaction ends, nobody links the customer away.

    Raises:
        CustomerLinked: somebody has done so already.
    """
    cursor = await connection.execute(_STILL_THEMSELVES, (customer_id,))
    if await cursor.fetchone() is None:
        raise CustomerLinked(customer_id)


async def previous_conversation(connection: LedgerConnection, customer_id: str) -> Previous | None:
    async with connection.cursor(row_factory=class_row(Previous)) as cursor:
        return await (await cursor.execute(_PREVIOUS, (customer_id,))).fetchone()


async def open_conversation(
    connection: LedgerConnection, customer_id: str, channel: Channel, subject: str | None, owner_id: str | None
) -> Place:
    """A new conversation in the default pool, known to its owner of before.

    Raises `psycopg.errors.UniqueViolation` when the customer has an open one, and `CustomerLinked` when they have
    become another: whoever lost the race looks again.
    """
    await hold_customer(connection, customer_id)
    place = await _insert_conversation(connection, customer_id, channel, subject, owner_id, "new", None)
    facts = {"channel": channel.value, "previous_owner": owner_id}
    await connection.execute(_OPENED, (Jsonb(facts), place.conversation_id))
    return place


async def file_conversation(
    connection: LedgerConnection, customer_id: str, channel: Channel, subject: str | None
) -> Place:
    """A conversation that begins closed: it keeps a message nobody waits for an answer to, and is never routed."""
    return await _insert_conversation(connection, customer_id, channel, subject, None, "closed", "no_answer_wanted")


async def _insert_conversation(
    connection: LedgerConnection,
    customer_id: str,
    channel: Channel,
    subject: str | None,
    owner_id: str | None,
    state: str,
    end_reason: str | None,
) -> Place:
    conversation_id = new_id("con")
    cursor = await connection.execute(
        _OPEN,
        {
            "id": conversation_id,
            "customer": customer_id,
            "scope": MERGE_SCOPE,
            "state": state,
            "subject": subject,
            "owner": owner_id,
            "channels": Jsonb([channel.value]),
            "end_reason": end_reason,
        },
    )
    row = await cursor.fetchone()
    if row is None:
        raise RuntimeError("an insert that returns gave no row")
    return Place(conversation_id, row[0], 1)


async def add_thread(
    connection: LedgerConnection, place: Place, customer_id: str, thread: NewThread, *, joins: str | None
) -> str:
    """A thread of the conversation; `joins` is why it joins one that was there before it and is to tell so."""
    thread_id = new_id("thr")
    await connection.execute(
        _THREAD,
        {
            "id": thread_id,
            "conversation": place.conversation_id,
            "customer": customer_id,
            "identity": thread.identity_id,
            "channel": thread.channel.value,
            "account": thread.account,
            "address": thread.address,
            "key": thread.key,
            "subject": thread.subject,
            "references": Jsonb(list(thread.references)),
        },
    )
    if joins is not None:
        facts = {
            "thread_id": thread_id,
            "channel": thread.channel.value,
            "account": thread.account,
            "reason": joins,
        }
        await connection.execute(
            _JOINED,
            (customer_id, Jsonb(facts), f"thread_joined:{thread_id}", place.conversation_id),
        )
    return thread_id
