"""The least a workflow can do for the same visible work: what Baton's cost is measured against.

The same doors (two signals, an offer, three updates), one timer, one local activity per write, plain inserts. No state
machine, no capacity, no clocks, no timeline, no refusal: just the rows and the history.
"""

import asyncio
from collections import deque
from dataclasses import dataclass
from datetime import timedelta

from temporalio import activity, workflow

with workflow.unsafe.imports_passed_through():
    from storage.database import Database

TABLE = "create table if not exists bare (id bigserial primary key, conversation text, kind text, at timestamptz)"


@dataclass
class Row:
    conversation: str
    kind: str


class BareLedger:
    def __init__(self, database: Database) -> None:
        self._database = database

    @activity.defn(name="bare_write")
    async def write(self, row: Row) -> None:
        async with self._database.ledger.connection() as connection:
            await connection.execute(
                "insert into bare (conversation, kind, at) values (%s, %s, now())", (row.conversation, row.kind)
            )


@workflow.defn(name="Bare")
class BareConversation:
    def __init__(self) -> None:
        self._inbox: deque[tuple[str, asyncio.Future[None] | None]] = deque()
        self._over = False

    @workflow.run
    async def run(self, conversation: str) -> None:
        deadline = asyncio.create_task(workflow.sleep(timedelta(minutes=5), summary="first response due"))
        while not self._over or self._inbox:
            await workflow.wait_condition(lambda: bool(self._inbox))
            kind, waiting = self._inbox.popleft()
            await workflow.execute_local_activity(
                "bare_write", Row(conversation, kind), start_to_close_timeout=timedelta(seconds=5)
            )
            if kind == "reply":
                deadline.cancel()
            self._over = kind == "resolve"
            if waiting is not None:
                waiting.set_result(None)
        await workflow.wait_condition(workflow.all_handlers_finished)

    @workflow.signal
    def message(self, _message: str) -> None:
        self._inbox.append(("message", None))

    @workflow.signal
    def offer(self, _offer: str) -> None:
        self._inbox.append(("offer", None))

    @workflow.update
    async def ask(self, kind: str) -> str:
        waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._inbox.append((kind, waiting))
        await waiting
        return kind
