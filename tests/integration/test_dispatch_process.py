import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from psycopg import OperationalError
from psycopg_pool import PoolTimeout
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.testing import ActivityEnvironment

from activities.dispatch import PoolDispatch
from storage.database import Database
from tests.conftest import Eventually
from tests.integration.dispatch_ledger import POOL, add_agent, add_pool, add_ticket, offered, rows
from workers.dispatcher_process import run_dispatcher
from workers.health_port import serve_health
from workers.settings import ProcessSettings
from workflows.dispatcher import DispatchPool, dispatcher_id

ROOT = Path(__file__).parents[2]
SECRET = "made-up-for-the-tests-0123456789-0123456789"

DISPATCHER = """
import asyncio
from workers.dispatcher_process import run_dispatcher
from workers.settings import ProcessSettings
asyncio.run(run_dispatcher(ProcessSettings(), asyncio.Event()))
"""


@asynccontextmanager
async def dispatching(database: Database) -> AsyncIterator[ActivityEnvironment]:
    """The activity by itself, without a server around it."""
    environment = ActivityEnvironment()
    running = asyncio.create_task(environment.run(PoolDispatch(database).keep_matching, DispatchPool(POOL)))
    try:
        yield environment
    finally:
        environment.worker_shutdown()
        async with asyncio.timeout(10):
            await running


async def listens(database: Database) -> bool:
    found = await rows(database, "select 1 from pg_stat_activity where query ilike 'listen%%' and state = 'idle'")
    return bool(found)


async def test_a_sweep_finds_what_no_hint_told(database: Database, eventually: Eventually) -> None:
    async with dispatching(database):
        await eventually(lambda: listens(database))
        await add_agent(database, "agt_1")
        await add_ticket(database, "con_1")

        async def is_offered() -> bool:
            return await offered(database) == {"con_1": "agt_1"}

        await eventually(is_offered)


async def test_a_hint_wakes_the_dispatcher_before_its_sweep(
    database: Database, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("activities.dispatch.SWEEP", timedelta(hours=1))
    async with dispatching(database):
        await eventually(lambda: listens(database))
        await add_agent(database, "agt_1")
        await add_ticket(database, "con_1")
        await rows(database, "select pg_notify('baton_queue', %s)", POOL)

        async def is_offered() -> bool:
            return await offered(database) == {"con_1": "agt_1"}

        await eventually(is_offered)


async def test_a_lost_connection_is_made_again_and_hints_are_heard_again(
    database: Database, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("activities.dispatch.SWEEP", timedelta(hours=1))
    async with dispatching(database) as environment:
        beats: list[object] = []
        environment.on_heartbeat = lambda *details: beats.append(details)
        await eventually(lambda: listens(database))
        await rows(
            database,
            """
            select pg_terminate_backend(pid) from pg_stat_activity
            where datname = current_database() and pid <> pg_backend_pid()
            """,
        )
        await add_agent(database, "agt_1")
        await add_ticket(database, "con_1")

        async def is_offered() -> bool:
            try:
                return await listens(database) and await offered(database) == {"con_1": "agt_1"}
            except (OperationalError, PoolTimeout):
                return False

        await eventually(is_offered)
        before = len(beats)

        async def beats_again() -> bool:
            return len(beats) > before

        await eventually(beats_again)


async def test_health_is_told_on_its_path_only() -> None:
    async with serve_health(0) as port, httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:
        assert (await http.get("/healthz")).status_code == 200
        assert (await http.get("/")).status_code == 404


@pytest.mark.chaos
async def test_when_the_holder_is_killed_another_process_goes_on_and_offers_everything_once(
    temporal: Client, database_url: str, database: Database, eventually: Eventually
) -> None:
    pool = f"pool-{uuid4().hex[:8]}"
    await rows(database, "delete from pools")
    await add_pool(database, pool)
    environment = {
        **os.environ,
        "BATON_POSTGRES_URL": database_url,
        "BATON_TEMPORAL_ADDRESS": temporal.service_client.config.target_host,
        "BATON_SECRET": SECRET,
        "PYTHONPATH": str(ROOT),
    }
    first = await asyncio.create_subprocess_exec(
        sys.executable, "-c", DISPATCHER, env=environment, stdout=asyncio.subprocess.DEVNULL
    )
    second = asyncio.Event()
    taking_over: asyncio.Task[None] | None = None
    try:

        async def everyone_is_offered() -> bool:
            return await rows(database, "select 1 from queue_tickets") == []

        await add_agent(database, "agt_1", pool=pool)
        await add_ticket(database, "con_1", pool=pool)
        await eventually(everyone_is_offered)
        settings = ProcessSettings(
            postgres_url=database_url,
            temporal_address=temporal.service_client.config.target_host,
            secret=SECRET,
            health_port=0,
        )
        taking_over = asyncio.create_task(run_dispatcher(settings, second))
        first.send_signal(signal.SIGKILL)
        await first.wait()
        await add_ticket(database, "con_2", pool=pool)
        await eventually(everyone_is_offered)
        assert await offered(database) == {"con_1": "agt_1", "con_2": "agt_1"}
        assert await rows(database, "select count(*) from signals") == [(2,)]
        assert await rows(database, "select token > 1 from dispatcher_leases where pool = %s", pool) == [(True,)]
        description = await temporal.get_workflow_handle(dispatcher_id(pool)).describe()
        assert description.status is WorkflowExecutionStatus.RUNNING

        late = f"late-{uuid4().hex[:8]}"
        await add_pool(database, late)
        await add_agent(database, "agt_late", pool=late)
        await add_ticket(database, "con_late", pool=late)
        await eventually(everyone_is_offered)
        await temporal.get_workflow_handle(dispatcher_id(late)).terminate()
    finally:
        second.set()
        if first.returncode is None:
            first.kill()
        if taking_over is not None:
            async with asyncio.timeout(15):
                await taking_over
        await temporal.get_workflow_handle(dispatcher_id(pool)).terminate()
