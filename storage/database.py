"""The two ways into Postgres: sessions on SQLModel's tables for records, a psycopg pool for the ledger's own SQL."""

import select
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import msgspec
from psycopg import AsyncConnection
from psycopg.rows import TupleRow
from psycopg.types.json import set_json_loads
from psycopg_pool import AsyncConnectionPool
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlmodel.ext.asyncio.session import AsyncSession

STATEMENT_TIMEOUT: Final = "15s"
PATIENCE: Final = "set local statement_timeout = '5min'"
"""For a transaction that reads the whole ledger to prove something of it."""
IDLE_IN_TRANSACTION_TIMEOUT: Final = "30s"
_OPTIONS: Final = (
    f"-c statement_timeout={STATEMENT_TIMEOUT} -c idle_in_transaction_session_timeout={IDLE_IN_TRANSACTION_TIMEOUT}"
    " -c timezone=UTC"
)

set_json_loads(msgspec.json.decode)  # half the time of the default

LedgerConnection = AsyncConnection[TupleRow]
LedgerPool = AsyncConnectionPool[LedgerConnection]


class Database:
    """Opens both ways in; `ledger` is the psycopg pool, `session()` a unit of work that commits when it ends well."""

    def __init__(self, url: str, *, pool_size: int = 10) -> None:
        """Take `url` as a libpq URL (`postgresql://…`); nothing is opened before `open()`."""
        self._url = url
        self._engine: AsyncEngine = create_async_engine(
            url.replace("postgresql://", "postgresql+psycopg://", 1),
            pool_size=pool_size,
            max_overflow=0,
            pool_pre_ping=True,
            connect_args={"options": _OPTIONS},
        )
        self.ledger: LedgerPool = AsyncConnectionPool(
            url,
            min_size=1,
            max_size=pool_size,
            open=False,
            timeout=5,
            check=_still_connected,
            kwargs={"options": _OPTIONS},
        )

    async def open(self) -> None:
        """Start the pool without waiting for Postgres: it may come back later than we do."""
        await self.ledger.open(wait=False)

    async def close(self) -> None:
        await self.ledger.close()
        await self._engine.dispose()

    @asynccontextmanager
    async def session(self) -> AsyncIterator[AsyncSession]:
        async with AsyncSession(self._engine, expire_on_commit=False) as session, session.begin():
            yield session

    async def listener(self) -> LedgerConnection:
        """A connection of its own for LISTEN; the caller closes it."""
        return await AsyncConnection.connect(self._url, autocommit=True, options="-c timezone=UTC")


async def _still_connected(connection: LedgerConnection) -> None:
    """Ask the server only when an idle connection has something to say, which most often is that it has ended."""
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    if poll.poll(0):
        await AsyncConnectionPool.check_connection(connection)
