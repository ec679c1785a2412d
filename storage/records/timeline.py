"""Everything that was said and that happened in a conversation, in one order."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from pydantic import JsonValue
from sqlalchemy import text
from sqlmodel.ext.asyncio.session import AsyncSession

TimelineKey = tuple[datetime, str, str]
"""Where an entry stands: its instant, its kind, its id."""

_NUMBER_WIDTH: Final = 20

# Each branch cuts for itself: its index gives the first rows, whatever the length of the conversation.
# What a step leaves for the KPIs to be folded from is no news for anybody.
_ENTRIES: Final = """
with said as (
    select m.id, case when m.direction = 'internal' then 'note' else 'message' end collate "C" as kind, m.at, m.channel,
           m.thread_id, m.direction, m.author_kind, m.author_id, m.subject, m.text, m.html, m.attachments, m.delivery,
           m.delivery_error, null::text as event, null::text as agent_id, null::jsonb as data
    from messages m
    where m.conversation_id = :conversation and m.delivery not in ('draft', 'withdrawn')
      and (cast(:at as timestamptz) is null or m.at {or_at} cast(:at as timestamptz))
), happened as (
    select lpad(e.id::text, :width, '0') as id, 'event' collate "C" as kind, e.at, e.data ->> 'channel' as channel,
           e.data ->> 'thread_id' as thread_id, null, null, null, null, null, null, null::jsonb, null, null,
           e.kind as event, e.agent_id, e.data - 'record' as data
    from events e
    where e.conversation_id = :conversation
      and (cast(:at as timestamptz) is null or e.at {or_at} cast(:at as timestamptz))
), entries as (select * from said union all select * from happened)
select * from entries
where cast(:at as timestamptz) is null
   or (at, kind, id collate "C") {after} (cast(:at as timestamptz), cast(:kind as text), cast(:id as text))
order by at {way}, kind {way}, id collate "C" {way}
limit :limit
"""
_FORWARDS: Final = text(_ENTRIES.format(or_at=">=", after=">", way="asc"))
_BACKWARDS: Final = text(_ENTRIES.format(or_at="<=", after="<", way="desc"))


@dataclass(frozen=True, slots=True)
class TimelineEntry:
    """One line; what does not belong to its kind is None."""

    id: str
    kind: str
    at: datetime
    channel: str | None
    thread_id: str | None
    direction: str | None
    author_kind: str | None
    author_id: str | None
    subject: str | None
    text: str | None
    html: str | None
    attachments: list[dict[str, JsonValue]] | None
    delivery: str | None
    delivery_error: str | None
    event: str | None
    agent_id: str | None
    data: dict[str, JsonValue] | None

    @property
    def key(self) -> TimelineKey:
        return self.at, self.kind, self.id


async def list_timeline(
    records: AsyncSession, conversation_id: str, after: TimelineKey | None, limit: int, *, newest_first: bool
) -> Sequence[TimelineEntry]:
    """Up to `limit` entries after the key given; drafts and withdrawn replies are no part of it."""
    at, kind, entry_id = after or (None, None, None)
    session = await records.connection()
    rows = await session.execute(
        _BACKWARDS if newest_first else _FORWARDS,
        {
            "conversation": conversation_id,
            "at": at,
            "kind": kind,
            "id": entry_id,
            "width": _NUMBER_WIDTH,
            "limit": limit,
        },
    )
    return [TimelineEntry(*row) for row in rows]
