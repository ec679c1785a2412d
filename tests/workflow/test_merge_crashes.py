"""Whatever stops between a merge's commit and its signals, and for however long, changes nothing of what it decided."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner

from activities.conversation_steps import ConversationSteps
from activities.deliver import Deliveries
from domain.channels import Channel
from intelligence.triage import MessageTriage
from storage.database import Database
from storage.ledger.intake import TakenIn
from storage.ledger.merging import Merged, merge
from storage.sealed_box import SealedBox
from storage.violations import violations
from tests.workflow.conftest import SECRET, Floor
from tests.workflow.test_conversation_floor import ASK, refusal
from workers.worker_process import conversation_worker
from workflows.data_converter import DATA_CONVERTER
from workflows.messages import Claim, EndWrapUp, Hold, Resolve, UpdateName


@dataclass
class Parts(Floor):
    """A floor whose processes are started and stopped by the test; nobody offers, agents claim."""

    triage: MessageTriage

    @asynccontextmanager
    async def worker(self) -> AsyncIterator[None]:
        steps = ConversationSteps(self.database, self.triage)
        async with conversation_worker(
            self.client, steps, Deliveries(self.database, SealedBox(SECRET)), runner=SandboxedWorkflowRunner()
        ):
            yield

    @asynccontextmanager
    async def relay(self) -> AsyncIterator[None]:
        self.start_relay()
        try:
            yield
        finally:
            await self.stop_relay()

    async def merge(self, one: TakenIn, other: TakenIn) -> Merged:
        return await merge(
            self.database,
            one.conversation_id,
            other.conversation_id,
            cause="agent",
            by=None,
            at=datetime.now(UTC),
            one_person=True,
        )

    async def settled(self) -> None:
        async def quiet() -> bool | None:
            rows = await self.sql(
                "select (select count(*) from signals), (select count(*) from merges where absorbed_at is null)"
            )
            return True if rows == [(0, 0)] else None

        await self.until(quiet, "every signal to be taken and every merge to be absorbed")

    async def judge(self, survivors: int, messages_each: int) -> None:
        """One survivor each, every message heard once, no loser's workflow running, no invariant broken."""
        await self.settled()
        rows = await self.sql("select id from conversations where state <> 'merged'")
        assert len(rows) == survivors
        for (survivor,) in rows:
            heard = await self.until(lambda of=survivor: self.heard(of, messages_each), "all messages to be heard")
            assert heard == messages_each
        for (loser,) in await self.sql("select id from conversations where state = 'merged'"):
            await self.until(lambda of=loser: self.is_over(str(of)), "the loser's workflow to end")
        async with self.database.ledger.connection() as connection:
            assert await violations(connection) == []

    async def heard(self, conversation_id: object, at_least: int) -> int | None:
        rows = await self.sql(
            "select (facts -> 'tallies' ->> 'inbound')::int from handovers where conversation_id = %s", conversation_id
        )
        return int(str(rows[0][0])) if rows and int(str(rows[0][0])) >= at_least else None

    async def is_over(self, conversation_id: str) -> bool | None:
        found = [
            workflow.status
            async for workflow in self.client.list_workflows(f"WorkflowId = 'conversation/{conversation_id}'")
        ]
        return True if all(status is WorkflowExecutionStatus.COMPLETED for status in found) else None


@pytest.fixture
async def parts(database: Database, temporal: Client, triage: MessageTriage) -> AsyncIterator[Parts]:
    client = Client(temporal.service_client, namespace=temporal.namespace, data_converter=DATA_CONVERTER)
    yield Parts(database, client, triage)
    async for running in client.list_workflows("ExecutionStatus = 'Running'"):
        await client.get_workflow_handle(running.id, run_id=running.run_id).terminate("the test is over")


async def two_people(parts: Parts, number: int = 0) -> tuple[TakenIn, TakenIn]:
    return (
        await parts.says(f"a{number}", ASK),
        await parts.says(f"b{number}", "Where is my parcel?", channel=Channel.SMS),
    )


async def test_with_the_worker_started_late_all_signals_come_in_one_task(parts: Parts) -> None:
    pairs = 24
    async with parts.relay():
        for number in range(pairs):
            one, other = await two_people(parts, number)
            if number % 3 == 0:
                await parts.until(lambda: nothing_owed(parts), "both to be started")
            await (parts.merge(one, other) if number % 2 else parts.merge(other, one))
            await parts.says(f"b{number}", "one more thing", channel=Channel.SMS)
        async with parts.worker():
            await parts.judge(survivors=pairs, messages_each=3)


async def nothing_owed(parts: Parts) -> bool | None:
    return True if await parts.sql("select count(*) from signals") == [(0,)] else None


async def test_neither_workflow_had_been_started(parts: Parts) -> None:
    """The loser never is: its messages reach the survivor as messages."""
    one, other = await two_people(parts)
    done = await parts.merge(one, other)
    async with parts.worker(), parts.relay():
        await parts.judge(survivors=1, messages_each=2)
    assert [
        workflow async for workflow in parts.client.list_workflows(f"WorkflowId = 'conversation/{done.loser_id}'")
    ] == []


async def test_what_the_loser_decides_after_the_commit_is_refused(parts: Parts) -> None:
    """The relay is dead: nobody has told the loser, and the ledger is the only one who knows."""
    agent = await parts.agent("Ann")
    async with parts.worker():
        async with parts.relay():
            one, other = await two_people(parts)
            for taken in (one, other):
                await parts.in_state(taken.conversation_id, "queued")
            await parts.ask(one.conversation_id, UpdateName.CLAIM, Claim(agent))
            await parts.ask(other.conversation_id, UpdateName.CLAIM, Claim(agent))
        done = await parts.merge(one, other)
        assert await parts.sql("select load from agents") == [(34,)]
        asked = Resolve(agent, "resolved")
        assert await refusal(parts, done.loser_id, UpdateName.RESOLVE, asked) == "conversation_ended"
        late = await parts.says("b0", "hello?", channel=Channel.SMS)
        assert late.conversation_id == done.survivor_id
        async with parts.relay():
            await parts.judge(survivors=1, messages_each=3)
        assert (await parts.ask(done.survivor_id, UpdateName.HOLD, Hold(agent))).agent_id == agent
        assert await parts.sql("select load from agents") == [(34,)]


async def test_a_relay_that_died_before_it_took_signals_off_sends_them_again(parts: Parts) -> None:
    async with parts.worker():
        async with parts.relay():
            one, other = await two_people(parts)
            for taken in (one, other):
                await parts.in_state(taken.conversation_id, "queued")
        await parts.sql("create table sent as select * from signals with no data")
        await parts.sql(
            "insert into sent select 1, conversation_id, 'message_received', jsonb_build_object('message_id', id,"
            " 'thread_id', thread_id, 'channel', channel, 'kind', kind, 'at', at), at, 0, null, null, false"
            " from messages where conversation_id = %s",
            other.conversation_id,
        )
        # The identity column counts both messages' signals: the second one was the loser's.
        await parts.sql("update sent set id = 2")
        await parts.sql(
            "insert into signals (id, conversation_id, kind, payload, created_at, attempts, set_aside)"
            " overriding system value select id, conversation_id, kind, payload, created_at, attempts, set_aside"
            " from sent"
        )
        await parts.merge(one, other)
        async with parts.relay():
            await parts.judge(survivors=1, messages_each=2)
        await parts.sql(
            "insert into signals (id, conversation_id, kind, payload, created_at, attempts, set_aside)"
            " overriding system value select id, conversation_id, kind, payload, created_at, attempts, set_aside"
            " from sent"
        )
        async with parts.relay():
            await parts.judge(survivors=1, messages_each=2)


async def test_a_survivor_about_to_close_waits_for_the_merge_it_has_not_heard_of(parts: Parts) -> None:
    await parts.set("reopen_window_seconds", 1)
    agent = await parts.agent("Ann")
    async with parts.worker():
        async with parts.relay():
            one, other = await two_people(parts)
            for taken in (one, other):
                await parts.in_state(taken.conversation_id, "queued")
            await parts.ask(one.conversation_id, UpdateName.CLAIM, Claim(agent))
            await parts.ask(one.conversation_id, UpdateName.RESOLVE, Resolve(agent, "resolved"))
            await parts.ask(one.conversation_id, UpdateName.END_WRAP_UP, EndWrapUp(agent))
        done = await parts.merge(one, other)
        assert done.survivor_id == one.conversation_id
        handle = parts.handle(done.survivor_id)

        async def refused_to_close() -> bool | None:
            history = await handle.fetch_history()
            fired = [event for event in history.events if event.HasField("timer_fired_event_attributes")]
            return True if fired else None

        await parts.until(refused_to_close, "the reopen window to close")
        assert await parts.sql("select state from conversations where id = %s", done.survivor_id) == [("resolved",)]
        async with parts.relay():
            await parts.judge(survivors=1, messages_each=1)
        rows = await parts.sql("select state, episode from conversations where id = %s", done.survivor_id)
        assert rows == [("queued", 2)]


async def test_chains_and_cycles_of_running_conversations_end_with_one_survivor(parts: Parts) -> None:
    async with parts.worker(), parts.relay():
        people = [await parts.says(f"p{number}", ASK) for number in range(5)]
        pairs = [(people[number], people[(number + 1) % 5]) for number in range(5)]
        await asyncio.gather(
            *(parts.merge(one, other) for one, other in pairs),
            *(parts.merge(other, one) for one, other in pairs),
            *(parts.says(f"p{number}", "and another thing") for number in range(5)),
        )
        await parts.judge(survivors=1, messages_each=10)
    said = await parts.sql("select at, lag(at) over (order by at, id) from messages order by at, id")
    assert all(before is None or before <= at for at, before in said)  # type: ignore[operator] # instants
