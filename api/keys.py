"""API keys: made, listed and revoked. A key is shown once; what is kept can't be turned back into it."""

import secrets
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Final

from fastapi import APIRouter
from pydantic import AwareDatetime, ConfigDict, Field, StringConstraints

from api.access import Role
from api.cursors import Page, Pages
from api.fields import Answer, Body
from api.listing import listed
from api.problems import Conflict, NotFound
from api.route import BatonRoute, Records
from domain.errors import FieldProblem, InvalidInput, pointer
from storage.ids import new_id
from storage.migrate import key_digest
from storage.records.keys import other_admin_keys
from storage.records.listing import rows_after
from storage.records.writing import write
from storage.tables import Agent, ApiKey, ChannelAccount
from storage.tables.columns import utc_now

router = APIRouter(prefix="/v1/keys", tags=["keys"], route_class=BatonRoute)

_RANDOM_BYTES: Final = 32


class NewKey(Body):
    model_config = ConfigDict(
        json_schema_extra={"examples": [{"role": "agent", "agent_id": "agt_06b2m4x0a8v3c5d7e9f1g2h3j4"}]}
    )

    role: Role
    agent_id: str | None = None
    channel_account: str | None = Field(default=None, description="The channel account an adapter key is held to")
    label: Annotated[str, StringConstraints(max_length=200)] = ""
    expires_at: AwareDatetime | None = None


class KeyAnswer(Answer):
    id: str = Field(examples=["key_06b2m4x0a8v3c5d7e9f1g2h3j4"])
    role: str = Field(examples=["agent"])
    agent_id: str | None = Field(examples=["agt_06b2m4x0a8v3c5d7e9f1g2h3j4"])
    channel_account: str | None = Field(examples=[None])
    label: str = Field(examples=["Ada's console"])
    created_at: datetime = Field(examples=["2026-01-05T09:00:00Z"])
    expires_at: datetime | None = Field(examples=[None])
    revoked_at: datetime | None = Field(examples=[None])


class FreshKeyAnswer(KeyAnswer):
    key: str = Field(examples=["bt_agent_…"], description="Shown now and never again")


@router.get("", summary="All API keys, without the keys themselves")
async def keys(records: Records, pages: Pages) -> Page[KeyAnswer]:
    async def rows(after: str | None, limit: int) -> Sequence[ApiKey]:
        return await rows_after(records, ApiKey, "id", after, limit)

    return await listed(pages, "keys", rows, lambda row: row.id, KeyAnswer.model_validate)


@router.post("", status_code=201, summary="Make an API key")
async def make_key(body: NewKey, records: Records) -> FreshKeyAnswer:
    await _check_holder(body, records)
    key = f"bt_{body.role.value}_{secrets.token_urlsafe(_RANDOM_BYTES)}"
    row = ApiKey(
        id=new_id("key"),
        role=body.role.value,
        digest=key_digest(key),
        agent_id=body.agent_id,
        channel_account=body.channel_account,
        label=body.label,
        expires_at=body.expires_at,
    )
    await write(records, row)
    return FreshKeyAnswer(**KeyAnswer.model_validate(row).model_dump(), key=key)


@router.delete("/{id}", status_code=204, summary="Revoke an API key")
async def revoke_key(id: str, records: Records) -> None:  # noqa: A002 -- the path's own word
    row = await records.get(ApiKey, id)
    if row is None:
        raise NotFound("key")
    if row.revoked_at is not None:
        return
    if row.role == Role.ADMIN and not await other_admin_keys(records, id):
        raise Conflict("in_use", "this is the last admin key that works")
    row.revoked_at = utc_now()
    await write(records, row)


async def _check_holder(body: NewKey, records: Records) -> None:
    if body.role is Role.AGENT:
        agent = None if body.agent_id is None else await records.get(Agent, body.agent_id)
        if agent is None:
            raise InvalidInput(FieldProblem(pointer("agent_id"), "an agent's key needs an agent there is"))
    elif body.agent_id is not None:
        raise InvalidInput(FieldProblem(pointer("agent_id"), "only an agent's key acts for an agent"))
    if body.channel_account is not None:
        if body.role is not Role.ADAPTER:
            raise InvalidInput(FieldProblem(pointer("channel_account"), "only an adapter's key is held to an account"))
        if await records.get(ChannelAccount, body.channel_account) is None:
            raise InvalidInput(FieldProblem(pointer("channel_account"), "no such channel account"))
    if body.expires_at is not None and body.expires_at <= utc_now():
        raise InvalidInput(FieldProblem(pointer("expires_at"), "a time to come"))
