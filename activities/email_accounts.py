"""The mailboxes of ours, read out of their channel accounts.

`settings` of an e-mail account: `address`, `display_name`, `imap` and `smtp` (`host`, `port`, `encryption`, `user`),
and what else `EmailAccount` knows under its own names, durations as `…_seconds`. Its `secrets`: `imap_password` and
`smtp_password`. Without a server in its settings an e-mail account is served by an integration.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import msgspec
from psycopg.rows import class_row
from pydantic import JsonValue

from channels.email.settings import EmailAccount, Encryption, MailServer, TrustFrom
from storage.database import LedgerConnection
from storage.sealed_box import BoxNotOurs, SealedBox

_ACCOUNTS: Final = """
select id, name, settings, secrets from channel_accounts
where channel = 'email' and active and settings ? 'imap' order by name
"""
_ACCOUNT: Final = """
select id, name, settings, secrets from channel_accounts
where channel = 'email' and name = %s and settings ? 'smtp'
"""


class AccountUnusable(Exception):  # noqa: N818 -- says what is wrong
    """What an admin has set up for an account can't be used."""


@dataclass(frozen=True, slots=True)
class AccountRow:
    id: str
    name: str
    settings: dict[str, JsonValue]
    secrets: bytes | None


@dataclass(frozen=True, slots=True)
class _Server:
    host: str
    port: int
    encryption: Encryption = Encryption.TLS
    user: str | None = None


@dataclass(frozen=True, slots=True)
class _Settings:
    address: str
    imap: _Server | None = None
    smtp: _Server | None = None
    display_name: str | None = None
    folder: str = "INBOX"
    trust_from: TrustFrom = TrustFrom.AUTHENTICATED
    authserv_id: str | None = None
    timeout_seconds: float = 30.0
    poll_interval_seconds: float = 20.0
    max_message_bytes: int = 30 * 1024 * 1024


async def accounts_with_mailbox(connection: LedgerConnection) -> list[AccountRow]:
    async with connection.cursor(row_factory=class_row(AccountRow)) as cursor:
        return await (await cursor.execute(_ACCOUNTS)).fetchall()


async def account_that_sends(connection: LedgerConnection, name: str) -> AccountRow | None:
    async with connection.cursor(row_factory=class_row(AccountRow)) as cursor:
        return await (await cursor.execute(_ACCOUNT, (name,))).fetchone()


def email_account(row: AccountRow, box: SealedBox) -> EmailAccount:
    """The account in the form the adapter takes; raises `AccountUnusable`."""
    try:
        settings = msgspec.convert(row.settings, _Settings)
        secrets = {} if row.secrets is None else box.unseal(row.secrets, row.id)
    except (msgspec.ValidationError, BoxNotOurs) as error:
        raise AccountUnusable(f"e-mail account {row.name}: {error}") from error
    nowhere = _Server("", 0)
    return EmailAccount(
        account=row.name,
        address=settings.address,
        display_name=settings.display_name or row.name,
        imap=_server(settings.imap or nowhere, secrets.get("imap_password")),
        smtp=_server(settings.smtp or nowhere, secrets.get("smtp_password")),
        folder=settings.folder,
        trust_from=settings.trust_from,
        authserv_id=settings.authserv_id,
        timeout=timedelta(seconds=settings.timeout_seconds),
        poll_interval=timedelta(seconds=settings.poll_interval_seconds),
        max_message_bytes=settings.max_message_bytes,
    )


def _server(server: _Server, password: str | None) -> MailServer:
    return MailServer(server.host, server.port, server.encryption, server.user, password)
