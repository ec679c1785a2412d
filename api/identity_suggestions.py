"""Who may be one person: what speaks for it, for somebody at the desk to confirm or to reject."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from api.access import Principal
from api.cursors import Page, Pages
from api.customer_links import LinkAnswer, answer_of_link, who
from api.fields import Body, Flag
from api.listing import listed
from api.problems import Conflict, Forbidden, NotFound
from api.route import BatonRoute, Caller, Context, Records, Work
from api.sight import viewer_of
from domain.identity.linking import LinkCause
from storage.ledger.linking import LinkRequest
from storage.ledger.suggesting import evidence_from
from storage.records.identity_suggestions import (
    find_suggestion,
    names_of,
    reject_suggestion,
    suggestions_after,
)
from storage.tables import IdentitySuggestion

router = APIRouter(prefix="/v1/identity-suggestions", tags=["desk"], route_class=BatonRoute)

SuggestionState = Literal["open", "confirmed", "rejected"]


class Confirming(Body):
    model_config = ConfigDict(json_schema_extra={"examples": [{"dry_run": True}]})

    dry_run: Flag = Field(default=False, description="Say what would happen, and change nothing")
    force: Flag = Field(
        default=False, description="Link although both have proven addresses of one kind; supervisors and admins only"
    )


class SuggestedCustomer(BaseModel):
    id: str = Field(examples=["cus_06b2m4x0a8v3c5d7e9f1g2h3j4"])
    display_name: str = Field(examples=["Mia Rossi"])


class EvidenceAnswer(BaseModel):
    kind: str = Field(examples=["typed_address"])
    subject: str = Field(examples=["email:mia@example.org"])


class SuggestionAnswer(BaseModel):
    id: str = Field(examples=["isg_06b2m4x0a8v3c5d7e9f1g2h3j4"])
    state: SuggestionState = Field(examples=["open"])
    score: float = Field(examples=[0.6], description="How likely it is one person, from 0 to 1")
    evidence: list[EvidenceAnswer]
    customers: list[SuggestedCustomer] = Field(description="The two")
    found_at: datetime
    decided_at: datetime | None
    decided_by: str | None = Field(examples=[None])


@router.get("", summary="Suggested links of the customers whose conversations the caller sees")
async def identity_suggestions(
    caller: Caller,
    records: Records,
    pages: Pages,
    state: Annotated[SuggestionState, Query()] = "open",
    customer: Annotated[str | None, Query(max_length=200)] = None,
) -> Page[SuggestionAnswer]:
    async def rows(after: str | None, limit: int) -> Sequence[IdentitySuggestion]:
        return await suggestions_after(records, viewer_of(caller), state, customer, after, limit)

    def shape(row: IdentitySuggestion) -> IdentitySuggestion:
        return row

    page = await listed(pages, f"identity-suggestions {state} {customer}", rows, lambda row: row.id, shape)
    names = await names_of(records, page.data)
    return Page(data=[_answer(row, names) for row in page.data], next_cursor=page.next_cursor, has_more=page.has_more)


@router.post("/{id}/confirm", summary="They are one person: link them, or see what that would do")
async def confirm(id: str, body: Confirming, caller: Caller, context: Context, work: Work) -> LinkAnswer:  # noqa: A002 -- the path's own word
    if body.force and not caller.is_supervising:
        raise Forbidden("only a supervisor or an admin overrides a conflict of addresses")
    row = await _seen(await work.session(), caller, id)
    if row.state != "open":
        raise Conflict("already_decided", f"this suggestion was {row.state}")
    await work.commit()
    request = LinkRequest(
        row.customer_id,
        row.other_id,
        LinkCause.CONFIRMED,
        who(caller),
        force=body.force,
        suggestion_id=row.id,
        evidence=tuple(sorted(evidence_from(_stored(row)))),
    )
    return await answer_of_link(context, request, dry_run=body.dry_run)


@router.post("/{id}/reject", summary="They are two people: never ask again")
async def reject(id: str, caller: Caller, records: Records) -> SuggestionAnswer:  # noqa: A002 -- as above
    await _seen(records, caller, id)
    row = await reject_suggestion(records, id, who(caller))
    if row is None:
        raise Conflict("already_decided", "somebody decided on this suggestion before")
    return _answer(row, await names_of(records, [row]))


async def _seen(records: Records, caller: Principal, suggestion_id: str) -> IdentitySuggestion:
    row = await find_suggestion(records, suggestion_id, viewer_of(caller))
    if row is None:
        raise NotFound("suggestion")
    return row


def _stored(row: IdentitySuggestion) -> list[dict[str, str]]:
    return [{"kind": str(one["kind"]), "subject": str(one["subject"])} for one in row.evidence]


def _answer(row: IdentitySuggestion, names: dict[str, str]) -> SuggestionAnswer:
    return SuggestionAnswer.model_validate(
        {
            "id": row.id,
            "state": row.state,
            "score": row.score,
            "evidence": row.evidence,
            "customers": [
                {"id": customer, "display_name": names[customer]} for customer in (row.customer_id, row.other_id)
            ],
            "found_at": row.found_at,
            "decided_at": row.decided_at,
            "decided_by": row.decided_by,
        }
    )
