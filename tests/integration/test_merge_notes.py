"""What colleagues write among themselves stays among them, whatever is merged with what."""

from uuid import uuid4

import pytest

from domain.channels import Channel
from storage.database import Database
from storage.ledger.chat_sessions import ChatSession, entries_after, latest_lines
from storage.ledger.deliveries import NotToSend, lease
from storage.ledger.intake import TakenIn
from tests.integration.merge_ledger import MergeLedger, now

SECRET = "this customer is about to be sued"


@pytest.fixture
def ledger(database: Database) -> MergeLedger:
    return MergeLedger(database)


async def noted(ledger: MergeLedger, taken: TakenIn, *, on_thread: bool) -> str:
    note = f"msg_{uuid4().hex}"
    await ledger.sql(
        "insert into messages (id, conversation_id, thread_id, customer_id, direction, kind, author_kind, author_id,"
        " channel, account, text, attachments, at, delivery) values"
        " (%s, %s, %s, %s, 'internal', 'note', 'agent', 'agt_1', 'web_chat', 'shop', %s, '[]', clock_timestamp(),"
        " 'sent')",
        note,
        taken.conversation_id,
        taken.thread_id if on_thread else None,
        taken.customer_id,
        SECRET,
    )
    await ledger.sql(
        "insert into events (at, kind, conversation_id, customer_id, data) values (%s, 'note_added', %s, %s,"
        " jsonb_build_object('message_id', %s::text))",
        now(),
        taken.conversation_id,
        taken.customer_id,
        note,
    )
    return note


@pytest.mark.parametrize("on_thread", [True, False])
async def test_a_visitor_never_reads_a_note_across_a_merge(ledger: MergeLedger, on_thread: bool) -> None:
    ada = await ledger.says("ada", "from ada", channel=Channel.WEB_CHAT, key="session-ada")
    bea = await ledger.says("bea", "from bea", channel=Channel.WEB_CHAT, key="session-bea")
    notes = [await noted(ledger, taken, on_thread=on_thread) for taken in (ada, bea)]
    await ledger.merge(ada.conversation_id, bea.conversation_id)
    kept = await ledger.sql(
        "select count(*) from messages where conversation_id = %s and direction = 'internal'", ada.conversation_id
    )
    assert kept == [(2,)], "agents keep reading them"
    async with ledger.database.ledger.connection() as connection:
        for person in ("ada", "bea"):
            session = ChatSession("shop", f"session-{person}", f"{person}@customers.example")
            lines = await latest_lines(connection, session, 100)
            assert [line.text for line in lines] == [f"from {person}"]
            entries = await entries_after(connection, session, (0, 0), frozenset({"queued", "resolved"}), 100)
            assert [entry.text for entry in entries if entry.text] == [f"from {person}"], "nor another thread's words"
        for note in notes:
            assert isinstance(await lease(connection, note, now() - now()), NotToSend), "no channel carries a note"
