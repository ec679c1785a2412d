"""What agents put right about intents: written with what the conversation is owed, read as training data."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import text
from sqlmodel.ext.asyncio.session import AsyncSession

from domain.intents import Correction
from storage.database import Database
from storage.ids import new_id

MOST_CORRECTIONS: Final = 100_000

# The words that the intent was read from: those the caller points at, else the episode's first that ask for something.
_CORRECT: Final = text(
    """
with conversation as (
    select id, customer_id, agent_id, pool, episode, intent, intent_confidence from conversations
    where id = :conversation and state not in ('closed', 'merged')
), message as (
    select m.id from messages m, conversation
    where m.conversation_id = conversation.id and m.direction = 'inbound'
      and (m.id = cast(:message as text) or (cast(:message as text) is null and m.kind = 'message' and m.at >= coalesce(
          (select max(e.at) from events e
           where e.conversation_id = conversation.id and e.kind = 'reopened' and e.episode = conversation.episode),
          '-infinity')))
    order by m.at, m.id limit 1
), correction as (
    insert into intent_corrections
        (id, conversation_id, episode, message_id, predicted, confidence, corrected, corrected_by, at)
    select :id, conversation.id, conversation.episode, (select message.id from message), conversation.intent,
           conversation.intent_confidence, :intent, :by, clock_timestamp()
    from conversation
    where cast(:message as text) is null or exists (select from message)
    returning id, message_id, predicted, at
), told as (
    insert into events (at, kind, conversation_id, customer_id, agent_id, pool, episode, data)
    select correction.at, 'intent_corrected', conversation.id, conversation.customer_id, conversation.agent_id,
           conversation.pool, conversation.episode,
           jsonb_build_object('from', correction.predicted, 'to', cast(:intent as text), 'by', cast(:by as text))
    from correction, conversation
), owed as (
    insert into signals (conversation_id, kind, payload, created_at, attempts, set_aside)
    select conversation.id, 'policy_changed', '{"cause": "intent corrected"}', correction.at, 0, false
    from correction, conversation
)
select id, message_id, predicted, at from correction
"""
)
_RING: Final = text("select pg_notify('baton_signals', ''), pg_notify('baton_events', '')")

# A message that several people put right counts once, by the latest word; an emptied one (a person was forgotten) not.
_CORRECTIONS: Final = """
select distinct on (i.message_id)
       case when m.subject is null then m.text else m.subject || E'\\n' || m.text end, i.predicted, i.corrected, i.at
from intent_corrections i join messages m on m.id = i.message_id
where btrim(m.text) <> ''
order by i.message_id, i.at desc, i.id desc
limit %s
"""


@dataclass(frozen=True, slots=True)
class StoredCorrection:
    id: str
    message_id: str | None
    predicted: str | None
    at: datetime


async def correct_intent(
    session: AsyncSession, conversation_id: str, intent: str, message_id: str | None, by: str
) -> StoredCorrection | None:
    """Store the correction and owe the conversation a new look at itself.

    None when there is no such conversation that is still open, or no such message of its customer in it.
    """
    asked = {"id": new_id("cor"), "conversation": conversation_id, "message": message_id, "intent": intent, "by": by}
    connection = await session.connection()
    row = (await connection.execute(_CORRECT, asked)).one_or_none()
    if row is None:
        return None
    await connection.execute(_RING)
    return StoredCorrection(*row)


async def read_corrections(database: Database) -> Sequence[Correction]:
    """All corrections with their words, as the training reads them."""
    async with database.ledger.connection() as connection:
        rows = await (await connection.execute(_CORRECTIONS, (MOST_CORRECTIONS,))).fetchall()
    return [Correction(text, predicted, corrected, at) for text, predicted, corrected, at in rows]
