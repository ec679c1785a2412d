"""Replies and notes before the conversation has released them: stored first, so that no word is lost on the way."""

from dataclasses import dataclass
from typing import Final

from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from storage.database import Database, LedgerConnection
from storage.ids import new_id

# Held until the draft is written: a merge that moves the thread then finds the draft beside it.
_THREAD: Final = """
select t.id, t.channel, t.account, t.customer_id from threads t
where t.conversation_id = %(conversation)s and (%(thread)s::text is null or t.id = %(thread)s)
order by t.last_inbound_at desc nulls last, t.opened_at desc, t.id desc limit 1 for share
"""
# A draft that was withdrawn under this id comes back: its request is asked again.
_STORE: Final = """
insert into messages (id, conversation_id, thread_id, customer_id, direction, kind, author_kind, author_id, channel,
                      account, text, html, attachments, at, delivery)
values (%(id)s, %(conversation)s, %(thread)s, %(customer)s, %(direction)s, %(kind)s, %(author_kind)s, %(author)s,
        %(channel)s, %(account)s, %(text)s, %(html)s, %(attachments)s, clock_timestamp(), 'draft')
on conflict (id) do update set delivery = 'draft' where messages.delivery = 'withdrawn'
returning xmax = 0
"""
_FILE: Final = """
insert into attachments (id, message_id, position, name, content_type, size, content)
values (%s, %s, %s, %s, %s, %s, %s)
"""
_SAME: Final = """
select conversation_id = %(conversation)s and author_id = %(author)s and direction = %(direction)s and text = %(text)s
from messages where id = %(id)s
"""
_WITHDRAW: Final = "update messages set delivery = 'withdrawn' where id = %s and delivery = 'draft'"


@dataclass(frozen=True, slots=True)
class DraftFile:
    name: str
    content_type: str
    content: bytes


@dataclass(frozen=True, slots=True)
class NewDraft:
    """`thread_id` None takes the thread the customer wrote on last."""

    message_id: str
    conversation_id: str
    author_kind: str
    author_id: str
    text: str
    html: str | None
    thread_id: str | None
    internal: bool
    files: tuple[DraftFile, ...] = ()

    @property
    def direction(self) -> str:
        return "internal" if self.internal else "outbound"


@dataclass(frozen=True, slots=True)
class DraftThread:
    """The thread a draft is for."""

    id: str
    channel: str
    account: str
    customer_id: str


class AnotherDraft(Exception):  # noqa: N818 -- says what is there
    """The id belongs to other words already."""


async def store_draft(database: Database, draft: NewDraft) -> DraftThread | None:
    """Store the draft in a transaction of its own; None when the conversation has no such thread.

    A draft that is already stored is left as it is.

    Raises:
        AnotherDraft: the id was given to other words before.
    """
    async with database.ledger.connection() as connection:
        async with connection.cursor(row_factory=class_row(DraftThread)) as cursor:
            await cursor.execute(_THREAD, {"conversation": draft.conversation_id, "thread": draft.thread_id})
            thread = await cursor.fetchone()
        if thread is not None:
            await _write(connection, draft, thread)
        return thread


async def withdraw_draft(database: Database, message_id: str) -> None:
    """The conversation has refused it: nobody is to see it or send it."""
    async with database.ledger.connection() as connection:
        await connection.execute(_WITHDRAW, (message_id,))


async def _write(connection: LedgerConnection, draft: NewDraft, thread: DraftThread) -> None:
    ids = [new_id("att") for _ in draft.files]
    facts = {
        "id": draft.message_id,
        "conversation": draft.conversation_id,
        "thread": None if draft.internal and draft.thread_id is None else thread.id,
        "customer": thread.customer_id,
        "direction": draft.direction,
        "kind": "note" if draft.internal else "message",
        "author_kind": draft.author_kind,
        "author": draft.author_id,
        "channel": thread.channel,
        "account": thread.account,
        "text": draft.text,
        "html": draft.html,
        "attachments": Jsonb(
            [
                {"id": file_id, "name": file.name, "content_type": file.content_type, "size": len(file.content)}
                for file_id, file in zip(ids, draft.files, strict=True)
            ]
        ),
    }
    stored = await (await connection.execute(_STORE, facts)).fetchone()
    if stored is None or not stored[0]:
        same = await (await connection.execute(_SAME, facts)).fetchone()
        if same is None or not same[0]:
            await connection.rollback()
            raise AnotherDraft
        return
    for position, (file_id, file) in enumerate(zip(ids, draft.files, strict=True)):
        await connection.execute(
            _FILE, (file_id, draft.message_id, position, file.name, file.content_type, len(file.content), file.content)
        )
