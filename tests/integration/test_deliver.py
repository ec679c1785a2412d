import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.deliver import Deliveries
from activities.email_accounts import account_that_sends, email_account
from api.inbound import intake_of
from channels.adapter import InboundMessage, OutboundMessage
from channels.email.mailbox import open_mailbox
from channels.email.parse import parse_email
from channels.email.send import EmailAdapter
from channels.email.settings import EmailAccount
from domain.channels import Channel
from domain.identity.addresses import AddressKind, NormalAddress
from simulator.mail_server import MailServerPorts, mail_server
from storage.database import Database
from storage.ledger.intake import Intake, TakenIn, take_in
from tests.integration.mail_accounts import ADA, BOX, SERVER, add_account, rows


@pytest.fixture
async def ports(database: Database) -> AsyncIterator[MailServerPorts]:
    async with mail_server(SERVER) as opened:
        await add_account(database, opened)
        yield opened


async def conversation(database: Database, address: str = ADA, channel: Channel = Channel.EMAIL) -> TakenIn:
    message_id = f"<{uuid4().hex}@cust.example>"
    kind = AddressKind.EMAIL if channel is Channel.EMAIL else AddressKind.PHONE
    message = Intake(
        channel=channel,
        account="support",
        provider_message_id=message_id,
        sender=NormalAddress(kind, address),
        verified=True,
        sent_at=datetime.now(UTC),
        text="It hums.",
        subject="Lamp",
        thread_key=message_id,
    )
    async with database.ledger.connection() as connection:
        return await take_in(connection, message)


async def released(database: Database, to: TakenIn, channel: str = "email") -> str:
    message_id = f"msg_{uuid4().hex}"
    await rows(
        database,
        """
        insert into messages (id, conversation_id, thread_id, customer_id, direction, kind, author_kind, author_id,
            channel, account, text, attachments, at, delivery)
        values (%s, %s, %s, %s, 'outbound', 'message', 'agent', 'agt_1', %s, 'support', 'Did you unplug it?', '[]',
            now(), 'queued') returning id
        """,
        message_id,
        to.conversation_id,
        to.thread_id,
        to.customer_id,
        channel,
    )
    return message_id


async def deliver(database: Database, message_id: str) -> None:
    await ActivityEnvironment().run(Deliveries(database, BOX).deliver, message_id)


async def account_of(database: Database) -> EmailAccount:
    async with database.ledger.connection() as connection:
        row = await account_that_sends(connection, "support")
    assert row is not None
    return email_account(row, BOX)


async def mail_of(database: Database, address: str) -> list[InboundMessage]:
    account = await account_of(database)
    theirs = replace(account, address=address, imap=replace(account.imap, user=address))
    async with open_mailbox(theirs) as mailbox:
        batch = await mailbox.mail_after(None)
    return [parse_email(mail.raw, theirs, datetime.now(UTC)) for mail in batch.mails]


async def delivery_of(database: Database, message_id: str) -> str:
    return str((await rows(database, "select delivery from messages where id = %s", message_id))[0][0])


async def events(database: Database, kind: str) -> list[Any]:
    return [row[0] for row in await rows(database, "select data from events where kind = %s", kind)]


@pytest.mark.usefixtures("ports")
async def test_a_reply_is_sent_once_however_often_it_is_asked(database: Database) -> None:
    message_id = await released(database, await conversation(database))
    for _ in range(3):
        await deliver(database, message_id)
    [mail] = await mail_of(database, ADA)
    assert mail.text == "Did you unplug it?"
    assert mail.subject == "Re: Lamp"
    [(delivery, provider, error)] = await rows(
        database, "select delivery, provider_message_id, delivery_error from messages where id = %s", message_id
    )
    assert (delivery, provider, error) == ("sent", mail.provider_message_id, None)
    [data] = await events(database, "message_sent")
    assert data["message_id"] == message_id


@pytest.mark.usefixtures("ports")
async def test_attempts_at_the_same_time_send_once(database: Database) -> None:
    message_id = await released(database, await conversation(database))
    outcomes = await asyncio.gather(*(deliver(database, message_id) for _ in range(5)), return_exceptions=True)
    refused = [outcome for outcome in outcomes if outcome is not None]
    assert all(isinstance(error, ApplicationError) and error.type == "BeingSent" for error in refused)
    assert len(await mail_of(database, ADA)) == 1
    assert await delivery_of(database, message_id) == "sent"


@pytest.mark.usefixtures("ports")
async def test_the_customers_answer_finds_its_thread_by_the_id_we_sent_under(database: Database) -> None:
    first = await conversation(database)
    await deliver(database, await released(database, first))
    [mail] = await mail_of(database, ADA)
    answer = InboundMessage(
        channel=Channel.EMAIL,
        account="support",
        provider_message_id="<answer@cust.example>",
        sender=replace(mail.sender, address=ADA, verified=True),
        sent_at=datetime.now(UTC),
        text="Yes.",
        full_text="Yes.",
        thread_key="<lost@cust.example>",
        reply_to=(mail.provider_message_id,),
    )
    async with database.ledger.connection() as connection:
        second = await take_in(connection, intake_of(answer))
    assert (second.conversation_id, second.thread_id) == (first.conversation_id, first.thread_id)


@pytest.mark.usefixtures("ports")
async def test_a_lease_that_is_over_sends_again_under_the_same_id(database: Database) -> None:
    message_id = await released(database, await conversation(database))
    account = await account_of(database)
    await EmailAdapter(account).send(
        OutboundMessage(message_id, Channel.EMAIL, "support", ADA, None, "hi", None, None, (), datetime.now(UTC))
    )
    lease = "update messages set delivery = 'sending', sending_until = now() + %s::interval where id = %s returning id"
    await rows(database, lease, "20 seconds", message_id)
    with pytest.raises(ApplicationError) as raised:
        await deliver(database, message_id)
    assert raised.value.type == "BeingSent"
    assert not raised.value.non_retryable
    await rows(database, lease, "-1 seconds", message_id)
    await deliver(database, message_id)
    assert len({mail.provider_message_id for mail in await mail_of(database, ADA)}) == 1
    assert await delivery_of(database, message_id) == "sent"


@pytest.mark.usefixtures("ports")
async def test_a_refusal_for_good_is_recorded_and_not_tried_again(database: Database) -> None:
    message_id = await released(database, await conversation(database, "gone@cust.invalid"))
    await deliver(database, message_id)
    await deliver(database, message_id)
    assert await delivery_of(database, message_id) == "refused"
    [data] = await events(database, "delivery_refused")
    assert data["message_id"] == message_id


@pytest.mark.usefixtures("ports")
async def test_a_server_that_is_away_leaves_the_message_queued_for_the_next_attempt(database: Database) -> None:
    message_id = await released(database, await conversation(database))
    port = (await account_of(database)).smtp.port
    change = "update channel_accounts set settings = jsonb_set(settings, '{smtp,port}', %s::text::jsonb) returning id"
    await rows(database, change, "1")
    with pytest.raises(ApplicationError) as raised:
        await deliver(database, message_id)
    assert not raised.value.non_retryable
    assert await delivery_of(database, message_id) == "queued"
    await rows(database, change, str(port))
    await deliver(database, message_id)
    assert len(await mail_of(database, ADA)) == 1


async def test_what_the_other_side_pulls_is_sent_at_once(database: Database) -> None:
    to = await conversation(database, "+4930123456", Channel.SMS)
    message_id = await released(database, to, "sms")
    await deliver(database, message_id)
    assert await delivery_of(database, message_id) == "sent"


async def test_a_message_that_does_not_exist_is_not_tried_again(database: Database) -> None:
    with pytest.raises(ApplicationError) as raised:
        await deliver(database, "msg_nowhere")
    assert raised.value.non_retryable
