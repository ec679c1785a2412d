"""A workflow task that is lost after its writes: it is done again, and by then more has come."""

from domain.conversation.state import Phase
from storage.database import Database
from tests.integration.merge_ledger import MergeLedger
from tests.integration.merge_shells import PlayedTemporal, Shell
from workers.relay import Relay
from workflows.conversation_start import ConversationStart
from workflows.messages import workflow_id


async def passed_on(ledger: MergeLedger) -> list[object]:
    rows = await ledger.sql("select data ->> 'message_id' from events where kind = 'message_passed_on' order by 1")
    return [row[0] for row in rows]


def again(ledger: MergeLedger, temporal: PlayedTemporal, conversation_id: str, customer_id: str) -> Shell:
    """The same workflow from its beginning, as if nothing of its last task had been kept."""
    old = temporal.shells[workflow_id(conversation_id)]
    return Shell(
        ledger.database, ConversationStart(conversation_id, customer_id, old.state.opened_at), temporal.effects
    )


async def test_what_came_after_the_lost_task_is_passed_on_too(database: Database) -> None:
    ledger, temporal = MergeLedger(database), PlayedTemporal(database)
    relay = Relay(database, temporal)  # type: ignore[arg-type] # as much of a client as the relay calls
    ada, bea = await ledger.says("ada"), await ledger.says("bea", "first")
    late = await ledger.says("bea", "second")
    await relay.drain()
    loser = temporal.shells[workflow_id(bea.conversation_id)]
    received = list(loser.inbox)
    merged = await ledger.merge(ada.conversation_id, bea.conversation_id)
    assert merged.loser_id == bea.conversation_id
    loser.inbox.pop()  # the first task had not seen the second message
    await loser.take_next()  # refused: it was merged
    await loser.take_next()  # passed on
    assert await passed_on(ledger) == [bea.message_id]

    second_try = again(ledger, temporal, bea.conversation_id, bea.customer_id)
    second_try.inbox.extend(received)
    while second_try.inbox:
        await second_try.take_next()
    assert await passed_on(ledger) == sorted([bea.message_id, late.message_id])


async def test_what_the_lost_task_had_taken_in_before_the_merge_is_not_passed_on(database: Database) -> None:
    ledger, temporal = MergeLedger(database), PlayedTemporal(database)
    relay = Relay(database, temporal)  # type: ignore[arg-type] # as much of a client as the relay calls
    ada, bea = await ledger.says("ada"), await ledger.says("bea", "first")
    await relay.drain()
    loser = temporal.shells[workflow_id(bea.conversation_id)]
    received = list(loser.inbox)
    await loser.take_next()  # written: the merge hands it over
    await ledger.merge(ada.conversation_id, bea.conversation_id)

    second_try = again(ledger, temporal, bea.conversation_id, bea.customer_id)
    second_try.inbox.extend(received)
    second_try.inbox.extend(received)  # as one of a burst it is refused with the others, and comes again
    while second_try.inbox:
        await second_try.take_next()
    assert await passed_on(ledger) == []


async def test_that_the_customer_left_is_on_the_survivors_timeline_once(database: Database) -> None:
    ledger, temporal = MergeLedger(database), PlayedTemporal(database)
    relay = Relay(database, temporal)  # type: ignore[arg-type] # as much of a client as the relay calls
    ada, bea = await ledger.says("ada"), await ledger.says("bea", "first")
    await ledger.sql(
        "insert into signals (conversation_id, kind, payload, created_at, attempts, set_aside) values"
        " (%s, 'customer_left', jsonb_build_object('thread_id', %s::text, 'at', now()), now(), 0, false)",
        bea.conversation_id,
        bea.thread_id,
    )
    await relay.drain()
    loser, survivor = (temporal.shells[workflow_id(one.conversation_id)] for one in (bea, ada))
    await loser.take_next()
    await ledger.merge(ada.conversation_id, bea.conversation_id)
    await loser.take_next(written_twice=True)  # refused, and then passed on
    await relay.drain()
    while survivor.inbox:
        await survivor.take_next()
    told = await ledger.sql("select conversation_id, data ->> 'thread_id' from events where kind = 'customer_left'")
    assert told == [(ada.conversation_id, bea.thread_id)]
    assert survivor.state.phase is Phase.QUEUED, "on its own thread its customer is still there"
