"""What a process knows of who resolves what and of how long things take, fresh from the ledger."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import psycopg
import structlog
from psycopg_pool import PoolTimeout

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
FAILED_FOR: Final = timedelta(minutes=1)
_NOTHING_LEARNED: Final = SuccessLearner().model()

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Known:
    """What was learned of all that ended up to `position`."""

    learner: SuccessLearner
    position: HistoryPosition
    model: SuccessModel


class _Beside:
    """Work beside what goes on, at most once at a time; that the past could not be read is told and no more."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._task: asyncio.Task[None] | None = None

    def begin(self, work: Callable[[], Awaitable[None]]) -> None:
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._do(work))

    async def _do(self, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except (psycopg.Error, PoolTimeout, OSError) as error:
            log.warning("not_learned_again", what=self._what, cause=str(error))


class LearnedFromLedger:
    """One learner for all pools of a process.

    New ends are learned as they come. Once in a while everything is learned again: a customer who comes back makes a
    failure of what had been counted as a success. How long things take changes slowly: that is learned anew each time.
    Years of history take seconds to count: only who asks first waits for that, later it is done beside what goes on.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = asyncio.Lock()
        self._known: _Known | None = None
        self._fresh_until = 0.0
        self._relearn_at = time.monotonic() + RELEARN_AFTER.total_seconds()
        self._relearning = _Beside("success")
        self._experience: Experience | None = None
        self._times_fresh_until = 0.0
        self._timing = _Beside("times")

    async def experience(self) -> Experience:
        """How long things take, as known some minutes ago; nothing while that takes too long to read."""
        async with self._lock:
            if time.monotonic() >= self._times_fresh_until:
                if self._experience is not None:
                    self._timing.begin(self._learn_times)
                else:
                    try:
                        await self._learn_times()
                    except psycopg.errors.QueryCanceled as error:
                        log.warning("times_not_learned", cause=str(error))
                self._times_fresh_until = time.monotonic() + TIMES_FRESH_FOR.total_seconds()
        return self._experience or NOTHING_EXPERIENCED

    async def model(self) -> SuccessModel:
        """What is known by now; reads the ledger when the last look is some seconds old.

        Whoever waits is not to wait longer because the past takes too long to read: then what was known stays.
        """
        async with self._lock:
            now = time.monotonic()
            if now >= self._fresh_until:
                fresh_for = REFRESH_AFTER
                if self._known is not None and now >= self._relearn_at:
                    self._relearning.begin(self._relearn)
                    self._relearn_at = now + RELEARN_AFTER.total_seconds()
                try:
                    self._known = await self._learned(self._known)
                except asyncio.CancelledError:
                    # The thread goes on by itself, so nobody knows what this learner has counted.
                    self._relearn_at = 0.0
                    raise
                except psycopg.errors.QueryCanceled as error:
                    log.warning("success_not_learned", cause=str(error))
                    fresh_for = FAILED_FOR
                self._fresh_until = time.monotonic() + fresh_for.total_seconds()
            return _NOTHING_LEARNED if self._known is None else self._known.model

    async def _relearn(self) -> None:
        learned = await self._learned(None)
        async with self._lock:
            self._known = learned

    async def _learned(self, known: _Known | None) -> _Known:
        """What is known with what has ended since; without anything known, from the beginning."""
        if known is None:
            learner = SuccessLearner()
            known = _Known(learner, HistoryPosition(), learner.model())
        history = await ended_since(self._database, known.position, at_most=EPISODES_REMEMBERED)
        if not history.resolutions:
            return _Known(known.learner, history.position, known.model)
        # In a thread: heartbeats go on meanwhile.
        await asyncio.to_thread(known.learner.learn_all, history.resolutions)
        return _Known(known.learner, history.position, await asyncio.to_thread(known.learner.model))

    async def _learn_times(self) -> None:
        since = datetime.now(UTC) - TIMES_REMEMBERED
        cases = await past_cases(self._database, since=since, at_most=CASES_REMEMBERED)
        self._experience = await asyncio.to_thread(Experience.of, cases)
