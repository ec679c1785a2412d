"""Links that stand for one customer's answer: signed, for one suggestion or survey, and for a time.

A token is the subject's id, its last second, and an HMAC-SHA256 of both. Whoever holds the link may answer, which is
what a link in a private message is for; nobody can make one.
"""

import base64
import hashlib
import hmac
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

_PURPOSE: Final = b"baton journey links"
_LONGEST: Final = 300
_MAC_BYTES: Final = 16


class LinkRefused(ValueError):  # noqa: N818 -- says what happened
    """The token is not ours, or no longer."""


@dataclass(frozen=True, slots=True)
class LinkMaker:
    """`public_url` is where customers reach the API; empty when they cannot, and then there are no links."""

    key: bytes
    public_url: str

    def link(self, subject: str, expires_at: datetime) -> str | None:
        if not self.public_url:
            return None
        return f"{self.public_url.rstrip('/')}/v1/s/{sign(self.key, subject, expires_at)}"


def link_key(secret: bytes) -> bytes:
    """The key of links, derived from the deployment's secret for this use alone."""
    return hmac.digest(secret, _PURPOSE, "sha256")


def sign(key: bytes, subject: str, expires_at: datetime) -> str:
    said = f"{subject}.{int(expires_at.timestamp())}"
    return f"{said}.{_mac(key, said)}"


def read(key: bytes, token: str, now: datetime) -> str:
    """Return the id a token stands for.

    Raises:
        LinkRefused: somebody else's making, or past its time.
    """
    if len(token) > _LONGEST or not token.isascii():
        raise LinkRefused("not a token of ours")
    said, _, mac = token.rpartition(".")
    if not hmac.compare_digest(_mac(key, said), mac):
        raise LinkRefused("not a token of ours")
    subject, _, until = said.rpartition(".")
    if now.astimezone(UTC).timestamp() > int(until):
        raise LinkRefused("its time is over")
    return subject


def _mac(key: bytes, said: str) -> str:
    digest = hmac.new(key, said.encode(), hashlib.sha256).digest()[:_MAC_BYTES]
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")
