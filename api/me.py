"""Who am I, and am I here: the caller's own key and the agent's own presence."""

from datetime import UTC, datetime, timedelta
from typing import Annotated

import msgspec
from fastapi import APIRouter, Body
from pydantic import BaseModel, ConfigDict, Field
from sqlmodel.ext.asyncio.session import AsyncSession

from api.access import Role
from api.problems import Forbidden, NotFound
from api.route import BatonRoute, Caller, Context, Records
from domain.channels import Channel
from domain.shifts import shift_at, suggested_presence
from storage.ledger.agent_hours import hours_calendar
from storage.ledger.case_facts import read_settings
from storage.ledger.leases import note_signs_of_life
from storage.ledger.presence import Presence, change_presence
from storage.tables import Agent

router = APIRouter(prefix="/v1/me", route_class=BatonRoute, tags=["desk"])


class DeskAgent(BaseModel):
    """An agent as the desk shows them to themselves."""

    model_config = ConfigDict(extra="forbid")

    id: str = Field(examples=["agt_06b2m4x0a8v3c5d7e9f1g2h3j4"])
    display_name: str = Field(examples=["Alex"])
    pool: str = Field(examples=["default"])
    presence: str = Field(examples=["online"])
    presence_since: datetime
    presence_channels: list[str] | None = Field(examples=[None], description="Where new work is taken; all when null")
    shift_ends_at: datetime | None = Field(
        examples=[None], description="When the working time that runs now ends; past it, or outside it, now or before"
    )
    suggested_presence: str | None = Field(examples=[None], description="What the agent may want to be instead")
    skills: dict[str, int] = Field(examples=[{"billing": 4}])
    languages: list[str] = Field(examples=[["en"]])
    capacity: int = Field(examples=[100], description="Units the agent can hold")
    load: int = Field(examples=[34], description="Units the agent holds now")


class Me(BaseModel):
    key_id: str = Field(examples=["key_06b2m4x0a8v3c5d7e9f1g2h3j4"])
    role: Role = Field(examples=["agent"])
    agent: DeskAgent | None = Field(description="The agent this key acts as")
    channel_account: str | None = Field(examples=[None], description="The channel account this key delivers for")


class PresenceChange(BaseModel):
    model_config = ConfigDict(extra="forbid")

    presence: Presence = Field(examples=["online"])
    channels: Annotated[list[Channel], Field(min_length=1, max_length=len(Channel))] | None = Field(
        default=None, examples=[["email", "web_chat"]], description="Take new work on these channels only"
    )


class PresenceTaken(BaseModel):
    agent: DeskAgent
    revoked_offers: int = Field(examples=[0], description="Pending offers that were taken back by this change")


@router.get("", summary="Who this key is")
async def me(caller: Caller, records: Records) -> Me:
    agent = None if caller.agent_id is None else await _desk_agent(records, caller.agent_id)
    return Me(key_id=caller.key_id, role=caller.role, agent=agent, channel_account=caller.channel_account)


@router.put("/presence", summary="Come and go, for all channels or some; the same again is a sign of life")
async def take_presence(
    asked: Annotated[PresenceChange, Body(openapi_examples={"online": {"value": {"presence": "online"}}})],
    caller: Caller,
    context: Context,
    records: Records,
) -> PresenceTaken:
    if caller.agent_id is None:
        raise Forbidden("this key acts for no agent")
    async with context.database.ledger.connection() as connection:
        settings = await read_settings(connection)
        await note_signs_of_life(connection, {caller.agent_id: timedelta(0)})
        revoked = await change_presence(
            connection,
            caller.agent_id,
            asked.presence,
            reassign_on_away=settings.reassign_on_away,
            channels=None if asked.channels is None else frozenset(asked.channels),
        )
    if revoked is None:
        raise NotFound("agent")
    return PresenceTaken(agent=await _desk_agent(records, caller.agent_id), revoked_offers=revoked)


async def _desk_agent(records: AsyncSession, agent_id: str) -> DeskAgent:
    agent = await records.get(Agent, agent_id)
    if agent is None:
        raise NotFound("agent")
    now = datetime.now(UTC)
    hours = hours_calendar(agent.time_zone, None if agent.hours is None else msgspec.json.encode(agent.hours).decode())
    shift = shift_at(hours, now)
    return DeskAgent(
        id=agent.id,
        display_name=agent.display_name,
        pool=agent.pool,
        presence=agent.presence,
        presence_since=agent.presence_since,
        presence_channels=agent.presence_channels,
        shift_ends_at=None if shift is None else shift.ends_at,
        suggested_presence=suggested_presence(agent.presence, hours, now),
        skills=agent.skills,
        languages=agent.languages,
        capacity=agent.capacity,
        load=agent.load,
    )
