"""Who is still there: signs of life from this process's requests and streams, and the end of the grace for the silent.

It watches only while it can itself be reached: after a start, and after the database was away, a whole grace passes
before anybody counts as silent. So a floor does not go home because the API was restarted.
"""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from time import monotonic
from typing import Final

import psycopg
import structlog
from psycopg_pool import PoolTimeout

from domain.errors import InvalidInput
from domain.settings import DEFAULTS, Settings
from storage.database import Database, LedgerConnection
from storage.ledger.case_facts import read_settings
from storage.ledger.leases import let_silent_agents_go, note_signs_of_life

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

LOOK: Final = timedelta(seconds=1)
"""How often signs are written down; a sign may thus be known so much later than it was given."""


class PresenceWatch:
    def __init__(self, database: Database, clock: Callable[[], float] = monotonic) -> None:
        self._database = database
        self._clock = clock
        self._heard: dict[str, float] = {}
        self._watching_since = clock()

    def note(self, agent_id: str) -> None:
        """Somebody has just used this agent's key."""
        self._heard[agent_id] = self._clock()

    async def run(self) -> None:
        """Watch until cancelled."""
        while True:
            await asyncio.sleep(LOOK.total_seconds())
            await self.look()

    async def look(self) -> tuple[str, ...]:
        """Write down who was heard of and let go who was not; returns who went."""
        heard, self._heard = self._heard, {}
        try:
            async with self._database.ledger.connection() as connection:
                now = self._clock()
                await note_signs_of_life(
                    connection, {agent: timedelta(seconds=now - at) for agent, at in heard.items()}
                )
                settings = await _settings(connection)
                grace = settings.presence_grace + LOOK
                if now - self._watching_since < grace.total_seconds():
                    return ()
                gone = await let_silent_agents_go(connection, grace, reassign_on_away=settings.reassign_on_away)
        except (psycopg.Error, PoolTimeout, OSError) as error:
            log.warning("nobody is watched", cause=type(error).__name__)
            self._heard = heard | self._heard
            self._watching_since = self._clock()
            return ()
        if gone:
            log.info("agents_lost", agents=gone)
        return gone


async def _settings(connection: LedgerConnection) -> Settings:
    try:
        return await read_settings(connection)
    except InvalidInput:
        return DEFAULTS
