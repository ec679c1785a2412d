"""`GET /v1/events`: what happens, as it happens, to whoever may see it."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from time import monotonic
from typing import Annotated, Final

import structlog
from fastapi import APIRouter, Header, Request, Response
from psycopg import OperationalError
from psycopg_pool import PoolTimeout
from pydantic import BaseModel, JsonValue
from sse_starlette import EventSourceResponse, ServerSentEvent

from api.access import Principal
from api.authentication import KeyRing
from api.problems import BadRequest
from api.route import BatonRoute, Caller, Context
from storage.database import Database
from storage.hints import Hints
from storage.records.event_feed import (
    EventCursor,
    FeedEvent,
    Sight,
    end_of_feed,
    events_after,
    is_from_this_feed,
)

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

router = APIRouter(tags=["live"], route_class=BatonRoute)

_SWEEP: Final = timedelta(seconds=1)
_KEY_LOOKED_AT: Final = timedelta(milliseconds=300)
"""With the half second for which a key is remembered, a stream ends within a second of the key's end."""
_SEND_WITHIN: Final = timedelta(seconds=10)
_STREAM_EXAMPLE: Final = (
    'event: snapshot\r\nid: 812-0\r\ndata: {"cursor":"812-0"}\r\n\r\n'
    'event: accepted\r\nid: 815-42\r\ndata: {"id":"815-42","kind":"accepted","at":"2026-01-05T09:00:00Z",'
    '"conversation_id":"con_06b2m4x0a8v3","customer_id":"cus_06b2m4x0a8v4","agent_id":"agt_06b2m4x0a8v5",'
    '"pool":"default","data":{"offer_id":"off_06b2m4x0a8v6"}}\r\n\r\n'
)


class LiveEvent(BaseModel):
    """One lifecycle event; `id` is the cursor to resume after it."""

    id: str
    kind: str
    at: datetime
    conversation_id: str | None
    customer_id: str | None
    agent_id: str | None
    pool: str | None
    data: dict[str, JsonValue]


class EventBell:
    """Rings for all streams of this process over one listening connection, open while there is a stream."""

    def __init__(self, database: Database) -> None:
        self._hints = Hints(database, "baton_events")
        self._streams = 0
        self._listening: asyncio.Task[None] | None = None

    @contextmanager
    def heard(self) -> Iterator[Hints]:
        self._streams += 1
        if self._listening is None:
            self._listening = asyncio.create_task(self._hints.run())
        try:
            yield self._hints
        finally:
            self._streams -= 1
            if self._streams == 0:
                self._listening.cancel()
                self._listening = None


@router.get(
    "/v1/events",
    summary="Follow what happens",
    response_model=None,
    response_class=EventSourceResponse,
    responses={
        200: {
            "description": "A `snapshot` event with the cursor the stream begins at, then every lifecycle event",
            "content": {"text/event-stream": {"schema": {"type": "string"}, "example": _STREAM_EXAMPLE}},
        }
    },
)
async def follow_events(
    request: Request,
    context: Context,
    caller: Caller,
    last_event_id: Annotated[
        str | None, Header(description="The id of the last event received, to go on after it")
    ] = None,
) -> Response:
    """Server-Sent Events.

    A stream without `Last-Event-ID` begins now: read the lists after the snapshot event, and what changes meanwhile
    comes as an event, some of it perhaps seen already. Agents see their pool's events and those that name them.
    """
    position = await _beginning(context.database, last_event_id)
    keys: KeyRing = request.app.state.keys
    bell: EventBell = request.app.state.event_bell
    return EventSourceResponse(
        _stream(context.database, keys, bell, caller, position),
        ping=context.options.heartbeat.total_seconds(),
        ping_message_factory=lambda: ServerSentEvent(comment="still here"),
        send_timeout=_SEND_WITHIN.total_seconds(),
    )


async def _beginning(database: Database, last_event_id: str | None) -> EventCursor:
    if last_event_id is None:
        return await end_of_feed(database)
    try:
        cursor = EventCursor.parse(last_event_id)
    except ValueError as error:
        raise BadRequest("invalid_cursor", "Last-Event-ID is not the id of an event") from error
    if not await is_from_this_feed(database, cursor):
        raise BadRequest("invalid_cursor", "Last-Event-ID is not the id of an event of this deployment")
    return cursor


async def _stream(
    database: Database, keys: KeyRing, bell: EventBell, caller: Principal, position: EventCursor
) -> AsyncIterator[ServerSentEvent]:
    """The events after a place until the caller's key ends, or the database does not answer."""
    yield ServerSentEvent(json.dumps({"cursor": str(position)}), event="snapshot", id=str(position))
    try:
        with bell.heard() as hints:
            while True:
                seen, looked = hints.rings, monotonic()
                principal = await keys.principal(caller.digest)
                if principal is None:
                    return
                batch = await events_after(database, position, _sight(principal))
                for event in batch.events:
                    yield _sse(event)
                position = batch.position
                if not batch.is_full and not await _rung(keys, caller, hints, seen, looked):
                    return
    except (OperationalError, PoolTimeout) as error:
        log.warning("live stream ended", key=caller.key_id, cause=str(error))


async def _rung(keys: KeyRing, caller: Principal, hints: Hints, seen: int, looked: float) -> bool:
    """Wait for a ring or the next sweep; False when the caller's key has ended before."""
    while hints.rings == seen and monotonic() - looked < _SWEEP.total_seconds():
        await hints.wait(seen, _KEY_LOOKED_AT)
        if await keys.principal(caller.digest) is None:
            return False
    return True


def _sight(principal: Principal) -> Sight:
    if principal.is_supervising:
        return Sight(everything=True)
    return Sight(pool=principal.pool, agent_id=principal.agent_id)


def _sse(event: FeedEvent) -> ServerSentEvent:
    told = LiveEvent(
        id=str(event.cursor),
        kind=event.kind,
        at=event.at,
        conversation_id=event.conversation_id,
        customer_id=event.customer_id,
        agent_id=event.agent_id,
        pool=event.pool,
        data=dict(event.data),
    )
    return ServerSentEvent(told.model_dump_json(), event=event.kind, id=told.id)
