"""The block list: what these addresses send is kept and marked, and reaches nobody."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter
from pydantic import ConfigDict, Field, StringConstraints

from api.cursors import Page, Pages
from api.customer_links import who
from api.fields import Answer, Body
from api.listing import listed
from api.problems import Conflict, NotFound
from api.route import BatonRoute, Caller, Records
from channels.addresses import normal_address
from domain.channels import Channel
from domain.errors import FieldProblem, InvalidInput, pointer
from domain.identity.addresses import NotAnAddress
from storage.ids import new_id
from storage.records.listing import rows_after
from storage.records.writing import Taken, write
from storage.tables import BlockedAddress

router = APIRouter(prefix="/v1/blocked-addresses", tags=["customers"], route_class=BatonRoute)


class NewBlock(Body):
    model_config = ConfigDict(
        json_schema_extra={"examples": [{"channel": "email", "address": "spam@example.net", "reason": "advertising"}]}
    )

    channel: Channel
    address: Annotated[str, Field(min_length=1, max_length=320)]
    reason: Annotated[str, StringConstraints(strip_whitespace=True, max_length=500)] = ""


class BlockAnswer(Answer):
    id: str = Field(examples=["blk_06b2m4x0a8v3c5d7e9f1g2h3j4"])
    kind: str = Field(examples=["email"], description="One kind may serve several channels: a blocked phone sends none")
    address: str = Field(examples=["spam@example.net"])
    reason: str = Field(examples=["advertising"])
    blocked_by: str = Field(examples=["key_06b2m4x0a8v3c5d7e9f1g2h3j4"])
    blocked_at: datetime = Field(examples=["2026-01-05T09:00:00Z"])


@router.get("", summary="All blocked addresses")
async def blocked_addresses(records: Records, pages: Pages) -> Page[BlockAnswer]:
    async def rows(after: str | None, limit: int) -> Sequence[BlockedAddress]:
        return await rows_after(records, BlockedAddress, "id", after, limit)

    return await listed(pages, "blocked-addresses", rows, lambda row: row.id, BlockAnswer.model_validate)


@router.post("", status_code=201, summary="Block an address")
async def block(body: NewBlock, caller: Caller, records: Records) -> BlockAnswer:
    try:
        address = normal_address(body.channel, body.address)
    except NotAnAddress as error:
        raise InvalidInput(FieldProblem(pointer("address"), error.reason)) from error
    row = BlockedAddress(
        id=new_id("blk"), kind=address.kind.value, address=address.value, reason=body.reason, blocked_by=who(caller)
    )
    try:
        await write(records, row)
    except Taken as error:
        raise Conflict("already_exists", "this address is blocked already") from error
    return BlockAnswer.model_validate(row)


@router.delete("/{id}", status_code=204, summary="Let an address write to us again")
async def unblock(id: str, records: Records) -> None:  # noqa: A002 -- the path's own word
    row = await records.get(BlockedAddress, id)
    if row is None:
        raise NotFound("blocked address")
    await records.delete(row)
