"""The codes an agent files a resolved conversation under."""

from collections.abc import Sequence

from fastapi import APIRouter
from pydantic import ConfigDict, Field

from api.cursors import Page, Pages
from api.fields import Answer, Body, Flag, Name, Slug, left_out
from api.listing import listed
from api.problems import Conflict, NotFound
from api.route import BatonRoute, Records
from storage.records.listing import rows_after
from storage.records.writing import Taken, write
from storage.tables import WrapUpCode

router = APIRouter(prefix="/v1/wrap-up-codes", tags=["wrap-up codes"], route_class=BatonRoute)


class NewWrapUpCode(Body):
    model_config = ConfigDict(json_schema_extra={"examples": [{"code": "refunded", "label": "Money given back"}]})

    code: Slug
    label: Name


class WrapUpCodeChange(Body):
    model_config = ConfigDict(json_schema_extra={"examples": [{"active": False}]})

    label: Name = left_out()
    active: Flag = left_out()


class WrapUpCodeAnswer(Answer):
    code: str = Field(examples=["refunded"])
    label: str = Field(examples=["Money given back"])
    active: bool = Field(examples=[True])


@router.get("", summary="All wrap-up codes")
async def wrap_up_codes(records: Records, pages: Pages) -> Page[WrapUpCodeAnswer]:
    async def rows(after: str | None, limit: int) -> Sequence[WrapUpCode]:
        return await rows_after(records, WrapUpCode, "code", after, limit)

    return await listed(pages, "wrap-up-codes", rows, lambda row: row.code, WrapUpCodeAnswer.model_validate)


@router.post("", status_code=201, summary="Add a wrap-up code")
async def add_wrap_up_code(body: NewWrapUpCode, records: Records) -> WrapUpCodeAnswer:
    row = WrapUpCode(code=body.code, label=body.label)
    try:
        await write(records, row)
    except Taken as error:
        raise Conflict("already_exists", f"{body.code} is there already") from error
    return WrapUpCodeAnswer.model_validate(row)


@router.patch("/{code}", summary="Rename a wrap-up code, or take it out of use")
async def change_wrap_up_code(code: str, body: WrapUpCodeChange, records: Records) -> WrapUpCodeAnswer:
    row = await records.get(WrapUpCode, code, with_for_update=True)
    if row is None:
        raise NotFound("wrap-up code")
    row.sqlmodel_update(body.sent())
    await write(records, row)
    return WrapUpCodeAnswer.model_validate(row)
