"""`Idempotency-Key`: a POST that is sent again gets the answer of the first one and changes nothing more.

An answer up to 499 is kept for a day. What failed on our side is not kept: sending it again is what the key is for.
"""

import hashlib
import re
from collections.abc import Awaitable, Callable
from typing import Final

from fastapi import Request, Response

from api.access import Principal
from api.problems import BadRequest, Conflict, IdempotencyKeyReused
from storage.database import Database
from storage.records.idempotency import (
    StillRunning,
    StoredAnswer,
    UsedForAnother,
    claim,
    give_back,
    keep_answer,
)
from storage.unit_of_work import UnitOfWork

HEADER: Final = "Idempotency-Key"
REPLAYED: Final = "Idempotency-Replayed"

_KEY: Final = re.compile(r"[\x21-\x7e]{1,255}")
_SERVER_ERRORS: Final = 500


def idempotency_key(request: Request) -> str | None:
    """The key of a POST, None without one; raises `BadRequest` for what can't be a key."""
    key = request.headers.get(HEADER)
    if key is not None and not _KEY.fullmatch(key):
        raise BadRequest("invalid_idempotency_key", "an idempotency key is 1 to 255 visible ASCII characters")
    return key if request.method == "POST" else None


async def answered_once(
    request: Request,
    database: Database,
    principal: Principal,
    key: str,
    answer: Callable[[UnitOfWork], Awaitable[Response]],
) -> Response:
    """The answer kept under the key, or the one given now, which is kept in the transaction of its own work."""
    digest = await _digest(request)
    try:
        first = await claim(database, principal.key_id, key, digest)
    except UsedForAnother as error:
        raise IdempotencyKeyReused from error
    except StillRunning as error:
        raise Conflict("request_in_progress", "the first request under this key has not ended yet") from error
    if isinstance(first, StoredAnswer):
        return _replayed(first)
    kept = False
    try:
        response, unit = await _given(database, answer)
        if response.status_code < _SERVER_ERRORS:
            await keep_answer(await unit.session(), first, response.status_code, bytes(response.body))
            await unit.commit()
            kept = True
        return response
    finally:
        if not kept:
            await give_back(database, first)


async def _given(
    database: Database, answer: Callable[[UnitOfWork], Awaitable[Response]]
) -> tuple[Response, UnitOfWork]:
    unit = UnitOfWork(database)
    try:
        response = await answer(unit)
    except BaseException:
        await unit.roll_back()
        raise
    if response.status_code >= 400:  # noqa: PLR2004 -- HTTP's errors begin here
        await unit.roll_back()
    return response, unit


def _replayed(stored: StoredAnswer) -> Response:
    media_type = "application/json" if stored.status < 400 else "application/problem+json"  # noqa: PLR2004 -- as above
    headers = {REPLAYED: "true"}
    if not stored.body:
        return Response(status_code=stored.status, headers=headers)
    return Response(stored.body, stored.status, headers, media_type)


async def _digest(request: Request) -> bytes:
    target = f"{request.method} {request.url.path}?{request.url.query}\n".encode()
    return hashlib.sha256(target + await request.body()).digest()
