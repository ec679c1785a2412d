import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any
from uuid import uuid4

import pytest
from psycopg.rows import TupleRow
from temporalio.api.enums.v1 import EventType
from temporalio.client import (
    Client,
    Interceptor,
    OutboundInterceptor,
    StartWorkflowInput,
    WorkflowHandle,
)

from domain.channels import Channel
from domain.identity.addresses import AddressKind, NormalAddress
from storage.database import Database
from storage.ledger.intake import Intake, TakenIn
from storage.ledger.intakes import Intakes
from storage.ledger.outbox import claim
from storage.tables.columns import utc_now
from workers.relay import Relay
from workflows.messages import workflow_id
from workflows.search_attributes import CHANNELS, POOL, SEGMENT, STATE


async def received(database: Database, address: str = "+4930123456", channel: Channel = Channel.SMS) -> TakenIn:
    message = Intake(
        channel=channel,
        account="shop",
        provider_message_id=uuid4().hex,
        sender=NormalAddress(AddressKind.PHONE, address),
        verified=True,
        sent_at=utc_now(),
        text="Where is my parcel?",
    )
    return await Intakes(database).take_in(message)


async def rows(database: Database, query: str, *values: object) -> list[TupleRow]:
    async with database.ledger.connection() as connection:
        return await (await connection.execute(query.encode(), values)).fetchall()


async def set_state(database: Database, conversation_id: str, state: str, merged_into: str | None = None) -> None:
    await rows(
        database,
        "update conversations set state = %s, merged_into = %s where id = %s returning id",
        state,
        merged_into,
        conversation_id,
    )


async def owe(database: Database, conversation_id: str, kind: str, payload: dict[str, object]) -> None:
    await rows(
        database,
        "insert into signals (conversation_id, kind, payload, created_at, attempts, set_aside)"
        " values (%s, %s, %s, now(), 0, false) returning id",
        conversation_id,
        kind,
        json.dumps(payload),
    )


@pytest.fixture(autouse=True)
async def nothing_left_running(temporal: Client) -> AsyncIterator[None]:
    """Nobody works on these conversations; the workers of a later test would, with another ledger."""
    yield
    async for running in temporal.list_workflows("ExecutionStatus = 'Running'"):
        await temporal.get_workflow_handle(running.id, run_id=running.run_id).terminate("the test is over")


def handle_of(client: Client, conversation_id: str) -> WorkflowHandle[Any, Any]:
    return client.get_workflow_handle(workflow_id(conversation_id))


async def signals_of(client: Client, conversation_id: str) -> list[tuple[str, int, dict[str, Any]]]:
    """What the workflow's history holds of signals: name, id, payload; of several messages at once, each."""
    found = []
    async for event in handle_of(client, conversation_id).fetch_history_events():
        if event.event_type == EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED:
            signal = event.workflow_execution_signaled_event_attributes
            number, payload = (json.loads(part.data) for part in signal.input.payloads)
            if signal.signal_name == "messages_received":
                found += [("message_received", each, message) for each, message in payload["messages"]]
                continue
            found.append((signal.signal_name, number, payload))
    return found


@asynccontextmanager
async def running(*relays: Relay) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(relay.run()) for relay in relays]
    yield
    for task in tasks:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def outbox_is_empty(database: Database) -> bool:
    return await rows(database, "select count(*) from signals") == [(0,)]


async def test_a_message_starts_its_workflow_and_leaves_the_outbox(database: Database, temporal: Client) -> None:
    result = await received(database)
    assert await Relay(database, temporal).drain() == 1
    assert await outbox_is_empty(database)
    [(name, _, payload)] = await signals_of(temporal, result.conversation_id)
    assert name == "message_received"
    assert payload["message_id"] == result.message_id
    described = await handle_of(temporal, result.conversation_id).describe()
    attributes = described.typed_search_attributes
    assert (attributes[STATE], attributes[POOL], attributes[SEGMENT], list(attributes[CHANNELS])) == (
        "new",
        "default",
        "standard",
        ["sms"],
    )


async def test_a_running_relay_is_woken_by_a_commit(database: Database, temporal: Client, eventually: Any) -> None:
    async with running(Relay(database, temporal)):
        for _ in range(3):
            await received(database)
            await eventually(lambda: outbox_is_empty(database))


async def test_a_conversation_that_is_owed_thousands_holds_nobody_back(database: Database) -> None:
    await rows(
        database,
        "insert into signals (conversation_id, kind, payload, created_at, attempts, set_aside)"
        " select 'con_storm', 'policy_changed', '{}', now(), 0, false from generate_series(1, 500) returning id",
    )
    for name in ("con_b", "con_c", "con_b"):
        await owe(database, name, "policy_changed", {})
    async with claim(database, conversations=2, signals_each=3) as first:
        assert {name: len(line) for name, line in first.lines.items()} == {"con_storm": 3, "con_b": 2}
        async with claim(database, conversations=2, signals_each=3) as second:
            assert list(second.lines) == ["con_c"]
    await rows(database, "update signals set not_before = now() + interval '1 hour' where id = 1 returning id")
    async with claim(database, conversations=4, signals_each=3) as later:
        assert set(later.lines) == {"con_b", "con_c"}


async def test_messages_that_wait_together_go_together_and_a_full_batch_gives_a_breath(
    database: Database, temporal: Client
) -> None:
    first = await received(database)
    await rows(
        database,
        "insert into signals (conversation_id, kind, payload, created_at, attempts, set_aside)"
        " select conversation_id, kind, payload || jsonb_build_object('message_id', 'msg_' || n), now(), 0, false"
        " from signals, generate_series(1, 6) as n order by n returning id",
    )
    await owe(database, first.conversation_id, "policy_changed", {"cause": "test"})
    relay = Relay(database, temporal, signals_each=5)
    assert await relay.drain() == 5
    waiting = await rows(database, "select id, not_before is not null from signals order by id")
    assert [paused for _, paused in waiting] == [True, False, False]
    await rows(database, "update signals set not_before = null returning id")
    assert await relay.drain() == 3
    arrived = await signals_of(temporal, first.conversation_id)
    assert [name for name, _, _ in arrived] == ["message_received"] * 7 + ["policy_changed"]
    assert [payload["message_id"] for _, _, payload in arrived[1:7]] == [f"msg_{n}" for n in range(1, 7)]
    assert [number for _, number, _ in arrived] == sorted(number for _, number, _ in arrived)
    events = handle_of(temporal, first.conversation_id).fetch_history_events()
    told = [event async for event in events if event.event_type == EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED]
    assert len(told) == 3


async def test_two_relays_keep_the_order_of_every_conversation(
    database: Database, database_url: str, temporal: Client, eventually: Any
) -> None:
    other = Database(database_url)
    await other.open()
    addresses = [f"+49302000{number}" for number in range(4)]
    async with running(
        Relay(database, temporal, conversations_at_once=2, signals_each=3),
        Relay(other, temporal, conversations_at_once=3, signals_each=2),
    ):
        results = []
        for _ in range(15):
            results += await asyncio.gather(*(received(database, address) for address in addresses))
        await eventually(lambda: outbox_is_empty(database))
    await other.close()
    for conversation_id in {result.conversation_id for result in results}:
        arrived = await signals_of(temporal, conversation_id)
        stored = await rows(
            database, "select id from messages where conversation_id = %s order by at, id", conversation_id
        )
        assert [payload["message_id"] for _, _, payload in arrived] == [row[0] for row in stored]
        assert [number for _, number, _ in arrived] == sorted({number for _, number, _ in arrived})


async def test_what_one_relay_holds_another_leaves_alone(database: Database, temporal: Client) -> None:
    await received(database)
    await received(database)
    async with claim(database, conversations=10, signals_each=1):
        assert await Relay(database, temporal).drain() == 0
    assert await Relay(database, temporal).drain() == 2


class StopsAfterSending(Interceptor):
    """Sends, and then never answers: the relay dies before it knows."""

    def __init__(self) -> None:
        self.sent = asyncio.Event()

    def intercept_client(self, next: OutboundInterceptor) -> OutboundInterceptor:  # noqa: A002 -- Temporal's signature
        return _Stops(next, self.sent)


class _Stops(OutboundInterceptor):
    def __init__(self, following: OutboundInterceptor, sent: asyncio.Event) -> None:
        super().__init__(following)
        self._sent = sent

    async def start_workflow(self, input: StartWorkflowInput) -> WorkflowHandle[Any, Any]:  # noqa: A002 -- Temporal's signature
        await super().start_workflow(input)
        self._sent.set()
        return await asyncio.get_running_loop().create_future()


async def test_a_relay_killed_after_sending_repeats_the_signal_under_its_id(
    database: Database, temporal: Client
) -> None:
    result = await received(database)
    stops = StopsAfterSending()
    client = Client(**{**temporal.config(), "interceptors": [stops]})
    dying = asyncio.create_task(Relay(database, client).drain())
    await stops.sent.wait()
    dying.cancel()
    with suppress(asyncio.CancelledError):
        await dying
    assert not await outbox_is_empty(database)
    await Relay(database, temporal).drain()
    assert await outbox_is_empty(database)
    first, second = await signals_of(temporal, result.conversation_id)
    assert first == second


async def test_a_message_committed_while_no_relay_ran_is_relayed_by_the_next(
    database: Database, temporal: Client
) -> None:
    results = [await received(database, f"+493030{number:02}1") for number in range(5)]
    await Relay(database, temporal).drain()
    for result in results:
        assert len(await signals_of(temporal, result.conversation_id)) == 1


async def test_signals_wait_untouched_while_temporal_is_away(database: Database, temporal: Client) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        away = await Client.connect(f"127.0.0.1:{unused.getsockname()[1]}", lazy=True)
        await received(database)
        assert await Relay(database, away).drain() == 0
    assert await rows(database, "select attempts, set_aside from signals") == [(0, False)]
    assert await Relay(database, temporal).drain() == 1


@pytest.mark.parametrize("temporal_has_forgotten_it", [False, True])
async def test_a_message_for_a_closed_conversation_moves_to_a_new_one(
    database: Database, temporal: Client, *, temporal_has_forgotten_it: bool
) -> None:
    first = await received(database)
    if not temporal_has_forgotten_it:
        await Relay(database, temporal).drain()
        await handle_of(temporal, first.conversation_id).terminate()
    late = await received(database)
    assert late.conversation_id == first.conversation_id
    await set_state(database, first.conversation_id, "closed")
    await Relay(database, temporal).drain()
    assert await outbox_is_empty(database)
    [(home, thread, thread_home)] = await rows(
        database,
        "select m.conversation_id, t.id, t.conversation_id from messages m join threads t on t.id = m.thread_id"
        " where m.id = %s",
        late.message_id,
    )
    assert home == thread_home
    assert home != first.conversation_id
    assert thread != first.thread_id
    arrived = await signals_of(temporal, home)
    assert late.message_id in {payload["message_id"] for _, _, payload in arrived}
    assert {payload["thread_id"] for _, _, payload in arrived} == {thread}


async def test_a_late_message_joins_the_conversation_that_is_open_now(database: Database, temporal: Client) -> None:
    first = await received(database)
    await Relay(database, temporal).drain()
    late = await received(database)
    await set_state(database, first.conversation_id, "closed")
    opened = await received(database)
    assert opened.conversation_id != first.conversation_id
    await Relay(database, temporal).drain()
    [(home,)] = await rows(database, "select conversation_id from messages where id = %s", late.message_id)
    assert home == opened.conversation_id
    arrived = {payload["message_id"] for _, _, payload in await signals_of(temporal, home)}
    assert arrived == {late.message_id, opened.message_id}


async def test_a_completed_workflow_whose_conversation_is_open_keeps_its_message_waiting(
    database: Database, temporal: Client
) -> None:
    first = await received(database)
    await Relay(database, temporal).drain()
    await handle_of(temporal, first.conversation_id).terminate()
    late = await received(database)
    await Relay(database, temporal).drain()
    [(attempts, error)] = await rows(database, "select attempts, error from signals")
    assert attempts >= 1
    assert "already started" in error
    await set_state(database, first.conversation_id, "closed")
    await rows(database, "update signals set not_before = null returning id")
    await Relay(database, temporal).drain()
    [(home,)] = await rows(database, "select conversation_id from messages where id = %s", late.message_id)
    assert [payload["message_id"] for _, _, payload in await signals_of(temporal, home)] == [late.message_id]


async def test_a_message_to_a_merged_conversation_reaches_the_last_survivor(
    database: Database, temporal: Client
) -> None:
    loser, middle, survivor = [await received(database, f"+4930400{number}") for number in range(3)]
    await Relay(database, temporal).drain()
    late = await received(database, "+49304000")
    await set_state(database, loser.conversation_id, "merged", middle.conversation_id)
    await set_state(database, middle.conversation_id, "merged", survivor.conversation_id)
    await Relay(database, temporal).drain()
    [(home, customer)] = await rows(
        database, "select conversation_id, customer_id from messages where id = %s", late.message_id
    )
    assert (home, customer) == (survivor.conversation_id, survivor.customer_id)
    assert [payload["message_id"] for _, _, payload in await signals_of(temporal, home)] == [
        survivor.message_id,
        late.message_id,
    ]


async def test_a_message_that_a_merge_has_moved_is_told_to_the_survivor_once(
    database: Database, temporal: Client
) -> None:
    loser, survivor = await received(database, "+49305001"), await received(database, "+49305002")
    await set_state(database, loser.conversation_id, "merged", survivor.conversation_id)
    await rows(database, "update threads set conversation_id = %s returning id", survivor.conversation_id)
    await rows(database, "update messages set conversation_id = %s returning id", survivor.conversation_id)
    await owe(database, loser.conversation_id, "message_received", {"message_id": loser.message_id})
    await Relay(database, temporal).drain()
    arrived = [payload["message_id"] for _, _, payload in await signals_of(temporal, survivor.conversation_id)]
    assert arrived == [survivor.message_id, loser.message_id]


async def test_a_poisoned_signal_is_set_aside_and_its_neighbours_proceed(database: Database, temporal: Client) -> None:
    result = await received(database)
    await owe(database, result.conversation_id, "policy_changed", {"cause": "x" * 3_000_000})
    await owe(database, result.conversation_id, "policy_changed", {"cause": "settings"})
    await Relay(database, temporal).drain()
    assert [name for name, _, _ in await signals_of(temporal, result.conversation_id)] == [
        "message_received",
        "policy_changed",
    ]
    assert await rows(database, "select set_aside, attempts from signals") == [(True, 1)]


async def test_a_signal_of_a_conversation_that_is_over_is_dropped(database: Database, temporal: Client) -> None:
    result = await received(database)
    await Relay(database, temporal).drain()
    await set_state(database, result.conversation_id, "closed")
    await owe(database, result.conversation_id, "policy_changed", {"cause": "settings"})
    assert await Relay(database, temporal).drain() == 1
    assert await outbox_is_empty(database)
    assert len(await signals_of(temporal, result.conversation_id)) == 1
