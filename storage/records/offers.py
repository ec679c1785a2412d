"""Offers as an agent sees them: beside the conversation and the customer they are about."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import tuple_
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from storage.tables import Conversation, Customer, Offer


@dataclass(frozen=True, slots=True)
class OfferRecord:
    offer: Offer
    conversation: Conversation
    customer: Customer


async def list_pending_offers(
    records: AsyncSession, agent_id: str | None, after: tuple[datetime, str] | None, limit: int
) -> Sequence[OfferRecord]:
    """Pending offers, the oldest first; those of one agent, or of all without one."""
    query = (
        select(Offer, Conversation, Customer)
        .join(Conversation, col(Conversation.id) == col(Offer.conversation_id))
        .join(Customer, col(Customer.id) == col(Conversation.customer_id))
        .where(col(Offer.state) == "pending")
        .order_by(col(Offer.created_at), col(Offer.id))
        .limit(limit)
    )
    if agent_id is not None:
        query = query.where(col(Offer.agent_id) == agent_id)
    if after is not None:
        query = query.where(tuple_(col(Offer.created_at), col(Offer.id)) > after)
    return [OfferRecord(*row) for row in await records.exec(query)]


async def find_offer(records: AsyncSession, offer_id: str, agent_id: str) -> Offer | None:
    """The offer if it is this agent's, None otherwise."""
    found = await records.exec(select(Offer).where(col(Offer.id) == offer_id, col(Offer.agent_id) == agent_id))
    return found.one_or_none()
