"""Promises kept to the instant over weeks, over changes of the clock, over the deaths of worker and server.

The conversation's clock is skipped by the Temporal server itself; the rest of the floor lives in real time. So nobody
may wake a conversation from outside once its clock has run ahead, except its agent.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from zoneinfo import ZoneInfo

import pytest
from psycopg.types.json import Jsonb
from temporalio.client import Client
from temporalio.testing import TimeSkipper, TimeSkippingConfig
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner

from activities.conversation_steps import ConversationSteps
from activities.deliver import Deliveries
from intelligence.triage import MessageTriage
from storage.database import Database
from storage.sealed_box import SealedBox
from tests.workflow.conftest import SECRET, Floor
from workers.embedded.alone import temporal_alone
from workers.embedded.supervisor import Supervisor
from workers.embedded.temporal import TemporalServer
from workers.temporal_options import DYNAMIC_CONFIG, search_attribute_types
from workers.worker_process import conversation_worker
from workflows.data_converter import DATA_CONVERTER
from workflows.messages import Claim, Hold, Resume, UpdateName

ASK = "I was charged twice for my invoice, please refund me"
BERLIN = ZoneInfo("Europe/Berlin")
DAY, WEEK = timedelta(days=1), timedelta(weeks=1)


@dataclass
class VirtualFloor:
    """A floor whose conversations can be sent ahead in time; its worker and its server can be killed."""

    floor: Floor
    server: Supervisor
    skipper: TimeSkipper
    steps: ConversationSteps
    deliveries: Deliveries
    working: AsyncExitStack = field(default_factory=AsyncExitStack)

    async def ahead(self, conversation_id: str, span: timedelta) -> None:
        await self.skipper.fast_forward(self.floor.handle(conversation_id), span)

    async def start_worker(self) -> None:
        await self.working.enter_async_context(
            conversation_worker(self.skipper.client, self.steps, self.deliveries, runner=SandboxedWorkflowRunner())
        )

    async def stop_worker(self) -> None:
        await self.working.aclose()

    async def breach(self, conversation_id: str, metric: str) -> datetime:
        async def breached() -> datetime | None:
            rows = await self.floor.sql(
                "select breached_at from clocks where conversation_id = %s and metric = %s", conversation_id, metric
            )
            return rows[0][0] if rows else None  # type: ignore[return-value] # the column is an instant

        return await self.floor.until(breached, "the breach")


@pytest.fixture(scope="module")
async def skipping_server() -> AsyncIterator[tuple[TemporalServer, Supervisor]]:
    skips = {**DYNAMIC_CONFIG, "frontend.WorkflowTimeSkippingEnabled": "true"}
    with TemporaryDirectory(prefix="baton-ts-") as folder:
        async with temporal_alone(Path(folder), search_attribute_types(), skips) as server:
            yield server


@pytest.fixture
async def virtual(
    database: Database, skipping_server: tuple[TemporalServer, Supervisor], triage: MessageTriage
) -> AsyncIterator[VirtualFloor]:
    server, supervisor = skipping_server
    client = await Client.connect(server.address, data_converter=DATA_CONVERTER)
    skipper = TimeSkipper(client, config=TimeSkippingConfig(enabled=False))
    floor = VirtualFloor(
        Floor(database, skipper.client),
        supervisor,
        skipper,
        ConversationSteps(database, triage),
        Deliveries(database, SealedBox(SECRET)),
    )
    floor.floor.start_relay()
    await floor.start_worker()
    yield floor
    async for running in client.list_workflows("ExecutionStatus = 'Running'"):
        await client.get_workflow_handle(running.id, run_id=running.run_id).terminate("the test is over")
    await floor.stop_worker()
    await floor.floor.stop_relay()


async def waiting(virtual: VirtualFloor) -> tuple[str, datetime]:
    """A conversation in the queue and the instant it began."""
    taken = await virtual.floor.says("bea", ASK)
    await virtual.floor.in_state(taken.conversation_id, "queued")
    [(at,)] = await virtual.floor.sql("select at from messages")
    assert isinstance(at, datetime)
    return taken.conversation_id, at


def days_until_the_clock_changes(since: datetime) -> int:
    offset = since.astimezone(BERLIN).utcoffset()
    return next(days for days in range(1, 366) if (since + days * DAY).astimezone(BERLIN).utcoffset() != offset)


def after_daily_hours(since: datetime, hours: int) -> datetime:
    """When so many hours have passed of a floor that is open from nine to ten, reckoned on the wall clock of Berlin."""
    left, day = timedelta(hours=hours), since.astimezone(BERLIN).date()
    while True:
        opens, closes = (datetime.combine(day, time(hour), BERLIN).astimezone(UTC) for hour in (9, 10))
        begins = max(opens, since)
        if begins < closes:
            if left <= closes - begins:
                return begins + left
            left -= closes - begins
        day += DAY


async def test_a_deadline_months_ahead_is_met_to_the_instant_over_a_change_of_the_clock(
    virtual: VirtualFloor,
) -> None:
    hours = days_until_the_clock_changes(datetime.now(UTC)) + 7
    await virtual.floor.sql(
        "insert into calendars (id, name, time_zone, weekly, holidays, updated_at)"
        " values ('cal_1', 'Nine to ten', 'Europe/Berlin', %s, '{}', now())",
        Jsonb({day: [["09:00", "10:00"]] for day in ("mon", "tue", "wed", "thu", "fri", "sat", "sun")}),
    )
    await virtual.floor.promise(first_response=hours * 3600)
    await virtual.floor.sql("update sla_policies set calendar_id = 'cal_1'")
    conversation, since = await waiting(virtual)
    due = after_daily_hours(since, hours)
    assert due.astimezone(BERLIN).utcoffset() != since.astimezone(BERLIN).utcoffset()
    await virtual.ahead(conversation, due - datetime.now(UTC) + timedelta(minutes=1))
    assert await virtual.breach(conversation, "first_response") == due
    told = await virtual.floor.told(conversation)
    assert told[-4:] == ["urgency_raised", "suggestion_due", "sla_breached", "supervisor_alerted"]
    assert await virtual.floor.sql("select kind, metric, acknowledged_at from alerts") == [
        ("sla", "first_response", None)
    ]


async def test_weeks_on_hold_move_the_deadline_by_nothing_but_themselves(virtual: VirtualFloor) -> None:
    await virtual.floor.promise(resolution=WEEK.total_seconds())
    ann = await virtual.floor.agent("Ann", presence="away")
    conversation, since = await waiting(virtual)
    await virtual.floor.ask(conversation, UpdateName.CLAIM, Claim(ann))
    await virtual.ahead(conversation, 2 * DAY)
    await virtual.floor.ask(conversation, UpdateName.HOLD, Hold(ann))
    await virtual.ahead(conversation, 3 * WEEK)
    assert await virtual.floor.sql("select state, breached_at from clocks") == [("paused", None)]
    await virtual.floor.ask(conversation, UpdateName.RESUME, Resume(ann))
    await virtual.ahead(conversation, WEEK)
    at = await virtual.breach(conversation, "resolution")
    [(paused,)] = await virtual.floor.sql("select paused_seconds from clocks")
    assert isinstance(paused, float)
    assert paused >= (3 * WEEK).total_seconds()
    assert at == since + WEEK + timedelta(seconds=paused)


async def test_a_hold_of_two_weeks_ends_by_itself(virtual: VirtualFloor) -> None:
    ann = await virtual.floor.agent("Ann", presence="away")
    conversation, _ = await waiting(virtual)
    await virtual.floor.ask(conversation, UpdateName.CLAIM, Claim(ann))
    await virtual.floor.ask(conversation, UpdateName.HOLD, Hold(ann, limit=2 * WEEK))
    await virtual.ahead(conversation, 2 * WEEK - DAY)
    assert await virtual.floor.sql("select state from conversations") == [("on_hold",)]
    await virtual.ahead(conversation, DAY)
    await virtual.floor.in_state(conversation, "assigned")


async def test_a_killed_server_forgets_no_deadline_and_tells_no_breach_twice(virtual: VirtualFloor) -> None:
    await virtual.floor.promise(first_response=WEEK.total_seconds())
    conversation, since = await waiting(virtual)
    await virtual.ahead(conversation, 5 * DAY)
    await virtual.server.kill("temporal")
    await virtual.server.wait_ready("temporal")
    await virtual.ahead(conversation, 3 * DAY)
    assert await virtual.breach(conversation, "first_response") == since + WEEK
    await virtual.server.kill("temporal")
    await virtual.server.wait_ready("temporal")
    await virtual.ahead(conversation, WEEK)
    assert (await virtual.floor.told(conversation)).count("sla_breached") == 1


async def test_a_deadline_that_falls_due_while_no_worker_lives_is_kept_at_its_instant(virtual: VirtualFloor) -> None:
    await virtual.floor.promise(first_response=WEEK.total_seconds())
    conversation, since = await waiting(virtual)
    await virtual.stop_worker()
    skipping = asyncio.create_task(virtual.ahead(conversation, 2 * WEEK))
    await virtual.start_worker()
    await skipping
    assert await virtual.breach(conversation, "first_response") == since + WEEK
    assert (await virtual.floor.told(conversation)).count("sla_breached") == 1


async def test_a_policy_changed_after_days_carries_the_time_that_was_used(virtual: VirtualFloor) -> None:
    await virtual.floor.promise(first_response=WEEK.total_seconds(), resolution=DAY.total_seconds())
    conversation, since = await waiting(virtual)
    await virtual.ahead(conversation, 2 * DAY)
    broken = await virtual.breach(conversation, "resolution")
    assert broken == since + DAY
    await virtual.floor.sql(
        "update sla_policies set version = 2, updated_at = now(), targets = %s",
        Jsonb({"first_response_seconds": 3 * DAY.total_seconds(), "resolution_seconds": 9 * DAY.total_seconds()}),
    )
    await virtual.floor.sql(
        "insert into signals (conversation_id, kind, payload, created_at, attempts, set_aside)"
        " values (%s, 'policy_changed', '{\"cause\": \"the policy changed\"}', now(), 0, false)",
        conversation,
    )

    async def shortened() -> bool | None:
        [(target,)] = await virtual.floor.sql("select target_seconds from clocks where metric = 'first_response'")
        return True if target == 3 * DAY.total_seconds() else None

    await virtual.floor.until(shortened, "the new target")
    await virtual.ahead(conversation, 2 * DAY)
    assert await virtual.breach(conversation, "first_response") == since + 3 * DAY
    assert await virtual.breach(conversation, "resolution") == broken
    assert (await virtual.floor.told(conversation)).count("sla_breached") == 2
