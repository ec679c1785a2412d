"""A running floor in one process: relay, worker and dispatcher on a real Postgres and a real Temporal."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import httpx
import pytest
from psycopg.types.json import Jsonb
from temporalio.client import Client, WorkflowHandle
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner

from activities.conversation_steps import ConversationSteps
from activities.deliver import Deliveries
from api.app import create_app
from api.context import ApiContext
from channels.addresses import normal_address
from domain.channels import Channel, MessageKind
from intelligence.model_store import ModelStore
from intelligence.train import ensure_models
from intelligence.triage import MessageTriage
from storage.database import Database
from storage.ids import new_id
from storage.ledger.intake import Intake, TakenIn, take_in
from storage.migrate import key_digest
from storage.sealed_box import SealedBox
from storage.tables import ApiKey
from workers.dispatcher_process import dispatcher_worker, start_dispatchers
from workers.relay import Relay
from workers.worker_process import conversation_worker
from workflows.conversation import Conversation
from workflows.data_converter import DATA_CONVERTER
from workflows.messages import AcceptOffer, ConversationView, UpdateName, workflow_id

SECRET = b"0123456789abcdef0123456789abcdef"
DEADLINE_SECONDS = 30

Found = TypeVar("Found")


@dataclass
class Floor:
    """What a test does to a running floor, and what it reads of it."""

    database: Database
    client: Client
    _relay: asyncio.Task[None] | None = field(default=None, init=False)

    def start_relay(self) -> None:
        self._relay = asyncio.create_task(Relay(self.database, self.client).run())

    async def stop_relay(self) -> None:
        """From here on conversations hear of nothing that the ledger says; it keeps it for them."""
        if self._relay is not None:
            self._relay.cancel()
            await asyncio.gather(self._relay, return_exceptions=True)

    async def sql(self, query: str, *parameters: object) -> list[tuple[object, ...]]:
        async with self.database.ledger.connection() as connection:
            cursor = await connection.execute(query.encode(), parameters)
            return await cursor.fetchall() if cursor.description else []

    async def set(self, key: str, value: object) -> None:
        await self.sql(
            "insert into settings (key, value, updated_at) values (%s, %s, now())"
            " on conflict (key) do update set value = excluded.value, updated_at = now()",
            key,
            Jsonb(value),
        )

    async def promise(self, **targets: float) -> None:
        await self.sql(
            "insert into sla_policies (id, name, version, applies_to, targets, warn_fraction, pause_on, rank, active,"
            " updated_at) values (%s, %s, 1, '{}', %s, 0.8, '[\"pending_customer\", \"on_hold\"]', 0, true, now())",
            new_id("sla"),
            new_id("policy"),
            Jsonb({f"{name}_seconds": seconds for name, seconds in targets.items()}),
        )

    async def agent(self, name: str, *, presence: str = "online", capacity: int = 100) -> str:
        agent_id = new_id("agt")
        await self.sql(
            "insert into agents (id, display_name, pool, kind, skills, languages, capacity, load, load_limit,"
            " channel_ceilings, preferences, presence, presence_since, active, created_at, updated_at) values"
            " (%s, %s, 'default', 'human', %s, '[]', %s, 0, %s, '{}', '{}', %s, now(), true, now(), now())",
            agent_id,
            name,
            Jsonb(dict.fromkeys(("billing", "refunds", "triage", "orders", "accounts"), 5)),
            capacity,
            capacity,
            presence,
        )
        await self.sql("select pg_notify('baton_queue', 'default')")
        return agent_id

    async def says(
        self,
        customer: str,
        text: str,
        *,
        channel: Channel = Channel.WEB_CHAT,
        kind: MessageKind = MessageKind.MESSAGE,
        message_id: str | None = None,
    ) -> TakenIn:
        async with self.database.ledger.connection() as connection:
            return await take_in(
                connection,
                Intake(
                    channel=channel,
                    account="shop",
                    provider_message_id=message_id or new_id("p"),
                    sender=normal_address(Channel.EMAIL, f"{customer}@customers.example"),
                    verified=True,
                    sent_at=datetime.now(UTC),
                    text=text,
                    kind=kind,
                    thread_key=f"{customer}-{channel.value}",
                ),
            )

    def handle(self, conversation_id: str) -> WorkflowHandle[Conversation, None]:
        return self.client.get_workflow_handle_for(Conversation.run, workflow_id(conversation_id))

    async def ask(self, conversation_id: str, update: UpdateName, asked: object) -> ConversationView:
        view: ConversationView = await self.handle(conversation_id).execute_update(
            update, asked, result_type=ConversationView
        )
        return view

    async def pending_offer(self, conversation_id: str) -> AcceptOffer:
        async def offered() -> AcceptOffer | None:
            rows = await self.sql(
                "select id, ticket, agent_id, expires_at from offers where conversation_id = %s and state = 'pending'",
                conversation_id,
            )
            return AcceptOffer(*rows[0]) if rows else None  # type: ignore[arg-type] # the columns are these

        return await self.until(offered, "an offer")

    async def draft(self, taken: TakenIn, agent_id: str, text: str) -> str:
        message_id = new_id("msg")
        await self.sql(
            "insert into messages (id, conversation_id, thread_id, customer_id, direction, kind, author_kind,"
            " author_id, channel, account, text, attachments, at, delivery) values"
            " (%s, %s, %s, %s, 'outbound', 'message', 'agent', %s, 'web_chat', 'shop', %s, '[]', now(), 'draft')",
            message_id,
            taken.conversation_id,
            taken.thread_id,
            taken.customer_id,
            agent_id,
            text,
        )
        return message_id

    async def in_state(self, conversation_id: str, *states: str) -> None:
        async def there() -> bool | None:
            rows = await self.sql("select state from conversations where id = %s", conversation_id)
            return True if rows[0][0] in states else None

        await self.until(there, f"state {states}")

    async def told(self, conversation_id: str) -> list[str]:
        rows = await self.sql("select kind from events where conversation_id = %s order by id", conversation_id)
        return [str(row[0]) for row in rows]

    @staticmethod
    async def until(
        look: Callable[[], Awaitable[Found | None]],
        what: str,
        *,
        seconds: float = DEADLINE_SECONDS,
        every: float = 0.01,
    ) -> Found:
        try:
            async with asyncio.timeout(seconds):
                while True:
                    found = await look()
                    if found is not None:
                        return found
                    await asyncio.sleep(every)
        except TimeoutError:
            pytest.fail(f"waited in vain for {what}")


@pytest.fixture(scope="session")
def triage(tmp_path_factory: pytest.TempPathFactory) -> MessageTriage:
    store = ModelStore(Path(tmp_path_factory.mktemp("models")))
    ensure_models(store, datetime.now(UTC))
    return MessageTriage(store)


@pytest.fixture
async def floor(database: Database, temporal: Client, triage: MessageTriage) -> AsyncIterator[Floor]:
    client = Client(temporal.service_client, namespace=temporal.namespace, data_converter=DATA_CONVERTER)
    steps = ConversationSteps(database, triage, SECRET)
    async with (
        conversation_worker(client, steps, Deliveries(database, SealedBox(SECRET)), runner=SandboxedWorkflowRunner()),
        dispatcher_worker(client, database),
    ):
        started = Floor(database, client)
        started.start_relay()
        await start_dispatchers(client, ["default"])
        yield started
        # Nothing of this test may be found by the next one's workers, which have another ledger.
        async for running in client.list_workflows("ExecutionStatus = 'Running'"):
            await client.get_workflow_handle(running.id, run_id=running.run_id).terminate("the test is over")
        await started.stop_relay()


async def key_of(database: Database, agent_id: str) -> dict[str, str]:
    """The header of a key that the agent is given."""
    async with database.session() as session:
        session.add(ApiKey(id=f"key_{agent_id}", role="agent", digest=key_digest(f"bt_{agent_id}"), agent_id=agent_id))
    return {"Authorization": f"Bearer bt_{agent_id}"}


@pytest.fixture
async def desk(floor: Floor) -> AsyncIterator[httpx.AsyncClient]:
    """The API of the floor."""

    async def reachable() -> Client:
        return floor.client

    transport = httpx.ASGITransport(create_app(ApiContext(floor.database, reachable, b"0123456789abcdef" * 2)))
    async with httpx.AsyncClient(transport=transport, base_url="http://baton") as client:
        yield client
