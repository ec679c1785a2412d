"""The pools agents belong to, and the skills they can have."""

from collections.abc import Sequence

from fastapi import APIRouter
from pydantic import ConfigDict, Field

from api.cursors import Page, Pages
from api.fields import Answer, Body, Slug, Text
from api.listing import listed
from api.problems import Conflict
from api.route import BatonRoute, Records
from storage.records.listing import rows_after
from storage.records.writing import Taken, write
from storage.tables import Pool, Skill

router = APIRouter(prefix="/v1", tags=["pools and skills"], route_class=BatonRoute)


class NewNamed(Body):
    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "billing", "description": "Invoices, refunds"}]})

    name: Slug
    description: Text = ""


class NamedAnswer(Answer):
    name: str = Field(examples=["billing"])
    description: str = Field(examples=["Invoices, refunds"])


@router.get("/pools", summary="All pools")
async def pools(records: Records, pages: Pages) -> Page[NamedAnswer]:
    async def rows(after: str | None, limit: int) -> Sequence[Pool]:
        return await rows_after(records, Pool, "name", after, limit)

    return await listed(pages, "pools", rows, lambda pool: pool.name, NamedAnswer.model_validate)


@router.post("/pools", status_code=201, summary="Add a pool")
async def add_pool(body: NewNamed, records: Records) -> NamedAnswer:
    return await _added(records, Pool(name=body.name, description=body.description))


@router.get("/skills", summary="All skills")
async def skills(records: Records, pages: Pages) -> Page[NamedAnswer]:
    async def rows(after: str | None, limit: int) -> Sequence[Skill]:
        return await rows_after(records, Skill, "name", after, limit)

    return await listed(pages, "skills", rows, lambda skill: skill.name, NamedAnswer.model_validate)


@router.post("/skills", status_code=201, summary="Add a skill")
async def add_skill(body: NewNamed, records: Records) -> NamedAnswer:
    return await _added(records, Skill(name=body.name, description=body.description))


async def _added(records: Records, row: Pool | Skill) -> NamedAnswer:
    try:
        await write(records, row)
    except Taken as error:
        raise Conflict("already_exists", f"{row.name} is there already") from error
    return NamedAnswer.model_validate(row)
