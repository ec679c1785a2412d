"""The one way through the door: every operation of every router goes through `BatonRoute`.

In this order: who asks, may they, not too often, was it asked before; only then is the body read as a document.
What the operation wrote is committed before its answer leaves.
"""

from collections.abc import Callable, Coroutine
from typing import Annotated, Any, Final

from fastapi import Depends, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from sqlmodel.ext.asyncio.session import AsyncSession
from starlette.exceptions import HTTPException

from api.access import PUBLIC, Principal, roles_for
from api.authentication import KeyRing, authenticated
from api.context import ApiContext
from api.idempotency import answered_once, idempotency_key
from api.problems import BadRequest, Forbidden, TooManyRequests, Unauthenticated, as_baton_error, problem_response
from api.rate_limit import RateLimit
from domain.errors import BatonError
from storage.ledger.learned import LearnedFromLedger
from storage.unit_of_work import UnitOfWork

_ERRORS: Final = 400
_EXPECTED: Final = (BatonError, RequestValidationError, HTTPException)


class BatonRoute(APIRoute):
    """Admits the caller, and makes the operation one unit of work."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        operation = super().get_route_handler()
        path = self.path_format

        async def admitted(request: Request) -> Response:
            context: ApiContext = request.app.state.context
            principal = await _admitted(request, path)
            if "\x00" in request.url.path or "%00" in (request.url.query or ""):
                raise BadRequest("malformed_request", "an address holds no NUL")

            async def answer(unit: UnitOfWork) -> Response:
                request.state.unit = unit
                try:
                    return await operation(request)
                except _EXPECTED as error:
                    known = as_baton_error(error)
                    if known is None:
                        raise
                    return problem_response(request, known)

            key = idempotency_key(request)
            if principal is not None and key is not None:
                return await answered_once(request, context.database, principal, key, answer)
            return await _in_one_unit(context, answer)

        return admitted


async def _in_one_unit(context: ApiContext, answer: Callable[[UnitOfWork], Coroutine[Any, Any, Response]]) -> Response:
    unit = UnitOfWork(context.database)
    try:
        response = await answer(unit)
    except BaseException:
        await unit.roll_back()
        raise
    if response.status_code >= _ERRORS:
        await unit.roll_back()
    else:
        await unit.commit()
    return response


async def _admitted(request: Request, path: str) -> Principal | None:
    roles = roles_for(request.method, path)
    limit: RateLimit = request.app.state.rate_limit
    principal = None
    try:
        if roles != PUBLIC:
            keys: KeyRing = request.app.state.keys
            principal = await authenticated(request, keys)
    except Unauthenticated:
        _within(limit, request)
        raise
    _within(limit, request, principal)
    if roles is None or (principal is not None and principal.role not in roles):
        raise Forbidden("the role of this key does not include this operation")
    request.state.principal = principal
    return principal


def _within(limit: RateLimit, request: Request, principal: Principal | None = None) -> None:
    caller = principal.key_id if principal is not None else f"from {request.client.host if request.client else '?'}"
    wait = limit.wait(caller)
    if wait:
        raise TooManyRequests(wait)


# Coroutines not to wait, but not to be called in another thread.
async def _context(request: Request) -> ApiContext:
    context: ApiContext = request.app.state.context
    return context


async def _learned(request: Request) -> LearnedFromLedger:
    learned: LearnedFromLedger = request.app.state.learned
    return learned


async def _principal(request: Request) -> Principal:
    principal: Principal | None = request.state.principal
    if principal is None:
        raise Unauthenticated
    return principal


async def _unit(request: Request) -> UnitOfWork:
    unit: UnitOfWork = request.state.unit
    return unit


async def _session(request: Request) -> AsyncSession:
    unit: UnitOfWork = request.state.unit
    return await unit.session()


Context = Annotated[ApiContext, Depends(_context)]
Learned = Annotated[LearnedFromLedger, Depends(_learned)]
Caller = Annotated[Principal, Depends(_principal)]
Work = Annotated[UnitOfWork, Depends(_unit)]
Records = Annotated[AsyncSession, Depends(_session)]
"""The session of this request's unit of work; nobody but the route commits it."""
