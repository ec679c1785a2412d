"""Channel accounts as the doors that take messages in need them."""

from dataclasses import dataclass
from typing import Final

from psycopg.rows import class_row
from pydantic import JsonValue

from storage.database import LedgerConnection

_COLUMNS: Final = "select id, channel, name, settings, secrets, active from channel_accounts"
_BY_NAME: Final = f"{_COLUMNS} where channel = %s and name = %s"
_BY_ID: Final = f"{_COLUMNS} where id = %s"


@dataclass(frozen=True, slots=True)
class DoorAccount:
    id: str
    channel: str
    name: str
    settings: dict[str, JsonValue]
    secrets: bytes | None
    active: bool


async def account_named(connection: LedgerConnection, channel: str, name: str) -> DoorAccount | None:
    async with connection.cursor(row_factory=class_row(DoorAccount)) as cursor:
        return await (await cursor.execute(_BY_NAME, (channel, name))).fetchone()


async def account_by_id(connection: LedgerConnection, account_id: str) -> DoorAccount | None:
    async with connection.cursor(row_factory=class_row(DoorAccount)) as cursor:
        return await (await cursor.execute(_BY_ID, (account_id,))).fetchone()
