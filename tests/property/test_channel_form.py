"""Whatever strangers send, it becomes a message we can store or an error of ours."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from channels.adapter import InboundMessage, Unparseable
from channels.addresses import normal_address
from channels.email.parse import parse_email
from channels.email.reply_text import written_text
from channels.email.send import outbound_message_id
from channels.email.settings import EmailAccount, MailServer
from channels.html import safe_html, text_of_html
from channels.plain_text import storable_text
from domain.channels import Channel
from domain.closing_thanks import is_closing_thanks
from domain.identity.addresses import NotAnAddress

NOW = datetime(2025, 3, 4, 12, 0, tzinfo=UTC)
SERVER = MailServer("mail.lamp.example", 993)
ACCOUNT = EmailAccount("helpdesk", "help@lamp.example", "Help", SERVER, SERVER, authserv_id="mx.lamp.example")

FIELDS = st.sampled_from(
    [
        b"From",
        b"To",
        b"Date",
        b"Subject",
        b"Message-ID",
        b"References",
        b"In-Reply-To",
        b"Content-Type",
        b"Return-Path",
        b"Content-Transfer-Encoding",
        b"Content-Disposition",
        b"Authentication-Results",
        b"Auto-Submitted",
    ]
)
VALUES = st.one_of(
    st.binary(max_size=40),
    st.sampled_from(
        [
            b"a@cust.example",
            b"<x@y>",
            b"=?utf-8?b?!!?=",
            b"=?x-no?q?=ff?=",
            b"multipart/report; boundary=b",
            b"base64",
            b"multipart/mixed; boundary=b",
            b'text/plain; charset="\xff"',
            b"message/rfc822",
            b"message/delivery-status",
            b"text/html; charset=utf-7",
            b"attachment; filename*=x''%ff",
            b"attachment; filename*0*=a'b",
            b"uuencode",
            b"mx.lamp.example; dmarc=pass header.from=cust.example",
            b"Tue, 99 Xxx 0000 25:61:61 -9999",
            b"quoted-printable",
        ]
    ),
)
HOSTILE_MAIL = st.builds(
    lambda fields, body: b"".join(name + b": " + value + b"\n" for name, value in fields) + b"\n" + body,
    st.lists(st.tuples(FIELDS, VALUES), max_size=8),
    st.one_of(
        st.binary(max_size=200),
        st.lists(
            st.one_of(
                st.sampled_from([b"--b\n", b"--b--\n", b"\n", b"Content-Type: text/html\n", b"> x\n"]), st.binary()
            ),
            max_size=12,
        ).map(b"".join),
    ),
)


def storable(text: str | None) -> bool:
    return text is None or (storable_text(text) == text and "\x00" not in text.encode().decode())


def parsed_or_refused(raw: bytes) -> None:
    try:
        message = parse_email(raw, ACCOUNT, NOW)
    except Unparseable:
        return
    assert isinstance(message, InboundMessage)
    assert message.provider_message_id.startswith("<")
    assert message.thread_key
    assert message.sent_at <= NOW
    assert normal_address(Channel.EMAIL, message.sender.address).value == message.sender.address
    for text in (message.text, message.full_text, message.subject, message.html, message.sender.display_name):
        assert storable(text)
    for name in (message.provider_message_id, message.thread_key, *(file.name for file in message.attachments)):
        assert storable(name)
    assert parse_email(raw, ACCOUNT, NOW) == message


@given(st.binary(max_size=400))
def test_arbitrary_bytes_are_a_message_or_unparseable(raw: bytes) -> None:
    parsed_or_refused(raw)


@given(HOSTILE_MAIL)
def test_hostile_mail_is_a_message_or_unparseable(raw: bytes) -> None:
    parsed_or_refused(b"From: a@cust.example\n" + raw)
    parsed_or_refused(raw)


@given(st.sampled_from(Channel), st.text(max_size=80), st.sampled_from([None, "GB", "DE", "US"]))
def test_a_normal_address_is_its_own_normal_form(channel: Channel, raw: str, region: str | None) -> None:
    try:
        address = normal_address(channel, raw, region)
    except NotAnAddress:
        return
    assert normal_address(channel, address.value, region) == address


@given(
    st.sampled_from([Channel.SMS, Channel.WHATSAPP, Channel.VOICE]),
    st.text("+0123456789 ()-.", max_size=22),
    st.sampled_from([None, "GB", "IT", "US", "AR", "BR", "MX"]),
)
def test_a_telephone_number_is_its_own_normal_form(channel: Channel, raw: str, region: str | None) -> None:
    try:
        address = normal_address(channel, raw, region)
    except NotAnAddress:
        return
    assert normal_address(channel, address.value, region) == address
    assert address.value.startswith("+")


@given(st.emails())
def test_case_and_blanks_never_make_another_email_address(raw: str) -> None:
    try:
        address = normal_address(Channel.EMAIL, raw)
    except NotAnAddress:
        return
    assert normal_address(Channel.EMAIL, f" {raw.upper()} ") == address


@given(st.text(max_size=300))
def test_safe_html_is_already_safe(html: str) -> None:
    once = safe_html(storable_text(html))
    assert safe_html(once) == once


@given(st.text("<>/&;\"'= \nabimgscrptdvquote", max_size=200))
def test_html_gives_text_without_tags_of_its_own(html: str) -> None:
    assert storable(text_of_html(html))


@given(st.text(st.characters(exclude_characters=">\x00\ue000", exclude_categories=["Cs"]), max_size=200))
def test_a_text_without_quotes_and_signature_is_never_lost(text: str) -> None:
    assert bool(written_text(text)) == bool(text.strip())


@given(st.text(max_size=160))
def test_thanks_are_told_from_any_text_without_failing(text: str) -> None:
    assert is_closing_thanks(text) == is_closing_thanks(text.upper()) or not text.isascii()


@given(st.text(min_size=1, max_size=60))
def test_an_outbound_message_id_is_one_token(message_id: str) -> None:
    made = outbound_message_id(message_id, "lamp.example")
    assert made.startswith("<")
    assert made.endswith("@lamp.example>")
    assert made.isascii()
    assert not any(letter.isspace() for letter in made)
