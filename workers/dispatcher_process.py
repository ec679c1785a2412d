"""The dispatcher process: a Temporal worker for the dispatchers, and one dispatcher workflow for every pool."""

import asyncio
import os
import time
from datetime import timedelta
from typing import Final

# The matrices of a pass are small: threads of the linear algebra would only take cores from the other processes. They
# are counted when numpy is imported, hence before it.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import structlog
from psycopg import OperationalError
from psycopg_pool import PoolTimeout
from temporalio.client import Client
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.service import RPCError
from temporalio.worker import Worker

from activities.dispatch import HEARTBEAT, PoolDispatch
from activities.stand_in import StandIn
from storage.database import Database
from storage.ledger.learned import LearnedFromLedger
from workers.garbage import leave_what_is_loaded
from workers.health_port import serve_health
from workers.settings import ProcessSettings
from workers.temporal_connection import connect_patiently
from workflows.dispatcher import DispatcherWorkflow, DispatchPool, dispatcher_id
from workflows.task_queues import DISPATCH

GRACE: Final = timedelta(seconds=5)
NEW_POOLS_EVERY: Final = timedelta(seconds=2)
MAKE_SURE_EVERY: Final = timedelta(seconds=60)
"""How often a dispatcher that should run is started again, in case somebody ended it by hand."""

_CONNECTIONS: Final = 20

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)


async def run_dispatcher(settings: ProcessSettings, stop: asyncio.Event) -> None:
    """Dispatch until `stop` is set; Postgres and Temporal may come later than this process, and go and return."""
    leave_what_is_loaded()
    database = Database(settings.postgres_url, pool_size=_CONNECTIONS)
    await database.open()
    try:
        async with serve_health(settings.health_port):
            client = await connect_patiently(settings, stop)
            if client is None:
                return
            learned = LearnedFromLedger(database)
            async with dispatcher_worker(client, database, learned):
                await asyncio.gather(_keep_dispatchers(client, database, stop), StandIn(database, learned).run(stop))
    finally:
        await database.close()


def dispatcher_worker(client: Client, database: Database, learned: LearnedFromLedger | None = None) -> Worker:
    return Worker(
        client,
        task_queue=DISPATCH,
        workflows=[DispatcherWorkflow],
        activities=[PoolDispatch(database, learned).keep_matching],
        # A workflow task for a worker that has died would wait for it; these workflows are cheap to read again.
        max_cached_workflows=0,
        # By default the SDK holds heartbeats back until most of the timeout is gone, and a busy machine does the rest.
        max_heartbeat_throttle_interval=HEARTBEAT,
        default_heartbeat_throttle_interval=HEARTBEAT,
        graceful_shutdown_timeout=GRACE,
    )


async def start_dispatchers(client: Client, pools: list[str]) -> None:
    """Start the dispatcher of each pool; one that runs is left alone."""
    for pool in pools:
        await client.start_workflow(
            DispatcherWorkflow.run,
            DispatchPool(pool),
            id=dispatcher_id(pool),
            task_queue=DISPATCH,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
            static_summary=f"Offers what waits in pool {pool} to its agents",
        )


async def _keep_dispatchers(client: Client, database: Database, stop: asyncio.Event) -> None:
    started: set[str] = set()
    make_sure_at = 0.0
    while not stop.is_set():
        try:
            pools = await _pools(database)
            if time.monotonic() >= make_sure_at:
                started.clear()
                make_sure_at = time.monotonic() + MAKE_SURE_EVERY.total_seconds()
            new = [pool for pool in pools if pool not in started]
            await start_dispatchers(client, new)
            started.update(new)
        except (OperationalError, PoolTimeout, OSError, RPCError) as error:
            log.warning("dispatchers_not_started", cause=type(error).__name__)
        await _pause(stop, NEW_POOLS_EVERY.total_seconds())


async def _pools(database: Database) -> list[str]:
    async with database.ledger.connection() as connection:
        rows = await (await connection.execute("select name from pools order by name")).fetchall()
    return [row[0] for row in rows]


async def _pause(stop: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(stop.wait(), seconds)
    except TimeoutError:
        return
