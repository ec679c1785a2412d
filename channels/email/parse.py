"""The bytes of an e-mail (RFC 5322) into our message form."""

import hashlib
from datetime import datetime
from email import message_from_bytes
from email.message import Message
from typing import Final

from channels.adapter import InboundMessage, Sender, Unparseable
from channels.email.authentication import is_verified
from channels.email.body import Body, body_of
from channels.email.headers import Author, author, decoded, field_value, message_ids, sending_time
from channels.email.machine_mail import machine_mail
from channels.email.reply_text import written_text
from channels.email.settings import EmailAccount
from domain.channels import Channel, MessageKind
from domain.closing_thanks import is_closing_thanks

_LONGEST_SUBJECT: Final = 998  # RFC 5322, section 2.1.1
_MOST_REFERENCES: Final = 100


def parse_email(raw: bytes, account: EmailAccount, received_at: datetime) -> InboundMessage:
    """The message as our mailbox received it; raises `Unparseable`, and nothing else, whatever the bytes are.

    The thread is what the sender's References claim. Who may join a thread is for the caller to judge: anybody who saw
    one of its messages can name it.
    """
    if not raw.strip():
        raise Unparseable("the message is empty")
    try:
        return _parsed(raw, account, received_at)
    except Unparseable:
        raise
    except Exception as error:
        # The standard library's parser raises whatever its inner parts do on input made to break it. One such message
        # must not stop the mailbox, so here, at the edge, every kind of failure becomes ours.
        raise Unparseable(f"the parser gave up: {type(error).__name__}") from error


def _parsed(raw: bytes, account: EmailAccount, received_at: datetime) -> InboundMessage:
    message = message_from_bytes(raw)
    who = author(message)
    if who is None:
        raise Unparseable("no sender address")
    body = body_of(message)
    text = written_text(body.text)
    own_id = _message_id(message, raw)
    references = _references(message, own_id)
    machine = machine_mail(message, who, account.address, body.text)
    failed = machine.failed_message_id if machine else None
    return InboundMessage(
        channel=Channel.EMAIL,
        account=account.account,
        provider_message_id=own_id,
        sender=_sender(message, who, account),
        sent_at=sending_time(message, received_at),
        text=text,
        full_text=body.text,
        kind=machine.kind if machine else _personal_kind(text, body, references),
        thread_key=references[0] if references else failed or own_id,
        reply_to=references,
        subject=decoded(field_value(message, "Subject"))[:_LONGEST_SUBJECT] or None,
        html=body.html,
        attachments=body.attachments,
        failed_message_id=failed,
    )


def _sender(message: Message, who: Author, account: EmailAccount) -> Sender:
    return Sender(
        address=who.address,
        display_name=who.display_name,
        verified=is_verified(message, who, account.trust_from, account.authserv_id),
    )


def _message_id(message: Message, raw: bytes) -> str:
    found = message_ids(field_value(message, "Message-ID"))
    if found:
        return found[0]
    # The trace fields above differ between two deliveries of one message; what its author wrote does not.
    written = "\n".join(field_value(message, name) for name in ("From", "To", "Date", "Subject"))
    content = raw.replace(b"\r\n", b"\n").partition(b"\n\n")[2]
    digest = hashlib.sha256(written.encode("utf-8", "replace") + b"\n\n" + content).hexdigest()[:32]
    return f"<{digest}@without-message-id.invalid>"


def _references(message: Message, own_id: str) -> tuple[str, ...]:
    named = message_ids(field_value(message, "References")) + message_ids(field_value(message, "In-Reply-To"))
    others = tuple(dict.fromkeys(found for found in named if found != own_id))
    if len(others) <= _MOST_REFERENCES:
        return others
    return others[:1] + others[1 - _MOST_REFERENCES :]


def _personal_kind(text: str, body: Body, references: tuple[str, ...]) -> MessageKind:
    if references and not body.attachments and is_closing_thanks(text):
        return MessageKind.CLOSING_THANKS
    return MessageKind.MESSAGE
