import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from uuid import uuid4

import pytest
from psycopg.rows import TupleRow
from temporalio.converter import DataConverter

from domain.channels import Channel, MessageKind
from domain.identity.addresses import AddressKind, NormalAddress
from storage.database import Database
from storage.ledger.intake import Intake, IntakeFile, TakenIn, take_in
from storage.ledger.short_ways import begun
from workflows.messages import MessageReceived

SENT_AT = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)


def sms(text: str = "Where is my parcel?", **changes: object) -> Intake:
    message = Intake(
        channel=Channel.SMS,
        account="shop",
        provider_message_id=uuid4().hex,
        sender=NormalAddress(AddressKind.PHONE, "+4930123456"),
        verified=True,
        sent_at=SENT_AT,
        text=text,
    )
    return replace(message, **changes)


def mail(text: str = "My invoice is wrong.", **changes: object) -> Intake:
    message_id = f"<{uuid4().hex}@mail.example>"
    message = Intake(
        channel=Channel.EMAIL,
        account="support",
        provider_message_id=message_id,
        sender=NormalAddress(AddressKind.EMAIL, "mia@mail.example"),
        verified=True,
        sent_at=SENT_AT,
        text=text,
        subject="Invoice",
        thread_key=message_id,
    )
    return replace(message, **changes)


async def taken(database: Database, message: Intake) -> TakenIn:
    async with database.ledger.connection() as connection:
        return await take_in(connection, message)


async def rows(database: Database, query: str, *values: object) -> list[TupleRow]:
    async with database.ledger.connection() as connection:
        return await (await connection.execute(query.encode(), values)).fetchall()


async def close(database: Database, conversation_id: str, owner: str | None = None) -> None:
    await rows(
        database,
        "update conversations set state = 'closed', owner_id = %s where id = %s returning id",
        owner,
        conversation_id,
    )


async def add_agent(database: Database, agent_id: str) -> None:
    await rows(
        database,
        """
        insert into agents (id, display_name, pool, kind, skills, languages, capacity, load, load_limit,
            channel_ceilings, preferences, presence, presence_since, active, created_at, updated_at)
        values (%s, 'Alex', 'default', 'human', '{}', '[]', 100, 0, 100, '{}', '{}', 'offline', now(), true,
            now(), now())
        returning id
        """,
        agent_id,
    )


async def test_a_first_message_makes_a_customer_a_conversation_a_thread_and_a_signal(database: Database) -> None:
    result = await taken(database, sms(display_name="Mia"))
    assert not result.duplicate
    assert await rows(database, "select id, display_name from customers") == [(result.customer_id, "Mia")]
    assert await rows(database, "select id, state, pool, channels from conversations") == [
        (result.conversation_id, "new", "default", ["sms"])
    ]
    assert await rows(database, "select id, address, thread_key from threads") == [
        (result.thread_id, "+4930123456", "+4930123456")
    ]
    assert await rows(database, "select id, direction, delivery, text, sent_at from messages") == [
        (result.message_id, "inbound", "received", "Where is my parcel?", SENT_AT)
    ]
    kinds = await rows(database, "select kind from events order by id")
    assert kinds == [("conversation_opened",), ("message_received",)]


async def test_the_log_tells_of_an_opening_at_the_instant_of_its_row(database: Database) -> None:
    await taken(database, mail())
    async with database.ledger.connection() as connection:
        assert await begun(connection, sms()) is not None
    opened = await rows(
        database,
        "select c.opened_at = e.at from conversations c"
        " join events e on e.conversation_id = c.id and e.kind = 'conversation_opened'",
    )
    assert opened == [(True,), (True,)]


async def test_the_signal_reads_as_the_message_the_workflow_expects(database: Database) -> None:
    result = await taken(database, sms())
    [(kind, payload)] = await rows(database, "select kind, payload from signals")
    [(at,)] = await rows(database, "select at from messages")
    assert kind == "message_received"
    [encoded] = await DataConverter.default.encode([payload])
    [decoded] = await DataConverter.default.decode([encoded], [MessageReceived])
    assert decoded == MessageReceived(result.message_id, str(result.thread_id), "sms", MessageKind.MESSAGE, at)


async def test_a_repeat_is_told_where_the_first_one_is_and_changes_nothing(database: Database) -> None:
    message = sms()
    first = await taken(database, message)
    again = await taken(database, replace(message, text="tampered"))
    assert again == replace(first, duplicate=True)
    assert await rows(database, "select text from messages") == [("Where is my parcel?",)]
    assert await rows(database, "select count(*) from signals") == [(1,)]
    assert await rows(database, "select count(*) from events where kind = 'message_received'") == [(1,)]


async def test_fifty_repeats_at_once_are_one_message(database: Database) -> None:
    message = sms()
    results = await asyncio.gather(*(taken(database, message) for _ in range(50)))
    assert sum(not result.duplicate for result in results) == 1
    assert len({result.message_id for result in results}) == 1
    for table in ("messages", "signals", "conversations", "customers", "identities", "threads"):
        assert await rows(database, f"select count(*) from {table}") == [(1,)]  # noqa: S608 -- names of ours


async def test_two_first_messages_at_once_on_two_channels_are_one_customer_and_one_conversation(
    database: Database,
) -> None:
    for number in range(50):
        sender = NormalAddress(AddressKind.PHONE, f"+49301000{number:03}")
        first, second = await asyncio.gather(
            taken(database, sms(sender=sender)),
            taken(database, sms(sender=sender, channel=Channel.WHATSAPP, account="wa")),
        )
        assert first.customer_id == second.customer_id
        assert first.conversation_id == second.conversation_id
        assert first.thread_id != second.thread_id
    assert await rows(database, "select count(*) from customers") == [(50,)]
    assert await rows(database, "select count(*) from conversations") == [(50,)]
    assert await rows(database, "select count(*) from signals") == [(100,)]
    assert await rows(database, "select count(*) from events where kind = 'thread_joined'") == [(50,)]


async def test_messages_of_one_conversation_commit_in_the_order_of_their_signals(database: Database) -> None:
    await taken(database, sms())
    await asyncio.gather(*(taken(database, sms(f"number {number}")) for number in range(30)))
    ordered = await rows(
        database, "select m.id from signals s join messages m on m.id = s.payload ->> 'message_id' order by s.id"
    )
    assert ordered == await rows(database, "select id from messages order by at, id")


async def test_the_next_message_of_a_thread_joins_the_conversation_in_whatever_state(database: Database) -> None:
    first = await taken(database, sms())
    for state in ("queued", "offered", "assigned", "pending_customer", "on_hold", "wrap_up", "resolved"):
        await rows(database, "update conversations set state = %s returning id", state)
        following = await taken(database, sms())
        assert (following.conversation_id, following.thread_id) == (first.conversation_id, first.thread_id)


async def test_another_channel_of_the_customer_joins_the_open_conversation_with_a_notice(database: Database) -> None:
    first = await taken(database, sms())
    second = await taken(database, sms(channel=Channel.WHATSAPP, account="wa"))
    assert second.conversation_id == first.conversation_id
    [(data,)] = await rows(database, "select data from events where kind = 'thread_joined'")
    assert data == {
        "thread_id": second.thread_id,
        "channel": "whatsapp",
        "account": "wa",
        "reason": "verified_identity",
        "state": "new",
    }


async def test_a_message_after_the_close_opens_a_new_conversation_that_knows_the_old_owner(database: Database) -> None:
    await add_agent(database, "agt_1")
    first = await taken(database, sms())
    await close(database, first.conversation_id, "agt_1")
    second = await taken(database, sms())
    assert second.conversation_id != first.conversation_id
    assert second.customer_id == first.customer_id
    assert await rows(database, "select owner_id, state from conversations where id = %s", second.conversation_id) == [
        ("agt_1", "new")
    ]


async def test_an_unproven_sender_shares_nothing_with_the_person_who_proved_the_address(database: Database) -> None:
    proven = await taken(database, mail())
    claimed = await taken(database, mail(verified=False))
    assert claimed.customer_id != proven.customer_id
    assert claimed.conversation_id != proven.conversation_id


async def test_an_answer_finds_its_thread_by_reference(database: Database) -> None:
    first_mail = mail()
    first = await taken(database, first_mail)
    answer = mail(reply_to=("<unknown@mail.example>", first_mail.provider_message_id))
    second = await taken(database, answer)
    assert second.thread_id == first.thread_id
    [(references,)] = await rows(database, 'select "references" from threads')
    assert references == [first_mail.provider_message_id, "<unknown@mail.example>", answer.provider_message_id]


async def test_a_forged_reference_does_not_enter_a_strangers_conversation(database: Database) -> None:
    first_mail = mail()
    first = await taken(database, first_mail)
    forger = NormalAddress(AddressKind.EMAIL, "eve@evil.example")
    forged = await taken(
        database, mail(sender=forger, reply_to=(first_mail.provider_message_id,), thread_key=first_mail.thread_key)
    )
    assert forged.conversation_id != first.conversation_id
    assert forged.thread_id != first.thread_id
    [(mine,)] = await rows(database, "select count(*) from messages where conversation_id = %s", first.conversation_id)
    assert mine == 1


async def test_a_copied_message_id_does_not_make_another_persons_mail_a_repeat(database: Database) -> None:
    forged = mail(sender=NormalAddress(AddressKind.EMAIL, "eve@evil.example"))
    await taken(database, forged)
    genuine = mail(provider_message_id=forged.provider_message_id)
    result = await taken(database, genuine)
    assert not result.duplicate
    assert (await taken(database, genuine)).duplicate
    assert await rows(database, "select count(*) from messages") == [(2,)]


@pytest.mark.parametrize("kind", [MessageKind.AUTO_REPLY, MessageKind.BOUNCE, MessageKind.CLOSING_THANKS])
async def test_a_message_that_wants_no_answer_joins_the_open_conversation(
    database: Database, kind: MessageKind
) -> None:
    first = await taken(database, mail())
    quiet = await taken(database, mail(kind=kind))
    assert quiet.conversation_id == first.conversation_id
    assert await rows(database, "select payload ->> 'kind' from signals order by id") == [("message",), (kind.value,)]


@pytest.mark.parametrize("kind", [MessageKind.AUTO_REPLY, MessageKind.BOUNCE, MessageKind.CLOSING_THANKS])
async def test_a_message_that_wants_no_answer_is_filed_in_the_last_conversation_unrouted(
    database: Database, kind: MessageKind
) -> None:
    first = await taken(database, mail())
    await close(database, first.conversation_id)
    filed = await taken(database, mail(kind=kind))
    assert filed.conversation_id == first.conversation_id
    assert await rows(database, "select count(*) from signals") == [(1,)]
    assert await rows(database, "select state from conversations") == [("closed",)]


async def test_a_strangers_auto_reply_is_kept_in_a_conversation_that_never_opens(database: Database) -> None:
    filed = await taken(database, mail(kind=MessageKind.AUTO_REPLY))
    again = await taken(database, mail(kind=MessageKind.AUTO_REPLY))
    assert again.conversation_id == filed.conversation_id
    assert await rows(database, "select state, end_reason from conversations") == [("closed", "no_answer_wanted")]
    assert await rows(database, "select count(*) from signals") == [(0,)]
    assert await rows(database, "select count(*) from messages") == [(2,)]


async def test_a_bounce_is_filed_with_the_message_that_did_not_arrive(database: Database) -> None:
    first = await taken(database, mail())
    await rows(
        database,
        """
        insert into messages (id, conversation_id, thread_id, customer_id, direction, kind, author_kind, channel,
            account, provider_message_id, text, attachments, at, delivery)
        values ('msg_out', %s, %s, %s, 'outbound', 'message', 'agent', 'email', 'support', '<ours@shop.example>',
            'Hi', '[]', now(), 'sent') returning id
        """,
        first.conversation_id,
        first.thread_id,
        first.customer_id,
    )
    daemon = NormalAddress(AddressKind.EMAIL, "mailer-daemon@mail.example")
    bounce = mail(sender=daemon, verified=False, kind=MessageKind.BOUNCE, failed_message_id="<ours@shop.example>")
    filed = await taken(database, bounce)
    assert (filed.conversation_id, filed.thread_id) == (first.conversation_id, first.thread_id)
    assert await rows(database, "select delivery from messages where id = 'msg_out'") == [("refused",)]
    assert await rows(database, "select count(*) from events where kind = 'delivery_refused'") == [(1,)]
    assert await rows(database, "select count(*) from customers") == [(1,)]
    assert await rows(database, "select address from threads") == [("mia@mail.example",)]


async def test_a_pool_that_is_gone_does_not_cost_a_message(database: Database) -> None:
    await rows(
        database,
        "insert into settings (key, value, updated_at) values ('default_pool', '\"gone\"', now()) returning key",
    )
    result = await taken(database, sms())
    assert await rows(database, "select pool from conversations where id = %s", result.conversation_id) == [
        ("default",)
    ]


async def test_attachments_are_kept_beside_the_message(database: Database) -> None:
    result = await taken(database, mail(files=(IntakeFile("bill.pdf", "application/pdf", 4, b"%PDF"),)))
    [(file_id, name, content)] = await rows(
        database, "select id, name, content from attachments where message_id = %s", result.message_id
    )
    assert (name, content) == ("bill.pdf", b"%PDF")
    assert await rows(database, "select attachments from messages") == [
        ([{"id": file_id, "name": "bill.pdf", "content_type": "application/pdf", "size": 4}],)
    ]


@pytest.mark.parametrize("text", ["a\x00b", "half \ud83d of a face", "\ud83d\ude00"])
async def test_text_that_postgres_cannot_keep_does_not_lose_the_message(database: Database, text: str) -> None:
    result = await taken(database, mail(text, subject=text, display_name=text, thread_key=text))
    [(kept,)] = await rows(database, "select text from messages where id = %s", result.message_id)
    assert "\x00" not in kept


async def test_a_lost_race_leaves_no_half_written_customer(database: Database) -> None:
    sender = NormalAddress(AddressKind.PHONE, "+49301999999")
    results = await asyncio.gather(*(taken(database, sms(sender=sender)) for _ in range(20)))
    assert len({result.customer_id for result in results}) == 1
    assert await rows(database, "select count(*) from customers") == [(1,)]
    assert await rows(database, "select count(*) from messages") == [(20,)]


SITE_USER = NormalAddress(AddressKind.SITE_USER, "user:mia")
MIA = NormalAddress(AddressKind.EMAIL, "mia@mail.example")


def chat(**changes: object) -> Intake:
    return sms(**{"channel": Channel.WEB_CHAT, "account": "widget", "sender": SITE_USER, "thread_key": "s1", **changes})


async def test_an_address_proven_beside_another_is_the_same_customers(database: Database) -> None:
    mailed = await taken(database, mail())
    chatted = await taken(database, chat(proven_too=(MIA,)))
    assert chatted.customer_id == mailed.customer_id
    assert chatted.conversation_id == mailed.conversation_id
    assert (await taken(database, chat())).customer_id == mailed.customer_id


async def test_an_address_proven_at_first_sight_is_known_later(database: Database) -> None:
    chatted = await taken(database, chat(proven_too=(MIA,)))
    assert (await taken(database, mail())).conversation_id == chatted.conversation_id


async def test_a_typed_address_is_kept_as_a_hint_and_joins_nobody(database: Database) -> None:
    mailed = await taken(database, mail())
    visitor = NormalAddress(AddressKind.VISITOR, "v1")
    chatted = await taken(database, chat(sender=visitor, verified=False, claimed=(MIA,)))
    assert chatted.customer_id != mailed.customer_id
    [(attributes,)] = await rows(database, "select attributes from customers where id = %s", chatted.customer_id)
    assert attributes == {"claimed_addresses": ["email:mia@mail.example"]}
