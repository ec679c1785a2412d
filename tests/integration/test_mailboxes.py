import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from simulator.mail_server import MailServerPorts, mail_server
from storage.database import Database
from storage.sealed_box import SealedBox
from tests.integration.mail_accounts import BOX, HELP, SERVER, add_account, rows, send_raw, write
from workers.mailboxes import Mailboxes


@pytest.fixture
async def ports() -> AsyncIterator[MailServerPorts]:
    async with mail_server(SERVER) as opened:
        yield opened


@asynccontextmanager
async def reading(database: Database) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(Mailboxes(database, BOX).run())
    yield task
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def texts(database: Database) -> list[str]:
    return [row[0] for row in await rows(database, "select text from messages order by at, id")]


async def cursor_of(database: Database, account_id: str) -> Any:
    return (await rows(database, "select cursor from channel_accounts where id = %s", account_id))[0][0]


async def test_mail_is_stored_and_then_the_cursor(database: Database, ports: MailServerPorts, eventually: Any) -> None:
    account_id = await add_account(database, ports)
    await write(ports, "It hums.")
    await write(ports, "It still hums.")
    async with reading(database):
        await eventually(lambda: _is(cursor_of(database, account_id)))
        assert await texts(database) == ["It hums.", "It still hums."]
        await write(ports, "And now it glows.")
        await eventually(lambda: _equals(texts(database), ["It hums.", "It still hums.", "And now it glows."]))
    assert await rows(database, "select distinct account, channel from messages") == [("support", "email")]
    assert await rows(database, "select count(*) from conversations") == [(1,)]
    assert await rows(database, "select verified from identities") == [(True,)]


async def test_a_lost_cursor_reads_again_and_doubles_nothing(
    database: Database, ports: MailServerPorts, eventually: Any
) -> None:
    account_id = await add_account(database, ports)
    await write(ports, "It hums.")
    async with reading(database):
        await eventually(lambda: _is(cursor_of(database, account_id)))
    await rows(database, "update channel_accounts set cursor = null returning id")
    async with reading(database):
        await eventually(lambda: _is(cursor_of(database, account_id)))
    assert await texts(database) == ["It hums."]


async def test_mail_nobody_can_read_is_set_aside_whole_and_its_neighbours_proceed(
    database: Database, ports: MailServerPorts, eventually: Any
) -> None:
    await add_account(database, ports)
    await write(ports, "before")
    await send_raw(ports, b"Subject: from nobody\r\n\r\nWho am I?\r\n")
    await write(ports, "after")
    async with reading(database):
        await eventually(lambda: _equals(texts(database), ["before", "after"]))
    [(account, raw, reason)] = await rows(database, "select account_id, raw, reason from unparsed_messages")
    assert account == "acc_support"
    assert b"Who am I?" in raw
    assert reason == "no sender address"


async def test_one_reader_at_a_time_and_the_next_takes_over(
    database: Database, ports: MailServerPorts, eventually: Any
) -> None:
    account_id = await add_account(database, ports)
    lock = (
        "select count(*) from pg_locks where locktype = 'advisory' and granted"
        " and database = (select oid from pg_database where datname = current_database())"
    )
    async with reading(database) as first, reading(database):
        await write(ports, "one")
        await eventually(lambda: _equals(texts(database), ["one"]))
        assert await rows(database, lock) == [(1,)]
        first.cancel()
        with suppress(asyncio.CancelledError):
            await first
        await write(ports, "two")
        await eventually(lambda: _equals(texts(database), ["one", "two"]))
    assert await cursor_of(database, account_id) is not None


async def test_accounts_that_are_added_switched_off_or_broken_are_followed(
    database: Database, ports: MailServerPorts, eventually: Any
) -> None:
    async with reading(database):
        other = SealedBox(b"the secret of another deployment")
        await add_account(database, ports, name="broken", address="broken@lamp.example", box=other)
        account_id = await add_account(database, ports)
        await write(ports, "one")
        await eventually(lambda: _equals(texts(database), ["one"]))
        await rows(database, "update channel_accounts set active = false where id = %s returning id", account_id)
        await add_account(database, ports, name="second", address="second@lamp.example")
        await write(ports, "to the second", to="second@lamp.example")
        await eventually(lambda: _equals(texts(database), ["one", "to the second"]))
        await write(ports, "unread", to=HELP)
    assert await texts(database) == ["one", "to the second"]


async def _is(found: Any) -> bool:
    return await found is not None


async def _equals(found: Any, expected: object) -> bool:
    return bool(await found == expected)
