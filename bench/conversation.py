"""What one conversation costs: CPU-milliseconds and history events, beside a bare workflow doing the same work.

    python -m bench.conversation [--conversations 100] [--rounds 3]

The story: two customer messages, an offer, accept, reply, resolve. Postgres, Temporal, and this process (worker, relay,
dispatcher, client) are counted together; the two take turns, so that both meet the same machine.
"""

import argparse
import asyncio
import logging
import statistics
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import psutil
import structlog
from psycopg.types.json import Jsonb
from temporalio.client import Client
from temporalio.worker import Worker

from activities.conversation_steps import ConversationSteps
from activities.deliver import Deliveries
from bench.bare_conversation import TABLE, BareConversation, BareLedger
from channels.addresses import normal_address
from domain.channels import Channel
from intelligence.model_store import ModelStore
from intelligence.train import ensure_models
from intelligence.triage import MessageTriage
from storage.database import Database
from storage.ids import new_id
from storage.ledger.intake_message import Intake
from storage.ledger.intakes import Intakes
from storage.migrate import migrate
from storage.sealed_box import SealedBox
from workers.dispatcher_process import dispatcher_worker, start_dispatchers
from workers.embedded.stack import EmbeddedStack
from workers.relay import Relay
from workers.temporal_options import DYNAMIC_CONFIG, search_attribute_types
from workers.worker_process import conversation_worker
from workflows.data_converter import DATA_CONVERTER
from workflows.messages import AcceptOffer, ConversationView, Reply, Resolve, UpdateName, workflow_id

AT_ONCE = 8
AGENTS = 40
ASK = "I was charged twice for my invoice, please refund me"


@dataclass
class Bench:
    database: Database
    client: Client
    intakes: Intakes
    processes: list[psutil.Process]
    offers: "Offers"

    def cpu_seconds(self) -> float:
        total = 0.0
        for process in self.processes:
            for one in (process, *process.children(recursive=True)):
                try:
                    times = one.cpu_times()
                except psutil.NoSuchProcess:
                    continue
                total += times.user + times.system
        return total

    async def sql(self, query: str, *parameters: object) -> list[tuple[object, ...]]:
        async with self.database.ledger.connection() as connection:
            cursor = await connection.execute(query.encode(), parameters)
            return await cursor.fetchall() if cursor.description else []

    async def events_of(self, workflow: str) -> int:
        return len((await self.client.get_workflow_handle(workflow).fetch_history()).events)


class Offers:
    """What the consoles of all agents show: they are told of pending offers, none asks for its own."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._awaited: dict[str, asyncio.Future[AcceptOffer]] = {}

    async def of(self, conversation_id: str) -> AcceptOffer:
        self._awaited[conversation_id] = asyncio.get_running_loop().create_future()
        return await self._awaited[conversation_id]

    async def follow(self) -> None:
        query = (
            "select conversation_id, id, ticket, agent_id, expires_at from offers"
            " where conversation_id = any(%s) and state = 'pending'"
        )
        while True:
            await asyncio.sleep(0.05)
            if not self._awaited:
                continue
            async with self._database.ledger.connection() as connection:
                rows = await (await connection.execute(query, (list(self._awaited),))).fetchall()
            for row in rows:
                self._awaited.pop(row[0]).set_result(AcceptOffer(*row[1:]))


async def baton(bench: Bench) -> int:
    """One conversation through Baton; returns its history's events up to the resolve."""
    customer = uuid4().hex
    sender = normal_address(Channel.EMAIL, f"{customer}@customers.example")
    taken = None
    for text in (ASK, "Hello?"):
        taken = await bench.intakes.take_in(
            Intake(
                channel=Channel.WEB_CHAT,
                account="bench",
                provider_message_id=uuid4().hex,
                sender=sender,
                verified=True,
                sent_at=datetime.now(UTC),
                text=text,
                thread_key=customer,
            )
        )
    assert taken is not None
    handle = bench.client.get_workflow_handle(workflow_id(taken.conversation_id))
    offer = await bench.offers.of(taken.conversation_id)
    await handle.execute_update(UpdateName.ACCEPT_OFFER, offer, result_type=ConversationView)
    message = new_id("msg")
    await bench.sql(
        "insert into messages (id, conversation_id, thread_id, customer_id, direction, kind, author_kind, author_id,"
        " channel, account, text, attachments, at, delivery) values"
        " (%s, %s, %s, %s, 'outbound', 'message', 'agent', %s, 'web_chat', 'bench', 'Done', '[]', now(), 'draft')",
        message,
        taken.conversation_id,
        taken.thread_id,
        taken.customer_id,
        offer.agent_id,
    )
    reply = Reply(message, offer.agent_id, None, None, internal=False)
    await handle.execute_update(UpdateName.REPLY, reply, result_type=ConversationView)
    await handle.execute_update(UpdateName.RESOLVE, Resolve(offer.agent_id, "resolved"), result_type=ConversationView)
    return await bench.events_of(workflow_id(taken.conversation_id))


async def bare(bench: Bench) -> int:
    """The same story through the bare workflow."""
    conversation = uuid4().hex
    for number in range(2):
        await bench.sql("insert into bare (conversation, kind, at) values (%s, 'stored', now())", conversation)
        if number == 0:
            handle = await bench.client.start_workflow(
                BareConversation.run,
                conversation,
                id=conversation,
                task_queue="bare",
                start_signal="message",
                start_signal_args=[conversation],
            )
        else:
            await handle.signal("message", conversation)
    await bench.sql("insert into bare (conversation, kind, at) values (%s, 'offered', now())", conversation)
    await handle.signal("offer", conversation)
    for kind in ("accept", "reply", "resolve"):
        await handle.execute_update("ask", kind, result_type=str)
    return await bench.events_of(conversation)


async def measured(bench: Bench, story: Callable[[Bench], Awaitable[int]], conversations: int) -> tuple[float, float]:
    """CPU-milliseconds and events per conversation."""
    room = asyncio.Semaphore(AT_ONCE)

    async def one() -> int:
        async with room:
            return await story(bench)

    before = bench.cpu_seconds()
    events = await asyncio.gather(*(one() for _ in range(conversations)))
    return (bench.cpu_seconds() - before) * 1000 / conversations, statistics.mean(events)


async def run(conversations: int, rounds: int) -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    with tempfile.TemporaryDirectory(prefix="baton-bench-") as folder:
        async with EmbeddedStack(
            Path(folder),
            search_attributes=search_attribute_types(),
            role_argv=None,
            dynamic_config=DYNAMIC_CONFIG,
        ) as stack:
            await asyncio.to_thread(migrate, stack.info.postgres_url, {})
            store = ModelStore(Path(folder) / "models")
            await asyncio.to_thread(ensure_models, store, datetime.now(UTC))
            database = Database(stack.info.postgres_url, pool_size=20)
            await database.open()
            client = await Client.connect(stack.info.temporal_address, data_converter=DATA_CONVERTER)
            pids = [psutil.Process().pid, *stack.info.pids.values()]
            offers = Offers(database)
            bench = Bench(database, client, Intakes(database), [psutil.Process(pid) for pid in pids], offers)
            bench.processes = [process for process in bench.processes if process.pid != psutil.Process().pid]
            bench.processes.append(_Own())
            await prepare(bench)
            beside = [asyncio.create_task(Relay(database, client).run()), asyncio.create_task(offers.follow())]
            async with (
                conversation_worker(
                    client,
                    ConversationSteps(database, MessageTriage(store)),
                    Deliveries(database, SealedBox(b"0123456789abcdef0123456789abcdef")),
                ),
                dispatcher_worker(client, database),
                Worker(
                    client, task_queue="bare", workflows=[BareConversation], activities=[BareLedger(database).write]
                ),
            ):
                await start_dispatchers(client, ["default"])
                await measured(bench, baton, 10)
                await measured(bench, bare, 10)
                report(
                    [
                        (await measured(bench, baton, conversations), await measured(bench, bare, conversations))
                        for _ in range(rounds)
                    ]
                )
            for task in beside:
                task.cancel()
            await asyncio.gather(*beside, return_exceptions=True)
            await database.close()


class _Own:
    """This process without its children: the servers are counted by their own."""

    def __init__(self) -> None:
        self._process = psutil.Process()

    def children(self, *, recursive: bool) -> list[psutil.Process]:
        del recursive
        return []

    def cpu_times(self) -> object:
        return self._process.cpu_times()


async def prepare(bench: Bench) -> None:
    await bench.sql(TABLE)
    for number in range(AGENTS):
        await bench.sql(
            "insert into agents (id, display_name, pool, kind, skills, languages, capacity, load, load_limit,"
            " channel_ceilings, preferences, presence, presence_since, active, created_at, updated_at) values"
            " (%s, %s, 'default', 'human', %s, '[]', 9999, 0, 9999, '{}', '{}', 'online', now(), true, now(), now())",
            new_id("agt"),
            f"Agent {number}",
            Jsonb({"billing": 5, "refunds": 5, "triage": 5}),
        )
    await bench.sql(
        "insert into sla_policies (id, name, version, applies_to, targets, warn_fraction, pause_on, rank, active,"
        " updated_at) values (%s, 'bench', 1, '{}', %s, 0.8, '[\"pending_customer\"]', 0, true, now())",
        new_id("sla"),
        Jsonb({"first_response_seconds": 300, "resolution_seconds": 3600}),
    )


def report(rounds: list[tuple[tuple[float, float], tuple[float, float]]]) -> None:
    print(f"{'round':>5} {'Baton CPU-ms':>13} {'bare CPU-ms':>12} {'ratio':>6} {'events':>7} {'bare':>6} {'ratio':>6}")
    for number, ((ours, our_events), (theirs, their_events)) in enumerate(rounds, 1):
        print(
            f"{number:>5} {ours:>13.1f} {theirs:>12.1f} {ours / theirs:>6.2f}"
            f" {our_events:>7.1f} {their_events:>6.1f} {our_events / their_events:>6.2f}"
        )
    cpu = statistics.median(ours / theirs for (ours, _), (theirs, _) in rounds)
    events = statistics.median(ours / theirs for (_, ours), (_, theirs) in rounds)
    print(f"median ratios: CPU {cpu:.2f} (aim at most 1.5), events {events:.2f} (aim at most 1.6)")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--conversations", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    asyncio.run(run(asked.conversations, asked.rounds))
