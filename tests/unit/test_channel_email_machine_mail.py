from datetime import UTC, datetime

import pytest

from channels.adapter import InboundMessage
from channels.email.parse import parse_email
from channels.email.settings import EmailAccount, MailServer
from domain.channels import MessageKind

SERVER = MailServer("mail.lamp.example", 993)
ACCOUNT = EmailAccount("helpdesk", "help@lamp.example", "Help", SERVER, SERVER)


def parsed(raw: str) -> InboundMessage:
    return parse_email(raw.encode(), ACCOUNT, datetime(2025, 3, 4, tzinfo=UTC))


@pytest.mark.parametrize(
    "field",
    [
        "Auto-Submitted: auto-replied",
        "Auto-Submitted: auto-generated; owner-email=x",
        "X-Autoreply: yes",
        "X-Auto-Response-Suppress: All",
        "X-Auto-Response-Suppress: DR, RN, All",
        "Precedence: bulk",
        "Precedence: auto_reply",
        "Return-Path: <>",
        "X-Baton-Account: Help@lamp.example",
    ],
)
def test_mail_no_person_wrote_is_an_automatic_reply(field: str) -> None:
    assert parsed(f"From: ada@cust.example\n{field}\n\nI am away.").kind is MessageKind.AUTO_REPLY


@pytest.mark.parametrize(
    "field",
    [
        "Auto-Submitted: no",
        "X-Auto-Response-Suppress: None",
        "X-Auto-Response-Suppress: OOF, AutoReply",
        "Precedence: list",
        "Return-Path: <ada@cust.example>",
        "X-Baton-Account: support@elsewhere.example",
    ],
)
def test_mail_of_a_person_is_a_message_whatever_carried_it(field: str) -> None:
    assert parsed(f"From: ada@cust.example\n{field}\n\nIt hums.").kind is MessageKind.MESSAGE


def report(action: str, returned: str, content_type: str = "message/rfc822") -> str:
    return (
        "From: Mail Delivery <postmaster@cust.example>\n"
        "Return-Path: <>\n"
        'Content-Type: multipart/report; report-type=delivery-status; boundary="b"\n\n'
        "--b\n\nYour mail could not be delivered.\n"
        "--b\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; mx.cust.example\n\n"
        f"Final-Recipient: rfc822; ada@cust.example\nAction: {action}\nStatus: 5.1.1\n\n"
        f"--b\nContent-Type: {content_type}\n\n{returned}\n--b--\n"
    )


RETURNED = "From: help@lamp.example\nMessage-ID: <msg_7@lamp.example>\nSubject: Re: Humming lamp\n\nHello\n"


@pytest.mark.parametrize("content_type", ["message/rfc822", "text/rfc822-headers"])
def test_a_bounce_names_the_message_of_ours_that_failed(content_type: str) -> None:
    message = parsed(report("failed", RETURNED, content_type))
    assert message.kind is MessageKind.BOUNCE
    assert message.failed_message_id == "<msg_7@lamp.example>"
    assert message.thread_key == "<msg_7@lamp.example>"


def test_a_report_of_a_delay_is_no_bounce() -> None:
    message = parsed(report("delayed", RETURNED))
    assert message.kind is MessageKind.AUTO_REPLY
    assert message.failed_message_id is None


def test_an_old_style_bounce_is_known_by_its_robot_and_the_header_it_quotes() -> None:
    message = parsed(
        "From: MAILER-DAEMON@cust.example\n\nNo such user.\n\n--- Below is a copy\n> Message-ID: <msg_7@lamp.example>\n"
    )
    assert message.kind is MessageKind.BOUNCE
    assert message.failed_message_id == "<msg_7@lamp.example>"


def test_a_bounce_that_names_nothing_is_still_a_bounce() -> None:
    message = parsed("From: MAILER-DAEMON@cust.example\n\nNo such user.\n")
    assert message.kind is MessageKind.BOUNCE
    assert message.failed_message_id is None
