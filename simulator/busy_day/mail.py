"""A customer's own mail program: SMTP to write, IMAP to read, again and again until the server answers."""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime
from imaplib import IMAP4
from typing import Final

import aiosmtplib
from imap_tools import MailBoxUnencrypted

HOST: Final = "127.0.0.1"
PAUSE_SECONDS: Final = 0.5


@dataclass(frozen=True, slots=True)
class Letter:
    """`message_id` in angle brackets; the same one again is the same letter again."""

    message_id: str
    sender: str
    recipient: str
    subject: str
    text: str
    answers: str | None = None
    """The Message-ID of ours that the customer pressed "reply" on."""


@dataclass(frozen=True, slots=True)
class Received:
    message_id: str
    subject: str
    text: str


class MailProgram:
    def __init__(self, smtp_port: int, imap_port: int, password: str) -> None:
        self._smtp_port = smtp_port
        self._imap_port = imap_port
        self._password = password

    async def send(self, letter: Letter) -> None:
        """Return once the server has taken the letter; what it refuses for good is raised."""
        mail = EmailMessage()
        mail["Message-ID"] = letter.message_id
        mail["Date"] = format_datetime(datetime.now(UTC))
        mail["From"] = letter.sender
        mail["To"] = letter.recipient
        mail["Subject"] = letter.subject
        if letter.answers is not None:
            mail["In-Reply-To"] = letter.answers
            mail["References"] = letter.answers
        mail.set_content(letter.text)
        while True:
            try:
                await aiosmtplib.send(mail, hostname=HOST, port=self._smtp_port, start_tls=False)
            except (aiosmtplib.SMTPConnectError, aiosmtplib.SMTPServerDisconnected, OSError):
                await asyncio.sleep(PAUSE_SECONDS)
            else:
                return

    async def inbox(self, address: str) -> list[Received]:
        """Everything the customer was sent, the oldest first; empty while the server can't be reached."""
        try:
            return await asyncio.to_thread(self._read, address)
        except (OSError, IMAP4.abort):
            return []

    def _read(self, address: str) -> list[Received]:
        with MailBoxUnencrypted(HOST, self._imap_port).login(address, self._password) as mailbox:
            return [
                Received((mail.obj["Message-ID"] or "").strip(), mail.subject, mail.text)
                for mail in mailbox.fetch(mark_seen=False)
            ]
