"""200 racing pairs on the real parts: merged from both sides at once, while their customers go on writing."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import pytest
from temporalio.client import WorkflowExecutionStatus

from domain.channels import Channel
from storage.database import Database
from storage.ledger.intake import TakenIn
from storage.ledger.merging import merge
from storage.violations import violations
from tests.workflow.conftest import Floor
from workflows.messages import UpdateName, workflow_id

PAIRS = 200
AT_ONCE = 6


@dataclass(frozen=True)
class Figures:
    """What the test is about: all but the first must be nothing."""

    survivors: int
    stranded_messages: int
    resurrected_workflows: int
    double_offers: int
    messages: int
    seconds: float


async def merged_both_ways(floor: Floor, one: str, other: str) -> None:
    at = datetime.now(UTC)
    await asyncio.gather(
        merge(floor.database, one, other, cause="agent", by=None, at=at, one_person=True),
        merge(floor.database, other, one, cause="agent", by=None, at=at, one_person=True),
    )


async def race(floor: Floor, number: int, gate: asyncio.Semaphore) -> None:
    """Two people who turn out to be one: each writes before, during and after."""
    async with gate:
        chat, sms = await asyncio.gather(
            floor.says(f"a{number}", "I was charged twice"),
            floor.says(f"b{number}", "Where is my parcel?", channel=Channel.SMS),
        )
        await asyncio.gather(
            merged_both_ways(floor, chat.conversation_id, sms.conversation_id),
            floor.says(f"b{number}", "Hello?", channel=Channel.SMS),
            answered(floor, chat if number % 2 else sms),
        )
        await floor.says(f"b{number}", "I am still waiting", channel=Channel.SMS)


async def answered(floor: Floor, taken: TakenIn) -> None:
    """An accept that may come too late: whatever it is told, nobody may be offered the same thing twice."""
    rows = await floor.sql(
        "select id, ticket, agent_id, expires_at from offers where conversation_id = %s and state = 'pending'",
        taken.conversation_id,
    )
    if rows:
        offer = dict(zip(("offer_id", "ticket", "agent_id", "expires_at"), rows[0], strict=True))
        handle = floor.handle(taken.conversation_id)
        await asyncio.gather(handle.execute_update(UpdateName.ACCEPT_OFFER, offer), return_exceptions=True)


async def quiet(floor: Floor) -> bool | None:
    """Nothing is owed to any workflow, every merge is absorbed, and no loser's workflow runs."""
    rows = await floor.sql(
        "select (select count(*) from signals), (select count(*) from merges where absorbed_at is null)"
    )
    return True if rows == [(0, 0)] else None


async def all_heard(floor: Floor) -> bool | None:
    """That a signal was taken does not say that it was worked on."""
    rows = await floor.sql(
        "select count(*) from handovers h join conversations c on c.id = h.conversation_id"
        " where c.state <> 'merged' and (h.facts -> 'tallies' ->> 'inbound')::int <> 4"
    )
    return True if rows == [(0,)] else None


async def figures(floor: Floor, began: float) -> Figures:
    losers = {str(row[0]) for row in await floor.sql("select id from conversations where state = 'merged'")}
    running = {
        workflow.id.removeprefix("conversation/")
        async for workflow in floor.client.list_workflows("ExecutionStatus = 'Running'")
    }
    stranded = await floor.sql(
        "select count(*) from messages m join conversations c on c.id = m.conversation_id"
        " left join threads t on t.id = m.thread_id"
        " where c.state in ('merged', 'closed') or t.conversation_id <> m.conversation_id"
    )
    double = await floor.sql(
        "select count(*) from (select conversation_id from offers where state = 'pending' group by 1"
        " having count(*) > 1 union all select coalesce(c.merged_into, c.id) from assignments a"
        " join conversations c on c.id = a.conversation_id where a.ended_at is null group by 1"
        " having count(*) > 1) as twice"
    )
    survivors = await floor.sql("select count(*) from conversations where state <> 'merged'")
    messages = await floor.sql("select count(*) from messages")
    return Figures(
        survivors=int(str(survivors[0][0])),
        stranded_messages=int(str(stranded[0][0])),
        resurrected_workflows=len(losers & running),
        double_offers=int(str(double[0][0])),
        messages=int(str(messages[0][0])),
        seconds=round(asyncio.get_running_loop().time() - began, 1),
    )


@pytest.fixture
async def outside(floor: Floor, database_url: str) -> AsyncIterator[Floor]:
    """The same floor as an API process has it: with connections of its own."""
    database = Database(database_url, pool_size=4 * AT_ONCE)
    await database.open()
    yield replace(floor, database=database)
    await database.close()


@pytest.mark.long
async def test_200_racing_pairs_end_as_200_conversations(
    floor: Floor, outside: Floor, capsys: pytest.CaptureFixture[str]
) -> None:
    began = asyncio.get_running_loop().time()
    await floor.promise(first_response=600, next_response=600, resolution=6000)
    for number in range(20):
        await floor.agent(f"Agent {number}")
    gate = asyncio.Semaphore(AT_ONCE)
    await asyncio.gather(*(race(outside, number, gate) for number in range(PAIRS)))
    await floor.until(lambda: quiet(floor), "all signals to be taken", seconds=400, every=0.5)

    async def losers_over() -> bool | None:
        return True if (await figures(floor, began)).resurrected_workflows == 0 else None

    await floor.until(losers_over, "the losers' workflows to complete", seconds=60, every=0.5)
    await floor.until(lambda: all_heard(floor), "each survivor to hear its four messages once", seconds=60, every=0.5)
    found = await figures(floor, began)
    with capsys.disabled():
        print(f"\n{found}")  # noqa: T201 -- the figures are what the test is run for
    assert (found.survivors, found.messages) == (PAIRS, 4 * PAIRS)
    assert (found.stranded_messages, found.resurrected_workflows, found.double_offers) == (0, 0, 0)
    ours = {workflow_id(str(row[0])) for row in await floor.sql("select id from conversations")}
    failed = [
        workflow.id
        async for workflow in floor.client.list_workflows("WorkflowType = 'Conversation'")
        if workflow.id in ours
        and workflow.status not in {WorkflowExecutionStatus.RUNNING, WorkflowExecutionStatus.COMPLETED}
    ]
    assert failed == []
    async with floor.database.ledger.connection() as connection:
        assert await violations(connection) == []
