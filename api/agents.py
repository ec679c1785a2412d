"""Agents: who they are, what they can do and how much they can hold. Their presence is their own business."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import ConfigDict, Field, JsonValue, StringConstraints

from api.access import Role
from api.cursors import Page, Pages
from api.fields import Answer, Body, Flag, Language, Name, Slug, TimeZone, Units, Weekly, check_weekly, left_out
from api.listing import listed
from api.problems import Conflict, Forbidden, NotFound
from api.route import BatonRoute, Caller, Context, Records
from domain.channels import Channel
from domain.errors import FieldProblem, InvalidInput, pointer
from storage.ids import new_id
from storage.ledger.presence import Presence, change_presence
from storage.records.agents import (
    add_skills,
    agents_after,
    database_time,
    locked_agent,
    note_new_capacity,
    ring_pools,
)
from storage.records.settings import missing_pools
from storage.records.writing import write
from storage.tables import Agent, Pool

router = APIRouter(prefix="/v1/agents", tags=["agents"], route_class=BatonRoute)

Level = Annotated[int, Field(strict=True, ge=1, le=5)]
Skills = Annotated[dict[Slug, Level], Field(max_length=100)]
Languages = Annotated[list[Language], Field(max_length=20)]
Ceilings = dict[Channel, Annotated[int, Field(strict=True, ge=0, le=1000)]]
Preferences = Annotated[dict[Name, Annotated[float, Field(ge=-1, le=1, allow_inf_nan=False)]], Field(max_length=200)]
Pools = Annotated[list[Name], Field(max_length=50)]
Cost = Annotated[float, Field(ge=0, le=1_000_000, allow_inf_nan=False)]
Probability = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Email = Annotated[str, StringConstraints(pattern=r"^[^@\s]+@[^@\s]+$", max_length=254)]


class NewAgent(Body):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"display_name": "Bea", "pool": "default", "skills": {"billing": 4}, "languages": ["en"]}]
        }
    )

    display_name: Name
    email: Email | None = None
    pool: Name = "default"
    also_pools: Pools = Field(default_factory=list)
    kind: Literal["human", "ai"] = "human"
    cost_per_case: Cost = 0.0
    expected_success: Probability | None = None
    skills: Skills = Field(default_factory=dict)
    languages: Languages = Field(default_factory=list)
    time_zone: TimeZone | None = None
    hours: Weekly | None = None
    capacity: Units = 100
    channel_ceilings: Ceilings = Field(default_factory=dict)
    preferences: Preferences = Field(default_factory=dict)


class AgentChange(Body):
    model_config = ConfigDict(json_schema_extra={"examples": [{"skills": {"billing": 5}, "capacity": 134}]})

    display_name: Name = left_out()
    email: Email | None = left_out()
    pool: Name = left_out()
    also_pools: Pools = left_out()
    cost_per_case: Cost = left_out()
    expected_success: Probability | None = left_out()
    skills: Skills = left_out()
    languages: Languages = left_out()
    time_zone: TimeZone | None = left_out()
    hours: Weekly | None = left_out()
    capacity: Units = left_out()
    channel_ceilings: Ceilings = left_out()
    preferences: Preferences = left_out()
    active: Flag = left_out()


class AgentAnswer(Answer):
    id: str = Field(examples=["agt_06b2m4x0a8v3c5d7e9f1g2h3j4"])
    display_name: str = Field(examples=["Bea"])
    email: str | None = Field(examples=["bea@example.org"])
    pool: str = Field(examples=["default"])
    also_pools: list[str] = Field(examples=[["billing"]], description="Pools served beside the home pool")
    kind: str = Field(examples=["human"], description="human, or ai for an assistant that takes cases itself")
    cost_per_case: float = Field(examples=[0.0], description="What a case costs, in the policy's cost unit")
    expected_success: float | None = Field(
        examples=[None], description="P(success) until own cases speak; the team's if null"
    )
    skills: dict[str, int] = Field(examples=[{"billing": 4}])
    languages: list[str] = Field(examples=[["en"]])
    time_zone: str | None = Field(examples=["Europe/Paris"])
    hours: dict[str, JsonValue] | None = Field(examples=[{"mon": [["09:00", "17:00"]]}])
    capacity: int = Field(examples=[100])
    load: int = Field(examples=[34], description="Units held now, pending offers included")
    channel_ceilings: dict[str, int] = Field(examples=[{"voice": 1}])
    preferences: dict[str, float] = Field(examples=[{"billing": 0.5}])
    presence: str = Field(examples=["online"])
    presence_since: datetime = Field(examples=["2026-01-05T09:00:00Z"])
    active: bool = Field(examples=[True])
    created_at: datetime = Field(examples=["2026-01-05T09:00:00Z"])
    updated_at: datetime = Field(examples=["2026-01-05T09:00:00Z"])


@router.get("", summary="All agents, or those of a pool")
async def agents(
    records: Records, pages: Pages, pool: Annotated[str | None, Query(max_length=200)] = None
) -> Page[AgentAnswer]:
    async def rows(after: str | None, limit: int) -> Sequence[Agent]:
        return await agents_after(records, pool, after, limit)

    return await listed(pages, f"agents {pool}", rows, lambda row: row.id, AgentAnswer.model_validate)


@router.post("", status_code=201, summary="Add an agent; they begin offline")
async def add_agent(body: NewAgent, records: Records) -> AgentAnswer:
    await _check_pool(records, body.pool)
    await _check_also_pools(records, body.also_pools)
    if body.hours is not None:
        check_weekly("hours", body.time_zone or "UTC", body.hours)
    await add_skills(records, body.skills)
    row = Agent(id=new_id("agt"), load_limit=body.capacity, **body.model_dump(mode="json"))
    await write(records, row)
    return AgentAnswer.model_validate(row)


@router.get("/{id}", summary="One agent")
async def agent(id: str, records: Records) -> AgentAnswer:  # noqa: A002 -- the path's own word
    row = await records.get(Agent, id)
    if row is None:
        raise NotFound("agent")
    return AgentAnswer.model_validate(row)


@router.patch("/{id}", summary="Change an agent; one who is no longer active goes offline and gives back their work")
async def change_agent(
    id: str,  # noqa: A002 -- as above
    body: AgentChange,
    caller: Caller,
    context: Context,
    records: Records,
) -> AgentAnswer:
    changes = body.sent()
    await _check_change(records, id, body, caller.role)
    if changes.get("active") is False:
        # A transaction of its own, before the agent is locked here: what it does needs the same locks.
        async with context.database.ledger.connection() as connection:
            await change_presence(connection, id, Presence.OFFLINE, reassign_on_away=True)
    row = await locked_agent(records, id)
    if row is None:
        raise NotFound("agent")
    if changes.get("active") is False and row.presence != Presence.OFFLINE:
        raise Conflict("in_use", "the agent has just come back online")
    before_pools, before_capacity = (row.pool, *row.also_pools), row.capacity
    now = await database_time(records)
    row.sqlmodel_update({**changes, "updated_at": now})
    row.load_limit = max(row.capacity, row.load)
    await write(records, row)
    if row.capacity != before_capacity:
        await note_new_capacity(records, row, now)
    await ring_pools(records, (*before_pools, row.pool, *row.also_pools))
    return AgentAnswer.model_validate(row)


async def _check_change(records: Records, agent_id: str, body: AgentChange, role: Role) -> None:
    sent = body.model_fields_set
    if "active" in sent and role is not Role.ADMIN:
        raise Forbidden("only an admin takes an agent in or out of service")
    if await records.get(Agent, agent_id) is None:
        raise NotFound("agent")
    if "pool" in sent:
        await _check_pool(records, body.pool)
    if "also_pools" in sent:
        await _check_also_pools(records, body.also_pools)
    if "hours" in sent and body.hours is not None:
        check_weekly("hours", "UTC", body.hours)
    if "skills" in sent:
        await add_skills(records, body.skills)


async def _check_pool(records: Records, pool: str) -> None:
    if await records.get(Pool, pool) is None:
        raise InvalidInput(FieldProblem(pointer("pool"), "no such pool"))


async def _check_also_pools(records: Records, pools: Sequence[str]) -> None:
    missing = await missing_pools(records, pools)
    if missing:
        raise InvalidInput(
            *(
                FieldProblem(pointer("also_pools", at), "no such pool")
                for at, pool in enumerate(pools)
                if pool in missing
            )
        )
