"""The worker process: runs the conversations, relays owed signals to them, reads the mailboxes."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import structlog
from temporalio.client import Client
from temporalio.worker import UnsandboxedWorkflowRunner, Worker, WorkflowRunner

from activities.conversation_steps import ConversationSteps
from activities.deliver import Deliveries
from activities.health_pull import HealthPulls
from intelligence.model_store import ModelStore
from intelligence.train import ensure_models
from intelligence.triage import MessageTriage
from storage.database import Database
from storage.sealed_box import SealedBox
from workers.health_port import serve_health
from workers.health_schedules import HealthSchedules
from workers.mailboxes import Mailboxes
from workers.relay import Relay
from workers.settings import ProcessSettings
from workers.temporal_connection import connect_patiently
from workflows.conversation import Conversation
from workflows.health_pull import HealthPull
from workflows.task_queues import CONVERSATIONS, UPKEEP

GRACE: Final = timedelta(seconds=10)
CACHED_CONVERSATIONS: Final = 10_000
"""Above the active conversations of one worker: a conversation that falls out is read from its history again."""

_CONNECTIONS: Final = 20

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)


async def run_worker(settings: ProcessSettings, stop: asyncio.Event) -> None:
    """Work until `stop` is set; Postgres and Temporal may come later than this process, and go and return."""
    store = ModelStore(Path(settings.model_directory))
    trained = await asyncio.to_thread(ensure_models, store, datetime.now(UTC))
    if trained:
        log.info("models_trained", kinds=[kind.value for kind in trained])
    database = Database(settings.postgres_url, pool_size=_CONNECTIONS)
    await database.open()
    try:
        client = await connect_patiently(settings, stop)
        if client is None:
            return
        box = SealedBox(settings.secret_bytes, *settings.older_secret_bytes)
        async with (
            serve_health(settings.health_port),
            conversation_worker(
                client,
                ConversationSteps(database, MessageTriage(store), settings.secret_bytes),
                Deliveries(database, box),
            ),
            upkeep_worker(client, HealthPulls(database, box)),
        ):
            await _alongside(stop, Relay(database, client), Mailboxes(database, box), HealthSchedules(database, client))
    finally:
        await database.close()


def conversation_worker(
    client: Client, steps: ConversationSteps, deliveries: Deliveries, *, runner: WorkflowRunner | None = None
) -> Worker:
    """At work nothing guards the workflow's code from the outside world: the tests run it in the sandbox."""
    return Worker(
        client,
        task_queue=CONVERSATIONS,
        workflows=[Conversation],
        workflow_runner=runner or UnsandboxedWorkflowRunner(),
        activities=[steps.assess, steps.assess_merge, steps.write_step, deliveries.deliver],
        max_cached_workflows=CACHED_CONVERSATIONS,
        sticky_queue_schedule_to_start_timeout=timedelta(seconds=1),
        graceful_shutdown_timeout=GRACE,
    )


def upkeep_worker(client: Client, health: HealthPulls) -> Worker:
    return Worker(
        client,
        task_queue=UPKEEP,
        workflows=[HealthPull],
        activities=[health.pull],
        graceful_shutdown_timeout=GRACE,
    )


async def _alongside(stop: asyncio.Event, *services: Relay | Mailboxes | HealthSchedules) -> None:
    """Run the services until `stop`; one that ends by an error ends the process, which its supervisor restarts."""
    running = [asyncio.create_task(service.run()) for service in services]
    stopping = asyncio.create_task(stop.wait())
    try:
        done, _ = await asyncio.wait([*running, stopping], return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in (*running, stopping):
            task.cancel()
        await asyncio.gather(*running, stopping, return_exceptions=True)
