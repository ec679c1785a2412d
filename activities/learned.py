"""What the dispatchers of a process know of who resolves what and of how long things take, fresh from the ledger."""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import Final

import structlog
from psycopg.errors import QueryCanceled

from domain.routing.experience import NOTHING_EXPERIENCED, Experience
from domain.routing.model import SuccessModel
from domain.routing.success import SuccessLearner
from storage.database import Database
from storage.ledger.past_cases import past_cases
from storage.ledger.success_history import HistoryPosition, ended_since

EPISODES_REMEMBERED: Final = 50_000
CASES_REMEMBERED: Final = 20_000
REFRESH_AFTER: Final = timedelta(seconds=5)
RELEARN_AFTER: Final = timedelta(hours=1)
TIMES_REMEMBERED: Final = timedelta(days=90)
TIMES_FRESH_FOR: Final = timedelta(minutes=10)


log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)


class LearnedFromLedger:
    """One learner for all pools of a process.

    New ends are learned as they come. Once in a while everything is learned again: a customer who comes back makes a
    failure of what had been counted as a success. How long things take changes slowly: that is learned anew each time.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._learner = SuccessLearner()
        self._model: SuccessModel = self._learner.model()
        self._position = HistoryPosition()
        self._lock = asyncio.Lock()
        self._fresh_until = 0.0
        self._relearn_at = 0.0
        self._experience = NOTHING_EXPERIENCED
        self._times_fresh_until = 0.0

    async def experience(self) -> Experience:
        """How long things take, as known some minutes ago."""
        async with self._lock:
            if time.monotonic() >= self._times_fresh_until:
                since = datetime.now(UTC) - TIMES_REMEMBERED
                try:
                    cases = await past_cases(self._database, since=since, at_most=CASES_REMEMBERED)
                    self._experience = await asyncio.to_thread(Experience.of, cases)
                except QueryCanceled as error:
                    # Whoever waits is not to wait longer because the past takes long to read.
                    log.warning("times_not_learned", cause=str(error))
                self._times_fresh_until = time.monotonic() + TIMES_FRESH_FOR.total_seconds()
        return self._experience

    async def model(self) -> SuccessModel:
        """What is known by now; reads the ledger when the last look is some seconds old."""
        async with self._lock:
            now = time.monotonic()
            if now >= self._fresh_until:
                if now >= self._relearn_at:
                    self._learner, self._position = SuccessLearner(), HistoryPosition()
                    self._relearn_at = now + RELEARN_AFTER.total_seconds()
                await self._learn_new()
                self._fresh_until = time.monotonic() + REFRESH_AFTER.total_seconds()
        return self._model

    async def _learn_new(self) -> None:
        history = await ended_since(self._database, self._position, at_most=EPISODES_REMEMBERED)
        if history.resolutions:
            # Years of history take seconds to count: heartbeats go on meanwhile.
            learner = self._learner
            try:
                await asyncio.to_thread(learner.learn_all, history.resolutions)
                self._model = await asyncio.to_thread(learner.model)
            except asyncio.CancelledError:
                # The thread goes on by itself, so nobody knows what this learner has counted.
                self._relearn_at = 0.0
                raise
        self._position = history.position
