"""Reads the mailboxes of all e-mail accounts, each by one process at a time.

Each mail is stored before the cursor that passes it, so a crash reads some mails again, which their Message-IDs show to
be known, and misses none.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from datetime import timedelta
from typing import Final

import psycopg
import structlog
from psycopg.types.json import Jsonb
from psycopg_pool import PoolTimeout

from activities.email_accounts import AccountRow, AccountUnusable, accounts_with_mailbox, email_account
from api.inbound import intake_of
from channels.adapter import Unparseable
from channels.email.mailbox import FetchedMail, MailBatch, MailboxCursor, MailboxUnreachable, new_mail
from channels.email.parse import parse_email
from channels.email.settings import EmailAccount
from storage.database import Database, LedgerConnection
from storage.hints import Hints
from storage.ledger.intakes import Intakes
from storage.sealed_box import SealedBox
from storage.tables.columns import utc_now

_LOG: Final = structlog.get_logger(__name__)
_SETTINGS_CHANNEL: Final = "baton_settings"
_LOOK_AGAIN: Final = timedelta(seconds=5)
_FIRST_BACK_OFF: Final = timedelta(milliseconds=500)
_LONGEST_BACK_OFF: Final = timedelta(seconds=60)
_LEDGER_AWAY: Final = (psycopg.OperationalError, PoolTimeout, OSError)

_LOCK: Final = "select pg_try_advisory_lock(hashtextextended(%s, 0))"
_KEEP_CURSOR: Final = "update channel_accounts set cursor = %s where id = %s"
_CURSOR: Final = "select cursor ->> 'uid_validity', cursor ->> 'last_uid' from channel_accounts where id = %s"
_SET_ASIDE: Final = """
insert into unparsed_messages (account_id, digest, raw, reason, received_at)
values (%s, %s, %s, %s, clock_timestamp()) on conflict (account_id, digest) do nothing
"""


class Mailboxes:
    """Any number of these may run: an advisory lock decides who reads which account."""

    def __init__(self, database: Database, box: SealedBox) -> None:
        self._database = database
        self._box = box
        self._intakes = Intakes(database)
        self._hints = Hints(database, _SETTINGS_CHANNEL)
        self._readers: dict[str, tuple[AccountRow, asyncio.Task[None]]] = {}

    async def run(self) -> None:
        """Read until cancelled; follows what admins change of the accounts."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._hints.run())
            while True:
                seen = self._hints.rings
                try:
                    await self._follow_accounts(tasks)
                except _LEDGER_AWAY as error:
                    _LOG.warning("the accounts can't be read now", error=str(error))
                await self._hints.wait(seen, _LOOK_AGAIN)

    async def _follow_accounts(self, tasks: asyncio.TaskGroup) -> None:
        async with self._database.ledger.connection() as connection:
            accounts = {row.id: row for row in await accounts_with_mailbox(connection)}
        for account_id, (row, reader) in list(self._readers.items()):
            if accounts.get(account_id) != row:
                reader.cancel()
                del self._readers[account_id]
        for account_id, row in accounts.items():
            if account_id not in self._readers:
                self._readers[account_id] = (row, tasks.create_task(self._read_forever(row)))

    async def _read_forever(self, row: AccountRow) -> None:
        try:
            account = email_account(row, self._box)
        except AccountUnusable as error:
            _LOG.error("account not read until it is changed", account=row.name, error=str(error))
            return
        wait = _FIRST_BACK_OFF
        while True:
            try:
                async with self._alone(row.id) as lock:
                    if lock is None:
                        await asyncio.sleep(_LOOK_AGAIN.total_seconds())
                        continue
                    async with aclosing(new_mail(account, await self._cursor(row.id))) as batches:
                        async for batch in batches:
                            await self._store(row.id, account, batch)
                            await lock.execute("select")  # who has lost the connection has lost the lock
                            wait = _FIRST_BACK_OFF
            except (MailboxUnreachable, *_LEDGER_AWAY) as error:
                _LOG.warning("mailbox waits", account=row.name, error=str(error), again_in=wait.total_seconds())
            except Exception:  # noqa: BLE001 -- logged; whatever is wrong with one mailbox, the others are read on
                _LOG.exception("mailbox waits", account=row.name, again_in=wait.total_seconds())
            await asyncio.sleep(wait.total_seconds())
            wait = min(wait * 2, _LONGEST_BACK_OFF)

    @asynccontextmanager
    async def _alone(self, account_id: str) -> AsyncIterator[LedgerConnection | None]:
        """A connection that holds the account's lock; None when another process reads it."""
        async with await self._database.listener() as connection:
            row = await (await connection.execute(_LOCK, (f"mailbox:{account_id}",))).fetchone()
            yield connection if row is not None and row[0] else None

    async def _cursor(self, account_id: str) -> MailboxCursor | None:
        async with self._database.ledger.connection() as connection:
            row = await (await connection.execute(_CURSOR, (account_id,))).fetchone()
        return None if row is None or row[0] is None else MailboxCursor(int(row[0]), int(row[1]))

    async def _store(self, account_id: str, account: EmailAccount, batch: MailBatch) -> None:
        for mail in batch.mails:
            await self._store_one(account_id, account, mail)
        cursor = {"uid_validity": batch.cursor.uid_validity, "last_uid": batch.cursor.last_uid}
        async with self._database.ledger.connection() as connection:
            await connection.execute(_KEEP_CURSOR, (Jsonb(cursor), account_id))

    async def _store_one(self, account_id: str, account: EmailAccount, mail: FetchedMail) -> None:
        try:
            message = intake_of(parse_email(mail.raw, account, utc_now()))
            await self._intakes.take_in(message)
        except Unparseable as error:
            await self._set_aside(account_id, mail, error.reason)
        except (psycopg.DataError, psycopg.IntegrityError) as error:
            # The ledger itself can't hold it; its neighbours can still be read.
            await self._set_aside(account_id, mail, f"{type(error).__name__}: {error}")

    async def _set_aside(self, account_id: str, mail: FetchedMail, reason: str) -> None:
        digest = hashlib.sha256(mail.raw).digest()
        async with self._database.ledger.connection() as connection:
            await connection.execute(_SET_ASIDE, (account_id, digest, mail.raw, reason))
        _LOG.error("mail set aside", account_id=account_id, uid=mail.uid, reason=reason)
