"""Web chat: visitors post through the widget and read our answers from its event stream."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from channels.adapter import Capabilities, Delivers, InboundMessage, OtherAddress, OutboundMessage, Sender, Sent
from channels.own_form import LONGEST_NAME, Fault, InvalidMessage, content_faults, id_faults, length_faults
from channels.plain_text import one_line, storable_text
from channels.web_chat.visitor_token import Visitor
from domain.channels import Channel, MessageKind
from domain.closing_thanks import is_closing_thanks
from domain.identity.addresses import SITE_USER_PREFIX, NotAnAddress, normal_email

_LONGEST_CHAT_TEXT: Final = 20_000


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """What the widget posts; it makes up `client_message_id` itself, so that a repeated post is known."""

    client_message_id: str
    session_id: str
    text: str
    typed_name: str | None = None
    typed_email: str | None = None


class WebChatAdapter:
    """Nothing is sent: the widget pulls."""

    @property
    def channel(self) -> Channel:
        return Channel.WEB_CHAT

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(
            html=False,
            attachments=False,
            threads=True,
            typing=True,
            max_text_length=_LONGEST_CHAT_TEXT,
            delivers=Delivers.PULL,
        )

    async def send(self, message: OutboundMessage) -> Sent:
        """Being stored, the message is already on its way: the visitor's event stream carries it."""
        return Sent(provider_message_id=message.message_id)


def inbound_chat_message(posted: ChatMessage, visitor: Visitor, received_at: datetime) -> InboundMessage:
    """The posted message in the form the core takes; raises `InvalidMessage`.

    Only the visitor's token says who they are. The browser's clock is not asked.
    """
    faults = [
        *id_faults("/client_message_id", posted.client_message_id),
        *id_faults("/session_id", posted.session_id),
        *content_faults(posted.text, None, ()),
        *length_faults("/text", posted.text, _LONGEST_CHAT_TEXT),
        *length_faults("/name", posted.typed_name, LONGEST_NAME),
    ]
    if faults:
        raise InvalidMessage(tuple(faults))
    text = storable_text(posted.text)
    return InboundMessage(
        channel=Channel.WEB_CHAT,
        account=visitor.account,
        # One browser's counter may equal another's: the visitor's id keeps them apart.
        provider_message_id=f"{visitor.visitor_id}:{posted.client_message_id}",
        sender=_sender(visitor, posted.typed_name),
        sent_at=received_at,
        text=text,
        full_text=text,
        kind=MessageKind.CLOSING_THANKS if is_closing_thanks(text) else MessageKind.MESSAGE,
        thread_key=posted.session_id,
        other_addresses=_other_addresses(visitor, posted.typed_email),
    )


def _sender(visitor: Visitor, typed_name: str | None) -> Sender:
    name = one_line(typed_name or "") or None
    if visitor.identified_as is None:
        return Sender(visitor.visitor_id, name, verified=False)
    return Sender(SITE_USER_PREFIX + visitor.identified_as.user_id, name, verified=True)


def _other_addresses(visitor: Visitor, typed_email: str | None) -> tuple[OtherAddress, ...]:
    proven = visitor.identified_as.email if visitor.identified_as else None
    found: list[OtherAddress] = []
    for address, verified in ((proven, True), (typed_email, False)):
        if address is None:
            continue
        try:
            email = normal_email(address).value
        except NotAnAddress as error:
            # A hint that is no address says nothing; a signed one that is none is the site's mistake to learn of.
            if verified:
                raise InvalidMessage((Fault("/email", error.reason),)) from error
            continue
        if all(email != other.address for other in found):
            found.append(OtherAddress(Channel.EMAIL, email, verified))
    return tuple(found)
