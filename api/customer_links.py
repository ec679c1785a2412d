"""Linking customers who are one person, and taking it back."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field, JsonValue, StringConstraints

from api.access import Principal
from api.context import ApiContext
from api.cursors import Page, Pages
from api.fields import Body, Flag
from api.listing import listed
from api.problems import Conflict, NotFound
from api.route import BatonRoute, Caller, Context, Records
from domain.identity.linking import LinkCause
from storage.ledger.linking import Linked, LinkRefusal, LinkRefused, LinkRequest, link
from storage.ledger.unlinking import UnlinkRefusal, UnlinkRefused, unlink
from storage.records.customer_links import links_after
from storage.tables import Customer, CustomerLink

router = APIRouter(prefix="/v1/customers/{id}", tags=["customers"], route_class=BatonRoute)

_Id = Annotated[str, StringConstraints(min_length=1, max_length=200)]


class Linking(Body):
    model_config = ConfigDict(
        json_schema_extra={"examples": [{"other": "cus_06b2m4x0a8v3c5d7e9f1g2h3j4", "dry_run": True}]}
    )

    other: _Id = Field(description="The customer who is the same person")
    dry_run: Flag = Field(default=False, description="Say what would happen, and change nothing")
    force: Flag = Field(default=False, description="Link although both have proven addresses of one kind")


class Unlinking(Body):
    model_config = ConfigDict(json_schema_extra={"examples": [{"link_id": "lnk_06b2m4x0a8v3c5d7e9f1g2h3j4"}]})

    link_id: _Id


class ConflictAnswer(BaseModel):
    kind: str = Field(examples=["email"])
    addresses: list[str] = Field(examples=[["ada@example.org", "ada@work.example"]])


class MergedAnswer(BaseModel):
    survivor_id: str = Field(examples=["con_06b2m4x0a8v3c5d7e9f1g2h3j4"])
    loser_id: str = Field(examples=["con_06b2m4x0a8v3c5d7e9f1g2h3j5"])


class LinkAnswer(BaseModel):
    """What became one, or would; nulls where a dry run says that it would be refused."""

    dry_run: bool = Field(examples=[False])
    linked: bool = Field(examples=[True], description="For a dry run: whether it would be")
    refused: str | None = Field(examples=[None], description="The code it would be refused with")
    link_id: str | None = Field(examples=["lnk_06b2m4x0a8v3c5d7e9f1g2h3j4"], description="What an unlink names")
    survivor_id: str | None = Field(examples=["cus_06b2m4x0a8v3c5d7e9f1g2h3j4"])
    absorbed_id: str | None = Field(examples=["cus_06b2m4x0a8v3c5d7e9f1g2h3j5"])
    conflicts: list[ConflictAnswer] = Field(description="What stands against it, or was overridden")
    merged_conversations: MergedAnswer | None = Field(description="The open conversations that become one")
    moved: dict[str, int] = Field(examples=[{"identities": 1, "conversations": 3, "messages": 12}])
    profile: dict[str, JsonValue] = Field(
        examples=[{"segment": "gold"}], description="The fields the survivor takes over"
    )


class PastLinkAnswer(BaseModel):
    id: str = Field(examples=["lnk_06b2m4x0a8v3c5d7e9f1g2h3j4"])
    survivor_id: str = Field(examples=["cus_06b2m4x0a8v3c5d7e9f1g2h3j4"])
    absorbed_id: str = Field(examples=["cus_06b2m4x0a8v3c5d7e9f1g2h3j5"])
    cause: Literal["proven", "confirmed", "by_hand"] = Field(examples=["confirmed"])
    by: str = Field(examples=["agt_06b2m4x0a8v3c5d7e9f1g2h3j4"])
    forced: bool = Field(examples=[False])
    evidence: list[dict[str, JsonValue]] = Field(
        examples=[[{"kind": "typed_address", "subject": "email:ada@example.org"}]]
    )
    linked_at: datetime
    undone_at: datetime | None
    undone_by: str | None = Field(examples=[None])


class UnlinkAnswer(BaseModel):
    link_id: str = Field(examples=["lnk_06b2m4x0a8v3c5d7e9f1g2h3j4"])
    survivor_id: str = Field(examples=["cus_06b2m4x0a8v3c5d7e9f1g2h3j4"])
    restored_id: str = Field(examples=["cus_06b2m4x0a8v3c5d7e9f1g2h3j5"])
    conversation_id: str | None = Field(
        examples=["con_06b2m4x0a8v3c5d7e9f1g2h3j4"], description="What came out of the conversation the link had merged"
    )


@router.post("/link", summary="Link two customers who are one person, or see what that would do")
async def link_customer(id: str, body: Linking, caller: Caller, context: Context) -> LinkAnswer:  # noqa: A002 -- the path's own word
    request = LinkRequest(id, body.other, LinkCause.BY_HAND, who(caller), force=body.force)
    return await answer_of_link(context, request, dry_run=body.dry_run)


@router.get("/links", summary="The links that made this customer, the newest last")
async def links(id: str, records: Records, pages: Pages) -> Page[PastLinkAnswer]:  # noqa: A002 -- as above
    if await records.get(Customer, id) is None:
        raise NotFound("customer")

    async def rows(after: str | None, limit: int) -> Sequence[CustomerLink]:
        return await links_after(records, id, after, limit)

    return await listed(pages, f"links {id}", rows, lambda row: row.id, _past_link)


@router.post("/unlink", summary="Take a link back")
async def unlink_customer(id: str, body: Unlinking, caller: Caller, context: Context, records: Records) -> UnlinkAnswer:  # noqa: A002 -- as above
    row = await records.get(CustomerLink, body.link_id)
    if row is None or id not in {row.survivor_id, row.absorbed_id}:
        raise NotFound("link")
    try:
        undone = await unlink(context.database, body.link_id, who(caller))
    except UnlinkRefused as refused:
        if refused.code is UnlinkRefusal.UNKNOWN:
            raise NotFound("link") from refused
        raise Conflict(refused.code.value, refused.detail) from refused
    return UnlinkAnswer(
        link_id=undone.link_id,
        survivor_id=undone.survivor_id,
        restored_id=undone.restored_id,
        conversation_id=undone.conversation_id,
    )


def who(caller: Principal) -> str:
    """Who is recorded as having decided."""
    return caller.agent_id or caller.key_id


async def answer_of_link(context: ApiContext, request: LinkRequest, *, dry_run: bool) -> LinkAnswer:
    """Link, or tell what a link would do; raises `NotFound` and `Conflict`."""
    try:
        linked = await link(context.database, request, dry_run=dry_run)
    except LinkRefused as refused:
        if refused.code is LinkRefusal.UNKNOWN:
            raise NotFound("customer") from refused
        if dry_run:
            return _would_be_refused(refused)
        raise Conflict(refused.code.value, refused.detail) from refused
    return _link_answer(linked, dry_run=dry_run)


def _link_answer(linked: Linked, *, dry_run: bool) -> LinkAnswer:
    merged = linked.merged
    return LinkAnswer(
        dry_run=dry_run,
        linked=True,
        refused=None,
        link_id=None if dry_run else linked.link_id,
        survivor_id=linked.survivor_id,
        absorbed_id=linked.absorbed_id,
        conflicts=[ConflictAnswer(kind=one.kind, addresses=list(one.addresses)) for one in linked.conflicts],
        merged_conversations=None
        if merged is None
        else MergedAnswer(survivor_id=merged.survivor_id, loser_id=merged.loser_id),
        moved=dict(linked.moved),
        profile=dict(linked.profile),
    )


def _would_be_refused(refused: LinkRefused) -> LinkAnswer:
    return LinkAnswer(
        dry_run=True,
        linked=False,
        refused=refused.code.value,
        link_id=None,
        survivor_id=None,
        absorbed_id=None,
        conflicts=[ConflictAnswer(kind=one.kind, addresses=list(one.addresses)) for one in refused.conflicts],
        merged_conversations=None,
        moved={},
        profile={},
    )


def _past_link(row: CustomerLink) -> PastLinkAnswer:
    return PastLinkAnswer.model_validate(row, from_attributes=True)
