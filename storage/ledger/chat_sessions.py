"""What a web chat visitor may see of their own session, and how they end it.

A session is found by its account, its key and its visitor's address together: a session key alone opens nothing.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from psycopg.rows import class_row

from storage.database import LedgerConnection

# What was said on the thread before its conversation was merged is told in the events of the loser.
_ENTRIES: Final = """
select e.transaction::text::bigint as transaction, e.id as event_id, e.kind, e.at,
       m.id as message_id, m.direction, m.text, m.provider_message_id,
       case when m.author_kind = 'agent' then a.display_name end as author_name
from threads t
join events e on e.conversation_id = any(
    array(select lost.id from conversations lost where lost.merged_into = t.conversation_id) || t.conversation_id)
left join messages m on m.id = e.data ->> 'message_id' and m.thread_id = t.id and m.direction in ('inbound', 'outbound')
left join agents a on a.id = m.author_id
where t.channel = 'web_chat' and t.account = %(account)s and t.thread_key = %(session)s and t.address = %(address)s
  and (e.transaction, e.id) > (%(transaction)s::text::xid8, %(event)s::bigint)
  and e.transaction < pg_snapshot_xmin(pg_current_snapshot())
  and ((e.kind = any(%(states)s) and e.conversation_id = t.conversation_id)
       or (e.kind in ('message_received', 'message_passed_on') and m.direction = 'inbound')
       or (e.kind in ('replied', 'suggestion_offered', 'suggestion_accepted', 'survey_asked')
           and m.direction = 'outbound' and m.delivery = 'sent'))
order by e.transaction, e.id
limit %(limit)s
"""
_CUSTOMER: Final = """
select customer_id from threads
where channel = 'web_chat' and account = %(account)s and thread_key = %(session)s and address = %(address)s
order by opened_at desc limit 1
"""
_MESSAGES: Final = """
select * from (
    select m.id as message_id, m.direction, m.text, m.at, m.provider_message_id,
           case when m.author_kind = 'agent' then a.display_name end as author_name
    from threads t
    join messages m on m.thread_id = t.id
    left join agents a on a.id = m.author_id
    where t.channel = 'web_chat' and t.account = %(account)s and t.thread_key = %(session)s
      and t.address = %(address)s
      and (m.direction = 'inbound' or (m.direction = 'outbound' and m.delivery = 'sent'))
    order by m.at desc, m.id desc limit %(limit)s
) as latest order by at, message_id
"""
_END: Final = """
with conversation as (
    select c.id, t.id as thread_id
    from threads t join conversations c on c.id = t.conversation_id
    where t.channel = 'web_chat' and t.account = %(account)s and t.thread_key = %(session)s
      and t.address = %(address)s and c.state not in ('closed', 'merged')
    for no key update of c
)
insert into signals (conversation_id, kind, payload, created_at, attempts, set_aside)
select c.id, 'customer_left', jsonb_build_object('thread_id', c.thread_id, 'at', clock_timestamp()),
       clock_timestamp(), 0, false
from conversation c
where not exists (select from signals s where s.conversation_id = c.id and s.kind = 'customer_left')
"""
_RING: Final = "select pg_notify('baton_signals', '')"


@dataclass(frozen=True, slots=True)
class ChatSession:
    account: str
    session: str
    address: str

    def named(self) -> dict[str, str | int | list[str]]:
        return {"account": self.account, "session": self.session, "address": self.address}


@dataclass(frozen=True, slots=True)
class ChatEntry:
    """One thing the visitor is shown: a public message, or what an event without one says of the state."""

    transaction: int
    event_id: int
    kind: str
    at: datetime
    message_id: str | None
    direction: str | None
    text: str | None
    provider_message_id: str | None
    author_name: str | None


@dataclass(frozen=True, slots=True)
class ChatLine:
    message_id: str
    direction: str
    text: str
    at: datetime
    provider_message_id: str | None
    author_name: str | None


async def entries_after(
    connection: LedgerConnection,
    session: ChatSession,
    after: tuple[int, int],
    states: frozenset[str],
    limit: int,
) -> list[ChatEntry]:
    """What came after (transaction, id), in the order in which nothing earlier is still to come.

    `states` are the kinds of events that tell a visitor of the state; notes and other threads are never among them.
    """
    asked = {
        **session.named(),
        "transaction": str(after[0]),
        "event": after[1],
        "states": sorted(states),
        "limit": limit,
    }
    async with connection.cursor(row_factory=class_row(ChatEntry)) as cursor:
        return await (await cursor.execute(_ENTRIES, asked)).fetchall()


async def customer_of(connection: LedgerConnection, session: ChatSession) -> str | None:
    """Whose session it is; None before its first message."""
    row = await (await connection.execute(_CUSTOMER, session.named())).fetchone()
    return None if row is None else str(row[0])


async def latest_lines(connection: LedgerConnection, session: ChatSession, limit: int) -> list[ChatLine]:
    async with connection.cursor(row_factory=class_row(ChatLine)) as cursor:
        return await (await cursor.execute(_MESSAGES, {**session.named(), "limit": limit})).fetchall()


async def end_session(connection: LedgerConnection, session: ChatSession) -> bool:
    """Owe the conversation the news that its customer left; False when there is nothing to end."""
    async with connection.transaction():
        cursor = await connection.execute(_END, session.named())
        if cursor.rowcount:
            await connection.execute(_RING)
        return cursor.rowcount > 0
