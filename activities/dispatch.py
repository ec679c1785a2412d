"""The long activity behind a pool's dispatcher: hears of changes, matches at once, and sweeps in case it heard nothing.

While Postgres is away it keeps its place: it goes on heartbeating and tries again, later and later up to a bound.
"""

import asyncio
import time
from datetime import timedelta
from typing import Final

import structlog
from psycopg import OperationalError
from psycopg_pool import PoolTimeout
from temporalio import activity
from temporalio.exceptions import ApplicationError

from storage.database import Database
from storage.ledger.learned import LearnedFromLedger
from storage.ledger.matching import QUEUE_CHANNEL, FencedOffError, Lease, Pass, match_pool, take_lease
from storage.ledger.pool_queue import PoolQueue
from storage.ledger.roster import AgentReader
from workflows.dispatcher import KEEP_MATCHING, DispatchPool

SWEEP: Final = timedelta(milliseconds=500)
HEARTBEAT: Final = timedelta(milliseconds=500)
PASSED_OVER_FOR: Final = timedelta(seconds=30)
FENCED_OFF: Final = "fenced_off"

_BURST: Final = timedelta(milliseconds=3)
_FIRST_BACKOFF: Final = timedelta(milliseconds=200)
_LONGEST_BACKOFF: Final = timedelta(seconds=2)
_AWAY: Final = (OperationalError, PoolTimeout, OSError)

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)


class PoolDispatch:
    """The activity's implementation, shared by all pools of a process."""

    def __init__(self, database: Database, learned: LearnedFromLedger | None = None) -> None:
        self._database = database
        self._learned = LearnedFromLedger(database) if learned is None else learned

    @activity.defn(name=KEEP_MATCHING)
    async def keep_matching(self, start: DispatchPool) -> None:
        """Dispatch the pool until the worker shuts down, the attempt is cancelled or another one takes the lease."""
        info = activity.info()
        dispatch = _Dispatch(self._database, self._learned, start.pool, f"{info.workflow_run_id}/{info.attempt}")
        beside = [
            asyncio.create_task(_heartbeat()),
            asyncio.create_task(dispatch.listen()),
            asyncio.create_task(dispatch.stop_with_worker()),
        ]
        try:
            await dispatch.run()
        except FencedOffError as error:
            raise ApplicationError(f"another dispatcher holds pool {start.pool}", type=FENCED_OFF) from error
        finally:
            for task in beside:
                task.cancel()
            await asyncio.gather(*beside, return_exceptions=True)


async def _heartbeat() -> None:
    while True:
        activity.heartbeat()
        await asyncio.sleep(HEARTBEAT.total_seconds())


class _Dispatch:
    """One attempt: its lease, what woke it, and which conversations it leaves alone for a while."""

    def __init__(self, database: Database, learned: LearnedFromLedger, pool: str, holder: str) -> None:
        self._database = database
        self._learned = learned
        self._pool = pool
        self._holder = holder
        self._queue = PoolQueue(pool)
        self._agents = AgentReader()
        self._wake = asyncio.Event()
        self._stopping = False
        self._backoff = _FIRST_BACKOFF
        self._passed_over: dict[str, float] = {}

    async def run(self) -> None:
        lease: Lease | None = None
        while not self._stopping:
            self._wake.clear()
            pause = SWEEP
            try:
                if lease is None:
                    lease = await take_lease(self._database, self._pool, self._holder)
                pause = await self._match(lease)
                self._backoff = _FIRST_BACKOFF
            except _AWAY as error:
                log.warning("dispatch_pass_failed", pool=self._pool, cause=type(error).__name__)
                pause = self._longer_backoff()
            await self._wait(pause)

    async def listen(self) -> None:
        """Wake the loop on hints of this pool, and whenever hints may have been missed."""
        backoff = _FIRST_BACKOFF
        while True:
            try:
                connection = await self._database.listener()
                async with connection:
                    await connection.execute(f"listen {QUEUE_CHANNEL}".encode())
                    backoff = _FIRST_BACKOFF
                    self._wake.set()
                    async for hint in connection.notifies():
                        if hint.payload in ("", self._pool):
                            self._wake.set()
            except _AWAY as error:
                log.warning("dispatch_hears_nothing", pool=self._pool, cause=type(error).__name__)
            await asyncio.sleep(backoff.total_seconds())
            backoff = min(2 * backoff, _LONGEST_BACKOFF)

    async def stop_with_worker(self) -> None:
        await activity.wait_for_worker_shutdown()
        self._stopping = True
        self._wake.set()

    async def _match(self, lease: Lease) -> timedelta:
        """One pass; how long to wait for the next when nothing is heard."""
        now = time.monotonic()
        self._passed_over = {one: until for one, until in self._passed_over.items() if until > now}
        done = await match_pool(
            self._database,
            lease,
            await self._learned.model(),
            await self._learned.experience(),
            queue=self._queue,
            agents=self._agents,
            passed_over=tuple(self._passed_over),
        )
        self._note(done)
        until = done.until_next_change
        return SWEEP if until is None else max(_BURST, min(SWEEP, until))

    def _note(self, done: Pass) -> None:
        for refused in done.refused:
            self._passed_over[refused.conversation_id] = time.monotonic() + PASSED_OVER_FOR.total_seconds()
            log.error(
                "dispatch_offer_refused",
                pool=self._pool,
                conversation_id=refused.conversation_id,
                agent_id=refused.agent_id,
                constraint=refused.constraint,
            )
        if done.settings_unreadable:
            log.error("dispatch_by_default_settings", pool=self._pool)
        if done.offers:
            log.info("dispatched", pool=self._pool, offers=len(done.offers), unmatched=len(done.unmatched))

    def _longer_backoff(self) -> timedelta:
        pause, self._backoff = self._backoff, min(2 * self._backoff, _LONGEST_BACKOFF)
        return pause

    async def _wait(self, pause: timedelta) -> None:
        try:
            await asyncio.wait_for(self._wake.wait(), pause.total_seconds())
        except TimeoutError:
            return
        # Changes come in bursts, one commit each: what follows at once is matched in the same pass.
        await asyncio.sleep(_BURST.total_seconds())
