"""A conversation far longer than one run of a workflow may be."""

import pytest

from storage.violations import violations
from tests.workflow.conftest import Floor
from workflows.messages import Resolve, UpdateName, workflow_id

MESSAGES = 10_000

# What taking in a message writes, for many at once: the doors have tests of their own.
FLOOD = """
with place as (
    select c.id, c.customer_id, t.id as thread_id from conversations c join threads t on t.conversation_id = c.id
    where c.id = %s
), message as (
    insert into messages (id, conversation_id, thread_id, customer_id, direction, kind, author_kind, author_id, channel,
                          account, provider_message_id, text, attachments, sent_at, delivery, at)
    select 'msg_flood_' || lpad(n::text, 6, '0'), place.id, thread_id, customer_id, 'inbound', 'message', 'customer',
           customer_id, 'web_chat', 'shop', 'flood-' || n, 'and another thing', '[]', now(), 'received',
           clock_timestamp()
    from place, generate_series(1, %s) as n order by n
    returning id, conversation_id, thread_id, customer_id, channel, kind, at
), event as (
    insert into events (at, kind, conversation_id, customer_id, pool, episode, data, dedupe_key)
    select at, 'message_received', conversation_id, customer_id, 'default', 1, jsonb_build_object('message_id', id),
           'message_received:' || id
    from message
)
insert into signals (conversation_id, kind, payload, created_at, attempts, set_aside)
select conversation_id, 'message_received',
       jsonb_build_object('message_id', id, 'thread_id', thread_id, 'channel', channel, 'kind', kind, 'at', at),
       clock_timestamp(), 0, false
from message order by id
"""


@pytest.mark.long
async def test_ten_thousand_messages_pass_through_several_runs_and_none_is_lost_or_counted_twice(floor: Floor) -> None:
    taken = await floor.says("bea", "I was charged twice for my invoice, please refund me")
    await floor.sql(FLOOD, taken.conversation_id, MESSAGES - 2)
    await floor.sql("select pg_notify('baton_signals', '')")

    async def drained() -> bool | None:
        return True if await floor.sql("select count(*) from signals") == [(0,)] else None

    await floor.until(drained, "all signals to be relayed", seconds=900)
    await floor.says("bea", "That is all")
    resolve = Resolve("supervisor", "resolved", by_supervisor=True)
    await floor.until(drained, "the last signal to be relayed")
    await floor.ask(taken.conversation_id, UpdateName.RESOLVE, resolve)

    assert await floor.sql("select inbound from resolutions") == [(MESSAGES,)]
    assert await floor.sql("select count(*) from messages where direction = 'inbound'") == [(MESSAGES,)]
    query = f"WorkflowId = '{workflow_id(taken.conversation_id)}'"

    async def runs() -> int | None:
        statuses = [str(run.status) async for run in floor.client.list_workflows(query)]
        return len(statuses) if len(statuses) >= MESSAGES // 4000 else None

    assert await floor.until(runs, "the runs before to be listed") > 1
    async with floor.database.ledger.connection() as connection:
        assert await violations(connection) == []
