"""Who looks after a pool while its dispatcher is gone and Temporal has not noticed yet.

A dispatcher whose process is killed is replaced once its heartbeat is missed, which takes some seconds. Every
dispatcher process therefore watches when each pool was last looked at, and makes a pass for one that was not for too
long.
"""

import asyncio
from datetime import timedelta
from typing import Final

import structlog
from psycopg import OperationalError
from psycopg_pool import PoolTimeout

from storage.database import Database
from storage.ledger.learned import LearnedFromLedger
from storage.ledger.matching import FencedOffError, match_pool, neglected_pools

UNSEEN_FOR: Final = timedelta(milliseconds=700)
"""Above the sweep of a living dispatcher; with the next look within the second that nothing waits for in vain."""
LOOK_EVERY: Final = timedelta(milliseconds=200)

_AWAY: Final = (OperationalError, PoolTimeout, OSError)

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)


class StandIn:
    def __init__(self, database: Database, learned: LearnedFromLedger) -> None:
        self._database = database
        self._learned = learned

    async def run(self, stop: asyncio.Event) -> None:
        """Watch until `stop` is set."""
        while not stop.is_set():
            try:
                await self.look()
            except _AWAY as error:
                log.warning("nobody_stands_in", cause=type(error).__name__)
            try:
                await asyncio.wait_for(stop.wait(), LOOK_EVERY.total_seconds())
            except TimeoutError:
                continue

    async def look(self) -> int:
        """Make a pass for every neglected pool; returns how many offers that made."""
        made = 0
        # Asked for at every look, so that it is at hand when it is needed: years of history take a while to read.
        model, experience = await self._learned.model(), await self._learned.experience()
        for lease in await neglected_pools(self._database, UNSEEN_FOR):
            try:
                done = await match_pool(self._database, lease, model, experience)
            except FencedOffError:
                continue  # somebody has just taken the pool over
            if done.offers:
                log.info("stood_in", pool=lease.pool, offers=len(done.offers))
            made += len(done.offers)
        return made
