"""What is being offered, and what an agent answers to it."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from api.access import Principal
from api.conversation_calls import ask_conversation, request_id_of
from api.conversation_shape import ConversationAnswer, conversation_answer
from api.cursors import Page, Pages
from api.problems import Conflict, Forbidden, NotFound
from api.route import BatonRoute, Caller, Context, Records, Work
from api.sight import seen_conversation, viewer_of
from domain.conversation.refusals import RefusalCode
from storage.records.offers import OfferRecord, find_offer, list_pending_offers
from storage.tables import Offer
from storage.unit_of_work import UnitOfWork
from workflows.messages import AcceptOffer, DeclineOffer

router = APIRouter(prefix="/v1/offers", route_class=BatonRoute, tags=["desk"])

_ANSWERABLE = frozenset({"pending", "accepted"})


class OfferedCustomer(BaseModel):
    id: str = Field(examples=["cus_06b2m4x0a8v3c5d7e9f1g2h3j4"])
    display_name: str = Field(examples=["Mia Rossi"])
    segment: str = Field(examples=["gold"])


class OfferAnswer(BaseModel):
    id: str = Field(examples=["off_06b2m4x0a8v3c5d7e9f1g2h3j4"])
    conversation_id: str = Field(examples=["con_06b2m4x0a8v3c5d7e9f1g2h3j4"])
    agent_id: str = Field(examples=["agt_06b2m4x0a8v3c5d7e9f1g2h3j4"])
    state: str = Field(examples=["pending"])
    reason: str = Field(examples=["Alex: resolves billing best and is free"])
    score: float = Field(examples=[0.82])
    created_at: datetime
    expires_at: datetime
    channel: str = Field(examples=["email"])
    channels: list[str] = Field(examples=[["email"]])
    subject: str | None = Field(examples=["Invoice 1042"])
    intent: str | None = Field(examples=["billing"])
    priority: int = Field(examples=[3])
    customer: OfferedCustomer


class Declining(BaseModel):
    model_config = ConfigDict(extra="forbid")

    reason: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500)] = Field(
        examples=["I don't know this product"]
    )


class Declined(BaseModel):
    offer_id: str = Field(examples=["off_06b2m4x0a8v3c5d7e9f1g2h3j4"])
    state: str = Field(examples=["declined"])


@router.get("", summary="Pending offers: the agent's own, everybody's for a supervisor")
async def offers(caller: Caller, records: Records, pages: Pages) -> Page[OfferAnswer]:
    viewer = viewer_of(caller)
    agent_id = viewer.agent_id if viewer is not None else None
    of = f"offers {agent_id}"
    key = pages.after(of, 2)
    after = None if key is None else (datetime.fromisoformat(key[0]), key[1])
    found = await list_pending_offers(records, agent_id, after, pages.limit + 1)
    shown = found[: pages.limit]
    last = shown[-1].offer if len(found) > len(shown) else None
    return Page(
        data=[_answer(record) for record in shown],
        next_cursor=None if last is None else pages.cursor(of, (last.created_at.isoformat(), last.id)),
        has_more=last is not None,
    )


@router.post("/{id}/accept", summary="Take the conversation; too late is told: no longer yours")
async def accept(id: str, caller: Caller, context: Context, work: Work) -> ConversationAnswer:  # noqa: A002 -- the path's word
    offer = await _own_offer(work, caller, id)
    if offer.state not in _ANSWERABLE:
        raise Conflict(RefusalCode.OFFER_GONE, "this offer is no longer yours")
    asked = AcceptOffer(offer.id, offer.ticket, offer.agent_id, offer.expires_at)
    await ask_conversation(context, offer.conversation_id, asked, f"accept/{offer.id}")
    records = await work.session()
    return await conversation_answer(
        records, context.options, await seen_conversation(records, caller, offer.conversation_id)
    )


@router.post("/{id}/decline", summary="Leave it to others; it goes back to the queue at its old age")
async def decline(
    id: str,  # noqa: A002 -- the path's word
    asked: Declining,
    request: Request,
    caller: Caller,
    context: Context,
    work: Work,
) -> Declined:
    offer = await _own_offer(work, caller, id)
    if offer.state != "pending":
        raise Conflict(RefusalCode.OFFER_GONE, "this offer is no longer yours")
    await ask_conversation(
        context,
        offer.conversation_id,
        DeclineOffer(offer.id, offer.agent_id, asked.reason, offer.ticket, offer.expires_at),
        request_id_of(request, caller),
    )
    return Declined(offer_id=offer.id, state="declined")


async def _own_offer(work: UnitOfWork, caller: Principal, offer_id: str) -> Offer:
    """The caller's offer; the session is given back before anybody outside is waited for."""
    if caller.agent_id is None:
        raise Forbidden("this key acts for no agent")
    offer = await find_offer(await work.session(), offer_id, caller.agent_id)
    if offer is None:
        raise NotFound("offer")
    await work.commit()
    return offer


def _answer(record: OfferRecord) -> OfferAnswer:
    offer, conversation, customer = record.offer, record.conversation, record.customer
    return OfferAnswer(
        id=offer.id,
        conversation_id=offer.conversation_id,
        agent_id=offer.agent_id,
        state=offer.state,
        reason=offer.reason,
        score=offer.score,
        created_at=offer.created_at,
        expires_at=offer.expires_at,
        channel=offer.channel,
        channels=conversation.channels or [offer.channel],
        subject=conversation.subject,
        intent=conversation.intent,
        priority=conversation.priority,
        customer=OfferedCustomer(id=customer.id, display_name=customer.display_name, segment=customer.segment),
    )
