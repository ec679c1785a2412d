"""Every error as `application/problem+json` (RFC 9457), with a stable code and the id of its request.

BatonError
├── InvalidInput             422 invalid_request
├── BadRequest               400 malformed_request, invalid_cursor, payload_not_ours
├── Unauthenticated          401 unauthenticated
├── Forbidden                403 forbidden, not_yours
├── NotFound                 404 not_found
├── Conflict                 409 a refusal code, not_merged, last_thread, already_exists, already_answered, in_use,
│                                 request_in_progress
├── BodyTooLarge             413 body_too_large
├── IdempotencyKeyReused     422 idempotency_key_reused
├── TooManyRequests          429 too_many_requests
└── Unavailable              503 unavailable
"""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Final

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from psycopg import OperationalError as LedgerUnreachable
from psycopg_pool import PoolTimeout
from pydantic import BaseModel, ConfigDict, Field, JsonValue
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as SessionPoolTimeout
from starlette.exceptions import HTTPException

from domain.conversation.refusals import RefusalCode
from domain.errors import BatonError, FieldProblem, InvalidInput, pointer

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

PROBLEM_JSON: Final = "application/problem+json"
RETRY_AFTER_SECONDS: Final = 2

_ALLOW: Final = "Allow"
_UNREACHABLE: Final = (LedgerUnreachable, PoolTimeout, OperationalError, InterfaceError, SessionPoolTimeout)


class HttpError(BatonError):
    """An error that comes with headers of its own."""

    def __init__(
        self, code: str, title: str, status: int, detail: str | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(code, title, status, detail)
        self.headers = dict(headers or {})


class BadRequest(HttpError):  # noqa: N818 -- HTTP's own word
    def __init__(self, code: str, detail: str) -> None:
        super().__init__(code, "The request can't be read", 400, detail)


class Unauthenticated(HttpError):  # noqa: N818 -- HTTP's own word
    def __init__(self, detail: str = "a valid API key is needed: Authorization: Bearer bt_…") -> None:
        super().__init__("unauthenticated", "Who is asking is not known", 401, detail, {"WWW-Authenticate": "Bearer"})


class Forbidden(HttpError):  # noqa: N818 -- HTTP's own word
    def __init__(self, detail: str, code: str = "forbidden") -> None:
        super().__init__(code, "This is not allowed", 403, detail)


class NotFound(HttpError):  # noqa: N818 -- HTTP's own word
    """What is asked for does not exist, or the caller may not know that it does."""

    def __init__(self, what: str = "resource") -> None:
        super().__init__("not_found", "Not found", 404, f"there is no such {what}")


class Conflict(HttpError):  # noqa: N818 -- HTTP's own word
    def __init__(self, code: str, detail: str) -> None:
        super().__init__(code, "This can't be done now", 409, detail)


class BodyTooLarge(HttpError):  # noqa: N818 -- says what it is
    def __init__(self, limit: int) -> None:
        super().__init__("body_too_large", "The body is too large", 413, f"at most {limit} bytes are taken")


class IdempotencyKeyReused(HttpError):  # noqa: N818 -- says what happened
    def __init__(self) -> None:
        super().__init__(
            "idempotency_key_reused",
            "The idempotency key was used for something else",
            422,
            "the first request under this key was a different one",
        )


class TooManyRequests(HttpError):  # noqa: N818 -- HTTP's own word
    def __init__(self, seconds: int) -> None:
        super().__init__(
            "too_many_requests", "Too many requests", 429, "slow down", {"Retry-After": str(max(1, seconds))}
        )


class Unavailable(HttpError):  # noqa: N818 -- HTTP's own word
    def __init__(self, detail: str, seconds: int = RETRY_AFTER_SECONDS) -> None:
        super().__init__("unavailable", "Try again later", 503, detail, {"Retry-After": str(seconds)})


def refused(code: RefusalCode, detail: str) -> HttpError:
    """A conversation's refusal, under its own code."""
    return Forbidden(detail, code.value) if code is RefusalCode.NOT_YOURS else Conflict(code.value, detail)


class ProblemPart(BaseModel):
    pointer: str = Field(examples=["/display_name"])
    detail: str = Field(examples=["Field required"])


class Problem(BaseModel):
    """RFC 9457 problem details."""

    model_config = ConfigDict(extra="forbid")

    type: str = Field(examples=["about:blank"])
    title: str = Field(examples=["The request is not valid"])
    status: int = Field(examples=[422])
    code: str = Field(examples=["invalid_request"])
    detail: str | None = Field(examples=["1 part of it is not valid"])
    request_id: str = Field(examples=["req_06b2m4x0a8v3c5d7e9f1g2h3j4"])
    errors: list[ProblemPart] = Field(default_factory=list)


def problem_response(request: Request, error: BatonError) -> Response:
    problems = error.problems if isinstance(error, InvalidInput) else ()
    detail = error.detail
    if detail is None and problems:
        detail = "1 part of it is not valid" if len(problems) == 1 else f"{len(problems)} parts of it are not valid"
    body: dict[str, JsonValue] = {
        "type": "about:blank",
        "title": error.title,
        "status": error.status,
        "code": error.code,
        "detail": detail,
        "request_id": str(request.state.request_id),
    }
    if problems:
        body["errors"] = [{"pointer": problem.pointer, "detail": problem.detail} for problem in problems]
    headers = error.headers if isinstance(error, HttpError) else None
    return JSONResponse(body, status_code=error.status, headers=headers, media_type=PROBLEM_JSON)


def as_baton_error(error: Exception) -> BatonError | None:
    """What a caller is told about an error, when it is one that a caller can be told about."""
    match error:
        case BatonError():
            return error
        case RequestValidationError():
            return _not_valid(error)
        case HTTPException():
            return _from_http(error)
        case _ if isinstance(error, _UNREACHABLE):
            return Unavailable("the database does not answer")
        case _:
            return None


def install_problem_handlers(app: FastAPI) -> None:
    app.add_exception_handler(BatonError, _answer)
    app.add_exception_handler(RequestValidationError, _answer)
    app.add_exception_handler(HTTPException, _answer)
    for kind in _UNREACHABLE:
        app.add_exception_handler(kind, _answer)


async def _answer(request: Request, error: Exception) -> Response:
    known = as_baton_error(error)
    if known is None:
        raise error
    if known.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        log.warning("request not served", request_id=request.state.request_id, code=known.code, cause=str(error))
    return problem_response(request, known)


def _not_valid(error: RequestValidationError) -> BatonError:
    parts: Sequence[Mapping[str, object]] = error.errors()
    if any(part["type"] == "json_invalid" for part in parts):
        return BadRequest("malformed_json", "the body is not JSON")
    return InvalidInput(*(_field_problem(part) for part in parts))


def _field_problem(part: Mapping[str, object]) -> FieldProblem:
    location = part["loc"]
    steps = [step for step in location if isinstance(step, str | int)] if isinstance(location, Sequence) else []
    # Body fields are pointed at from the root of the document; parameters say where they stand.
    inside = steps[1:] if steps[:1] == ["body"] else steps
    return FieldProblem(pointer(*inside), str(part["msg"]))


def _from_http(error: HTTPException) -> BatonError:
    if error.status_code == HTTPStatus.NOT_FOUND:
        return NotFound()
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        allowed = {_ALLOW: error.headers[_ALLOW]} if error.headers and _ALLOW in error.headers else {}
        return HttpError("method_not_allowed", "Method not allowed", 405, "this address takes other methods", allowed)
    if error.status_code == HTTPStatus.BAD_REQUEST:
        return BadRequest("malformed_request", str(error.detail))
    phrase = HTTPStatus(error.status_code).phrase
    return HttpError(phrase.lower().replace(" ", "_"), phrase, error.status_code, str(error.detail), error.headers)
