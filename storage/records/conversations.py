"""Conversations as they are shown: the row the workflow wrote, its threads and its clocks."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlalchemy import tuple_
from sqlalchemy.dialects.postgresql import distinct_on
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from storage.database import Database
from storage.records.sight import Viewer, seen_by
from storage.tables import ClockRow, Conversation, Offer, RoutingDecision, Thread

_CANCELLED = "cancelled"


class ConversationOrder(StrEnum):
    """What a list is sorted by; the newest first with a minus."""

    OPENED = "opened_at"
    OPENED_NEWEST_FIRST = "-opened_at"
    UPDATED = "updated_at"
    UPDATED_NEWEST_FIRST = "-updated_at"


@dataclass(frozen=True, slots=True)
class ConversationFilter:
    states: tuple[str, ...] = ()
    pool: str | None = None
    agent_id: str | None = None
    customer_id: str | None = None


@dataclass(frozen=True, slots=True)
class ConversationRecord:
    """A conversation beside its threads, the oldest first, and the latest run of each of its clocks."""

    row: Conversation
    threads: tuple[Thread, ...]
    clocks: tuple[ClockRow, ...]


async def find_conversation(records: AsyncSession, conversation_id: str, viewer: Viewer | None) -> Conversation | None:
    """The conversation, None when there is none or `viewer` may not see it; without a viewer, whatever there is."""
    query = select(Conversation).where(col(Conversation.id) == conversation_id)
    if viewer is not None:
        query = query.where(seen_by(viewer))
    return (await records.exec(query)).one_or_none()


async def list_conversations(
    records: AsyncSession,
    wanted: ConversationFilter,
    viewer: Viewer | None,
    order: ConversationOrder,
    after: tuple[datetime, str] | None,
    limit: int,
) -> Sequence[Conversation]:
    """Up to `limit` conversations that come after the sort key `after`."""
    query = select(Conversation)
    if viewer is not None:
        query = query.where(seen_by(viewer))
    if wanted.states:
        query = query.where(col(Conversation.state).in_(wanted.states))
    if wanted.pool is not None:
        query = query.where(col(Conversation.pool) == wanted.pool)
    if wanted.agent_id is not None:
        query = query.where(col(Conversation.agent_id) == wanted.agent_id)
    if wanted.customer_id is not None:
        query = query.where(col(Conversation.customer_id) == wanted.customer_id)
    by_opening = order in {ConversationOrder.OPENED, ConversationOrder.OPENED_NEWEST_FIRST}
    instant = col(Conversation.opened_at) if by_opening else col(Conversation.updated_at)
    key = tuple_(instant, col(Conversation.id))
    if order.startswith("-"):
        query = query.order_by(instant.desc(), col(Conversation.id).desc())
        query = query if after is None else query.where(key < after)
    else:
        query = query.order_by(instant, col(Conversation.id))
        query = query if after is None else query.where(key > after)
    return (await records.exec(query.limit(limit))).all()


async def with_parts(records: AsyncSession, conversations: Sequence[Conversation]) -> list[ConversationRecord]:
    """The conversations in the order given, each with its threads and clocks."""
    ids = [conversation.id for conversation in conversations]
    if not ids:
        return []
    threads = await records.exec(
        select(Thread).where(col(Thread.conversation_id).in_(ids)).order_by(col(Thread.opened_at), col(Thread.id))
    )
    clocks = await records.exec(
        select(ClockRow)
        .where(col(ClockRow.conversation_id).in_(ids))
        .ext(distinct_on(col(ClockRow.conversation_id), col(ClockRow.metric)))
        .order_by(
            col(ClockRow.conversation_id),
            col(ClockRow.metric),
            col(ClockRow.episode).desc(),
            col(ClockRow.number).desc(),
        )
    )
    threads_of: dict[str, list[Thread]] = {}
    for thread in threads:
        threads_of.setdefault(thread.conversation_id, []).append(thread)
    clocks_of: dict[str, list[ClockRow]] = {}
    for clock in clocks:
        if clock.state != _CANCELLED:
            clocks_of.setdefault(clock.conversation_id, []).append(clock)
    return [
        ConversationRecord(one, tuple(threads_of.get(one.id, ())), tuple(clocks_of.get(one.id, ())))
        for one in conversations
    ]


async def list_decisions(
    records: AsyncSession, conversation_id: str, after: tuple[datetime, str] | None, limit: int
) -> Sequence[tuple[RoutingDecision, str | None]]:
    """The conversation's routing decisions, the newest first, each with the state of its offer."""
    query = (
        select(RoutingDecision, Offer.state)
        .outerjoin(Offer, col(Offer.id) == col(RoutingDecision.offer_id))
        .where(col(RoutingDecision.conversation_id) == conversation_id)
        .order_by(col(RoutingDecision.at).desc(), col(RoutingDecision.id).desc())
        .limit(limit)
    )
    if after is not None:
        query = query.where(tuple_(col(RoutingDecision.at), col(RoutingDecision.id)) < after)
    return [(decision, state) for decision, state in await records.exec(query)]


async def conversation_has_ended(database: Database, conversation_id: str) -> bool:
    """Whether the ledger says so now, outside of any unit of work."""
    async with database.ledger.connection() as connection:
        found = await connection.execute(
            "select state in ('closed', 'merged') from conversations where id = %s", (conversation_id,)
        )
        row = await found.fetchone()
    return row is not None and bool(row[0])
