"""Small builders for what the dispatcher reads, and short questions about what it wrote."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from psycopg.rows import TupleRow
from sqlmodel import SQLModel

from storage.database import Database
from storage.tables.agents import Agent, Pool
from storage.tables.columns import JsonValue
from storage.tables.conversations import Conversation
from storage.tables.customers import Customer
from storage.tables.lifecycle import Resolution
from storage.tables.policies import Setting
from storage.tables.routing import Assignment, QueueTicket

POOL = "default"
COUNTS = (
    "inbound",
    "outbound",
    "offers",
    "declines",
    "timeouts",
    "reroutes",
    "transfers",
    "misroutes",
    "touches",
    "touches_with_history",
)
LONG_AGO = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)


async def rows(database: Database, query: str, *values: object) -> list[TupleRow]:
    async with database.ledger.connection() as connection:
        cursor = await connection.execute(query.encode(), values)
        return await cursor.fetchall() if cursor.description else []


async def add(database: Database, *records: SQLModel) -> None:
    async with database.session() as session:
        for record in records:
            # Each before the next: the tables tell the order only by their foreign keys.
            session.add(record)
            await session.flush()


async def set_setting(database: Database, key: str, value: JsonValue) -> None:
    await add(database, Setting(key=key, value=value))


async def add_pool(database: Database, name: str) -> None:
    await add(database, Pool(name=name))


async def add_agent(
    database: Database,
    agent_id: str,
    *,
    skills: dict[str, int] | None = None,
    languages: Sequence[str] = (),
    capacity: int = 100,
    load: int = 0,
    presence: str = "online",
    pool: str = POOL,
    ceilings: dict[str, int] | None = None,
    channels: list[str] | None = None,
    time_zone: str | None = None,
    hours: dict[str, JsonValue] | None = None,
    active: bool = True,
    **more: object,
) -> None:
    """`more` are further columns."""
    await add(
        database,
        Agent(
            id=agent_id,
            display_name="Alex",
            pool=pool,
            skills=skills or {},
            languages=list(languages),
            capacity=capacity,
            load=load,
            load_limit=capacity,
            channel_ceilings=ceilings or {},
            presence=presence,
            presence_channels=channels,
            time_zone=time_zone,
            hours=hours,
            active=active,
            **more,
        ),
    )


async def add_conversation(
    database: Database, conversation_id: str, *, pool: str = POOL, customer: dict[str, object] | None = None
) -> None:
    """A conversation of a customer of its own."""
    writer = Customer(id=f"cus_of_{conversation_id}", display_name="Mia", **(customer or {}))
    await add(database, writer, Conversation(id=conversation_id, customer_id=writer.id, state="queued", pool=pool))


async def add_ticket(
    database: Database,
    conversation_id: str,
    *,
    skills: Sequence[tuple[str, int]] = (),
    languages: Sequence[str] = (),
    units: int = 34,
    channel: str = "web_chat",
    excluded: Sequence[str] = (),
    exclusions_clear_in: timedelta | None = None,
    only_agent: str | None = None,
    owner: str | None = None,
    owner_until: datetime | None = None,
    urgent: bool = False,
    waited: timedelta = timedelta(),
    pool: str = POOL,
    auto_accept: bool = False,
    customer: dict[str, object] | None = None,
    **more: object,
) -> None:
    """A conversation and its place in the queue; `more` are further columns of it, `customer` of its customer."""
    await add_conversation(database, conversation_id, pool=pool, customer=customer)
    now = datetime.now(UTC)
    await add(
        database,
        QueueTicket(
            conversation_id=conversation_id,
            ticket=1,
            pool=pool,
            episode=1,
            queued_at=now - waited,
            entered_at=now,
            channel=channel,
            units=units,
            priority=3,
            urgent=urgent,
            languages=list(languages),
            required_skills=[list(skill) for skill in skills],
            excluded=list(excluded),
            exclusions_clear_at=None if exclusions_clear_in is None else now + exclusions_clear_in,
            only_agent=only_agent,
            affinity_agent=owner,
            affinity_at=None if owner is None else now,
            owner_until=owner_until,
            offer_seconds=30,
            auto_accept=auto_accept,
            **{"segment": "standard", **more},
        ),
    )


async def add_assignment(
    database: Database, conversation_id: str, agent_id: str, *, units: int = 34, channel: str = "web_chat"
) -> None:
    await add(
        database,
        Assignment(
            id=f"asg_of_{conversation_id}",
            conversation_id=conversation_id,
            episode=1,
            agent_id=agent_id,
            channel=channel,
            units=units,
            how="offer",
            full_history=True,
            started_at=LONG_AGO,
        ),
    )


async def add_resolution(database: Database, conversation_id: str, agent_id: str, code: str, at: datetime) -> None:
    await add(
        database,
        Resolution(
            conversation_id=conversation_id,
            episode=1,
            customer_id=f"cus_of_{conversation_id}",
            segment="standard",
            pool=POOL,
            agent_id=agent_id,
            first_channel="web_chat",
            channels=["web_chat"],
            opened_at=LONG_AGO,
            resolved_at=at,
            business_seconds=0,
            wrap_up_code=code,
            end_reason="resolved",
            **dict.fromkeys(COUNTS, 0),
        ),
    )


async def offered(database: Database) -> dict[str, str]:
    """Who was offered what: the agent by conversation."""
    return dict(await rows(database, "select conversation_id, agent_id from offers where state = 'pending'"))


async def loads(database: Database) -> dict[str, int]:
    return dict(await rows(database, "select id, load from agents"))
