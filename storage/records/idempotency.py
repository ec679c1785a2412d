"""The first answer under an idempotency key, kept for a day."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from psycopg import AsyncConnection
from psycopg.rows import TupleRow
from sqlalchemy import text
from sqlmodel.ext.asyncio.session import AsyncSession

from storage.database import Database

KEPT: Final = timedelta(hours=24)
DEAD_AFTER: Final = timedelta(minutes=1)
"""Longer than any request may take: a first call still without an answer after it has died."""

_CLAIM = """
insert into idempotency_keys (principal, key, request_digest, created_at)
values (%(principal)s, %(key)s, %(digest)s, %(now)s)
on conflict (principal, key) do update
set request_digest = excluded.request_digest, status = null, body = null, created_at = excluded.created_at
where idempotency_keys.created_at < %(forgotten)s
   or (idempotency_keys.status is null and idempotency_keys.created_at < %(dead)s
       and idempotency_keys.request_digest = excluded.request_digest)
returning created_at
"""
_FOUND = "select request_digest, status, body from idempotency_keys where principal = %s and key = %s"
# Every claim clears away some of what is forgotten, so that the table stays small without a job of its own.
_FORGET = """
delete from idempotency_keys where (principal, key) in (
    select principal, key from idempotency_keys where created_at < %s order by created_at limit 20
    for update skip locked
)
"""


@dataclass(frozen=True, slots=True)
class FirstCall:
    """This call is the one that counts; `claimed_at` tells it from one that took over because this one seemed dead."""

    principal: str
    key: str
    claimed_at: datetime


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    status: int
    body: bytes


class StillRunning(Exception):  # noqa: N818 -- says what is
    """A first call under the same key has not ended yet."""


class UsedForAnother(Exception):  # noqa: N818 -- says what happened
    """The key was used for a different request."""


async def claim(database: Database, principal: str, key: str, digest: bytes) -> FirstCall | StoredAnswer:
    """Take the key for a request, or the answer its first call got; raises `StillRunning` or `UsedForAnother`."""
    now = datetime.now(UTC)
    asked = {
        "principal": principal,
        "key": key,
        "digest": digest,
        "now": now,
        "forgotten": now - KEPT,
        "dead": now - DEAD_AFTER,
    }
    async with database.ledger.connection() as connection:
        await connection.execute(_FORGET, (now - KEPT,))
        taken = await (await connection.execute(_CLAIM, asked)).fetchone()
        if taken is not None:
            return FirstCall(principal, key, taken[0])
        return await _stored(connection, principal, key, digest)


async def _stored(connection: AsyncConnection[TupleRow], principal: str, key: str, digest: bytes) -> StoredAnswer:
    row = await (await connection.execute(_FOUND, (principal, key))).fetchone()
    if row is None:
        raise StillRunning
    first_digest, status, body = row
    if first_digest != digest:
        raise UsedForAnother
    if status is None:
        raise StillRunning
    return StoredAnswer(status, body)


async def keep_answer(session: AsyncSession, call: FirstCall, status: int, body: bytes) -> None:
    """Keep the answer in the transaction of the work itself: both are there, or neither."""
    connection = await session.connection()
    await connection.execute(
        text(
            "update idempotency_keys set status = :status, body = :body"
            " where principal = :principal and key = :key and created_at = :claimed_at"
        ),
        {
            "status": status,
            "body": body,
            "principal": call.principal,
            "key": call.key,
            "claimed_at": call.claimed_at,
        },
    )


async def give_back(database: Database, call: FirstCall) -> None:
    """The call ended without an answer worth keeping: the next one under the key counts as the first."""
    async with database.ledger.connection() as connection:
        await connection.execute(
            "delete from idempotency_keys where principal = %s and key = %s and created_at = %s and status is null",
            (call.principal, call.key, call.claimed_at),
        )
