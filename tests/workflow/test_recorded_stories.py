"""Stories whose histories are kept: new code must replay what old code has written.

Each story is replayed as soon as it is over. With BATON_RECORD_HISTORIES=1 its history is also written to
tests/replay/histories, where `tests/replay` replays it from then on: do that for a new story, and again only for a
change of the workflow that running conversations are protected from by `workflow.patched`.
"""

import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from temporalio.worker import Replayer

from domain.channels import Channel
from tests.workflow.conftest import Floor
from workflows.conversation import Conversation
from workflows.data_converter import DATA_CONVERTER
from workflows.messages import (
    DeclineOffer,
    EndWrapUp,
    Hold,
    Reply,
    Resolve,
    Resume,
    Transfer,
    UpdateName,
    workflow_id,
)

HISTORIES = Path(__file__).parents[1] / "replay" / "histories"
ASK = "I was charged twice for my invoice, please refund me"


async def answered_and_closed(floor: Floor) -> str:
    await floor.set("reopen_window_seconds", 0.2)
    await floor.promise(first_response=60, next_response=60, resolution=600)
    ann = await floor.agent("Ann")
    taken = await floor.says("bea", ASK)
    await floor.ask(taken.conversation_id, UpdateName.ACCEPT_OFFER, await floor.pending_offer(taken.conversation_id))
    await floor.ask(taken.conversation_id, UpdateName.HOLD, Hold(ann))
    await floor.ask(taken.conversation_id, UpdateName.RESUME, Resume(ann))
    message = await floor.draft(taken, ann, "Here is your money")
    await floor.ask(taken.conversation_id, UpdateName.REPLY, Reply(message, ann, None, None, internal=False))
    await floor.ask(taken.conversation_id, UpdateName.RESOLVE, Resolve(ann, "resolved"))
    await floor.ask(taken.conversation_id, UpdateName.END_WRAP_UP, EndWrapUp(ann))
    await floor.handle(taken.conversation_id).result()
    return taken.conversation_id


async def declined_breached_and_rerouted(floor: Floor) -> str:
    await floor.promise(owner_silence=0.5)
    ann = await floor.agent("Ann")
    taken = await floor.says("bea", ASK)
    first = await floor.pending_offer(taken.conversation_id)
    await floor.agent("Bob")
    declined = DeclineOffer(first.offer_id, ann, "lunch", first.ticket, first.expires_at)
    await floor.ask(taken.conversation_id, UpdateName.DECLINE_OFFER, declined)
    second = await floor.pending_offer(taken.conversation_id)
    await floor.ask(taken.conversation_id, UpdateName.ACCEPT_OFFER, second)
    third = await floor.pending_offer(taken.conversation_id)
    assert third.agent_id != second.agent_id
    return taken.conversation_id


async def two_channels_transferred_and_reopened(floor: Floor) -> str:
    ann = await floor.agent("Ann")
    taken = await floor.says("bea", ASK)
    await floor.ask(taken.conversation_id, UpdateName.ACCEPT_OFFER, await floor.pending_offer(taken.conversation_id))
    await floor.says("bea", "I also write here", channel=Channel.WHATSAPP)
    bob = await floor.agent("Bob")
    await floor.ask(taken.conversation_id, UpdateName.TRANSFER, Transfer(ann, warm=True, note="yours", to_agent=bob))
    await floor.ask(taken.conversation_id, UpdateName.ACCEPT_OFFER, await floor.pending_offer(taken.conversation_id))
    await floor.ask(taken.conversation_id, UpdateName.RESOLVE, Resolve(bob, "resolved"))
    await floor.ask(taken.conversation_id, UpdateName.END_WRAP_UP, EndWrapUp(bob))
    await floor.says("bea", "It happened again, I was charged twice")
    await floor.ask(taken.conversation_id, UpdateName.ACCEPT_OFFER, await floor.pending_offer(taken.conversation_id))
    return taken.conversation_id


STORIES: tuple[Callable[[Floor], Awaitable[str]], ...] = (
    answered_and_closed,
    declined_breached_and_rerouted,
    two_channels_transferred_and_reopened,
)


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.__name__)
async def test_a_story_replays(floor: Floor, story: Callable[[Floor], Awaitable[str]]) -> None:
    handle = floor.client.get_workflow_handle(workflow_id(await story(floor)))
    history = await handle.fetch_history()
    await Replayer(workflows=[Conversation], data_converter=DATA_CONVERTER).replay_workflow(history)
    if os.environ.get("BATON_RECORD_HISTORIES"):
        (HISTORIES / f"{story.__name__}.json").write_text(history.to_json(), encoding="utf-8")
