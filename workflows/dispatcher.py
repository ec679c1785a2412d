"""One pool's dispatcher: a workflow that keeps one heartbeating activity running, wherever a worker lives."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from temporalio import workflow
from temporalio.common import RetryPolicy

DISPATCHER_WORKFLOW: Final = "Dispatcher"
KEEP_MATCHING: Final = "keep_matching"
HEARTBEAT_TIMEOUT: Final = timedelta(seconds=2)

_LONGEST_HOLD: Final = timedelta(days=1)
# Every hand-over is a few events of history.
_HANDOVERS_PER_RUN: Final = 200


@dataclass(frozen=True, slots=True)
class DispatchPool:
    pool: str


def dispatcher_id(pool: str) -> str:
    return f"dispatcher/{pool}"


@workflow.defn(name=DISPATCHER_WORKFLOW)
class DispatcherWorkflow:
    """Runs for ever under one id per pool: Temporal refuses a second, and moves the activity off a dead worker."""

    @workflow.run
    async def run(self, start: DispatchPool) -> None:
        for _ in range(_HANDOVERS_PER_RUN):
            # Returns when its worker shuts down; when the worker dies the missing heartbeat starts it elsewhere.
            await workflow.execute_activity(
                KEEP_MATCHING,
                start,
                start_to_close_timeout=_LONGEST_HOLD,
                heartbeat_timeout=HEARTBEAT_TIMEOUT,
                retry_policy=RetryPolicy(
                    initial_interval=timedelta(milliseconds=200), maximum_interval=timedelta(milliseconds=500)
                ),
                summary=f"matches pool {start.pool}",
            )
        workflow.continue_as_new(start)
