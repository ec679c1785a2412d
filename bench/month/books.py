"""What the month writes into the ledger by itself: rows as the doors would leave them, at the month's instants."""

from datetime import datetime

from psycopg.types.json import Jsonb

from bench.month.agenda import Talk
from storage.database import Database, LedgerConnection


class Books:
    def __init__(self, database: Database, connection: LedgerConnection) -> None:
        self.database = database
        self.connection = connection

    async def insert(self, table: str, **row: object) -> None:
        names = ", ".join(f'"{name}"' for name in row)
        places = ", ".join("%s" for _ in row)
        values = [Jsonb(value) if isinstance(value, dict | list) else value for value in row.values()]
        await self.connection.execute(f"insert into {table} ({names}) values ({places})".encode(), values)  # noqa: S608 -- our names

    async def event(self, talk: Talk, now: datetime, kind: str, data: dict[str, str]) -> None:
        await self.insert(
            "events", at=now, kind=kind, conversation_id=talk.state.conversation_id, customer_id=talk.customer_id,
            pool="default", episode=talk.state.episode, data=data,
        )  # fmt: skip

    async def take_up(self, agent_id: str, presence: str, now: datetime) -> None:
        """A change of presence, as the ledger writes it by its own clock."""
        facts = {"agent": agent_id, "presence": presence, "at": now}
        await self.connection.execute(
            "update presence_spans set ended_at = %(at)s where agent_id = %(agent)s and ended_at is null", facts
        )
        await self.connection.execute(
            """
            with changed as (
                update agents set presence = %(presence)s, presence_since = %(at)s where id = %(agent)s
                returning id, pool, presence, capacity
            ), begun as (
                insert into presence_spans (agent_id, presence, capacity, started_at)
                select id, presence, capacity, %(at)s from changed
            )
            insert into events (at, kind, agent_id, pool, data)
            select %(at)s, 'presence_changed', id, pool,
                   jsonb_build_object('presence', presence, 'capacity', capacity) from changed
            """,
            facts,
        )

    async def has_ended(self, conversation_id: str) -> bool:
        query = "select state in ('closed', 'merged') from conversations where id = %s"
        row = await (await self.connection.execute(query, (conversation_id,))).fetchone()
        return row is not None and bool(row[0])

    async def merged_into(self, conversation_id: str) -> str | None:
        query = "select merged_into from conversations where id = %s"
        row = await (await self.connection.execute(query, (conversation_id,))).fetchone()
        return None if row is None else row[0]
