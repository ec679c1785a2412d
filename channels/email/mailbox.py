"""New mail of one IMAP mailbox, after a cursor the caller keeps.

Nothing in the mailbox is changed or deleted. The caller stores each message, then the batch's cursor; whatever happens
between, the next batch begins where the last stored cursor says, so nothing is skipped and a repeat is known by its
Message-ID.
"""

import asyncio
import imaplib
import re
import selectors
import socket
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from io import BufferedReader
from typing import Final, Self, TypeVar

from imap_tools import BaseMailBox, ImapToolsError, MailBox, MailBoxStartTls, MailBoxUnencrypted

from channels.adapter import ChannelError
from channels.email.settings import EmailAccount, Encryption, MailServer

_Answer = TypeVar("_Answer")

_BATCH_BYTES: Final = 32 * 1024 * 1024
_BATCH_MESSAGES: Final = 100
_UID: Final = re.compile(rb"\bUID (\d+)")
_SIZE: Final = re.compile(rb"\bRFC822\.SIZE (\d+)")
_LONGEST_IDLE: Final = timedelta(minutes=25)  # RFC 2177: servers may hang up after 29


class MailboxUnreachable(ChannelError):  # noqa: N818 - says what happened
    """The mail server could not be reached, refused us or broke off; trying again is safe."""


@dataclass(frozen=True, slots=True)
class MailboxCursor:
    """How far a mailbox was read: UIDs ascend as long as the validity stays the same (RFC 9051, section 2.3.1.1)."""

    uid_validity: int
    last_uid: int


@dataclass(frozen=True, slots=True)
class FetchedMail:
    uid: int
    raw: bytes


@dataclass(frozen=True, slots=True)
class MailBatch:
    mails: tuple[FetchedMail, ...]
    cursor: MailboxCursor
    """To be stored once every mail of the batch is."""


class Mailbox:
    """One open connection, used by one task at a time."""

    def __init__(self, account: EmailAccount, opened: "_Opened", thread: ThreadPoolExecutor) -> None:
        self._account = account
        self._connection = opened.connection
        self._uid_validity = opened.uid_validity
        self._tells_of_mail = opened.tells_of_mail
        self._mails_told_of = 0
        self._told_meanwhile = False
        self._thread = thread

    @classmethod
    async def connect(cls, account: EmailAccount) -> Self:
        # imap-tools blocks; its connection lives on a thread of its own, so that one slow server holds up one mailbox.
        thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"imap-{account.account}")
        try:
            opened = await _answer(thread, lambda: _opened(account))
        except BaseException:
            thread.shutdown(wait=False)
            raise
        return cls(account, opened, thread)

    async def mail_after(self, cursor: MailboxCursor | None) -> MailBatch:
        """The next mails after the cursor, oldest first; an empty batch when there are none.

        Without a cursor, or when the server's UID validity is no longer the cursor's, it begins with the first mail.
        """
        return await _answer(self._thread, lambda: self._mail_after(cursor))

    async def end(self) -> MailboxCursor:
        """A cursor after all that is in the mailbox now, to begin with what comes next."""
        return await _answer(self._thread, self._end)

    async def wait_for_mail(self) -> None:
        """Return when the server tells of a change, at the latest after the account's poll interval."""
        if self._told_meanwhile:
            return
        if self._tells_of_mail:
            await _answer(self._thread, self._idle)
        else:
            await asyncio.sleep(self._account.poll_interval.total_seconds())

    def close(self) -> None:
        """Hang up, also on a command that is still waiting; a mailbox read without changes needs no farewell."""
        with suppress(OSError):
            self._connection.client.socket().shutdown(socket.SHUT_RDWR)
        self._thread.submit(self._connection.client.shutdown)
        self._thread.shutdown(wait=False)

    def _mail_after(self, cursor: MailboxCursor | None) -> MailBatch:
        validity = self._uid_validity
        last_uid = cursor.last_uid if cursor is not None and cursor.uid_validity == validity else 0
        # A server may show a connection what came since only after a command that asks for nothing else.
        self._connection.client.noop()
        self._hear_of_mail()
        # A range up to `*` always holds the last message, also when its UID is lower (RFC 9051, section 6.4.8).
        uids = sorted(uid for uid in map(int, self._connection.uids(f"UID {last_uid + 1}:*", None)) if uid > last_uid)
        # What comes while the server searches is not found, and told with the answer: it is not told again.
        self._told_meanwhile = self._hear_of_mail()
        uids = self._fitting(uids[:_BATCH_MESSAGES])
        if not uids:
            return MailBatch((), MailboxCursor(validity, last_uid))
        # Somebody may have deleted one since the search: it is passed over, and so is its UID.
        return MailBatch(tuple(self._fetched(uids)), MailboxCursor(validity, uids[-1]))

    def _hear_of_mail(self) -> bool:
        """Whether the server's latest answers tell of more mail than those before."""
        before = self._mails_told_of
        told = self._connection.client.response("EXISTS")[1]
        self._mails_told_of = next((int(count) for count in reversed(told) if count is not None), before)
        return self._mails_told_of > before

    def _end(self) -> MailboxCursor:
        self._connection.client.noop()
        uids = self._connection.uids("UID *", None)
        return MailboxCursor(self._uid_validity, max(map(int, uids), default=0))

    def _idle(self) -> None:
        # Only the waiting is done here, the reading is left to `stop`: imap-tools' own `poll` reads without blocking
        # and breaks on a line that has arrived in part. (Neither is annotated there.)
        self._connection.idle.start()  # type: ignore[no-untyped-call]
        try:
            if not self._has_unread():
                with selectors.DefaultSelector() as selector:
                    selector.register(self._connection.client.socket(), selectors.EVENT_READ)
                    selector.select(min(self._account.poll_interval, _LONGEST_IDLE).total_seconds())
        finally:
            self._connection.idle.stop()  # type: ignore[no-untyped-call]

    def _has_unread(self) -> bool:
        """Whether the server's next words came with its last ones: imaplib holds them, the socket shows nothing."""
        client = self._connection.client
        reader = getattr(client, "_file", None) or client.file  # the former from Python 3.14 on
        connection = client.socket()
        patience = connection.gettimeout()
        connection.settimeout(0)
        try:
            return isinstance(reader, BufferedReader) and bool(reader.peek(1))
        except ssl.SSLWantReadError:
            return False
        finally:
            connection.settimeout(patience)

    def _fitting(self, uids: Sequence[int]) -> list[int]:
        """The first of them that fit a batch together, at least one."""
        sizes: dict[int, int] = {}
        for item in self._fetch(uids, "(UID RFC822.SIZE)") if uids else ():
            described = item[0] if isinstance(item, tuple) else item
            uid, size = _UID.search(described), _SIZE.search(described)
            if uid and size:
                sizes[int(uid.group(1))] = min(int(size.group(1)), self._account.max_message_bytes)
        fitting: list[int] = []
        total = 0
        for uid_number in uids:
            total += sizes.get(uid_number, 0)
            if fitting and total > _BATCH_BYTES:
                break
            fitting.append(uid_number)
        return fitting

    def _fetched(self, uids: Sequence[int]) -> list[FetchedMail]:
        items = self._fetch(uids, f"(UID BODY.PEEK[]<0.{self._account.max_message_bytes}>)")
        mails: dict[int, FetchedMail] = {}
        for position, item in enumerate(items):
            if not isinstance(item, tuple):
                continue
            described, raw = item
            following = items[position + 1] if position + 1 < len(items) else b""
            # Servers write the UID before the literal or after it.
            uid = _UID.search(described) or (_UID.search(following) if isinstance(following, bytes) else None)
            if uid is None:
                raise MailboxUnreachable("the server answered without a UID")
            mails[int(uid.group(1))] = FetchedMail(int(uid.group(1)), raw)
        return [mails[uid_number] for uid_number in uids if uid_number in mails]

    def _fetch(self, uids: Sequence[int], parts: str) -> list[bytes | tuple[bytes, bytes]]:
        status, items = self._connection.client.uid("FETCH", ",".join(map(str, uids)), parts)
        if status != "OK":
            raise MailboxUnreachable(f"the server refused to hand out mail: {items!r}")
        return [item for item in items if item is not None]


@asynccontextmanager
async def open_mailbox(account: EmailAccount) -> AsyncIterator[Mailbox]:
    """A connection to the account's mailbox; raises `MailboxUnreachable`."""
    mailbox = await Mailbox.connect(account)
    try:
        yield mailbox
    finally:
        mailbox.close()


async def new_mail(account: EmailAccount, cursor: MailboxCursor | None) -> AsyncGenerator[MailBatch, None]:
    """Every batch of mail after the cursor, as it comes, without end; raises `MailboxUnreachable`.

    Ask for the next batch only when this one and its cursor are stored.
    """
    async with open_mailbox(account) as mailbox:
        while True:
            batch = await mailbox.mail_after(cursor)
            if batch.mails or batch.cursor != cursor:
                cursor = batch.cursor
                yield batch
            if not batch.mails:
                await mailbox.wait_for_mail()


async def _answer(thread: ThreadPoolExecutor, ask: Callable[[], _Answer]) -> _Answer:
    try:
        return await asyncio.get_running_loop().run_in_executor(thread, ask)
    except (OSError, imaplib.IMAP4.error, ImapToolsError, ValueError) as error:
        # imaplib speaks of a garbled line as a ValueError here and there.
        raise MailboxUnreachable(f"{type(error).__name__}: {error}") from error


@dataclass(frozen=True, slots=True)
class _Opened:
    connection: BaseMailBox
    uid_validity: int
    tells_of_mail: bool


def _opened(account: EmailAccount) -> _Opened:
    connection = _connected(account.imap, account.timeout)
    try:
        connection.login(account.imap.user or account.address, account.imap.password or "", initial_folder=None)
        # Read-only (EXAMINE), so that reading leaves no mark.
        connection.folder.set(account.folder, readonly=True)
        # Servers announce more once they know who asks, which imaplib does not look at by itself.
        _, capabilities = connection.client.capability()
        _, validity = connection.client.response("UIDVALIDITY")
        return _Opened(connection, int(validity[-1]), b"IDLE" in capabilities[-1].upper().split())
    except BaseException:
        connection.client.shutdown()
        raise


def _connected(server: MailServer, timeout: timedelta) -> BaseMailBox:
    seconds = timeout.total_seconds()
    match server.encryption:
        case Encryption.TLS:
            return MailBox(server.host, server.port, timeout=seconds, ssl_context=ssl.create_default_context())
        case Encryption.STARTTLS:
            return MailBoxStartTls(server.host, server.port, timeout=seconds, ssl_context=ssl.create_default_context())
        case Encryption.NONE:
            return MailBoxUnencrypted(server.host, server.port, timeout=seconds)
