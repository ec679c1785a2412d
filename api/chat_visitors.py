"""Who is at the web chat's door: the account it belongs to, the site it is embedded in, the visitor behind it."""

from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from fastapi import Depends, Request, Response

from api.context import ApiContext
from api.door_accounts import door_accounts
from api.problems import Forbidden, NotFound, TooManyRequests, Unauthenticated
from api.rate_limit import RateLimit
from api.route import BatonRoute
from channels.web_chat.visitor_token import Visitor, VisitorTokenRefused, read_visitor_token
from domain.channels import Channel
from storage.sealed_box import SealedBox

_SESSIONS_PER_SECOND: Final = 20.0
_SESSION_BURST: Final = 500
_MESSAGES_PER_SECOND: Final = 2.0
_MESSAGE_BURST: Final = 60
_STREAMS_PER_VISITOR: Final = 5


class ChatDoor:
    """What this process counts of its visitors."""

    def __init__(self) -> None:
        self.sessions = RateLimit(_SESSIONS_PER_SECOND, _SESSION_BURST)
        self.messages = RateLimit(_MESSAGES_PER_SECOND, _MESSAGE_BURST)
        self._streams: dict[str, int] = {}

    def check_streams(self, visitor: str) -> None:
        if self._streams.get(visitor, 0) >= _STREAMS_PER_VISITOR:
            raise TooManyRequests(10)

    @contextmanager
    def stream(self, visitor: str) -> Iterator[None]:
        """Count a stream for as long as it is sent."""
        self._streams[visitor] = self._streams.get(visitor, 0) + 1
        try:
            yield
        finally:
            self._streams[visitor] -= 1
            if self._streams[visitor] == 0:
                del self._streams[visitor]


@dataclass(frozen=True, slots=True)
class ChatAccount:
    """One chat account; `identity_secret` is what the customer's site proves its users with, empty without one."""

    name: str
    identity_secret: bytes


class ChatRoute(BatonRoute):
    """Lets the browser of an allowed site read the answer, also when it is a problem."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        admitted = super().get_route_handler()

        async def answered(request: Request) -> Response:
            response = await admitted(request)
            response.headers.update(origin_headers(request))
            return response

        return answered


def origin_headers(request: Request) -> dict[str, str]:
    """The headers by which a browser hands the answer to the site it came from."""
    origin: str | None = getattr(request.state, "allowed_origin", None)
    if origin is None:
        return {}
    return {
        "Access-Control-Allow-Origin": origin,
        "Cross-Origin-Resource-Policy": "cross-origin",
        "Vary": "Origin",
    }


async def chat_account(request: Request, account: str) -> ChatAccount:
    """The account in the address, for a caller whose browser may use it.

    Browsers say where a page comes from and pages can't change it; who isn't a browser is held by the rate limits.
    """
    found = await door_accounts(request).named(Channel.WEB_CHAT, account)
    if found is None or not found.active:
        raise NotFound("web chat account")
    origin = request.headers.get("origin")
    if origin is not None:
        allowed = found.settings.get("allowed_origins")
        is_listed = isinstance(allowed, list) and origin in allowed
        if not is_listed and not _is_own(request, origin):
            raise Forbidden("this site is not among the account's allowed origins", "origin_not_allowed")
        request.state.allowed_origin = origin
    context: ApiContext = request.app.state.context
    secrets = (
        {} if found.secrets is None else _box(context.secret, *context.older_secrets).unseal(found.secrets, found.id)
    )
    return ChatAccount(found.name, secrets.get("identity_secret", "").encode())


def _is_own(request: Request, origin: str) -> bool:
    return urlsplit(origin).netloc == request.headers.get("host", "")


async def chat_door(request: Request) -> ChatDoor:
    if not hasattr(request.app.state, "chat_door"):
        request.app.state.chat_door = ChatDoor()
    door: ChatDoor = request.app.state.chat_door
    return door


@lru_cache(maxsize=4)
def visitor_token_key(secret: bytes) -> bytes:
    """The key that signs visitor tokens, derived from the deployment's secret for this use alone."""
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=b"baton visitor tokens").derive(secret)


@lru_cache(maxsize=4)
def _box(secret: bytes, *older: bytes) -> SealedBox:
    return SealedBox(secret, *older)


AtAccount = Annotated[ChatAccount, Depends(chat_account)]
AtDoor = Annotated[ChatDoor, Depends(chat_door)]


async def visitor(request: Request, account: AtAccount) -> Visitor:
    """The visitor whose token the request carries."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        raise Unauthenticated("a visitor token is needed: Authorization: Bearer …")
    context: ApiContext = request.app.state.context
    try:
        return read_visitor_token(visitor_token_key(context.secret), token.strip(), account.name, datetime.now(UTC))
    except VisitorTokenRefused as error:
        raise Unauthenticated("this visitor token is not valid here, or no longer") from error


ByVisitor = Annotated[Visitor, Depends(visitor)]
