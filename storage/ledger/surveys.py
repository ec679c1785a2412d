"""The answers to effort surveys: kept once, in the transaction of the message that brings them or of the link."""

from datetime import datetime
from typing import Final

from storage.database import LedgerConnection
from storage.ledger.intake_message import Intake

# A number is only an answer where nothing else is going on that it might answer.
_AWAITED: Final = """
select survey.id
from identities sender
join surveys survey on survey.customer_id = sender.customer_id
where sender.kind = %(kind)s and sender.address = %(address)s and sender.verified = %(verified)s
  and survey.channel = %(channel)s and survey.account = %(account)s and survey.answer_until >= clock_timestamp()
  and not exists (
      select from conversations c
      where c.customer_id = sender.customer_id and c.state not in ('wrap_up', 'resolved', 'closed', 'merged')
  )
order by survey.asked_at desc limit 1
"""
_KEEP: Final = """
with survey as (
    update surveys set score = %(score)s, answered_at = %(at)s::timestamptz, via = %(via)s
    where id = %(id)s and answered_at is null returning *
)
insert into events (at, kind, conversation_id, customer_id, pool, episode, data, dedupe_key)
select survey.answered_at, 'survey_answered', survey.conversation_id, survey.customer_id, c.pool, survey.episode,
       jsonb_build_object('survey_id', survey.id, 'score', survey.score, 'via', survey.via),
       'survey_answered:' || survey.id
from survey join conversations c on c.id = survey.conversation_id
"""


async def awaited_survey(connection: LedgerConnection, message: Intake) -> str | None:
    """The survey that a message's sender was sent on this channel and may still answer; None when something is open."""
    cursor = await connection.execute(
        _AWAITED,
        {
            "kind": message.sender.kind.value,
            "address": message.sender.value,
            "verified": message.verified,
            "channel": message.channel.value,
            "account": message.account,
        },
    )
    row = await cursor.fetchone()
    return None if row is None else str(row[0])


async def keep_score(connection: LedgerConnection, survey_id: str, score: int, via: str, at: datetime) -> bool:
    """Keep the first answer; whether this was it."""
    cursor = await connection.execute(_KEEP, {"id": survey_id, "score": score, "via": via, "at": at})
    return cursor.rowcount > 0
