"""The links that customers are sent: a page with buttons, and the answer that a button gives.

Reading the page answers nothing: mail programs open links by themselves. The token in the address is the proof.
"""

import hashlib
import json
from base64 import b64encode
from datetime import UTC, datetime, timedelta
from html import escape
from typing import Annotated, Final, Literal
from urllib.parse import parse_qsl

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from api.context import ApiContext
from api.problems import Conflict, NotFound
from api.route import BatonRoute, Context
from domain.channels import Channel
from domain.errors import FieldProblem, InvalidInput, pointer
from domain.suggestions.links import LinkRefused, link_key, read
from domain.suggestions.rules import Cause
from domain.suggestions.wording import offer_text, survey_text
from storage.ledger.suggestion_answers import (
    LinkedSuggestion,
    LinkedSurvey,
    linked_suggestion,
    linked_survey,
    owe_answer,
)
from storage.ledger.surveys import keep_score

router = APIRouter(prefix="/v1/s", tags=["customer links"], route_class=BatonRoute)

_LATEST_CALL: Final = timedelta(days=30)
_STYLE: Final = (
    "body{font:18px/1.5 system-ui,sans-serif;max-width:34rem;margin:3rem auto;padding:0 1rem;color:#1c2430}"
    "button{font:inherit;padding:.6rem 1.2rem;margin:.2rem;border:1px solid #566274;border-radius:.4rem;"
    "background:#fff}button:first-of-type{background:#1c2430;color:#fff}p{white-space:pre-line}"
)
_STYLE_DIGEST: Final = b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_POLICY: Final = f"default-src 'none'; style-src 'sha256-{_STYLE_DIGEST}'; form-action 'self'; frame-ancestors 'none'"


class LinkedAnswer(BaseModel):
    """`accept` or `decline` a suggestion; to a survey, a number from 1 to 7."""

    model_config = ConfigDict(extra="forbid")

    answer: Literal["accept", "decline"] | Annotated[int, Field(ge=1, le=7)]
    callback_at: AwareDatetime | None = None
    """When the customer wishes to be called."""


class LinkStanding(BaseModel):
    kind: Literal["suggestion", "survey"]
    state: Literal["open", "taken", "accepted", "declined", "ignored", "answered"] = Field(examples=["open"])
    channel: str | None = Field(examples=["video"])
    text: str = Field(examples=["Would you like to switch to a video call?"])
    callback_at: datetime | None = Field(examples=[None])
    score: int | None = Field(examples=[None])


_EXAMPLE: Final = {"answer": "accept"}
_BODY: Final = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "additionalProperties": False,
                    "required": ["answer"],
                    "properties": {
                        "answer": {
                            "oneOf": [
                                {"type": "string", "enum": ["accept", "decline"]},
                                {"type": "integer", "minimum": 1, "maximum": 7},
                            ]
                        },
                        "callback_at": {"type": ["string", "null"], "format": "date-time"},
                    },
                    "examples": [_EXAMPLE],
                }
            }
        },
    }
}


@router.get("/{token}", summary="What a link asks", response_model=LinkStanding)
async def show(token: str, request: Request, context: Context) -> Response:
    """A page with buttons for a browser, and JSON for anybody else. Looking answers nothing."""
    return _shown(request, await _standing(context, token))


@router.post("/{token}", summary="Answer by the link", response_model=LinkStanding, openapi_extra=_BODY)
async def answer(token: str, request: Request, context: Context) -> Response:
    """The first answer counts. A repeat of it is told the same, another one is refused under `already_answered`."""
    given = await _given(request)
    found = await _linked(context, token)
    now = datetime.now(UTC)
    if isinstance(found, LinkedSurvey):
        return _shown(request, await _score(context, found, given, now))
    return _shown(request, await _answer(context, found, given, now))


async def _linked(context: ApiContext, token: str) -> LinkedSuggestion | LinkedSurvey:
    try:
        subject = read(link_key(context.secret), token, datetime.now(UTC))
    except LinkRefused as error:
        raise NotFound("link") from error
    async with context.database.ledger.connection() as connection:
        found: LinkedSuggestion | LinkedSurvey | None = await linked_suggestion(connection, subject)
        found = found or await linked_survey(connection, subject)
    if found is None:
        raise NotFound("link")
    return found


async def _standing(context: ApiContext, token: str) -> LinkStanding:
    found = await _linked(context, token)
    if isinstance(found, LinkedSurvey):
        return _of_survey(found, found.score)
    return _of_suggestion(found, "open" if found.state == "offered" else found.state)


async def _answer(context: ApiContext, found: LinkedSuggestion, given: LinkedAnswer, now: datetime) -> LinkStanding:
    if isinstance(given.answer, int):
        raise InvalidInput(FieldProblem(pointer("answer"), "a suggestion is accepted or declined"))
    if given.callback_at is not None and not now <= given.callback_at <= now + _LATEST_CALL:
        raise InvalidInput(FieldProblem(pointer("callback_at"), f"within the next {_LATEST_CALL.days} days"))
    accepts = given.answer == "accept"
    if found.state == "offered":
        async with context.database.ledger.connection() as connection:
            if await owe_answer(connection, found.id, accepts=accepts, at=now, callback_at=given.callback_at):
                return _of_suggestion(found, "taken")
            found = await linked_suggestion(connection, found.id) or found
    if found.state != ("accepted" if accepts else "declined"):
        raise Conflict("already_answered", f"this suggestion is {found.state}")
    return _of_suggestion(found, found.state)


async def _score(context: ApiContext, found: LinkedSurvey, given: LinkedAnswer, now: datetime) -> LinkStanding:
    if not isinstance(given.answer, int):
        raise InvalidInput(FieldProblem(pointer("answer"), "a number from 1 to 7"))
    async with context.database.ledger.connection() as connection:
        await keep_score(connection, found.id, given.answer, "link", now)
        kept = await linked_survey(connection, found.id)
    if kept is None or kept.score != given.answer:
        raise Conflict("already_answered", "the first answer counts")
    return _of_survey(kept, kept.score)


def _of_suggestion(found: LinkedSuggestion, state: str) -> LinkStanding:
    text = offer_text(found.language, Channel(found.channel), Cause(found.cause), None).partition("\n")[0]
    return LinkStanding.model_validate(
        {
            "kind": "suggestion",
            "state": state,
            "channel": found.channel,
            "text": text,
            "callback_at": found.callback_at,
            "score": None,
        }
    )


def _of_survey(found: LinkedSurvey, score: int | None) -> LinkStanding:
    return LinkStanding(
        kind="survey",
        state="open" if score is None else "answered",
        channel=None,
        text=survey_text(found.language, None),
        callback_at=None,
        score=score,
    )


async def _given(request: Request) -> LinkedAnswer:
    """The answer of a button (a form) or of a program (JSON)."""
    raw = await request.body()
    try:
        if request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
            fields: object = dict(parse_qsl(raw.decode(), max_num_fields=10))
        else:
            fields = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(FieldProblem("", "this is neither JSON nor a form")) from error
    try:
        return LinkedAnswer.model_validate(fields)
    except ValidationError as error:
        raise InvalidInput(
            *(FieldProblem(pointer(*(part for part in one["loc"])), one["msg"]) for one in error.errors())
        ) from error


def _shown(request: Request, standing: LinkStanding) -> Response:
    if "text/html" not in request.headers.get("accept", ""):
        return JSONResponse(standing.model_dump(mode="json"))
    return HTMLResponse(_page(standing), headers={"Content-Security-Policy": _POLICY})


def _page(standing: LinkStanding) -> str:
    buttons = [("accept", "✓"), ("decline", "✗")]
    if standing.kind == "survey":
        buttons = [(str(score), str(score)) for score in range(1, 8)]
    form = "".join(f'<button name="answer" value="{value}">{label}</button>' for value, label in buttons)
    said = f"<form method=post>{form}</form>" if standing.state == "open" else f"<p>✓ {escape(standing.state)}</p>"
    return (
        '<!doctype html><html><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>✉</title><style>{_STYLE}</style></head><body><p>{escape(standing.text)}</p>{said}</body></html>"
    )
