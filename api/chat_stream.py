"""A visitor's live stream: their own session's messages and state, resumed after the last event they saw."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Final

import structlog
from fastapi import Request
from psycopg import OperationalError
from psycopg_pool import PoolTimeout
from pydantic import JsonValue
from sse_starlette import ServerSentEvent

from api.events import EventBell
from storage.database import Database
from storage.ledger.chat_sessions import ChatEntry, ChatSession, customer_of, entries_after
from storage.records.event_feed import EventCursor, Sight, end_of_feed, events_after

_LOG: Final = structlog.get_logger(__name__)
_SWEEP: Final = timedelta(seconds=5)
_SWEEP_UNKNOWN: Final = timedelta(seconds=1)
"""Before the first message of a session nothing tells whose events concern it."""
_TAIL_SWEEP: Final = timedelta(seconds=1)
_BATCH: Final = 200

_STATES: Final = {
    "conversation_opened": "new",
    "queued": "queued",
    "accepted": "assigned",
    "claimed": "assigned",
    "resolved": "resolved",
    "reopened": "reopened",
    "closed": "closed",
}
_LEDGER_AWAY: Final = (OperationalError, PoolTimeout)


class ChatTail:
    """Follows all events once for all visitors, and wakes the streams of the customers they concern.

    Thousands of streams that each asked the database at every event of everybody else would be its heaviest load.
    """

    def __init__(self, database: Database, bell: EventBell) -> None:
        self._database = database
        self._bell = bell
        self._waiting: dict[str, set[asyncio.Event]] = {}
        self._following: asyncio.Task[None] | None = None

    @contextmanager
    def wakes(self, customer_id: str) -> Iterator[asyncio.Event]:
        """An event that is set whenever something has happened to the customer."""
        woken = asyncio.Event()
        self._waiting.setdefault(customer_id, set()).add(woken)
        if self._following is None or self._following.done():
            self._following = asyncio.create_task(self._follow())
        try:
            yield woken
        finally:
            self._waiting[customer_id].discard(woken)
            if not self._waiting[customer_id]:
                del self._waiting[customer_id]
            if not self._waiting:
                self._following.cancel()
                self._following = None

    async def _follow(self) -> None:
        with self._bell.heard() as hints:
            position: EventCursor | None = None
            while True:
                seen = hints.rings
                try:
                    if position is None:
                        position = await end_of_feed(self._database)
                        self._wake(set(self._waiting))
                    batch = await events_after(self._database, position, Sight(everything=True))
                except _LEDGER_AWAY as error:
                    _LOG.warning("chat streams wait for the ledger", error=str(error))
                    await asyncio.sleep(_TAIL_SWEEP.total_seconds())
                    continue
                position = batch.position
                self._wake({event.customer_id for event in batch.events if event.customer_id is not None})
                if not batch.is_full:
                    await hints.wait(seen, _TAIL_SWEEP)

    def _wake(self, customer_ids: set[str]) -> None:
        for customer_id in customer_ids & self._waiting.keys():
            for woken in self._waiting[customer_id]:
                woken.set()


async def chat_tail(request: Request) -> ChatTail:
    state = request.app.state
    if not hasattr(state, "chat_tail"):
        state.chat_tail = ChatTail(state.context.database, state.event_bell)
    tail: ChatTail = state.chat_tail
    return tail


async def session_events(
    database: Database, tail: ChatTail, session: ChatSession, after: EventCursor, until: datetime
) -> AsyncIterator[ServerSentEvent]:
    """What the visitor may see, from a place on, until their token ends or the ledger does not answer."""
    try:
        while True:
            async with database.ledger.connection() as connection:
                customer_id = await customer_of(connection, session)
            if customer_id is not None:
                break
            if not await _waited(None, _SWEEP_UNKNOWN, until):
                return
        with tail.wakes(customer_id) as woken:
            while True:
                woken.clear()
                async with database.ledger.connection() as connection:
                    entries = await entries_after(
                        connection, session, (after.transaction, after.id), frozenset(_STATES), _BATCH
                    )
                for entry in entries:
                    after = EventCursor(entry.transaction, entry.event_id)
                    yield _sse(entry, str(after))
                if len(entries) < _BATCH and not await _waited(woken, _SWEEP, until):
                    return
    except _LEDGER_AWAY as error:
        _LOG.warning("chat stream ended", error=str(error))


async def _waited(woken: asyncio.Event | None, at_most: timedelta, until: datetime) -> bool:
    """Wait to be woken; False when the visitor's time is over."""
    left = until - datetime.now(UTC)
    if left <= timedelta(0):
        return False
    seconds = min(at_most, left).total_seconds()
    if woken is None:
        await asyncio.sleep(seconds)
        return True
    try:
        async with asyncio.timeout(seconds):
            await woken.wait()
    except TimeoutError:
        return datetime.now(UTC) < until
    return True


def _sse(entry: ChatEntry, cursor: str) -> ServerSentEvent:
    at = entry.at.isoformat().replace("+00:00", "Z")
    if entry.message_id is None:
        told: dict[str, JsonValue] = {"state": _STATES[entry.kind], "at": at}
        return ServerSentEvent(json.dumps(told), event="state", id=cursor)
    told = {
        "id": entry.message_id,
        "direction": entry.direction,
        "text": entry.text,
        "at": at,
        "author_name": entry.author_name,
        "client_message_id": client_message_id(entry.direction, entry.provider_message_id),
    }
    return ServerSentEvent(json.dumps(told), event="message", id=cursor)


def client_message_id(direction: str | None, provider_message_id: str | None) -> str | None:
    """The id the widget gave its message; the visitor's id stands before it."""
    if direction != "inbound" or provider_message_id is None:
        return None
    return provider_message_id.partition(":")[2]
