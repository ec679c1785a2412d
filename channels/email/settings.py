"""One mailbox of ours: where it is read, where it sends, and whom it trusts."""

from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum


class Encryption(StrEnum):
    TLS = "tls"
    STARTTLS = "starttls"
    NONE = "none"
    """For a server on the same machine only."""


class TrustFrom(StrEnum):
    """When the From line of a message counts as proof of who wrote it."""

    AUTHENTICATED = "authenticated"
    """When our own mail server says DMARC passed."""
    ALWAYS = "always"
    """For a mailbox only trusted systems can reach."""
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class MailServer:
    host: str
    port: int
    encryption: Encryption = Encryption.TLS
    user: str | None = None
    password: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class EmailAccount:
    account: str
    """The channel account this mailbox belongs to."""
    address: str
    display_name: str
    imap: MailServer
    smtp: MailServer
    folder: str = "INBOX"
    trust_from: TrustFrom = TrustFrom.AUTHENTICATED
    authserv_id: str | None = None
    """How our own mail server signs its Authentication-Results (RFC 8601); without it nothing is authenticated."""
    timeout: timedelta = timedelta(seconds=30)
    """How long one command to a mail server may take."""
    poll_interval: timedelta = timedelta(seconds=20)
    """How often to look for mail where the server can't tell of it, and at the latest where it can."""
    max_message_bytes: int = 30 * 1024 * 1024
    """Longer messages are read up to here; what is missing are the ends of their attachments."""

    @property
    def domain(self) -> str:
        return self.address.rpartition("@")[2].lower()
