"""The suggestions of a conversation, as the desk reads them."""

from collections.abc import Sequence

from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from storage.tables import SuggestionRow


async def suggestions_of(records: AsyncSession, conversation_id: str) -> Sequence[SuggestionRow]:
    """All of them, the oldest first."""
    query = (
        select(SuggestionRow)
        .where(col(SuggestionRow.conversation_id) == conversation_id)
        .order_by(col(SuggestionRow.offered_at), col(SuggestionRow.id))
    )
    return (await records.exec(query)).all()


async def suggestion_of_channel(records: AsyncSession, conversation_id: str, channel: str) -> SuggestionRow | None:
    query = select(SuggestionRow).where(
        col(SuggestionRow.conversation_id) == conversation_id, col(SuggestionRow.channel) == channel
    )
    return (await records.exec(query)).first()
