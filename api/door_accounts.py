"""Channel accounts, remembered for a second: every message that comes in asks for one."""

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Final

from fastapi import Request

from api.context import ApiContext
from storage.database import Database, LedgerConnection
from storage.ledger.accounts import DoorAccount, account_by_id, account_named

_REMEMBERED_SECONDS: Final = 1.0
_MOST_REMEMBERED: Final = 1_000


class DoorAccounts:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._remembered: OrderedDict[tuple[str, ...], tuple[float, DoorAccount | None]] = OrderedDict()

    async def named(self, channel: str, name: str) -> DoorAccount | None:
        return await self._known((channel, name), lambda connection: account_named(connection, channel, name))

    async def by_id(self, account_id: str) -> DoorAccount | None:
        return await self._known((account_id,), lambda connection: account_by_id(connection, account_id))

    async def _known(
        self, key: tuple[str, ...], look_up: Callable[[LedgerConnection], Awaitable[DoorAccount | None]]
    ) -> DoorAccount | None:
        now = monotonic()
        found = self._remembered.get(key)
        if found is not None and found[0] > now:
            return found[1]
        async with self._database.ledger.connection() as connection:
            account = await look_up(connection)
        self._remembered[key] = (now + _REMEMBERED_SECONDS, account)
        self._remembered.move_to_end(key)
        if len(self._remembered) > _MOST_REMEMBERED:
            self._remembered.popitem(last=False)
        return account


async def accounts_at_door(request: Request) -> DoorAccounts:
    """The same for a signature; asynchronous, because FastAPI sends anything else to a thread."""
    return door_accounts(request)


def door_accounts(request: Request) -> DoorAccounts:
    """The accounts this application remembers."""
    state = request.app.state
    if not hasattr(state, "door_accounts"):
        context: ApiContext = state.context
        state.door_accounts = DoorAccounts(context.database)
    known: DoorAccounts = state.door_accounts
    return known
