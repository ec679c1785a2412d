import asyncio
import base64
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
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
from activities.stand_in import StandIn
from domain.routing.success import SuccessLearner
from storage.database import Database
from storage.ledger.learned import LearnedFromLedger
from storage.ledger.matching import match_pool, take_lease
from tests.conftest import Eventually
from tests.integration.dispatch_ledger import POOL, add_agent, add_pool, add_ticket, offered, rows
from workers.dispatcher_process import run_dispatcher
from workers.health_port import serve_health
from workers.settings import ProcessSettings
from workflows.dispatcher import DispatchPool, dispatcher_id

ROOT = Path(__file__).parents[2]
SECRET = base64.b64encode(b"made-up-for-the-tests-0123456789").decode()

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


@dataclass
class Processes:
    """Dispatcher processes that a test may kill; what still runs at its end is killed."""

    environment: dict[str, str]
    running: list[asyncio.subprocess.Process] = field(default_factory=list)

    async def start(self) -> asyncio.subprocess.Process:
        started = await asyncio.create_subprocess_exec(
            sys.executable, "-c", DISPATCHER, env=self.environment, stdout=asyncio.subprocess.DEVNULL
        )
        self.running.append(started)
        return started

    @staticmethod
    async def kill(process: asyncio.subprocess.Process) -> None:
        if process.returncode is None:
            process.send_signal(signal.SIGKILL)
            await process.wait()


@pytest.fixture
async def processes(temporal: Client, database_url: str) -> AsyncIterator[Processes]:
    started = Processes(
        {
            **os.environ,
            "BATON_POSTGRES_URL": database_url,
            "BATON_TEMPORAL_ADDRESS": temporal.service_client.config.target_host,
            "BATON_SECRET": SECRET,
            "PYTHONPATH": str(ROOT),
        }
    )
    yield started
    for process in started.running:
        await started.kill(process)


async def nobody_waits(database: Database) -> bool:
    return await rows(database, "select 1 from queue_tickets") == []


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
    temporal: Client, database_url: str, database: Database, eventually: Eventually, processes: Processes
) -> None:
    pool = f"pool-{uuid4().hex[:8]}"
    await rows(database, "delete from pools")
    await add_pool(database, pool)
    first = await processes.start()
    second = asyncio.Event()
    taking_over: asyncio.Task[None] | None = None
    try:
        await add_agent(database, "agt_1", pool=pool)
        await add_ticket(database, "con_1", pool=pool)
        await eventually(lambda: nobody_waits(database))
        settings = ProcessSettings(
            postgres_url=database_url,
            temporal_address=temporal.service_client.config.target_host,
            secret=SECRET,
            health_port=0,
        )
        taking_over = asyncio.create_task(run_dispatcher(settings, second))
        await processes.kill(first)
        await add_ticket(database, "con_2", pool=pool)
        await eventually(lambda: nobody_waits(database))
        assert await offered(database) == {"con_1": "agt_1", "con_2": "agt_1"}
        assert await rows(database, "select count(*) from signals") == [(2,)]

        async def the_lease_is_taken_over() -> bool:
            return await rows(database, "select token > 1 from dispatcher_leases where pool = %s", pool) == [(True,)]

        await eventually(the_lease_is_taken_over)
        description = await temporal.get_workflow_handle(dispatcher_id(pool)).describe()
        assert description.status is WorkflowExecutionStatus.RUNNING

        late = f"late-{uuid4().hex[:8]}"
        await add_pool(database, late)
        await add_agent(database, "agt_late", pool=late)
        await add_ticket(database, "con_late", pool=late)
        await eventually(lambda: nobody_waits(database))
        await temporal.get_workflow_handle(dispatcher_id(late)).terminate()
    finally:
        second.set()
        if taking_over is not None:
            async with asyncio.timeout(15):
                await taking_over
        await temporal.get_workflow_handle(dispatcher_id(pool)).terminate()


async def test_somebody_stands_in_for_a_dispatcher_that_is_gone_and_leaves_a_living_one_alone(
    database: Database,
) -> None:
    stand_in = StandIn(database, LearnedFromLedger(database))
    lease = await take_lease(database, POOL, "killed since")
    await add_agent(database, "agt_1", capacity=68)
    await add_ticket(database, "con_1")
    assert await stand_in.look() == 0
    await rows(database, "update dispatcher_leases set taken_at = now() - interval '1 s'")
    assert await stand_in.look() == 1
    await add_ticket(database, "con_2")
    assert await stand_in.look() == 0
    await rows(database, "update dispatcher_leases set passed_at = now() - interval '1 s'")
    # It was only slow: its next pass finds everything in order, and the lease is still its own.
    done = await match_pool(database, lease, SuccessLearner().model())
    assert [made.conversation_id for made in done.offers] == ["con_2"]
    assert await stand_in.look() == 0
    assert await offered(database) == {"con_1": "agt_1", "con_2": "agt_1"}


@pytest.mark.chaos
async def test_two_dispatchers_one_of_them_killed_again_and_again_offer_everything_once(
    temporal: Client, database: Database, eventually: Eventually, processes: Processes
) -> None:
    pools = [f"pool-{uuid4().hex[:8]}" for _ in range(2)]
    await rows(database, "delete from pools")
    for pool in pools:
        await add_pool(database, pool)
    for number in range(10):
        # Everybody serves both pools: two dispatchers reach for the same places.
        home, other = pools[number % 2], pools[(number + 1) % 2]
        await add_agent(database, f"agt_{number}", pool=home, also_pools=[other], capacity=340)
    alive = [await processes.start(), await processes.start()]
    for waiting in range(60):
        await add_ticket(database, f"con_{waiting:03}", pool=pools[waiting % 2])
        if waiting % 20 == 7:
            await processes.kill(alive[0])
        if waiting % 20 == 19:
            await eventually(lambda: nobody_waits(database))
            alive = [alive[1], await processes.start()]
    for pool in pools:
        await temporal.get_workflow_handle(dispatcher_id(pool)).terminate()
    assert await rows(database, "select count(*), count(distinct conversation_id), count(distinct id) from offers") == [
        (60, 60, 60)
    ]
    assert await rows(database, "select count(*) from signals") == [(60,)]
    assert await rows(
        database,
        "select count(*) from agents a where a.load > a.capacity or a.load <>"
        " (select coalesce(sum(o.units), 0) from offers o where o.agent_id = a.id and o.state = 'pending')",
    ) == [(0,)]
