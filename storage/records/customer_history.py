"""The rest of a customer's history, page by page from where the context call ended."""

from datetime import datetime
from typing import Final

from storage.database import LedgerConnection
from storage.ledger.short_ways import alone
from storage.records.customer_context import (
    CONVERSATION_COLUMNS,
    EVENT_COLUMNS,
    MESSAGE_COLUMNS,
    SEEN,
    TEXT_SHOWN,
    Row,
    sight,
)
from storage.records.sight import Viewer

HistoryKey = tuple[datetime, str]
"""The instant and the id of the last row shown: pages go back in time."""

_PAGE: Final = """
with seen as materialized ({seen}), page as (
    select {columns} from {table}
    where {alias}.customer_id = (select customer_id from seen) {also}
      and (%(at)s::timestamptz is null or ({alias}.{at}, {alias}.id) < (%(at)s::timestamptz, %(id)s::text))
    order by {alias}.{at} desc, {alias}.id desc limit %(limit)s
)
select (select coalesce(json_agg(page), '[]') from page) from seen
"""
_MESSAGES: Final = _PAGE.format(
    seen=SEEN,
    columns=MESSAGE_COLUMNS,
    table="messages m",
    alias="m",
    at="at",
    also="and m.delivery not in ('draft', 'withdrawn')",
)
_CONVERSATIONS: Final = _PAGE.format(
    seen=SEEN, columns=CONVERSATION_COLUMNS, table="conversations c", alias="c", at="opened_at", also=""
)
_EVENTS: Final = _PAGE.format(seen=SEEN, columns=EVENT_COLUMNS, table="customer_events e", alias="e", at="at", also="")


async def messages_before(
    connection: LedgerConnection, conversation_id: str, viewer: Viewer | None, before: HistoryKey | None, limit: int
) -> list[Row] | None:
    """The customer's messages across all conversations, the newest first; None without a conversation to see."""
    return await _page(connection, _MESSAGES, conversation_id, viewer, before, limit)


async def conversations_before(
    connection: LedgerConnection, conversation_id: str, viewer: Viewer | None, before: HistoryKey | None, limit: int
) -> list[Row] | None:
    return await _page(connection, _CONVERSATIONS, conversation_id, viewer, before, limit)


async def events_before(
    connection: LedgerConnection, conversation_id: str, viewer: Viewer | None, before: HistoryKey | None, limit: int
) -> list[Row] | None:
    return await _page(connection, _EVENTS, conversation_id, viewer, before, limit)


async def _page(
    connection: LedgerConnection,
    statement: str,
    conversation_id: str,
    viewer: Viewer | None,
    before: HistoryKey | None,
    limit: int,
) -> list[Row] | None:
    at, row_id = before or (None, None)
    parameters = {**sight(conversation_id, viewer), "at": at, "id": row_id, "limit": limit, "text": TEXT_SHOWN}
    async with alone(connection):
        row = await (await connection.execute(statement.encode(), parameters)).fetchone()
    if row is None:
        return None
    rows: list[Row] = row[0]
    return rows
