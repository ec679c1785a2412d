"""Header fields of messages that keep no standard: decoded, never trusted, never raising."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.errors import HeaderParseError
from email.header import decode_header
from email.message import Message
from email.utils import getaddresses, parsedate_to_datetime
from typing import Final

from channels.email.charsets import text_in_charset, text_of_unknown_charset
from channels.plain_text import one_line
from domain.identity.addresses import NotAnAddress, normal_email

_MESSAGE_ID: Final = re.compile(r"<([^<>\s]{1,900})>")
_QUOTED_OR_COMMENT: Final = re.compile(r'"(?:[^"\\]|\\.)*"|\([^()]*\)')
_ANGLED: Final = re.compile(r"<([^<>]*)>")


@dataclass(frozen=True, slots=True)
class Author:
    """Who a From line names."""

    address: str
    display_name: str | None
    unambiguous: bool
    """One From line naming one address: anything else can be read in two ways, so it proves nothing."""


def field_values(message: Message, name: str) -> Iterator[str]:
    """The values of every field of this name, from the top, unfolded but not decoded."""
    wanted = name.lower()
    for found, value in message.raw_items():
        if found.lower() == wanted:
            yield one_line(_from_bytes(str(value)))


def field_value(message: Message, name: str) -> str:
    """The value of the topmost field of this name, empty when there is none."""
    return next(field_values(message, name), "")


def decoded(value: str) -> str:
    """The value with its encoded words (RFC 2047) read; what can't be read stays as it is."""
    if "=?" not in value:
        return one_line(value)
    try:
        parts = decode_header(value)
    except (HeaderParseError, ValueError):
        return one_line(value)
    text = "".join(part if isinstance(part, str) else text_in_charset(part, charset) for part, charset in parts)
    return one_line(text)


def message_ids(value: str) -> tuple[str, ...]:
    """The message ids in a value, angle brackets kept, each once, in their order."""
    return tuple(dict.fromkeys(f"<{found}>" for found in _MESSAGE_ID.findall(value)))


def author(message: Message) -> Author | None:
    """Whom the From line names, else whom Sender does; None when neither holds an address."""
    from_lines = list(field_values(message, "From"))
    for line in from_lines:
        named = _first_address(line)
        if named is not None:
            address, display_name = named
            bare = _QUOTED_OR_COMMENT.sub("", line)
            return Author(address, display_name, unambiguous=len(from_lines) == 1 and bare.count("@") == 1)
    named = _first_address(field_value(message, "Sender"))
    return None if named is None else Author(named[0], named[1], unambiguous=False)


def sending_time(message: Message, received_at: datetime) -> datetime:
    """The Date of a message in UTC; when it is missing, unreadable or yet to come, the time of its arrival."""
    try:
        written = parsedate_to_datetime(field_value(message, "Date"))
        if written.tzinfo is None:
            written = written.replace(tzinfo=UTC)
        return min(written.astimezone(UTC), received_at)
    except (ValueError, TypeError, OverflowError, IndexError):
        return received_at


def _first_address(line: str) -> tuple[str, str | None] | None:
    # Addresses are found before encoded words are read: an encoded comma or bracket is part of a name.
    candidates = [(name, address) for name, address in getaddresses([line]) if address]
    candidates += [("", found) for found in _ANGLED.findall(line)]
    for name, address in candidates:
        try:
            return normal_email(address).value, decoded(name) or None
        except NotAnAddress:
            continue
    return None


def _from_bytes(value: str) -> str:
    # The parser keeps raw 8-bit bytes as surrogates.
    if value.isascii():
        return value
    return text_of_unknown_charset(value.encode("utf-8", "surrogateescape"))
