"""Conversations to merge, on a real ledger: two people who may be one, and what became of them."""

from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import uuid4

from psycopg.types.json import Jsonb

from domain.channels import Channel, MessageKind
from domain.identity.addresses import AddressKind, NormalAddress
from storage.database import Database
from storage.ledger.intake import Intake, TakenIn, take_in
from storage.ledger.merging import Merged, merge
from storage.ledger.recorded import recorded_assignments


def now() -> datetime:
    return datetime.now(UTC)


@dataclass
class MergeLedger:
    database: Database

    async def sql(self, query: str, *values: object) -> list[tuple[object, ...]]:
        async with self.database.ledger.connection() as connection:
            cursor = await connection.execute(query.encode(), values)
            return await cursor.fetchall() if cursor.description else []

    async def says(
        self,
        person: str,
        text: str = "Where is my parcel?",
        *,
        channel: Channel = Channel.SMS,
        key: str | None = None,
        verified: bool = True,
        kind: MessageKind = MessageKind.MESSAGE,
    ) -> TakenIn:
        """A message from an address that is this person's alone."""
        message = Intake(
            channel=channel,
            account="shop",
            provider_message_id=uuid4().hex,
            sender=NormalAddress(AddressKind.EMAIL, f"{person}@customers.example"),
            verified=verified,
            sent_at=now(),
            text=text,
            thread_key=key or f"{person}-{channel.value}",
            kind=kind,
        )
        async with self.database.ledger.connection() as connection:
            return await take_in(connection, message)

    async def merge(self, one: str, other: str, by: str | None = None) -> Merged:
        return await merge(self.database, one, other, cause="agent", by=by, at=now(), one_person=True)

    async def agent(self, agent_id: str, load: int = 0) -> None:
        await self.sql(
            """
            insert into agents (id, display_name, pool, kind, skills, languages, capacity, load, load_limit,
                channel_ceilings, preferences, presence, presence_since, active, created_at, updated_at)
            values (%s, 'Alex', 'default', 'human', '{}', '[]', 100, %s, 100, '{}', '{}', 'online', now(), true,
                now(), now())
            """,
            agent_id,
            load,
        )

    async def assigned(self, conversation_id: str, agent_id: str, units: int = 25) -> None:
        """As the ledger shows a conversation that an agent has accepted."""
        assignment_id = f"asg_{uuid4().hex}"
        await self.sql("update agents set load = load + %s where id = %s", units, agent_id)
        await self.sql(
            "insert into assignments (id, conversation_id, episode, agent_id, channel, units, how, full_history,"
            " started_at) values (%s, %s, 1, %s, 'sms', %s, 'claim', true, now())",
            assignment_id,
            conversation_id,
            agent_id,
            units,
        )
        async with self.database.ledger.connection() as connection:
            record = {"assignments": await recorded_assignments(connection, [assignment_id])}
        await self.sql(
            "insert into events (at, kind, conversation_id, episode, data) values (now(), 'claimed', %s, 1, %s)",
            conversation_id,
            Jsonb({"record": record}),
        )
        await self.sql(
            "update conversations set state = 'assigned', agent_id = %s, owner_id = %s where id = %s",
            agent_id,
            agent_id,
            conversation_id,
        )

    async def offered(self, conversation_id: str, agent_id: str, units: int = 25) -> None:
        await self.sql("update agents set load = load + %s where id = %s", units, agent_id)
        await self.sql(
            "insert into offers (id, conversation_id, ticket, episode, agent_id, pool, channel, units, state, reason,"
            " score, created_at, expires_at) values (%s, %s, 1, 1, %s, 'default', 'sms', %s, 'pending', '', 0, now(),"
            " now() + interval '1 minute')",
            f"off_{uuid4().hex}",
            conversation_id,
            agent_id,
            units,
        )
        await self.sql("update conversations set state = 'offered' where id = %s", conversation_id)

    async def signals(self, conversation_id: str) -> list[str]:
        rows = await self.sql("select kind from signals where conversation_id = %s order by id", conversation_id)
        return [str(row[0]) for row in rows]
