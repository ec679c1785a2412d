from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from email.policy import SMTP

import pytest

from channels.adapter import Unparseable
from channels.email.parse import parse_email
from channels.email.settings import EmailAccount, Encryption, MailServer
from domain.channels import Channel, MessageKind

NOW = datetime(2025, 3, 4, 12, 0, tzinfo=UTC)
ACCOUNT = EmailAccount(
    account="helpdesk",
    address="help@lamp.example",
    display_name="Lamp Help",
    imap=MailServer("mail.lamp.example", 993, Encryption.TLS, "help", "pw"),
    smtp=MailServer("mail.lamp.example", 465),
    authserv_id="mx.lamp.example",
)


def mail(text: str = "The lamp hums.", **fields: str) -> EmailMessage:
    message = EmailMessage(policy=SMTP)
    defaults = {
        "From": "Ada Byte <ada@cust.example>",
        "To": "help@lamp.example",
        "Subject": "Humming lamp",
        "Message-ID": "<first@cust.example>",
        "Date": "Tue, 04 Mar 2025 11:30:00 +0100",
    }
    for name, value in (defaults | {name.replace("_", "-"): value for name, value in fields.items()}).items():
        message[name] = value
    message.set_content(text)
    return message


def test_a_plain_mail_becomes_our_message_form() -> None:
    message = parse_email(mail().as_bytes(), ACCOUNT, NOW)
    assert message.channel is Channel.EMAIL
    assert message.account == "helpdesk"
    assert message.provider_message_id == "<first@cust.example>"
    assert (message.sender.address, message.sender.display_name) == ("ada@cust.example", "Ada Byte")
    assert not message.sender.verified
    assert message.subject == "Humming lamp"
    assert message.text == message.full_text == "The lamp hums."
    assert message.sent_at == datetime(2025, 3, 4, 10, 30, tzinfo=UTC)
    assert message.kind is MessageKind.MESSAGE
    assert message.html is None
    assert message.attachments == ()


def test_a_mail_that_answers_none_is_the_root_of_its_thread() -> None:
    message = parse_email(mail().as_bytes(), ACCOUNT, NOW)
    assert message.thread_key == "<first@cust.example>"
    assert message.reply_to == ()


def test_a_reply_belongs_to_the_root_it_references() -> None:
    raw = mail(References="<root@x> <middle@x>", In_Reply_To="<middle@x>").as_bytes()
    message = parse_email(raw, ACCOUNT, NOW)
    assert message.thread_key == "<root@x>"
    assert message.reply_to == ("<root@x>", "<middle@x>")


def test_a_reply_without_references_threads_by_what_it_answers() -> None:
    message = parse_email(mail(In_Reply_To="<root@x>").as_bytes(), ACCOUNT, NOW)
    assert message.thread_key == "<root@x>"


def test_a_mail_that_references_itself_is_its_own_root() -> None:
    message = parse_email(mail(References="<first@cust.example>").as_bytes(), ACCOUNT, NOW)
    assert message.reply_to == ()
    assert message.thread_key == "<first@cust.example>"


def test_endless_references_keep_the_root_and_the_newest() -> None:
    raw = b"From: a@cust.example\nMessage-ID: <new@x>\nReferences:" + b"".join(b"\n <r%d@x>" % n for n in range(500))
    message = parse_email(raw + b"\n\nhi", ACCOUNT, NOW)
    assert message.thread_key == "<r0@x>"
    assert message.reply_to[-1] == "<r499@x>"
    assert len(message.reply_to) == 100


def test_a_missing_message_id_is_made_up_the_same_for_every_delivery() -> None:
    written = b"From: a@cust.example\r\nSubject: hi\r\n\r\nThe lamp hums.\r\n"
    once = parse_email(b"Received: from a\r\n" + written, ACCOUNT, NOW)
    again = parse_email(b"Received: from b\r\n" + written, ACCOUNT, NOW + timedelta(days=1))
    other = parse_email(written + b"More.\r\n", ACCOUNT, NOW)
    assert once.provider_message_id == again.provider_message_id
    assert once.provider_message_id != other.provider_message_id


def test_the_quoted_history_is_left_out_of_the_text_but_kept_in_the_full_text() -> None:
    text = "It still hums.\n\nOn Mon, 3 Mar 2025 at 10:00, Lamp Help <help@lamp.example> wrote:\n> Did you unplug it?\n"
    message = parse_email(mail(text).as_bytes(), ACCOUNT, NOW)
    assert message.text == "It still hums."
    assert "Did you unplug it?" in message.full_text


def test_html_alone_gives_the_text_and_is_made_safe() -> None:
    message = mail()
    html = '<p onclick="steal()">My <b>lamp</b></p><script>steal()</script><img src="https://spy.example/p.gif"><p>hums</p>'
    message.set_content(html, subtype="html")
    parsed = parse_email(message.as_bytes(), ACCOUNT, NOW)
    assert parsed.text == "My lamp\n\nhums"
    assert parsed.html is not None
    for danger in ("script", "onclick", "img", "spy.example"):
        assert danger not in parsed.html
    assert "<b>lamp</b>" in parsed.html


def test_a_plain_text_beside_the_html_is_the_text() -> None:
    message = mail("Plain words.")
    message.add_alternative("<p>Styled words.</p>", subtype="html")
    parsed = parse_email(message.as_bytes(), ACCOUNT, NOW)
    assert parsed.text == "Plain words."
    assert parsed.html is not None
    assert "<p>Styled words.</p>" in parsed.html


def test_files_are_attachments_with_harmless_names() -> None:
    message = mail()
    message.add_attachment(b"%PDF", maintype="application", subtype="pdf", filename="../../etc/in:voice.pdf")
    message.add_attachment(b"GIF", maintype="image", subtype="gif")
    document, picture = parse_email(message.as_bytes(), ACCOUNT, NOW).attachments
    assert (document.name, document.content_type, document.content) == ("in_voice.pdf", "application/pdf", b"%PDF")
    assert document.size == 4
    assert picture.name == "attachment-2.gif"


def test_a_forwarded_mail_is_an_attachment_not_the_text() -> None:
    message = mail("See below.")
    message.add_attachment(mail("Somebody else's words."))
    parsed = parse_email(message.as_bytes(), ACCOUNT, NOW)
    assert parsed.text == "See below."
    (forwarded,) = parsed.attachments
    assert forwarded.name.endswith(".eml")
    assert forwarded.content is not None
    assert b"Somebody else's words." in forwarded.content


def test_encoded_names_and_subjects_are_read() -> None:
    raw = (
        b"From: =?utf-8?q?Zo=C3=AB=2C_Lamps?= <zoe@cust.example>\n"
        b"Subject: =?iso-8859-1?Q?Gr=FC=DFe?= =?utf-8?b?4piV?=\n\nhi"
    )
    message = parse_email(raw, ACCOUNT, NOW)
    assert message.sender.display_name == "Zoë, Lamps"
    assert message.sender.address == "zoe@cust.example"
    assert message.subject == "Grüße☕"


@pytest.mark.parametrize(
    ("charset", "content", "text"),
    [
        (b"utf-8", "Grüße".encode(), "Grüße"),
        (b"iso-8859-1", b"\x93quoted\x94", "“quoted”"),
        (b"gb2312", "灯坏了".encode("gb18030"), "灯坏了"),
        (b"x-made-up", "Grüße".encode(), "Grüße"),
        (b"utf-8", "Grüße".encode("cp1252"), "Grüße"),
        (b"idna", b"plain", "plain"),
        (b"rot13", b"plain", "plain"),
        (b"", b"\xff\xfe odd", "ÿþ odd"),
    ],
)
def test_a_wrong_or_unknown_charset_still_gives_the_best_text(charset: bytes, content: bytes, text: str) -> None:
    raw = b"From: a@cust.example\nContent-Type: text/plain; charset=" + charset + b"\n\n" + content
    assert parse_email(raw, ACCOUNT, NOW).text == text


def test_raw_bytes_in_a_header_are_read_too() -> None:
    raw = "From: Zoë <zoe@cust.example>\nSubject: Grüße\n\nhi".encode()
    message = parse_email(raw, ACCOUNT, NOW)
    assert message.sender.display_name == "Zoë"
    assert message.subject == "Grüße"


@pytest.mark.parametrize(
    "date", ["", "yesterday", "Tue, 99 Foo 2025 99:99:99 +9999", "Wed, 05 Mar 2035 10:00:00 +0000"]
)
def test_a_date_missing_unreadable_or_yet_to_come_is_the_time_of_arrival(date: str) -> None:
    raw = f"From: a@cust.example\nDate: {date}\n\nhi".encode()
    assert parse_email(raw, ACCOUNT, NOW).sent_at == NOW


def test_what_no_database_can_store_is_taken_out() -> None:
    raw = b"From: a@cust.example\nSubject: a\x00b\n\nbe\x00fore\r\nafter"
    message = parse_email(raw, ACCOUNT, NOW)
    assert message.text == "before\nafter"
    assert message.subject == "ab"


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "empty"),
        (b" \r\n", "empty"),
        (b"Subject: who am I\n\nhi", "no sender"),
        (b"From: nobody in particular\n\nhi", "no sender"),
        (b"\xff\xfe\x00\x01", "no sender"),
    ],
)
def test_what_is_no_message_is_unparseable_with_a_reason(raw: bytes, reason: str) -> None:
    with pytest.raises(Unparseable, match=reason):
        parse_email(raw, ACCOUNT, NOW)


def test_a_message_nested_beyond_reason_does_not_stop_the_mailbox() -> None:
    raw = b"From: a@cust.example\n" + b"".join(
        b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (depth, depth) for depth in range(3000)
    )
    with pytest.raises(Unparseable, match="gave up"):
        parse_email(raw, ACCOUNT, NOW)


def test_thanks_that_answer_something_close_and_ask_nothing() -> None:
    reply = mail("Perfect, thank you!", In_Reply_To="<ours@lamp.example>")
    assert parse_email(reply.as_bytes(), ACCOUNT, NOW).kind is MessageKind.CLOSING_THANKS


def test_thanks_that_open_a_thread_are_a_message() -> None:
    assert parse_email(mail("Thank you!").as_bytes(), ACCOUNT, NOW).kind is MessageKind.MESSAGE


def test_thanks_with_a_file_are_a_message() -> None:
    reply = mail("Thank you!", In_Reply_To="<ours@lamp.example>")
    reply.add_attachment(b"log", maintype="text", subtype="plain", filename="log.txt")
    assert parse_email(reply.as_bytes(), ACCOUNT, NOW).kind is MessageKind.MESSAGE
