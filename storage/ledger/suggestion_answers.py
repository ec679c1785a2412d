"""What a customer's link opens: a suggestion or a survey, and the answer that is owed to its conversation."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from storage.database import LedgerConnection

_SUGGESTION: Final = """
select s.id, s.conversation_id, s.channel, s.cause, s.state, s.expires_at, s.callback_at, c.language
from suggestions s join conversations c on c.id = s.conversation_id where s.id = %s
"""
_SURVEY: Final = """
select s.id, s.answer_until, s.score, c.language
from surveys s join conversations c on c.id = s.conversation_id where s.id = %s
"""
_ANSWER: Final = """
insert into signals (conversation_id, kind, payload, created_at, attempts, set_aside)
select s.conversation_id, 'suggestion_answered', %(payload)s, %(at)s, 0, false
from suggestions s where s.id = %(id)s and s.state = 'offered'
"""
_RING: Final = "select pg_notify('baton_signals', '')"


@dataclass(frozen=True, slots=True)
class LinkedSuggestion:
    id: str
    conversation_id: str
    channel: str
    cause: str
    state: str
    expires_at: datetime
    callback_at: datetime | None
    language: str | None


@dataclass(frozen=True, slots=True)
class LinkedSurvey:
    id: str
    answer_until: datetime
    score: int | None
    language: str | None


async def linked_suggestion(connection: LedgerConnection, suggestion_id: str) -> LinkedSuggestion | None:
    async with connection.cursor(row_factory=class_row(LinkedSuggestion)) as cursor:
        return await (await cursor.execute(_SUGGESTION, (suggestion_id,))).fetchone()


async def linked_survey(connection: LedgerConnection, survey_id: str) -> LinkedSurvey | None:
    async with connection.cursor(row_factory=class_row(LinkedSurvey)) as cursor:
        return await (await cursor.execute(_SURVEY, (survey_id,))).fetchone()


async def owe_answer(
    connection: LedgerConnection, suggestion_id: str, *, accepts: bool, at: datetime, callback_at: datetime | None
) -> bool:
    """Owe the conversation the answer; False when the suggestion is not open any more.

    A second answer before the conversation has heard the first is owed too, and changes nothing there.
    """
    payload = {
        "suggestion_id": suggestion_id,
        "accepts": accepts,
        "at": at.isoformat(),
        "callback_at": callback_at.isoformat() if callback_at else None,
    }
    async with connection.transaction():
        cursor = await connection.execute(_ANSWER, {"id": suggestion_id, "payload": Jsonb(payload), "at": at})
        if cursor.rowcount:
            await connection.execute(_RING)
        return cursor.rowcount > 0
