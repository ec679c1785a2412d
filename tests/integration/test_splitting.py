"""Threads that leave their conversation: split off by hand, or given back by an undone merge."""

from dataclasses import dataclass

import pytest

from domain.channels import Channel
from storage.database import Database
from storage.ledger.intake import TakenIn
from storage.ledger.splitting import Split, SplitRefusal, SplitRefused, split_thread, undo_merge
from storage.violations import violations
from tests.integration.merge_ledger import MergeLedger, now


@pytest.fixture
def ledger(database: Database) -> MergeLedger:
    return MergeLedger(database)


@dataclass
class TwoThreads:
    """One customer with a chat and an SMS thread in one conversation."""

    chat: TakenIn
    sms: TakenIn


@pytest.fixture
async def one(ledger: MergeLedger) -> TwoThreads:
    chat = await ledger.says("ada", "my invoice", channel=Channel.WEB_CHAT)
    sms = await ledger.says("ada", "my parcel", channel=Channel.SMS)
    assert chat.conversation_id == sms.conversation_id
    return TwoThreads(chat, sms)


async def no_violations(ledger: MergeLedger) -> None:
    async with ledger.database.ledger.connection() as connection:
        assert await violations(connection) == []


async def split(ledger: MergeLedger, taken: TakenIn) -> Split:
    assert taken.thread_id is not None
    return await split_thread(ledger.database, taken.conversation_id, taken.thread_id, by="agt_1", owner=None, at=now())


async def undone(ledger: MergeLedger, conversation_id: str) -> Split:
    return await undo_merge(ledger.database, conversation_id, by="agt_1", owner=None, at=now())


async def texts(ledger: MergeLedger, conversation_id: str) -> list[object]:
    rows = await ledger.sql("select text from messages where conversation_id = %s order by at", conversation_id)
    return [row[0] for row in rows]


async def owed(ledger: MergeLedger, conversation_id: str, kind: str) -> list[tuple[object, ...]]:
    return await ledger.sql(
        "select payload from signals where conversation_id = %s and kind = %s order by id", conversation_id, kind
    )


async def test_a_split_thread_is_a_conversation_of_the_same_customer_with_its_messages(
    ledger: MergeLedger, one: TwoThreads
) -> None:
    done = await split(ledger, one.sms)
    assert done.customer_id == one.sms.customer_id
    assert await texts(ledger, done.into_id) == ["my parcel"]
    assert await texts(ledger, done.from_id) == ["my invoice"]
    told = await owed(ledger, done.into_id, "message_received")
    assert [payload["message_id"] for (payload,) in told] == [one.sms.message_id]  # type: ignore[index]
    ((left,),) = await owed(ledger, done.from_id, "threads_split")
    assert (left["thread_ids"], left["channels"]) == ([one.sms.thread_id], ["web_chat"])  # type: ignore[index]
    await no_violations(ledger)


async def test_later_messages_go_to_the_conversation_of_their_thread(ledger: MergeLedger, one: TwoThreads) -> None:
    done = await split(ledger, one.sms)
    parcel = await ledger.says("ada", "still no parcel", channel=Channel.SMS)
    invoice = await ledger.says("ada", "and my invoice?", channel=Channel.WEB_CHAT)
    elsewhere = await ledger.says("ada", "hello", channel=Channel.EMAIL)
    assert (parcel.conversation_id, parcel.thread_id) == (done.into_id, one.sms.thread_id)
    assert invoice.conversation_id == elsewhere.conversation_id == done.from_id


async def test_an_answered_thread_begins_anew_with_its_last_message(ledger: MergeLedger, one: TwoThreads) -> None:
    await ledger.sql(
        "insert into messages (id, conversation_id, thread_id, customer_id, direction, author_kind, channel, account,"
        " kind, text, attachments, at, delivery) values ('msg_reply', %s, %s, %s, 'outbound', 'agent', 'sms', 'shop',"
        " 'message', 'It is on its way', '[]', clock_timestamp(), 'sent')",
        one.sms.conversation_id,
        one.sms.thread_id,
        one.sms.customer_id,
    )
    before = now()
    done = await split(ledger, one.sms)
    told = await owed(ledger, done.into_id, "message_received")
    assert [payload["message_id"] for (payload,) in told] == [one.sms.message_id]  # type: ignore[index]
    later = await ledger.sql(
        "select (payload ->> 'at')::timestamptz >= %s from signals where conversation_id = %s", before, done.into_id
    )
    assert later == [(True,)]
    assert await texts(ledger, done.into_id) == ["my parcel", "It is on its way"]


async def test_the_last_thread_and_a_strangers_thread_stay(ledger: MergeLedger, one: TwoThreads) -> None:
    alone = await ledger.says("bea")
    with pytest.raises(SplitRefused) as refused:
        await split(ledger, alone)
    assert refused.value.code is SplitRefusal.LAST_THREAD
    with pytest.raises(SplitRefused) as refused:
        await split_thread(
            ledger.database, one.sms.conversation_id, str(alone.thread_id), by=None, owner=None, at=now()
        )
    assert refused.value.code is SplitRefusal.UNKNOWN_THREAD
    with pytest.raises(SplitRefused) as refused:
        await undone(ledger, alone.conversation_id)
    assert refused.value.code is SplitRefusal.NOT_MERGED


async def test_an_undone_merge_gives_the_loser_s_threads_and_addresses_back(ledger: MergeLedger) -> None:
    ada, bea = await ledger.says("ada", "from ada"), await ledger.says("bea", "from bea")
    merged = await ledger.merge(ada.conversation_id, bea.conversation_id)
    await ledger.says("bea", "bea again")
    done = await undone(ledger, merged.survivor_id)
    assert (done.from_id, done.customer_id) == (ada.conversation_id, bea.customer_id)
    assert await texts(ledger, done.into_id) == ["from bea", "bea again"]
    assert await texts(ledger, ada.conversation_id) == ["from ada"]
    late = await ledger.says("bea", "and again")
    assert (late.conversation_id, late.customer_id) == (done.into_id, bea.customer_id)
    into = await ledger.sql("select merged_into from conversations where id = %s", bea.conversation_id)
    assert into == [(done.into_id,)]
    with pytest.raises(SplitRefused):
        await undone(ledger, merged.loser_id)
    await no_violations(ledger)


async def test_an_undone_merge_stands_beside_what_its_customer_has_opened_since(ledger: MergeLedger) -> None:
    ada, bea = await ledger.says("ada"), await ledger.says("bea")
    await ledger.sql(
        "insert into identities (id, customer_id, kind, address, verified, created_at)"
        " values ('idn_other', %s, 'email', 'bea-too@customers.example', true, now())",
        bea.customer_id,
    )
    await ledger.merge(ada.conversation_id, bea.conversation_id)
    since = await ledger.says("bea-too", "from another address of mine")
    assert (since.customer_id, since.conversation_id == ada.conversation_id) == (bea.customer_id, False)
    done = await undone(ledger, bea.conversation_id)
    assert done.customer_id == bea.customer_id
    assert done.into_id != since.conversation_id
    await no_violations(ledger)


async def test_a_merge_in_the_middle_of_a_chain_is_undone_by_its_loser_s_name(ledger: MergeLedger) -> None:
    ada, bea, cyd = [await ledger.says(name, name) for name in ("ada", "bea", "cyd")]
    await ledger.merge(bea.conversation_id, cyd.conversation_id)
    await ledger.merge(ada.conversation_id, bea.conversation_id)
    first = await undone(ledger, bea.conversation_id)
    assert await texts(ledger, first.into_id) == ["bea", "cyd"]
    second = await undone(ledger, cyd.conversation_id)
    assert (second.from_id, await texts(ledger, second.into_id)) == (first.into_id, ["cyd"])
    await no_violations(ledger)


async def test_the_name_of_an_earlier_loser_leads_on_to_where_its_threads_are(ledger: MergeLedger) -> None:
    ada, bea, cyd = [await ledger.says(name, name) for name in ("ada", "bea", "cyd")]
    await ledger.merge(ada.conversation_id, bea.conversation_id)
    first = await undone(ledger, bea.conversation_id)
    again = await ledger.merge(cyd.conversation_id, first.into_id)
    second = await undone(ledger, again.loser_id)
    names = await ledger.sql("select id, merged_into from conversations where state = 'merged'")
    assert {into for _, into in names} == {second.into_id}
    assert bea.conversation_id in {name for name, _ in names}
    await no_violations(ledger)


async def test_two_threads_of_one_key_part_with_their_key(ledger: MergeLedger) -> None:
    proven = await ledger.says("ada", "signed in", key="session-1")
    hint = await ledger.says("ada", "not yet signed in", key="session-1", verified=False)
    await ledger.merge(hint.conversation_id, proven.conversation_id)
    done = await undone(ledger, hint.conversation_id)
    again = await ledger.says("ada", "not signed in again", key="session-1", verified=False)
    assert (again.conversation_id, again.thread_id) == (done.into_id, hint.thread_id)
    await no_violations(ledger)
