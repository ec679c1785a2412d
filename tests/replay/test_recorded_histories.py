"""What conversations wrote under earlier code replays under this one: a running conversation survives an update.

A failure here says that the change would break conversations in flight: guard it with `workflow.patched`.
"""

from pathlib import Path

import pytest
from temporalio import workflow
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer, UnsandboxedWorkflowRunner
from temporalio.workflow import NondeterminismError

from workflows.conversation import Conversation
from workflows.conversation_start import CONVERSATION_WORKFLOW
from workflows.data_converter import DATA_CONVERTER

HISTORIES = {
    path.stem: WorkflowHistory.from_json(path.stem, path.read_text(encoding="utf-8"))
    for path in sorted((Path(__file__).parent / "histories").glob("*.json"))
}


@workflow.defn(name=CONVERSATION_WORKFLOW)
class Sleeper:
    """A conversation that does something else than the recorded ones did."""

    @workflow.run
    async def run(self, _start: object) -> None:
        await workflow.sleep(1)


def test_there_are_histories() -> None:
    assert HISTORIES


@pytest.mark.parametrize("recorded", HISTORIES)
async def test_a_recorded_history_replays(recorded: str) -> None:
    await Replayer(workflows=[Conversation], data_converter=DATA_CONVERTER).replay_workflow(HISTORIES[recorded])


async def test_code_that_does_something_else_is_noticed() -> None:
    replayer = Replayer(workflows=[Sleeper], data_converter=DATA_CONVERTER, workflow_runner=UnsandboxedWorkflowRunner())
    with pytest.raises(NondeterminismError):
        await replayer.replay_workflow(next(iter(HISTORIES.values())))
