"""The web chat's own door, open to anybody's browser: a signed visitor token stands for who is asking.

A visitor reads and writes their own session. What they type about themselves is a hint; a user of the customer's site
is known by a proof that the site's server computes.
"""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final, Literal

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from pydantic import BaseModel, Field
from sse_starlette import EventSourceResponse, ServerSentEvent

from api.chat_stream import ChatTail, chat_tail, client_message_id, session_events
from api.chat_visitors import AtAccount, AtDoor, ByVisitor, ChatRoute, chat_account, origin_headers, visitor_token_key
from api.fields import Body
from api.inbound import intake_of
from api.problems import BadRequest, Forbidden, NotFound, TooManyRequests
from api.rate_limit import RateLimit
from api.route import Context
from api.taking_in import TakesIn
from channels.own_form import LONGEST_ID, InvalidMessage
from channels.web_chat.adapter import ChatMessage, inbound_chat_message
from channels.web_chat.visitor_token import (
    IdentityProofRefused,
    VerifiedIdentity,
    Visitor,
    VisitorTokenRefused,
    issue_visitor_token,
    proven_identity,
    read_visitor_token,
)
from domain.errors import FieldProblem, InvalidInput
from domain.identity.addresses import SITE_USER_PREFIX
from storage.ids import new_id
from storage.ledger.chat_sessions import ChatSession, customer_of, end_session, latest_lines
from storage.records.event_feed import EventCursor

chat = APIRouter(prefix="/v1/web-chat/{account}", tags=["web chat"], route_class=ChatRoute)
preflight = APIRouter(prefix="/v1/web-chat/{account}", include_in_schema=False)

_TOKEN_LASTS: Final = timedelta(hours=24)
_MOST_LINES: Final = 200
_SEND_WITHIN: Final = timedelta(seconds=10)
_PREFLIGHT_LASTS: Final = "600"
_STREAM_EXAMPLE: Final = (
    'event: state\r\nid: 815-42\r\ndata: {"state": "assigned", "at": "2026-01-05T09:00:00Z"}\r\n\r\n'
    'event: message\r\nid: 815-43\r\ndata: {"id": "msg_06b2m4x0a8v3", "direction": "outbound", "text": "Hello!", '
    '"at": "2026-01-05T09:00:05Z", "author_name": "Alex", "client_message_id": null}\r\n\r\n'
)

_Id = Annotated[str, Field(min_length=1, max_length=LONGEST_ID)]


class SessionWanted(Body):
    """All of it may be left out: then an unknown visitor begins a session."""

    visitor_token: str | None = Field(None, description="An earlier token, to stay the same visitor")
    user_id: str | None = Field(None, description="The user of the site, with its proof", examples=["u-118"])
    email: str | None = Field(None, examples=["mia@mail.example"])
    proof: str | None = Field(None, description="hex HMAC-SHA256 of the user id, or of user id, newline, e-mail")


class SessionBegun(BaseModel):
    token: str = Field(description="To be sent as Authorization: Bearer …", examples=["eyJhbGciOi…"])
    visitor_id: str = Field(examples=["vis_06b2m4x0a8v3c5d7e9f1g2h3j4"])
    session_id: str = Field(examples=["chs_06b2m4x0a8v3c5d7e9f1g2h3j5"])
    expires_at: datetime = Field(examples=["2026-03-03T09:30:00Z"])


class ChatPosted(Body):
    client_message_id: _Id = Field(description="Sent again, it is known by this", examples=["b1c7"])
    session_id: _Id = Field(examples=["chs_06b2m4x0a8v3c5d7e9f1g2h3j5"])
    text: str = Field(examples=["My lamp hums."])
    name: str | None = Field(None, examples=["Mia"])
    email: str | None = Field(None, description="Typed, and so a hint", examples=["mia@mail.example"])


class ChatTaken(BaseModel):
    message_id: str = Field(examples=["msg_06b2m4x0a8v3c5d7e9f1g2h3j4"])
    duplicate: bool = Field(examples=[False])


class ChatShown(BaseModel):
    id: str = Field(examples=["msg_06b2m4x0a8v3c5d7e9f1g2h3j4"])
    direction: Literal["inbound", "outbound"] = Field(examples=["outbound"])
    text: str = Field(examples=["Hello!"])
    at: datetime = Field(examples=["2026-03-02T09:30:00Z"])
    author_name: str | None = Field(examples=["Alex"])
    client_message_id: str | None = Field(examples=[None])


class ChatHistory(BaseModel):
    data: list[ChatShown]


class SessionEnded(BaseModel):
    ended: bool = Field(description="False when there was nothing to end any more", examples=[True])


class SessionToEnd(Body):
    session_id: _Id = Field(examples=["chs_06b2m4x0a8v3c5d7e9f1g2h3j5"])


@chat.post("/sessions", status_code=201, summary="Begin a chat session")
async def begin_session(
    request: Request, wanted: SessionWanted, account: AtAccount, context: Context, door: AtDoor
) -> SessionBegun:
    _within(door.sessions, f"from {request.client.host if request.client else '?'}")
    key, now = visitor_token_key(context.secret), datetime.now(UTC)
    identity: VerifiedIdentity | None = None
    if wanted.user_id is not None:
        try:
            identity = proven_identity(account.identity_secret, wanted.user_id, wanted.email, wanted.proof or "")
        except IdentityProofRefused as error:
            raise Forbidden(str(error), "identity_not_proven") from error
    visitor_id = _earlier_visitor(wanted.visitor_token, key, account.name, now) or new_id("vis")
    expires = now.replace(microsecond=0) + _TOKEN_LASTS
    token = issue_visitor_token(key, visitor_id, account.name, identity, expires)
    return SessionBegun(token=token, visitor_id=visitor_id, session_id=new_id("chs"), expires_at=expires)


@chat.post("/messages", status_code=202, summary="Post a message of the visitor's")
async def post_message(posted: ChatPosted, visitor: ByVisitor, intakes: TakesIn, door: AtDoor) -> ChatTaken:
    _within(door.messages, visitor.visitor_id)
    written = ChatMessage(posted.client_message_id, posted.session_id, posted.text, posted.name, posted.email)
    try:
        message = inbound_chat_message(written, visitor, datetime.now(UTC))
    except InvalidMessage as error:
        raise InvalidInput(*(FieldProblem(fault.pointer, fault.reason) for fault in error.faults)) from error
    taken = await intakes.take_in(intake_of(message))
    return ChatTaken(message_id=taken.message_id, duplicate=taken.duplicate)


@chat.get("/messages", summary="What has been said in the session")
async def read_messages(
    visitor: ByVisitor, context: Context, session_id: Annotated[str, Query(max_length=LONGEST_ID)]
) -> ChatHistory:
    async with context.database.ledger.connection() as connection:
        lines = await latest_lines(connection, _session(visitor, session_id), _MOST_LINES)
    return ChatHistory(
        data=[
            ChatShown(
                id=line.message_id,
                direction="inbound" if line.direction == "inbound" else "outbound",
                text=line.text,
                at=line.at,
                author_name=line.author_name,
                client_message_id=client_message_id(line.direction, line.provider_message_id),
            )
            for line in lines
        ]
    )


@chat.get(
    "/events",
    summary="Follow the session",
    response_model=None,
    response_class=EventSourceResponse,
    responses={
        200: {
            "description": "`message` and `state` events of the session, from its beginning or after `Last-Event-ID`",
            "content": {"text/event-stream": {"schema": {"type": "string"}, "example": _STREAM_EXAMPLE}},
        }
    },
)
async def follow_session(
    request: Request,
    visitor: ByVisitor,
    context: Context,
    door: AtDoor,
    tail: Annotated[ChatTail, Depends(chat_tail)],
    session_id: Annotated[str, Query(max_length=LONGEST_ID)],
    last_event_id: Annotated[str | None, Header(description="To go on after it")] = None,
) -> Response:
    try:
        after = EventCursor(0, 0) if last_event_id is None else EventCursor.parse(last_event_id)
    except ValueError as error:
        raise BadRequest("invalid_cursor", "Last-Event-ID is not the id of an event") from error
    door.check_streams(visitor.visitor_id)
    session = _session(visitor, session_id)

    async def stream() -> AsyncIterator[ServerSentEvent]:
        with door.stream(visitor.visitor_id):
            async for event in session_events(context.database, tail, session, after, visitor.expires):
                yield event

    return EventSourceResponse(
        stream(),
        headers=origin_headers(request),
        ping=context.options.heartbeat.total_seconds(),
        ping_message_factory=lambda: ServerSentEvent(comment="still here"),
        send_timeout=_SEND_WITHIN.total_seconds(),
    )


@chat.post("/end", summary="End the session: the customer closes the chat")
async def end(ending: SessionToEnd, visitor: ByVisitor, context: Context) -> SessionEnded:
    session = _session(visitor, ending.session_id)
    async with context.database.ledger.connection() as connection:
        if await customer_of(connection, session) is None:
            raise NotFound("session")
        return SessionEnded(ended=await end_session(connection, session))


@preflight.options("/{operation}", status_code=204)
async def allow_site(request: Request, operation: str) -> Response:
    """What a browser asks before it lets a page of another site call us."""
    del operation
    await chat_account(request, request.path_params["account"])
    headers = {
        "Access-Control-Allow-Methods": "GET, POST",
        "Access-Control-Allow-Headers": "Authorization, Content-Type, Last-Event-ID",
        "Access-Control-Max-Age": _PREFLIGHT_LASTS,
    }
    return Response(status_code=204, headers={**headers, **origin_headers(request)})


def _session(visitor: Visitor, session_id: str) -> ChatSession:
    user = visitor.identified_as
    address = visitor.visitor_id if user is None else SITE_USER_PREFIX + user.user_id
    return ChatSession(visitor.account, session_id, address)


def _earlier_visitor(token: str | None, key: bytes, account: str, now: datetime) -> str | None:
    """The visitor an earlier token names; who they proved to be then must be proved again."""
    if token is None:
        return None
    try:
        return read_visitor_token(key, token, account, now).visitor_id
    except VisitorTokenRefused:
        return None


def _within(limit: RateLimit, caller: str) -> None:
    wait = limit.wait(caller)
    if wait:
        raise TooManyRequests(wait)


router = APIRouter()
router.include_router(chat)
router.include_router(preflight)
