"""Taking messages in for a whole process: each in its transaction, their notifications together and afterwards.

A transaction that notifies holds a lock of the whole server while it commits, so messages that each notified would
commit one by one, each with its own flush of the log. A notification is a hint, and may come a moment later.
"""

import asyncio
from datetime import timedelta
from typing import Final

import psycopg
import structlog

from storage.database import Database
from storage.ledger.intake import Intake, TakenIn, take_in
from storage.ledger.short_ways import alone

_LOG: Final = structlog.get_logger(__name__)
_GAP: Final = timedelta(milliseconds=20)
_RING: Final = "select pg_notify('baton_signals', ''), pg_notify('baton_events', '')"


class Intakes:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._unheard = False
        self._ringing: asyncio.Task[None] | None = None

    async def take_in(self, message: Intake) -> TakenIn:
        """Store the message once; after this returns it may be acknowledged."""
        async with self._database.ledger.connection() as connection:
            taken = await take_in(connection, message)
        if not taken.duplicate:
            self._unheard = True
            if self._ringing is None or self._ringing.done():
                self._ringing = asyncio.create_task(self._ring())
        return taken

    async def _ring(self) -> None:
        while self._unheard:
            self._unheard = False
            try:
                async with self._database.ledger.connection() as connection, alone(connection):
                    await connection.execute(_RING)
            except psycopg.Error as error:
                _LOG.info("nobody could be notified, they sweep", error=str(error))
            await asyncio.sleep(_GAP.total_seconds())
