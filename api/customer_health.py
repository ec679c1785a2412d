"""Health scores that a customer-success system pushes, and the systems that they are pulled from."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Final

from fastapi import APIRouter
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, JsonValue, StringConstraints

from api.cursors import Page, Pages
from api.customer_events import customer_ref
from api.fields import Answer, Body, Flag, Slug, left_out
from api.listing import listed
from api.problems import Conflict, NotFound
from api.route import BatonRoute, Context, Records
from channels.outbound import NotAllowed, check_url
from domain.customers.health import mapping_from
from domain.errors import FieldProblem, InvalidInput, pointer
from storage.ids import new_id
from storage.ledger.customer_health import HealthScore, keep_health
from storage.records.channel_accounts import tell_doors
from storage.records.listing import rows_after
from storage.records.writing import Taken, write
from storage.sealed_box import SealedBox
from storage.tables import HealthSource
from storage.tables.columns import utc_now

router = APIRouter(prefix="/v1", tags=["customers"], route_class=BatonRoute)

MOST_SCORES: Final = 1000
_MAPPING: Final[dict[str, JsonValue]] = {
    "items": "/accounts",
    "customer": "/owner/email",
    "channel": "email",
    "score": "/health",
    "lowest": 0,
    "highest": 100,
    "at": "/scored_at",
    "next": "/links/next",
}
_SCORE: Final[dict[str, JsonValue]] = {"customer": "email:ada@example.org", "score": 0.42, "at": "2026-01-05T09:00:00Z"}

Url = Annotated[str, StringConstraints(min_length=1, max_length=2000)]
Every = Annotated[int, Field(strict=True, ge=60, le=7 * 24 * 3600)]
Token = Annotated[str, StringConstraints(min_length=1, max_length=4000, pattern=r"^[\x21-\x7e]+$")]


class NewScore(Body):
    model_config = ConfigDict(json_schema_extra={"examples": [_SCORE]})

    customer: str = Field(max_length=400, description='A customer\'s id, or "channel:address" that they have proved')
    score: float = Field(ge=0, le=1, allow_inf_nan=False, description="0 (about to leave) to 1")
    at: AwareDatetime | None = Field(default=None, description="When it was found; now, if left out")


class Scores(Body):
    model_config = ConfigDict(json_schema_extra={"examples": [{"scores": [_SCORE]}]})

    scores: list[NewScore] = Field(min_length=1, max_length=MOST_SCORES)


class ScoresAnswer(BaseModel):
    updated: int = Field(examples=[117], description="Customers whose score is new; an older score than theirs is not")
    unknown: int = Field(examples=[1], description="Scores of nobody we know")


class NewHealthSource(Body):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "success",
                    "url": "https://success.example.com/api/accounts?per_page=500",
                    "mapping": _MAPPING,
                    "bearer_token": "…",
                    "every_seconds": 3600,
                }
            ]
        }
    )

    name: Slug
    url: Url = Field(description="https, or http on this machine")
    mapping: dict[str, JsonValue] = Field(description="JSON pointers into an answer; see docs/customers.md")
    bearer_token: Token | None = None
    every_seconds: Every = 3600


class HealthSourceChange(Body):
    model_config = ConfigDict(json_schema_extra={"examples": [{"active": False}]})

    url: Url = left_out()
    mapping: dict[str, JsonValue] = left_out()
    bearer_token: Token | None = left_out()
    every_seconds: Every = left_out()
    active: Flag = left_out()


class HealthSourceAnswer(Answer):
    id: str = Field(examples=["hsr_06b2m4x0a8v3c5d7e9f1g2h3j4"])
    name: str = Field(examples=["success"])
    url: str = Field(examples=["https://success.example.com/api/accounts?per_page=500"])
    mapping: dict[str, JsonValue] = Field(examples=[_MAPPING])
    has_bearer_token: bool = Field(examples=[True])
    every_seconds: int = Field(examples=[3600])
    active: bool = Field(examples=[True])
    pulled_at: datetime | None = Field(examples=["2026-01-05T09:00:00Z"])
    outcome: dict[str, JsonValue] | None = Field(
        examples=[{"updated": 117, "unknown": 1, "unreadable": 0, "pages": 1}], description="Of the last pull"
    )


@router.post("/customer-health", summary="Tell how healthy customers are")
async def push_health(body: Scores, context: Context) -> ScoresAnswer:
    now = utc_now()
    scores: list[HealthScore] = []
    problems: list[FieldProblem] = []
    for position, given in enumerate(body.scores):
        try:
            ref = customer_ref(given.customer)
        except ValueError as error:
            problems.append(FieldProblem(pointer("scores", position, "customer"), str(error)))
            continue
        scores.append(HealthScore(ref, given.score, min(given.at or now, now)))
    if problems:
        raise InvalidInput(*problems)
    kept = await keep_health(context.database, scores)
    return ScoresAnswer(updated=kept.updated, unknown=kept.unknown)


@router.get("/health-sources", summary="The systems that health scores are pulled from")
async def health_sources(records: Records, pages: Pages) -> Page[HealthSourceAnswer]:
    async def rows(after: str | None, limit: int) -> Sequence[HealthSource]:
        return await rows_after(records, HealthSource, "id", after, limit)

    return await listed(pages, "health-sources", rows, lambda row: row.id, _answer)


@router.post("/health-sources", status_code=201, summary="Pull health scores from a system")
async def add_health_source(body: NewHealthSource, context: Context, records: Records) -> HealthSourceAnswer:
    _check(body.url, body.mapping)
    identity = new_id("hsr")
    row = HealthSource(
        id=identity,
        name=body.name,
        url=body.url,
        mapping=body.mapping,
        secrets=_sealed(context, body.bearer_token, identity),
        every_seconds=body.every_seconds,
    )
    try:
        await write(records, row)
    except Taken as error:
        raise Conflict("already_exists", f"there is a source named {body.name}") from error
    await tell_doors(records)
    return _answer(row)


@router.get("/health-sources/{id}", summary="One system that health scores are pulled from")
async def health_source(id: str, records: Records) -> HealthSourceAnswer:  # noqa: A002 -- the path's own word
    row = await records.get(HealthSource, id)
    if row is None:
        raise NotFound("health source")
    return _answer(row)


@router.patch("/health-sources/{id}", summary="Change a system that health scores are pulled from")
async def change_health_source(
    id: str,  # noqa: A002 -- as above
    body: HealthSourceChange,
    context: Context,
    records: Records,
) -> HealthSourceAnswer:
    row = await records.get(HealthSource, id, with_for_update=True)
    if row is None:
        raise NotFound("health source")
    changes = body.sent()
    _check(body.url if "url" in changes else row.url, body.mapping if "mapping" in changes else row.mapping)
    if "url" in changes and "bearer_token" not in changes and row.secrets is not None and _moved(row.url, body.url):
        raise InvalidInput(
            FieldProblem(pointer("bearer_token"), "another host gets no token that was given for the old one")
        )
    if "bearer_token" in changes:
        row.secrets = _sealed(context, body.bearer_token, id)
        del changes["bearer_token"]
    row.sqlmodel_update({**changes, "updated_at": utc_now()})
    await write(records, row)
    await tell_doors(records)
    return _answer(row)


def _check(url: str, mapping: dict[str, JsonValue]) -> None:
    try:
        check_url(url)
    except NotAllowed as error:
        raise InvalidInput(FieldProblem(pointer("url"), str(error))) from error
    mapping_from(mapping, "mapping")


def _moved(before: str, after: str) -> bool:
    return check_url(before).origin != check_url(after).origin


def _sealed(context: Context, token: str | None, owner: str) -> bytes | None:
    return SealedBox(context.secret).seal({"bearer_token": token}, owner) if token else None


def _answer(row: HealthSource) -> HealthSourceAnswer:
    return HealthSourceAnswer(
        id=row.id,
        name=row.name,
        url=row.url,
        mapping=row.mapping,
        has_bearer_token=row.secrets is not None,
        every_seconds=row.every_seconds,
        active=row.active,
        pulled_at=row.pulled_at,
        outcome=row.outcome,
    )
