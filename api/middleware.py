"""What surrounds every request: its id, headers that protect a browser, its measure, and a limit to its body."""

from http import HTTPMethod
from time import perf_counter
from typing import Final

import structlog
from fastapi import FastAPI, Request
from fastapi.routing import APIRoute
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.measures import Measures
from api.problems import BodyTooLarge, problem_response
from domain.errors import BatonError
from storage.ids import new_id

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

REQUEST_ID: Final = "X-Request-Id"
SECURITY_HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_INTERNAL_ERROR: Final = BatonError(
    "internal_error", "Something went wrong on our side", 500, "the request id helps to find out what"
)


class Envelope:
    """Gives the request its id, adds the headers, measures, and answers what nobody else caught.

    The last is done here and not by Starlette's own outermost layer, so that a 500 too is a problem with an id.
    """

    def __init__(self, app: ASGIApp, measures: Measures) -> None:
        self._app = app
        self._measures = measures

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = new_id("req")
        scope.setdefault("state", {})["request_id"] = request_id
        began, status = perf_counter(), 0

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers[REQUEST_ID] = request_id
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            await self._app(scope, receive, send_with_headers)
        except ClientDisconnect:
            log.info("caller went away", request_id=request_id, path=_template(scope))
        except Exception:
            log.exception("request failed", request_id=request_id, path=_template(scope))
            if status:
                raise
            await problem_response(Request(scope), _INTERNAL_ERROR)(scope, receive, send_with_headers)
        finally:
            self._measures.answered(_method(scope), _template(scope), status, perf_counter() - began)


class BodyLimit:
    """Refuses a body over the limit before anybody reads it as a document."""

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self._app = app
        self._limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        length = headers.get("content-length", "")
        if length.isdecimal() and int(length) > self._limit:
            await self._refuse(scope, receive, send)
        elif "transfer-encoding" in headers:
            body = await self._whole(receive)
            if body is None:
                await self._refuse(scope, receive, send)
            else:
                await self._app(scope, _replay(body, receive), send)
        else:
            await self._app(scope, receive, send)

    async def _whole(self, receive: Receive) -> bytes | None:
        """The body of a request that does not say its length; None when it is too long.

        Raises:
            ClientDisconnect: the caller went away before the end; half a body is never passed on as a whole one.
        """
        body = bytearray()
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            body += message.get("body", b"")
            if len(body) > self._limit:
                return None
            if not message.get("more_body", False):
                return bytes(body)

    async def _refuse(self, scope: Scope, receive: Receive, send: Send) -> None:
        await problem_response(Request(scope), BodyTooLarge(self._limit))(scope, receive, send)


def install_middleware(app: FastAPI, measures: Measures, limit: int) -> None:
    app.add_middleware(BodyLimit, limit=limit)
    app.add_middleware(Envelope, measures=measures)


def _replay(body: bytes, receive: Receive) -> Receive:
    given = False

    async def replayed() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replayed


def _method(scope: Scope) -> str:
    # What callers make up must not become labels without end.
    method = str(scope["method"])
    return method if method in HTTPMethod.__members__ else "other"


def _template(scope: Scope) -> str:
    route = scope.get("route")
    return route.path_format if isinstance(route, APIRoute) else "none"
