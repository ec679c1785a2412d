"""Keeps one Temporal Schedule for every system that health scores are pulled from, as admins set them up."""

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import psycopg
import structlog
from psycopg.rows import class_row
from psycopg_pool import PoolTimeout
from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleAlreadyRunningError,
    ScheduleIntervalSpec,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleSpec,
    ScheduleState,
    ScheduleUpdate,
    ScheduleUpdateInput,
)
from temporalio.service import RPCError

from storage.database import Database
from storage.hints import Hints
from workflows.health_pull import HEALTH_PULL_WORKFLOW, HealthSourceId, schedule_id
from workflows.task_queues import UPKEEP

_LOG: Final = structlog.get_logger(__name__)
_SETTINGS_CHANNEL: Final = "baton_settings"
_LOOK_AGAIN: Final = timedelta(seconds=30)
_RETRY: Final = timedelta(seconds=2)
_AWAY: Final = (psycopg.OperationalError, PoolTimeout, OSError, RPCError, RuntimeError)

_SOURCES: Final = "select id, name, every_seconds, active from health_sources order by id"


@dataclass(frozen=True, slots=True)
class _Source:
    id: str
    name: str
    every_seconds: int
    active: bool


class HealthSchedules:
    """Any number of these may run: whoever comes second finds the schedule there and makes it the same again."""

    def __init__(self, database: Database, client: Client) -> None:
        self._database = database
        self._client = client
        self._hints = Hints(database, _SETTINGS_CHANNEL)
        self._kept: dict[str, _Source] = {}

    async def run(self) -> None:
        """Follow the sources until cancelled; neither Postgres nor Temporal going away ends it."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._hints.run())
            while True:
                seen = self._hints.rings
                pause = _LOOK_AGAIN
                try:
                    await self.follow()
                except _AWAY as error:
                    _LOG.warning("health schedules wait", cause=type(error).__name__)
                    pause = _RETRY
                await self._hints.wait(seen, pause)

    async def follow(self) -> None:
        """Make the schedules what the sources say now."""
        async with (
            self._database.ledger.connection() as connection,
            connection.cursor(row_factory=class_row(_Source)) as cursor,
        ):
            sources = await (await cursor.execute(_SOURCES)).fetchall()
        for source in sources:
            if self._kept.get(source.id) != source:
                await self._schedule(source)
                self._kept[source.id] = source

    async def _schedule(self, source: _Source) -> None:
        wanted = _schedule_of(source)
        try:
            await self._client.create_schedule(schedule_id(source.id), wanted, trigger_immediately=source.active)
        except ScheduleAlreadyRunningError:

            def changed(_: ScheduleUpdateInput) -> ScheduleUpdate:
                return ScheduleUpdate(wanted)

            await self._client.get_schedule_handle(schedule_id(source.id)).update(changed)


def _schedule_of(source: _Source) -> Schedule:
    return Schedule(
        action=ScheduleActionStartWorkflow(
            HEALTH_PULL_WORKFLOW,
            HealthSourceId(source.id),
            id=schedule_id(source.id),
            task_queue=UPKEEP,
            static_summary=f"Health scores from {source.name}",
        ),
        spec=ScheduleSpec(intervals=[ScheduleIntervalSpec(every=timedelta(seconds=source.every_seconds))]),
        policy=SchedulePolicy(overlap=ScheduleOverlapPolicy.SKIP, catchup_window=timedelta(minutes=1)),
        state=ScheduleState(paused=not source.active),
    )
