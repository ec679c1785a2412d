"""Postgres' notifications as what they are: hints to look now rather than at the next sweep."""

import asyncio
from datetime import timedelta
from typing import Final

import psycopg
import structlog

from storage.database import Database

_LOG: Final = structlog.get_logger(__name__)
_RECONNECT_AFTER: Final = timedelta(seconds=1)
_LISTEN_FOR: Final = timedelta(seconds=30)


class Hints:
    """One listening connection for a process; any number of waiters."""

    def __init__(self, database: Database, *channels: str) -> None:
        self._database = database
        self._channels = channels
        self._rings = 0
        self._next_ring = asyncio.Event()

    @property
    def rings(self) -> int:
        """What to give to `wait`: take it before looking, so that no ring is missed between the look and the wait."""
        return self._rings

    async def wait(self, seen: int, at_most: timedelta) -> None:
        """Return at the first ring after `seen`, or when the time is over."""
        if self._rings == seen:
            try:
                async with asyncio.timeout(at_most.total_seconds()):
                    await self._next_ring.wait()
            except TimeoutError:
                return

    def ring(self) -> None:
        """Wake every waiter."""
        self._rings += 1
        self._next_ring.set()
        self._next_ring = asyncio.Event()

    async def run(self) -> None:
        """Listen until cancelled; a lost connection is opened again."""
        while True:
            try:
                await self._listen()
            except (psycopg.Error, OSError) as error:
                _LOG.warning("listening interrupted", channels=self._channels, error=str(error))
                await asyncio.sleep(_RECONNECT_AFTER.total_seconds())

    async def _listen(self) -> None:
        connection = await self._database.listener()
        async with connection:
            for channel in self._channels:
                await connection.execute(psycopg.sql.SQL("listen {}").format(psycopg.sql.Identifier(channel)))
            self.ring()  # what was notified while nobody listened is lost
            while True:
                async for _ in connection.notifies(timeout=_LISTEN_FOR.total_seconds(), stop_after=1):
                    self.ring()
                await connection.execute("select")  # an answer shows that the connection still lives
