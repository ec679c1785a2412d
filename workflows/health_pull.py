"""Pulling health scores from one customer-success system: what its Temporal Schedule starts again and again."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from temporalio import workflow
from temporalio.common import RetryPolicy

HEALTH_PULL_WORKFLOW: Final = "HealthPull"
PULL_HEALTH: Final = "pull_health"

_ONE_TRY: Final = timedelta(minutes=5)
_SILENCE: Final = timedelta(seconds=60)
_TRIES: Final = RetryPolicy(
    initial_interval=timedelta(seconds=5),
    backoff_coefficient=3.0,
    maximum_interval=timedelta(minutes=5),
    maximum_attempts=6,
)
"""After about ten minutes of failures the next turn of the schedule tries again."""


@dataclass(frozen=True, slots=True)
class HealthSourceId:
    source_id: str


def schedule_id(source_id: str) -> str:
    return f"health-pull/{source_id}"


@workflow.defn(name=HEALTH_PULL_WORKFLOW)
class HealthPull:
    @workflow.run
    async def run(self, source: HealthSourceId) -> None:
        await workflow.execute_activity(
            PULL_HEALTH,
            source,
            start_to_close_timeout=_ONE_TRY,
            heartbeat_timeout=_SILENCE,
            retry_policy=_TRIES,
            summary=f"pulls health scores from {source.source_id}",
        )
