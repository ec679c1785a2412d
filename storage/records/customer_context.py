"""What an agent wants to know of a customer before they write a word."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import text
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from storage.tables import Conversation, Customer, Identity, Message

CONVERSATIONS_SHOWN: Final = 100
MESSAGES_SHOWN: Final = 200

_STATISTICS: Final = text("""
select (select count(*) from conversations where customer_id = :customer and state <> 'merged'),
       (select count(*) from conversations
        where customer_id = :customer and state not in ('resolved', 'closed', 'merged')),
       (select min(opened_at) from conversations where customer_id = :customer),
       (select count(*) from messages where customer_id = :customer and direction = 'inbound'),
       (select count(*) from messages where customer_id = :customer and direction = 'outbound'
          and delivery not in ('draft', 'withdrawn')),
       (select count(*) from resolutions where customer_id = :customer),
       (select avg(extract(epoch from resolved_at - opened_at))::float8 from resolutions
        where customer_id = :customer and episode = 1),
       (select count(*) from clocks join conversations on conversations.id = clocks.conversation_id
        where conversations.customer_id = :customer and clocks.breached_at is not null)
""")


@dataclass(frozen=True, slots=True)
class CustomerStatistics:
    conversations: int
    open_conversations: int
    first_contact_at: datetime | None
    inbound_messages: int
    outbound_messages: int
    resolutions: int
    mean_resolution_seconds: float | None
    breaches: int


@dataclass(frozen=True, slots=True)
class CustomerContext:
    """Conversations come newest first; messages of all of them, the latest ones, oldest first."""

    customer: Customer
    identities: Sequence[Identity]
    conversations: Sequence[Conversation]
    messages: Sequence[Message]
    statistics: CustomerStatistics


async def find_context(records: AsyncSession, customer_id: str) -> CustomerContext | None:
    """Everything about a customer, bounded to what a person can take in."""
    customer = await records.get(Customer, customer_id)
    if customer is None:
        return None
    identities = await records.exec(
        select(Identity)
        .where(col(Identity.customer_id) == customer_id)
        .order_by(col(Identity.created_at), col(Identity.id))
    )
    conversations = await records.exec(
        select(Conversation)
        .where(col(Conversation.customer_id) == customer_id)
        .order_by(col(Conversation.opened_at).desc(), col(Conversation.id).desc())
        .limit(CONVERSATIONS_SHOWN)
    )
    shown = conversations.all()
    messages = await records.exec(
        select(Message)
        .where(
            col(Message.conversation_id).in_([conversation.id for conversation in shown]),
            col(Message.delivery).not_in(["draft", "withdrawn"]),
        )
        .order_by(col(Message.at).desc(), col(Message.id).desc())
        .limit(MESSAGES_SHOWN)
    )
    connection = await records.connection()
    figures = (await connection.execute(_STATISTICS, {"customer": customer_id})).one()
    return CustomerContext(customer, identities.all(), shown, messages.all()[::-1], CustomerStatistics(*figures))
