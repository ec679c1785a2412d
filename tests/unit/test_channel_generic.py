from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from channels.adapter import Attachment, DeliveryRefused, OutboundMessage
from channels.generic.inbound import PostedMessage, inbound_message
from channels.own_form import InvalidMessage
from channels.registry import adapter_for
from domain.channels import Channel, MessageKind

NOW = datetime(2025, 3, 4, 12, 0, tzinfo=UTC)
SMS = PostedMessage(Channel.SMS, "hotline", "sms-1", "+44 20 7946 0018", "It hums.", NOW - timedelta(seconds=3))


def test_a_posted_message_becomes_our_form() -> None:
    message = inbound_message(SMS, NOW)
    assert message.sender.address == "+442079460018"
    assert message.text == message.full_text == "It hums."
    assert message.sent_at == NOW - timedelta(seconds=3)
    assert message.kind is MessageKind.MESSAGE


@pytest.mark.parametrize(
    ("channel", "address", "verified"),
    [
        (Channel.SMS, "+442079460018", True),
        (Channel.TELEGRAM, "12345", True),
        (Channel.VOICE, "+442079460018", False),
        (Channel.EMAIL, "ada@cust.example", False),
        (Channel.WEB_CHAT, "vis_1", False),
    ],
)
def test_left_open_the_channel_decides_whether_a_sender_is_verified(
    channel: Channel, address: str, verified: bool
) -> None:
    posted = replace(SMS, channel=channel, sender_address=address)
    assert inbound_message(posted, NOW).sender.verified is verified


def test_an_integration_may_say_what_it_verified() -> None:
    assert not inbound_message(replace(SMS, sender_verified=False), NOW).sender.verified
    posted = replace(SMS, channel=Channel.EMAIL, sender_address="ada@cust.example", sender_verified=True)
    assert inbound_message(posted, NOW).sender.verified


def test_a_time_yet_to_come_is_the_time_of_arrival() -> None:
    assert inbound_message(replace(SMS, sent_at=NOW + timedelta(days=1)), NOW).sent_at == NOW


def test_html_is_made_safe_and_gives_the_text_where_there_is_none() -> None:
    message = inbound_message(replace(SMS, text="", html="<p>It <b>hums</b>.</p><script>x()</script>"), NOW)
    assert message.text == "It hums."
    assert message.html == "<p>It <b>hums</b>.</p>"


def test_what_no_database_can_store_is_taken_out() -> None:
    assert inbound_message(replace(SMS, text="a\x00b\ud800", subject="x\ny"), NOW).text == "ab?"


def test_thanks_close() -> None:
    assert inbound_message(replace(SMS, text="thanks, bye"), NOW).kind is MessageKind.CLOSING_THANKS


def test_every_fault_is_told_at_once_with_its_place() -> None:
    broken = replace(
        SMS,
        provider_message_id="",
        sender_address="nobody",
        text=" ",
        thread_key="a\x00",
        subject="s" * 999,
        sent_at=NOW.replace(tzinfo=None),
    )
    with pytest.raises(InvalidMessage) as refused:
        inbound_message(broken, NOW)
    assert {fault.pointer for fault in refused.value.faults} == {
        "/provider_message_id",
        "/from/address",
        "/text",
        "/thread_key",
        "/subject",
        "/sent_at",
    }


@pytest.mark.parametrize(
    ("posted", "pointer"),
    [
        (replace(SMS, text="x" * 100_001), "/text"),
        (replace(SMS, html="x" * 500_001), "/html"),
        (replace(SMS, attachments=(Attachment("a", "text/plain", 1, None),) * 51), "/attachments"),
        (replace(SMS, attachments=(Attachment("a", "text/plain", 26 * 1024 * 1024, None),)), "/attachments/0"),
    ],
    ids=["text", "html", "too many files", "a file too large"],
)
def test_what_is_too_large_is_refused(posted: PostedMessage, pointer: str) -> None:
    with pytest.raises(InvalidMessage) as refused:
        inbound_message(posted, NOW)
    assert [fault.pointer for fault in refused.value.faults] == [pointer]


def outbound(channel: Channel, text: str) -> OutboundMessage:
    return OutboundMessage("msg_7", channel, "hotline", "x", None, text, None, None, (), NOW)


async def test_a_channel_without_a_connection_of_ours_keeps_the_message_to_be_pulled() -> None:
    sent = await adapter_for(Channel.SMS).send(outbound(Channel.SMS, "Did you unplug it?"))
    assert sent.provider_message_id == "msg_7"


async def test_a_text_longer_than_the_platform_takes_is_refused() -> None:
    with pytest.raises(DeliveryRefused, match="text_too_long"):
        await adapter_for(Channel.INSTAGRAM).send(outbound(Channel.INSTAGRAM, "x" * 1001))
