"""E-mail through a real SMTP and a real IMAP server."""

import asyncio
import json
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from functools import partial
from pathlib import Path

import aiosmtplib
import pytest
from aiosmtpd.smtp import SMTP, Envelope, Session
from imap_tools import BaseMailBox

from channels.adapter import DeliveryFailed, DeliveryRefused, InboundMessage, OutboundMessage
from channels.email.mailbox import MailBatch, MailboxCursor, MailboxUnreachable, new_mail, open_mailbox
from channels.email.parse import parse_email
from channels.email.send import EmailAdapter
from channels.email.settings import EmailAccount, Encryption, MailServer
from domain.channels import Channel, MessageKind
from simulator.mail_server import MailServerPorts, MailServerSettings, mail_server

HELP = "help@lamp.example"
ADA = "ada@cust.example"
SETTINGS = MailServerSettings("lamp.example", "pw", authenticated_domains=frozenset({"cust.example"}))


def account_of(address: str, ports: MailServerPorts) -> EmailAccount:
    return EmailAccount(
        account=address,
        address=address,
        display_name="Lamp Help",
        imap=MailServer("127.0.0.1", ports.imap, Encryption.NONE, address, "pw"),
        smtp=MailServer("127.0.0.1", ports.smtp, Encryption.NONE, address, "pw"),
        authserv_id="mx.lamp.example",
        timeout=timedelta(seconds=20),
    )


@pytest.fixture
async def account() -> AsyncIterator[EmailAccount]:
    """The help desk's account on a mail server of this test's own."""
    async with mail_server(SETTINGS) as ports:
        yield account_of(HELP, ports)


async def write(account: EmailAccount, *numbers: int, sender: str = ADA, **fields: str) -> None:
    for number in numbers:
        mail = EmailMessage()
        mail["From"] = f"Ada Byte <{sender}>"
        mail["To"] = HELP
        mail["Subject"] = f"Lamp {number}"
        mail["Message-ID"] = f"<{number}@cust.example>"
        for name, value in fields.items():
            mail[name.replace("_", "-")] = value
        mail.set_content(f"Lamp {number} hums.")
        await aiosmtplib.send(
            mail, sender=sender, recipients=[HELP], hostname="127.0.0.1", port=account.smtp.port, start_tls=False
        )


async def batch_after(account: EmailAccount, cursor: MailboxCursor | None) -> MailBatch:
    async with open_mailbox(account) as mailbox:
        return await mailbox.mail_after(cursor)


def read(batch: MailBatch, account: EmailAccount) -> list[InboundMessage]:
    return [parse_email(mail.raw, account, datetime.now(UTC)) for mail in batch.mails]


def ids(batch: MailBatch, account: EmailAccount) -> list[str]:
    return [message.provider_message_id for message in read(batch, account)]


def reply_to(message: InboundMessage) -> OutboundMessage:
    return OutboundMessage(
        message_id="msg_7",
        channel=Channel.EMAIL,
        account=HELP,
        to_address=message.sender.address,
        subject=message.subject,
        text="Did you unplug it?",
        html=None,
        thread_key=message.thread_key,
        references=(*message.reply_to, message.provider_message_id),
        sent_at=datetime.now(UTC),
    )


async def test_a_mail_is_read_answered_and_the_answer_to_that_threads_back(account: EmailAccount) -> None:
    await write(account, 1)
    batch = await batch_after(account, None)
    (first,) = read(batch, account)
    assert first.sender.verified
    assert first.text == "Lamp 1 hums."

    sent = await EmailAdapter(account).send(reply_to(first))

    customer = replace(
        account, imap=replace(account.imap, user=ADA), address=ADA, smtp=replace(account.smtp, user=None, password=None)
    )
    (received,) = read(await batch_after(customer, None), customer)
    assert received.provider_message_id == sent.provider_message_id == "<msg_7@lamp.example>"
    assert received.thread_key == first.provider_message_id
    assert received.kind is MessageKind.MESSAGE

    answer = replace(reply_to(received), message_id="answer", to_address=HELP, text="Yes, twice.")
    await EmailAdapter(customer).send(answer)
    (again,) = read(await batch_after(account, batch.cursor), account)
    assert again.thread_key == first.thread_key
    assert again.reply_to[-1] == sent.provider_message_id
    assert again.text == "Yes, twice."


async def test_a_reader_that_begins_again_with_its_last_cursor_meets_no_gap_and_no_double(
    account: EmailAccount,
) -> None:
    await write(account, 1, 2, 3)
    before = await batch_after(account, None)
    await write(account, 4, 5)
    after = await batch_after(account, before.cursor)
    assert ids(before, account) == ["<1@cust.example>", "<2@cust.example>", "<3@cust.example>"]
    assert ids(after, account) == ["<4@cust.example>", "<5@cust.example>"]
    assert (await batch_after(account, after.cursor)) == MailBatch((), after.cursor)


async def test_a_batch_whose_cursor_was_not_kept_comes_again_the_same(account: EmailAccount) -> None:
    await write(account, 1, 2)
    assert await batch_after(account, None) == await batch_after(account, None)


async def test_another_uid_validity_begins_again_with_the_first_mail(account: EmailAccount) -> None:
    await write(account, 1, 2)
    batch = await batch_after(account, None)
    of_another_time = MailboxCursor(batch.cursor.uid_validity - 1, batch.cursor.last_uid)
    assert await batch_after(account, of_another_time) == batch


async def test_more_mail_than_a_batch_holds_comes_in_order_over_several(account: EmailAccount) -> None:
    await write(account, *range(230))
    cursor, seen, sizes = None, list[str](), list[int]()
    async with open_mailbox(account) as mailbox:
        while (batch := await mailbox.mail_after(cursor)).mails:
            cursor = batch.cursor
            seen += ids(batch, account)
            sizes.append(len(batch.mails))
    assert seen == [f"<{number}@cust.example>" for number in range(230)]
    assert sizes == [100, 100, 30]


async def test_reading_may_begin_with_what_comes_next(account: EmailAccount) -> None:
    await write(account, 1)
    async with open_mailbox(account) as mailbox:
        end = await mailbox.end()
        assert (await mailbox.mail_after(end)).mails == ()
        await write(account, 2)
        assert ids(await mailbox.mail_after(end), account) == ["<2@cust.example>"]


async def test_an_empty_mailbox_has_an_end_too(account: EmailAccount) -> None:
    async with open_mailbox(account) as mailbox:
        assert (await mailbox.end()).last_uid == 0


@pytest.mark.parametrize("poll_interval", [timedelta(minutes=5), timedelta(milliseconds=50)], ids=["told", "asking"])
async def test_new_mail_arrives_while_waiting_for_it(account: EmailAccount, poll_interval: timedelta) -> None:
    waiting = replace(account, poll_interval=poll_interval)
    batches = new_mail(waiting, None)
    assert (await anext(batches)).mails == ()
    seen: list[str] = []
    async with asyncio.timeout(30):
        for number in range(3):
            next_batch = asyncio.ensure_future(anext(batches))
            await write(account, number)
            seen += ids(await next_batch, account)
    await batches.aclose()
    assert seen == ["<0@cust.example>", "<1@cust.example>", "<2@cust.example>"]


async def test_mail_that_came_just_before_the_wait_ends_it(account: EmailAccount) -> None:
    async with open_mailbox(replace(account, poll_interval=timedelta(minutes=5))) as mailbox:
        cursor = (await mailbox.mail_after(None)).cursor
        await write(account, 1)
        async with asyncio.timeout(30):
            await mailbox.wait_for_mail()
        assert ids(await mailbox.mail_after(cursor), account) == ["<1@cust.example>"]


async def test_mail_that_comes_while_the_server_searches_is_not_waited_for(
    account: EmailAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop, search = asyncio.get_running_loop(), BaseMailBox.uids

    def late(*asked: object) -> list[str]:
        monkeypatch.undo()
        asyncio.run_coroutine_threadsafe(write(account, 1), loop).result()
        return search(*asked)  # type: ignore[arg-type] # as it was asked

    async with open_mailbox(replace(account, poll_interval=timedelta(minutes=5))) as mailbox:
        cursor = (await mailbox.mail_after(None)).cursor
        monkeypatch.setattr(BaseMailBox, "uids", late)
        assert (await mailbox.mail_after(cursor)).mails == ()
        async with asyncio.timeout(30):
            await mailbox.wait_for_mail()
        assert ids(await mailbox.mail_after(cursor), account) == ["<1@cust.example>"]


async def test_a_reader_that_is_cancelled_while_waiting_lets_go_at_once(account: EmailAccount) -> None:
    waiting = replace(account, poll_interval=timedelta(minutes=5))

    async def read_for_ever() -> None:
        async for _ in new_mail(waiting, None):
            reading.set()

    reading = asyncio.Event()
    task = asyncio.create_task(read_for_ever())
    async with asyncio.timeout(30):
        await reading.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_reading_leaves_no_mark(account: EmailAccount) -> None:
    await write(account, 1)
    await batch_after(account, None)
    async with open_mailbox(account) as mailbox:
        assert await asyncio.to_thread(mailbox._connection.uids, "UNSEEN", None)


async def test_a_mail_too_long_is_read_as_far_as_the_account_allows(account: EmailAccount) -> None:
    await write(account, 1)
    (mail,) = (await batch_after(replace(account, max_message_bytes=200), None)).mails
    assert len(mail.raw) == 200


async def test_a_sender_nobody_authenticated_is_not_verified(account: EmailAccount) -> None:
    forged = "mx.lamp.example; dmarc=pass header.from=stranger.example"
    await write(account, 1, sender="eve@stranger.example", Authentication_Results=forged)
    (message,) = read(await batch_after(account, None), account)
    assert not message.sender.verified
    assert message.sender.address == "eve@stranger.example"


async def test_a_wrong_password_is_told_as_unreachable(account: EmailAccount) -> None:
    with pytest.raises(MailboxUnreachable):
        await batch_after(replace(account, imap=replace(account.imap, password="wrong")), None)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def test_a_server_that_is_down_fails_for_now() -> None:
    down = account_of(HELP, MailServerPorts(free_port(), free_port()))
    with pytest.raises(MailboxUnreachable):
        await batch_after(down, None)
    with pytest.raises(DeliveryFailed):
        await EmailAdapter(down).send(outbound(ADA))


def outbound(address: str) -> OutboundMessage:
    return OutboundMessage("msg_7", Channel.EMAIL, HELP, address, "Lamp", "Hello", None, None, (), datetime.now(UTC))


async def test_a_mailbox_that_does_not_exist_refuses_for_good(account: EmailAccount) -> None:
    with pytest.raises(DeliveryRefused) as refused:
        await EmailAdapter(account).send(outbound("nobody@nowhere.invalid"))
    assert refused.value.code == "550"


async def test_a_wrong_smtp_password_fails_until_it_is_put_right(account: EmailAccount) -> None:
    with pytest.raises(DeliveryFailed):
        await EmailAdapter(replace(account, smtp=replace(account.smtp, password="wrong"))).send(outbound(ADA))


class AnsweringServer:
    """Says one thing to every mail."""

    def __init__(self, answer: str) -> None:
        self._answer = answer

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's
        del server, session, envelope
        return self._answer


@asynccontextmanager
async def server_answering(answer: str) -> AsyncIterator[EmailAccount]:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        partial(SMTP, AnsweringServer(answer), hostname="lamp.example", loop=loop), "127.0.0.1", 0
    )
    async with server:
        account = account_of(HELP, MailServerPorts(server.sockets[0].getsockname()[1], 0))
        yield replace(account, smtp=replace(account.smtp, user=None, password=None))


@pytest.mark.parametrize(
    ("answer", "error"),
    [("451 4.7.1 Greylisted", DeliveryFailed), ("554 5.7.1 Spam", DeliveryRefused), ("552 5.3.4 Big", DeliveryRefused)],
)
async def test_the_servers_answer_decides_whether_to_try_again(
    answer: str, error: type[DeliveryFailed | DeliveryRefused]
) -> None:
    async with server_answering(answer) as account:
        with pytest.raises(error) as raised:
            await EmailAdapter(account).send(outbound(ADA))
    assert raised.value.code == answer[:3]


async def test_a_message_sent_twice_arrives_under_one_id(account: EmailAccount) -> None:
    adapter = EmailAdapter(account)
    assert await adapter.send(outbound(ADA)) == await adapter.send(outbound(ADA))
    customer = replace(account, imap=replace(account.imap, user=ADA), address=ADA)
    assert ids(await batch_after(customer, None), customer) == ["<msg_7@lamp.example>"] * 2


async def test_the_mail_server_runs_as_a_process_of_its_own() -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "simulator.mail_server", "--domain", "lamp.example", "--password", "pw"),
        *("--authenticated-domain", "cust.example"),
        stdout=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(60):
            ports = json.loads(await process.stdout.readline())
            account = account_of(HELP, MailServerPorts(ports["smtp_port"], ports["imap_port"]))
            await write(account, 1)
            (mail,) = (await batch_after(account, None)).mails
            process.send_signal(signal.SIGTERM)
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    stamped = message_from_bytes(mail.raw, policy=default)
    assert stamped["Authentication-Results"] == "mx.lamp.example; dmarc=pass header.from=cust.example"
    assert stamped["Return-Path"] == f"<{ADA}>"
