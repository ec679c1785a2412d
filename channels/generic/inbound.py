"""A message an integration posts in our own form, on any channel."""

from dataclasses import dataclass
from datetime import datetime

from channels.adapter import Attachment, InboundMessage, Sender
from channels.addresses import normal_address
from channels.html import safe_html, text_of_html
from channels.own_form import (
    LONGEST_NAME,
    LONGEST_SUBJECT,
    Fault,
    InvalidMessage,
    content_faults,
    id_faults,
    length_faults,
)
from channels.plain_text import one_line, storable_text
from domain.channels import SENDER_AUTHENTICATED_BY_PLATFORM, Channel, MessageKind
from domain.closing_thanks import is_closing_thanks
from domain.identity.addresses import NotAnAddress


@dataclass(frozen=True, slots=True)
class PostedMessage:
    """One message as posted; the field names are those of `POST /v1/messages`, its `from` being `sender_…` here."""

    channel: Channel
    account: str
    provider_message_id: str
    sender_address: str
    text: str
    sent_at: datetime
    sender_display_name: str | None = None
    sender_verified: bool | None = None
    """Left open, the channel decides: a platform that authenticates its users verifies them."""
    thread_key: str | None = None
    subject: str | None = None
    html: str | None = None
    attachments: tuple[Attachment, ...] = ()


def inbound_message(posted: PostedMessage, received_at: datetime, default_region: str | None = None) -> InboundMessage:
    """The posted message in the form the core takes; raises `InvalidMessage` naming every fault at once.

    The sender's address arrives in its normal form. A time yet to come becomes the time of arrival.
    """
    faults = _faults(posted, default_region)
    if faults:
        raise InvalidMessage(tuple(faults))
    written = storable_text(posted.text)
    text = written if written.strip() else text_of_html(posted.html or "")
    verified = posted.sender_verified
    return InboundMessage(
        channel=posted.channel,
        account=posted.account,
        provider_message_id=posted.provider_message_id,
        sender=Sender(
            address=normal_address(posted.channel, posted.sender_address, default_region).value,
            display_name=one_line(posted.sender_display_name or "") or None,
            verified=posted.channel in SENDER_AUTHENTICATED_BY_PLATFORM if verified is None else verified,
        ),
        sent_at=min(posted.sent_at, received_at),
        text=text,
        full_text=text,
        kind=_kind(text, posted.attachments),
        thread_key=posted.thread_key,
        subject=one_line(posted.subject or "") or None,
        html=safe_html(storable_text(posted.html)) if posted.html else None,
        attachments=posted.attachments,
    )


def _faults(posted: PostedMessage, default_region: str | None) -> list[Fault]:
    faults = [
        *id_faults("/account", posted.account),
        *id_faults("/provider_message_id", posted.provider_message_id),
        *id_faults("/thread_key", posted.thread_key),
        *length_faults("/subject", posted.subject, LONGEST_SUBJECT),
        *length_faults("/from/display_name", posted.sender_display_name, LONGEST_NAME),
        *content_faults(posted.text, posted.html, posted.attachments),
    ]
    try:
        normal_address(posted.channel, posted.sender_address, default_region)
    except NotAnAddress as error:
        faults.append(Fault("/from/address", error.reason))
    if posted.sent_at.tzinfo is None:
        faults.append(Fault("/sent_at", "must carry a time zone"))
    return faults


def _kind(text: str, attachments: tuple[Attachment, ...]) -> MessageKind:
    return MessageKind.CLOSING_THANKS if not attachments and is_closing_thanks(text) else MessageKind.MESSAGE
