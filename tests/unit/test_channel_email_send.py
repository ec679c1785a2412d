from dataclasses import replace
from datetime import UTC, datetime

import pytest

from channels.adapter import Attachment, DeliveryRefused, OutboundMessage
from channels.email.parse import parse_email
from channels.email.send import composed, outbound_message_id
from channels.email.settings import EmailAccount, MailServer
from channels.registry import adapter_for
from domain.channels import Channel, MessageKind

NOW = datetime(2025, 3, 4, 12, 0, tzinfo=UTC)
SERVER = MailServer("mail.lamp.example", 465, user="help", password="hunter2")
ACCOUNT = EmailAccount("helpdesk", "help@lamp.example", "Lamp Help, Inc.", SERVER, SERVER)
REPLY = OutboundMessage(
    message_id="msg_7",
    channel=Channel.EMAIL,
    account="helpdesk",
    to_address="ada@cust.example",
    subject="Humming lamp",
    text="Did you unplug it?\n",
    html=None,
    thread_key="<root@cust.example>",
    references=("<root@cust.example>", "<newest@cust.example>"),
    sent_at=NOW,
)


def test_a_reply_threads_under_what_it_answers() -> None:
    mail = composed(REPLY, ACCOUNT)
    assert mail["Subject"] == "Re: Humming lamp"
    assert mail["In-Reply-To"] == "<newest@cust.example>"
    assert mail["References"] == "<root@cust.example> <newest@cust.example>"
    assert mail["From"] == '"Lamp Help, Inc." <help@lamp.example>'
    assert mail["To"] == "ada@cust.example"


def test_the_same_message_always_goes_by_the_same_message_id() -> None:
    assert composed(REPLY, ACCOUNT)["Message-ID"] == composed(REPLY, ACCOUNT)["Message-ID"] == "<msg_7@lamp.example>"


def test_a_message_id_unfit_for_a_header_is_hashed() -> None:
    made = outbound_message_id("msg 7>\r\nBcc: x", "lamp.example")
    assert made == outbound_message_id("msg 7>\r\nBcc: x", "lamp.example")
    assert "\r" not in made
    assert " " not in made
    assert made.endswith("@lamp.example>")


@pytest.mark.parametrize("subject", ["Re: Humming lamp", "AW: Humming lamp", "RE[2]: Humming lamp"])
def test_a_subject_that_answers_already_is_left_alone(subject: str) -> None:
    assert composed(replace(REPLY, subject=subject), ACCOUNT)["Subject"] == subject


def test_the_first_mail_of_a_thread_is_no_reply() -> None:
    mail = composed(replace(REPLY, references=()), ACCOUNT)
    assert mail["Subject"] == "Humming lamp"
    assert "In-Reply-To" not in mail
    assert "References" not in mail


def test_no_field_of_a_message_can_add_a_header() -> None:
    mail = composed(
        replace(REPLY, subject="Hi\r\nBcc: all@cust.example", references=("<a@x>\r\nBcc: all@cust.example",)), ACCOUNT
    )
    assert "Bcc" not in mail
    assert b"\r\nBcc:" not in mail.as_bytes()


@pytest.mark.parametrize("address", ["ada@cust.example\r\nBcc: eve@x.example", "ada", "", "a b@cust.example"])
def test_what_is_no_address_is_refused_for_good(address: str) -> None:
    with pytest.raises(DeliveryRefused, match="not_an_address"):
        composed(replace(REPLY, to_address=address), ACCOUNT)


def test_a_long_thread_keeps_its_root_and_its_newest_references() -> None:
    references = tuple(f"<r{number}@x>" for number in range(100))
    named = composed(replace(REPLY, references=references), ACCOUNT)["References"].split()
    assert named[0] == "<r0@x>"
    assert named[-1] == "<r99@x>"
    assert len(named) == 21


def test_a_persons_reply_says_so_and_asks_robots_to_be_quiet() -> None:
    mail = composed(REPLY, ACCOUNT)
    assert mail["Auto-Submitted"] == "no"
    assert mail["X-Auto-Response-Suppress"] == "OOF, AutoReply"
    assert "Precedence" not in mail


def test_what_no_person_wrote_says_so() -> None:
    assert composed(replace(REPLY, automatic=True), ACCOUNT)["Auto-Submitted"] == "auto-generated"


def test_our_own_mail_come_back_is_known_as_such() -> None:
    message = parse_email(composed(REPLY, ACCOUNT).as_bytes(), ACCOUNT, NOW)
    assert message.kind is MessageKind.AUTO_REPLY


def test_text_html_and_files_arrive_as_they_were_sent() -> None:
    outbound = replace(
        REPLY,
        text="Grüße\n.dot\n",
        html="<p>Grüße</p><script>x()</script>",
        attachments=(Attachment("plan ü.pdf", "application/pdf", 4, b"%PDF"), Attachment("x", "nonsense", 1, b"x")),
    )
    elsewhere = replace(ACCOUNT, address="someone@else.example")
    message = parse_email(composed(outbound, ACCOUNT).as_bytes(), elsewhere, NOW)
    assert message.full_text == "Grüße\n.dot"
    assert message.html == "<p>Grüße</p>"
    assert [(file.name, file.content_type, file.content) for file in message.attachments] == [
        ("plan ü.pdf", "application/pdf", b"%PDF"),
        ("x", "application/octet-stream", b"x"),
    ]


def test_a_file_whose_content_is_not_at_hand_is_refused() -> None:
    with pytest.raises(DeliveryRefused, match="attachment_missing"):
        composed(replace(REPLY, attachments=(Attachment("a", "text/plain", 9, None),)), ACCOUNT)


def test_passwords_stay_out_of_what_is_printed() -> None:
    assert "hunter2" not in repr(ACCOUNT)


def test_the_registry_serves_email_by_mailbox_and_without_one_by_pull() -> None:
    assert adapter_for(Channel.EMAIL, ACCOUNT).capabilities.delivers == "push"
    assert adapter_for(Channel.EMAIL).capabilities.delivers == "pull"


@pytest.mark.parametrize("channel", list(Channel))
def test_every_channel_has_an_adapter(channel: Channel) -> None:
    assert adapter_for(channel).channel is channel
