"""Channel accounts: our own ends of the channels. Their secrets go in sealed and never come out."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter
from pydantic import ConfigDict, Field, JsonValue, StringConstraints

from api.cursors import Page, Pages
from api.fields import Answer, Body, Flag, Name, left_out
from api.listing import listed
from api.problems import Conflict, NotFound
from api.route import BatonRoute, Context, Records
from domain.channels import Channel
from storage.ids import new_id
from storage.records.channel_accounts import tell_doors
from storage.records.listing import rows_after
from storage.records.writing import Taken, write
from storage.sealed_box import SealedBox
from storage.tables import ChannelAccount

router = APIRouter(prefix="/v1/channel-accounts", tags=["channel accounts"], route_class=BatonRoute)

AccountName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._+@-]{0,119}$")]
AccountSettings = Annotated[dict[Name, JsonValue], Field(max_length=100)]
Secrets = Annotated[dict[Name, Annotated[str, StringConstraints(max_length=10_000)]], Field(max_length=20)]


class NewChannelAccount(Body):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "channel": "email",
                    "name": "support",
                    "settings": {
                        "address": "support@example.org",
                        "imap": {"host": "imap.example.org", "port": 993, "user": "support"},
                        "smtp": {"host": "smtp.example.org", "port": 465, "user": "support"},
                    },
                    "secrets": {"imap_password": "…", "smtp_password": "…"},
                }
            ]
        }
    )

    channel: Channel
    name: AccountName
    settings: AccountSettings = Field(default_factory=dict)
    secrets: Secrets | None = None


class ChannelAccountChange(Body):
    model_config = ConfigDict(json_schema_extra={"examples": [{"active": False}]})

    settings: AccountSettings = left_out()
    secrets: Secrets | None = left_out()
    active: Flag = left_out()


class ChannelAccountAnswer(Answer):
    id: str = Field(examples=["cha_06b2m4x0a8v3c5d7e9f1g2h3j4"])
    channel: str = Field(examples=["email"])
    name: str = Field(examples=["support"])
    settings: dict[str, JsonValue] = Field(examples=[{"address": "support@example.org"}])
    has_secrets: bool = Field(examples=[True])
    active: bool = Field(examples=[True])
    created_at: datetime = Field(examples=["2026-01-05T09:00:00Z"])


@router.get("", summary="All channel accounts")
async def channel_accounts(records: Records, pages: Pages) -> Page[ChannelAccountAnswer]:
    async def rows(after: str | None, limit: int) -> Sequence[ChannelAccount]:
        return await rows_after(records, ChannelAccount, "id", after, limit)

    return await listed(pages, "channel-accounts", rows, lambda row: row.id, _answer)


@router.post("", status_code=201, summary="Add a channel account")
async def add_channel_account(body: NewChannelAccount, context: Context, records: Records) -> ChannelAccountAnswer:
    identity = new_id("cha")
    row = ChannelAccount(
        id=identity,
        channel=body.channel.value,
        name=body.name,
        settings=body.settings,
        secrets=_sealed(context, body.secrets, identity),
    )
    try:
        await write(records, row)
    except Taken as error:
        raise Conflict("already_exists", f"there is an account named {body.name} on this channel") from error
    await tell_doors(records)
    return _answer(row)


@router.get("/{id}", summary="One channel account")
async def channel_account(id: str, records: Records) -> ChannelAccountAnswer:  # noqa: A002 -- the path's own word
    row = await records.get(ChannelAccount, id)
    if row is None:
        raise NotFound("channel account")
    return _answer(row)


@router.patch("/{id}", summary="Change a channel account; settings and secrets are replaced as a whole")
async def change_channel_account(
    id: str,  # noqa: A002 -- as above
    body: ChannelAccountChange,
    context: Context,
    records: Records,
) -> ChannelAccountAnswer:
    row = await records.get(ChannelAccount, id, with_for_update=True)
    if row is None:
        raise NotFound("channel account")
    changes = body.sent()
    if "secrets" in changes:
        row.secrets = _sealed(context, body.secrets, id)
        del changes["secrets"]
    row.sqlmodel_update(changes)
    await write(records, row)
    await tell_doors(records)
    return _answer(row)


def _sealed(context: Context, secrets: dict[str, str] | None, owner: str) -> bytes | None:
    return SealedBox(context.secret).seal(secrets, owner) if secrets else None


def _answer(row: ChannelAccount) -> ChannelAccountAnswer:
    return ChannelAccountAnswer(
        id=row.id,
        channel=row.channel,
        name=row.name,
        settings=row.settings,
        has_secrets=row.secrets is not None,
        active=row.active,
        created_at=row.created_at,
    )
