"""SLA policies: what is promised to whom."""

from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise
from typing import Annotated

from fastapi import APIRouter
from pydantic import AfterValidator, ConfigDict, Field, JsonValue

from api.cursors import Page, Pages
from api.fields import Answer, Body, Flag, Name, Seconds, Segment, left_out
from api.listing import listed
from api.problems import Conflict, NotFound
from api.route import BatonRoute, Records
from domain.channels import Channel
from domain.errors import FieldProblem, InvalidInput, pointer
from domain.sla.policy import HIGHEST_RUNG, Metric, PauseReason, Rung
from storage.ids import new_id
from storage.records.listing import rows_after
from storage.records.policies import instant_of_change, locked_policy, tell_open_conversations
from storage.records.writing import Taken, write
from storage.tables import Calendar, SlaPolicyRow

router = APIRouter(prefix="/v1/sla-policies", tags=["SLA policies"], route_class=BatonRoute)

WarnFraction = Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False)]
PauseOn = Annotated[list[PauseReason], Field(max_length=len(PauseReason))]
Rank = Annotated[int, Field(strict=True, ge=-1_000_000, le=1_000_000)]


class AppliesTo(Body):
    """The conversations a policy is meant for; what is empty means any."""

    segments: Annotated[list[Segment], Field(max_length=10)] = Field(default_factory=list)
    channels: Annotated[list[Channel], Field(max_length=len(Channel))] = Field(default_factory=list)
    intents: Annotated[list[Name], Field(max_length=200)] = Field(default_factory=list)


class Targets(Body):
    """Open time allowed; what is left out is not promised."""

    first_response_seconds: Seconds | None = None
    next_response_seconds: Seconds | None = None
    resolution_seconds: Seconds | None = None
    owner_silence_seconds: Seconds | None = None


class LadderRung(Body):
    """One step of the ladder."""

    at: Annotated[float, Field(gt=0, le=HIGHEST_RUNG, allow_inf_nan=False)] = Field(
        description="The share of the target after which it is taken: 1 at the breach, more after it"
    )
    do: Rung
    metrics: Annotated[list[Metric], Field(max_length=len(Metric))] = Field(
        default_factory=list, description="The clocks it is for; all of them when none is named"
    )


def _in_order(ladder: list[LadderRung] | None) -> list[LadderRung] | None:
    if ladder is not None and any(earlier.at > later.at for earlier, later in pairwise(ladder)):
        raise ValueError("the steps of a ladder stand in the order of their shares")
    return ladder


Ladder = Annotated[list[LadderRung] | None, Field(max_length=20), AfterValidator(_in_order)]


class NewSlaPolicy(Body):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "Gold by chat",
                    "applies_to": {"segments": ["gold"], "channels": ["web_chat"]},
                    "targets": {"first_response_seconds": 60, "resolution_seconds": 14400},
                    "pause_on": ["pending_customer"],
                    "ladder": [
                        {"at": 0.8, "do": "raise"},
                        {"at": 1, "do": "reroute", "metrics": ["first_response", "next_response", "owner_silence"]},
                        {"at": 1.5, "do": "supervisor"},
                    ],
                }
            ]
        }
    )

    name: Name
    applies_to: AppliesTo = Field(default_factory=AppliesTo)
    targets: Targets
    warn_fraction: WarnFraction = 0.8
    calendar_id: str | None = None
    pause_on: PauseOn = Field(default_factory=list)
    ladder: Ladder = Field(default=None, description="What is done about it, step by step; null is the default ladder")
    rank: Rank = Field(default=0, description="Among equally specific policies the lower rank wins")


class SlaPolicyChange(Body):
    model_config = ConfigDict(json_schema_extra={"examples": [{"targets": {"first_response_seconds": 90}}]})

    name: Name = left_out()
    applies_to: AppliesTo = left_out()
    targets: Targets = left_out()
    warn_fraction: WarnFraction = left_out()
    calendar_id: str | None = left_out()
    pause_on: PauseOn = left_out()
    ladder: Ladder = left_out()
    rank: Rank = left_out()
    active: Flag = left_out()


class SlaPolicyAnswer(Answer):
    id: str = Field(examples=["sla_06b2m4x0a8v3c5d7e9f1g2h3j4"])
    name: str = Field(examples=["Gold by chat"])
    version: int = Field(examples=[1])
    applies_to: dict[str, JsonValue] = Field(examples=[{"segments": ["gold"], "channels": [], "intents": []}])
    targets: dict[str, float | None] = Field(examples=[{"first_response_seconds": 60.0}])
    warn_fraction: float = Field(examples=[0.8])
    calendar_id: str | None = Field(examples=[None])
    pause_on: list[str] = Field(examples=[["pending_customer"]])
    ladder: list[LadderRung] | None = Field(examples=[[{"at": 0.8, "do": "raise", "metrics": []}]])
    rank: int = Field(examples=[0])
    active: bool = Field(examples=[True])
    updated_at: datetime = Field(examples=["2026-01-05T09:00:00Z"])


@router.get("", summary="All SLA policies")
async def sla_policies(records: Records, pages: Pages) -> Page[SlaPolicyAnswer]:
    async def rows(after: str | None, limit: int) -> Sequence[SlaPolicyRow]:
        return await rows_after(records, SlaPolicyRow, "id", after, limit)

    return await listed(pages, "sla-policies", rows, lambda row: row.id, SlaPolicyAnswer.model_validate)


@router.post("", status_code=201, summary="Add an SLA policy")
async def add_sla_policy(body: NewSlaPolicy, records: Records) -> SlaPolicyAnswer:
    await _check_calendar(records, body.calendar_id)
    at = await instant_of_change(records)
    row = SlaPolicyRow(id=new_id("sla"), updated_at=at, **body.model_dump(mode="json"))
    return await _written(records, row)


@router.get("/{id}", summary="One SLA policy")
async def sla_policy(id: str, records: Records) -> SlaPolicyAnswer:  # noqa: A002 -- the path's own word
    row = await records.get(SlaPolicyRow, id)
    if row is None:
        raise NotFound("SLA policy")
    return SlaPolicyAnswer.model_validate(row)


@router.patch("/{id}", summary="Change an SLA policy; running clocks are computed anew")
async def change_sla_policy(id: str, body: SlaPolicyChange, records: Records) -> SlaPolicyAnswer:  # noqa: A002 -- as above
    at = await instant_of_change(records)
    row = await locked_policy(records, id)
    if row is None:
        raise NotFound("SLA policy")
    if "calendar_id" in body.model_fields_set:
        await _check_calendar(records, body.calendar_id)
    row.sqlmodel_update({**body.sent(), "version": row.version + 1, "updated_at": at})
    return await _written(records, row)


async def _check_calendar(records: Records, calendar_id: str | None) -> None:
    if calendar_id is not None and await records.get(Calendar, calendar_id) is None:
        raise InvalidInput(FieldProblem(pointer("calendar_id"), "no such calendar"))


async def _written(records: Records, row: SlaPolicyRow) -> SlaPolicyAnswer:
    identity, name = row.id, row.name
    try:
        await write(records, row)
    except Taken as error:
        raise Conflict("already_exists", f"there is an SLA policy named {name}") from error
    await tell_open_conversations(records, f"SLA policy {identity} changed")
    return SlaPolicyAnswer.model_validate(row)
