"""Whether our own mail server vouches for the From line of a message (RFC 8601, RFC 7489)."""

import re
from email.message import Message
from typing import Final

from channels.email.headers import Author, field_value
from channels.email.settings import TrustFrom
from domain.identity.addresses import NotAnAddress, normal_email

_COMMENT: Final = re.compile(r"\([^()]*\)")
_DEEPEST_COMMENT: Final = 5
_QUOTED: Final = re.compile(r'"((?:[^"\\]|\\.)*)"')
_RESULT: Final = re.compile(r"\s*dmarc\s*(?:/\s*1\s*)?=\s*(\w+)(.*)", re.IGNORECASE | re.DOTALL)
_HEADER_FROM: Final = re.compile(r"\bheader\.from\s*=\s*([^\s;]+)", re.IGNORECASE)


def is_verified(message: Message, author: Author, trust: TrustFrom, authserv_id: str | None) -> bool:
    """Whether the author may be taken for the person the address belongs to.

    Only the topmost Authentication-Results counts, and only when it bears our server's id: whoever sends a message can
    write such a field too, but only our own server writes above what was sent.
    """
    if trust is TrustFrom.NEVER or not author.unambiguous:
        return False
    if trust is TrustFrom.ALWAYS:
        return True
    if not authserv_id:
        return False
    server, _, results = _plain(field_value(message, "Authentication-Results")).partition(";")
    if server.split()[:1] != [authserv_id.lower()]:
        return False
    verdicts = [found for found in map(_RESULT.fullmatch, results.split(";")) if found is not None]
    return bool(verdicts) and all(_passes(found.group(1), found.group(2), author) for found in verdicts)


def _passes(verdict: str, properties: str, author: Author) -> bool:
    judged = _HEADER_FROM.search(properties)
    if verdict != "pass" or judged is None:
        return False
    try:
        # The policy applies to the domain of the From line, nothing else; a pass for another domain proves nothing.
        return normal_email(f"x@{judged.group(1).rpartition('@')[2]}").value == f"x@{author.address.rpartition('@')[2]}"
    except NotAnAddress:
        return False


def _plain(value: str) -> str:
    # A quoted string can't carry anything we look for, except to deceive.
    value = _QUOTED.sub(" ", value)
    for _ in range(_DEEPEST_COMMENT):
        value = _COMMENT.sub(" ", value)
    return value.lower()
