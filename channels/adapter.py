"""What every platform adapter speaks: Baton's own message form, and one way to send.

ChannelError
├── Unparseable           what arrived is no message; set it aside, its neighbours proceed
├── InvalidMessage        in channels.own_form: what was posted breaks our form; says where
├── MailboxUnreachable    in channels.email.mailbox: the mail server could not be reached; try again
├── VisitorTokenRefused   in channels.web_chat.visitor_token: not ours, or no longer
├── IdentityProofRefused  there too: the site's proof does not fit its user
└── DeliveryError
    ├── DeliveryRefused   the platform said no for good
    └── DeliveryFailed    it did not work this time; try again
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from domain.channels import Channel, MessageKind


class ChannelError(Exception):
    """Something between us and a platform went wrong."""


class Unparseable(ChannelError):  # noqa: N818 - says what happened
    """What arrived can't be read as a message of this channel."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class DeliveryError(ChannelError):
    """A message of ours was not taken by the platform."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(f"{code}: {text}")
        self.code = code
        self.text = text


class DeliveryRefused(DeliveryError):  # noqa: N818 - says what happened
    """The platform refused the message for good; sending it again can't help."""


class DeliveryFailed(DeliveryError):  # noqa: N818 - says what happened
    """The message was not taken this time; sending it again may help and is safe."""


@dataclass(frozen=True, slots=True)
class Sender:
    """Who a message says it is from; `verified` only when the channel proved it."""

    address: str
    display_name: str | None
    verified: bool


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file beside the text; `content` is None when it was left where it was or was too large to keep."""

    name: str
    content_type: str
    size: int
    content: bytes | None


@dataclass(frozen=True, slots=True)
class OtherAddress:
    """Another address the sender goes by; unverified it is a hint, which a person must confirm."""

    channel: Channel
    address: str
    verified: bool


@dataclass(frozen=True, slots=True)
class InboundMessage:
    """One message from a customer, whatever platform carried it."""

    channel: Channel
    account: str
    provider_message_id: str
    sender: Sender
    sent_at: datetime
    text: str
    """What the person wrote now, without the quoted history."""
    full_text: str
    """The whole text as it arrived, quotes and signature included."""
    kind: MessageKind = MessageKind.MESSAGE
    thread_key: str | None = None
    """What the platform groups by: the root Message-ID, a chat session, a call."""
    reply_to: tuple[str, ...] = ()
    """Provider ids this message answers, the oldest first; the newest known one decides the thread."""
    subject: str | None = None
    html: str | None = None
    """Sanitised: no script, no style, nothing that loads from elsewhere."""
    attachments: tuple[Attachment, ...] = ()
    failed_message_id: str | None = None
    """For a bounce: the provider id of our message that did not arrive."""
    other_addresses: tuple[OtherAddress, ...] = ()


@dataclass(frozen=True, slots=True)
class OutboundMessage:
    """One message of ours, addressed; `message_id` is the idempotency key of the delivery."""

    message_id: str
    channel: Channel
    account: str
    to_address: str
    subject: str | None
    text: str
    html: str | None
    thread_key: str | None
    references: tuple[str, ...]
    """Provider ids of the thread so far, the oldest first."""
    sent_at: datetime
    attachments: tuple[Attachment, ...] = ()
    automatic: bool = False
    """Sent without a person's doing, a survey for instance: marked so, that no robot answers it."""


@dataclass(frozen=True, slots=True)
class Sent:
    """The platform took it and knows it by this id."""

    provider_message_id: str


class Delivers(StrEnum):
    """Who moves an outbound message: we push it, or the other side pulls it from us."""

    PUSH = "push"
    PULL = "pull"


@dataclass(frozen=True, slots=True)
class Capabilities:
    html: bool
    attachments: bool
    threads: bool
    typing: bool
    max_text_length: int | None
    """Characters; None when the channel sets no limit of its own."""
    delivers: Delivers


class Adapter(Protocol):
    """One configured end of ours on a channel."""

    @property
    def channel(self) -> Channel: ...

    @property
    def capabilities(self) -> Capabilities: ...

    async def send(self, message: OutboundMessage) -> Sent:
        """Hand the message to the platform; raises `DeliveryRefused` or `DeliveryFailed`."""
        ...
