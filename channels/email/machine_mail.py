"""Mail no person wrote: automatic answers, bounces, and our own mail come back to us."""

import re
from dataclasses import dataclass
from email.message import Message
from email.parser import HeaderParser
from typing import Final

from channels.email.headers import Author, field_value, field_values, message_ids
from domain.channels import MessageKind

OWN_ACCOUNT_FIELD: Final = "X-Baton-Account"
"""Names the mailbox that sent a message of ours; where it comes back to that mailbox, the mail runs in a circle."""

_AUTOMATIC_FIELDS: Final = ("X-Autoreply", "X-Autorespond", "X-Mail-Autoreply")
# Not `list`: people write to a support address that is a mailing group, and the group labels their mail so.
_AUTOMATIC_PRECEDENCE: Final = frozenset({"bulk", "junk", "auto_reply"})
_DELIVERY_ROBOTS: Final = frozenset({"mailer-daemon", "mail-daemon", "mailerdaemon"})
_QUOTED_MESSAGE_ID: Final = re.compile(r"^[> ]*message-id:[ \t]*(<[^<>\s]{1,900}>)", re.IGNORECASE | re.MULTILINE)
_MOST_LOOKED_AT: Final = 200_000


@dataclass(frozen=True, slots=True)
class MachineMail:
    kind: MessageKind
    failed_message_id: str | None


def machine_mail(message: Message, author: Author, own_address: str, text: str) -> MachineMail | None:
    """What kind of automatic mail this is; None when nothing says that it is any."""
    if (report := _delivery_status(message)) is not None:
        return _bounce(message, text) if report == "failed" else MachineMail(MessageKind.AUTO_REPLY, None)
    if author.address.partition("@")[0] in _DELIVERY_ROBOTS:
        return _bounce(message, text)
    if _is_own(message, own_address) or _says_automatic(message):
        return MachineMail(MessageKind.AUTO_REPLY, None)
    return None


def _is_own(message: Message, own_address: str) -> bool:
    return any(value.lower() == own_address.lower() for value in field_values(message, OWN_ACCOUNT_FIELD))


def _says_automatic(message: Message) -> bool:
    # RFC 3834, section 5: anything but `no` was sent without a person's doing; parameters may follow.
    submitted = field_value(message, "Auto-Submitted").partition(";")[0].strip().lower()
    if submitted not in {"", "no"}:
        return True
    if any(field_value(message, name).lower() not in {"", "no", "none"} for name in _AUTOMATIC_FIELDS):
        return True
    # Asking for no out-of-office note is what a person's reply from a help desk does too, ours among them; asking for
    # no answer of any kind is what robots do.
    if "all" in re.split(r"[\s,;]+", field_value(message, "X-Auto-Response-Suppress").lower()):
        return True
    if field_value(message, "Precedence").lower() in _AUTOMATIC_PRECEDENCE:
        return True
    # Mail from nobody asks not to be answered (RFC 5321, section 4.5.5).
    return field_value(message, "Return-Path").replace(" ", "") == "<>"


def _delivery_status(message: Message) -> str | None:
    """The outcome a report of the mail system tells (RFC 3464): `failed` when it did for anyone."""
    if message.get_content_type() != "multipart/report":
        return None
    reported = [part for part in message.walk() if part.get_content_type() == "message/delivery-status"]
    if not reported:
        return None
    actions = {
        field_value(block, "Action").lower() for part in reported for block in part.walk() if block is not part
    } - {""}
    return "failed" if not actions or "failed" in actions else min(actions)


def _bounce(message: Message, text: str) -> MachineMail:
    failed = _returned_message_id(message) or _answered_message_id(message) or _quoted_message_id(text)
    return MachineMail(MessageKind.BOUNCE, failed)


def _returned_message_id(message: Message) -> str | None:
    for part in message.walk():
        content_type = part.get_content_type()
        returned: Message | None = None
        if content_type == "message/rfc822" and part.is_multipart():
            inner = part.get_payload(0)
            returned = inner if isinstance(inner, Message) else None
        elif content_type == "text/rfc822-headers":
            content = part.get_payload(decode=True)
            returned = (
                HeaderParser().parsestr(content.decode("ascii", "replace")) if isinstance(content, bytes) else None
            )
        if returned is not None and (found := message_ids(field_value(returned, "Message-ID"))):
            return found[0]
    return None


def _answered_message_id(message: Message) -> str | None:
    found = message_ids(field_value(message, "In-Reply-To")) or message_ids(field_value(message, "References"))
    return found[-1] if found else None


def _quoted_message_id(text: str) -> str | None:
    found = _QUOTED_MESSAGE_ID.search(text[:_MOST_LOOKED_AT])
    return found.group(1) if found else None
