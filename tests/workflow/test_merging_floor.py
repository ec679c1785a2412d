"""Two running conversations become one, on the real parts."""

from datetime import UTC, datetime

from temporalio.client import WorkflowExecutionStatus
from temporalio.worker import Replayer

from domain.channels import Channel
from storage.ledger.intake import TakenIn
from storage.ledger.merging import Merged, merge
from storage.violations import violations
from tests.workflow.conftest import Floor
from tests.workflow.test_conversation_floor import ASK, accepted
from workflows.conversation import Conversation
from workflows.data_converter import DATA_CONVERTER


async def merged(floor: Floor, one: TakenIn, other: TakenIn) -> Merged:
    done = await merge(
        floor.database,
        one.conversation_id,
        other.conversation_id,
        cause="agent",
        by=None,
        at=datetime.now(UTC),
        one_person=True,
    )
    await floor.handle(done.loser_id).result()

    async def absorbed() -> bool | None:
        rows = await floor.sql("select absorbed_at is not null from merges where id = %s", done.merge_id)
        return True if rows[0][0] else None

    await floor.until(absorbed, "the survivor to absorb")
    return done


async def no_violations(floor: Floor) -> None:
    async with floor.database.ledger.connection() as connection:
        assert await violations(connection) == []


async def test_the_loser_completes_and_the_survivor_goes_on_with_its_agent(floor: Floor) -> None:
    await floor.promise(first_response=60, next_response=60, resolution=600)
    ann = await floor.agent("Ann")
    older, _ = await accepted(floor, customer="bea")
    younger, _ = await accepted(floor, customer="cyd")
    assert await floor.sql("select load from agents where id = %s", ann) == [(68,)]
    done = await merged(floor, younger, older)
    assert (done.survivor_id, done.loser_id) == (older.conversation_id, younger.conversation_id)
    assert await floor.sql("select load from agents where id = %s", ann) == [(34,)]
    loser = floor.handle(done.loser_id)
    assert (await loser.describe()).status is WorkflowExecutionStatus.COMPLETED
    assert await floor.told(done.survivor_id) == [
        "conversation_opened",
        "message_received",
        "queued",
        "offered",
        "accepted",
        "conversation_absorbed",
        "recorded",
    ]
    late = await floor.says("cyd", "are you there?")
    assert late.conversation_id == done.survivor_id
    await no_violations(floor)
    for conversation_id in (done.survivor_id, done.loser_id):
        await Replayer(workflows=[Conversation], data_converter=DATA_CONVERTER).replay_workflow(
            await floor.handle(conversation_id).fetch_history()
        )


async def test_two_waiting_conversations_become_one_place_in_the_queue(floor: Floor) -> None:
    older = await floor.says("bea", ASK)
    younger = await floor.says("cyd", "Where is my parcel?", channel=Channel.SMS)
    await floor.in_state(older.conversation_id, "queued")
    await floor.in_state(younger.conversation_id, "queued")
    done = await merged(floor, older, younger)
    tickets = await floor.sql("select conversation_id, queued_at = (select min(at) from messages) from queue_tickets")
    assert tickets == [(done.survivor_id, True)]
    await floor.agent("Ann")
    await floor.pending_offer(done.survivor_id)
    assert await floor.sql("select count(*) from offers") == [(1,)]
    view = await floor.sql("select channels from conversations where id = %s", done.survivor_id)
    assert view == [(["web_chat", "sms"],)]
    await no_violations(floor)
