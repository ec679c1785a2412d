"""A mail system in one process for the demo and the tests: real SMTP (aiosmtpd) in, real IMAP (pymap) out.

    python -m simulator.mail_server --domain baton.example --password secret

Mail to any address lands in the INBOX of a user of that name; every user logs in with the one password. It stays in
memory. Addresses under `.invalid` (RFC 2606) are refused. Once both servers listen, a line of JSON on standard output
tells their ports; SIGTERM ends it.
"""

import argparse
import asyncio
import hmac
import json
import re
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.parser import BytesHeaderParser
from email.utils import format_datetime, parseaddr
from functools import partial
from typing import Final

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword
from aiosmtpd.smtp import Session as SmtpSession
from proxyprotocol.reader import ProxyProtocolReader
from pymap.backend.dict import Config, Identity, Login, Session
from pymap.backend.dict.mailbox import MailboxData
from pymap.concurrent import Event
from pymap.imap import IMAPServer
from pymap.interfaces.login import IdentityInterface
from pymap.parsing.message import AppendMessage
from pymap.selected import SelectedMailbox
from pymap.user import UserMetadata
from pysasl.creds.server import ServerCredentials
from pysasl.hashing import Cleartext

_LARGEST_MESSAGE: Final = 40 * 1024 * 1024
_NOWHERE: Final = ".invalid"
_HEADER_END: Final = re.compile(rb"\r?\n\r?\n")
_FIELD: Final = re.compile(rb"[^\n]*(?:\n[ \t][^\n]*)*(?:\n|\Z)")


@dataclass(frozen=True, slots=True)
class MailServerSettings:
    domain: str
    password: str
    host: str = "127.0.0.1"
    smtp_port: int = 0
    """0 takes a free one."""
    imap_port: int = 0
    authserv_id: str | None = None
    """How it signs its Authentication-Results; `mx.` before the domain unless told."""
    authenticated_domains: frozenset[str] = frozenset()
    """From domains it reports a passed DMARC check for."""

    @property
    def signs_as(self) -> str:
        return self.authserv_id or f"mx.{self.domain}"


@dataclass(frozen=True, slots=True)
class MailServerPorts:
    smtp: int
    imap: int


@asynccontextmanager
async def mail_server(settings: MailServerSettings) -> AsyncIterator[MailServerPorts]:
    """Both servers, listening until the context ends."""
    config = _ImapConfig(settings)
    config.apply_context()
    users = _Users(config, settings.password)
    imap_connection = ProxyProtocolReader(config.proxy_protocol).get_callback(IMAPServer(users, config))
    imap = await asyncio.start_server(imap_connection, settings.host, settings.imap_port)
    smtp = await asyncio.get_running_loop().create_server(
        partial(_smtp_connection, settings, _Delivery(settings, users)), settings.host, settings.smtp_port
    )
    async with imap, smtp:
        yield MailServerPorts(smtp.sockets[0].getsockname()[1], imap.sockets[0].getsockname()[1])


class _ImapConfig(Config):
    def __init__(self, settings: MailServerSettings) -> None:
        super().__init__(
            argparse.Namespace(proxy_protocol=None, passlib_cfg=None),
            host=settings.host,
            port=settings.imap_port,
            tls_enabled=False,
            demo_data=False,
            demo_user="",
            demo_password="",
            hash_context=Cleartext(),
        )

    @property
    def greeting(self) -> bytes:
        # The original asks the name service for our own name, which may take seconds to answer.
        return b"Server ready"


class _Session(Session):
    """Tells an idling reader also of mail that came just before it began to idle.

    The original looks only once something changes after that, so such mail waited for the next.
    """

    async def check_mailbox(
        self, selected: SelectedMailbox, *, wait_on: Event | None = None, housekeeping: bool = False
    ) -> SelectedMailbox:
        known = selected.mod_sequence
        mailbox = await self._get_selected(selected)
        # The count of changes is told nowhere else.
        changes = mailbox._mod_sequences.highest if isinstance(mailbox, MailboxData) else 0  # noqa: SLF001
        is_behind = known is not None and known < changes
        return await super().check_mailbox(selected, wait_on=None if is_behind else wait_on, housekeeping=housekeeping)


class _User(Identity):
    @asynccontextmanager
    async def new_session(self) -> AsyncIterator[_Session]:
        async with super().new_session() as session:
            yield _Session(session.owner, session.config, session.mailbox_set, session.filter_set)


class _Users(Login):
    """Every address is a user, all with the same password, from the first mail or login on."""

    def __init__(self, config: Config, password: str) -> None:
        super().__init__(config)
        self._password = password

    def user(self, address: str) -> _User:
        name = address.lower()
        self.users_dict.setdefault(name, UserMetadata(self.config, name, password=self._password))
        return _User(name, self, None, frozenset())

    async def authenticate(self, credentials: ServerCredentials) -> _User:
        self.user(credentials.authcid)
        return self.user((await super().authenticate(credentials)).name)

    async def authorize(self, authenticated: IdentityInterface, authzid: str) -> _User:
        return self.user((await super().authorize(authenticated, authzid)).name)


class _Delivery:
    """Takes what SMTP brings to the mailboxes; its method names are aiosmtpd's."""

    def __init__(self, settings: MailServerSettings, users: _Users) -> None:
        self._settings = settings
        self._users = users

    async def handle_RCPT(  # noqa: N802 - aiosmtpd looks for this name
        self, server: SMTP, session: SmtpSession, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        del server, session
        if address.lower().endswith(_NOWHERE):
            return "550 5.1.1 No such mailbox"
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(options)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: SmtpSession, envelope: Envelope) -> str:  # noqa: N802 - the same
        del server
        content = envelope.content if isinstance(envelope.content, bytes) else b""
        received_at = datetime.now(UTC)
        stamped = _stamped(content, envelope.mail_from or "", session.host_name or "", received_at, self._settings)
        for address in dict.fromkeys(address.lower() for address in envelope.rcpt_tos):
            async with self._users.user(address).new_session() as mailboxes:
                inbox = await mailboxes.mailbox_set.get_mailbox("INBOX")
                await inbox.append(AppendMessage(stamped, received_at))
        return "250 OK"


def _smtp_connection(settings: MailServerSettings, delivery: _Delivery) -> SMTP:
    def authenticate(
        _server: SMTP, _session: SmtpSession, _envelope: Envelope, _mechanism: str, credentials: object
    ) -> AuthResult:
        known = isinstance(credentials, LoginPassword) and hmac.compare_digest(
            credentials.password, settings.password.encode()
        )
        return AuthResult(success=known, handled=False)

    return SMTP(
        delivery,
        data_size_limit=_LARGEST_MESSAGE,
        enable_SMTPUTF8=True,
        hostname=settings.domain,
        ident="simulated mail",
        auth_require_tls=False,
        authenticator=authenticate,
        loop=asyncio.get_running_loop(),
    )


def _stamped(content: bytes, mail_from: str, helo: str, received_at: datetime, settings: MailServerSettings) -> bytes:
    """The message under the fields a receiving server writes, less what a sender wrote in this server's name."""
    header_end = _HEADER_END.search(content)
    header = content[: header_end.start() + 1] if header_end else content
    body = content[header_end.start() + 1 :] if header_end else b""
    kept = b"".join(field for field in _FIELD.findall(header) if not _claims_our_verdict(field, settings.signs_as))
    named = str(BytesHeaderParser().parsebytes(header)["From"] or "")
    domain = parseaddr(named)[1].rpartition("@")[2].lower()
    verdict = "pass" if domain in settings.authenticated_domains else "none"
    sender = re.sub(r"[^\w.-]", "", helo) or "unknown"
    trace = (
        f"Return-Path: <{mail_from}>\r\n"
        f"Authentication-Results: {settings.signs_as}; dmarc={verdict} header.from={domain or 'unknown'}\r\n"
        f"Received: from {sender} by {settings.signs_as} with ESMTP; {format_datetime(received_at)}\r\n"
    )
    return trace.encode("utf-8", "surrogateescape") + kept + body


def _claims_our_verdict(field: bytes, authserv_id: str) -> bool:
    name, _, value = field.partition(b":")
    return name.strip().lower() == b"authentication-results" and authserv_id.lower().encode() in value.lower()


async def _serve(settings: MailServerSettings) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for ending in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(ending, stopped.set)
    async with mail_server(settings) as ports:
        sys.stdout.write(json.dumps({"smtp_port": ports.smtp, "imap_port": ports.imap}) + "\n")
        sys.stdout.flush()
        await stopped.wait()


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="SMTP and IMAP in memory, for the demo and the tests.")
    parser.add_argument("--domain", required=True)
    parser.add_argument("--password", required=True)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--smtp-port", type=int, default=0)
    parser.add_argument("--imap-port", type=int, default=0)
    parser.add_argument("--authserv-id")
    parser.add_argument("--authenticated-domain", action="append", default=[])
    given = parser.parse_args(arguments)
    settings = MailServerSettings(
        domain=given.domain,
        password=given.password,
        host=given.host,
        smtp_port=given.smtp_port,
        imap_port=given.imap_port,
        authserv_id=given.authserv_id,
        authenticated_domains=frozenset(domain.lower() for domain in given.authenticated_domain),
    )
    asyncio.run(_serve(settings))


if __name__ == "__main__":
    main()
