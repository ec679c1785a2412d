"""Who resolved what: the episodes that ended, as the success learner reads them."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from psycopg.rows import class_row

from domain.routing.success import Resolution
from storage.database import Database

_NEVER: Final = datetime(1, 1, 1, tzinfo=UTC)

# Who held the case in that episode and did not end it did not resolve it; who ended it did, unless it was passed on or
# the customer came back. What was no case at all teaches nothing.
_ENDED: Final = """
with page as (
    select r.* from resolutions r
    where (r.resolved_at, r.conversation_id, r.episode) > (%s, %s, %s) and r.agent_id is not null
      and r.end_reason = 'resolved' and coalesce(r.wrap_up_code, '') not in ('spam', 'duplicate')
    order by r.resolved_at desc, r.conversation_id desc, r.episode desc
    limit %s
)
select page.conversation_id, page.episode, page.resolved_at, held.agent_id, page.intent, page.product,
       page.segment, page.first_channel as channel,
       held.agent_id = page.agent_id and coalesce(page.wrap_up_code, '') <> 'passed_on'
           and not exists (
               select from conversations c where c.id = page.conversation_id and c.episode > page.episode
           ) as resolved
from page
cross join lateral (
    select page.agent_id
    union
    select a.agent_id from assignments a
    where a.conversation_id = page.conversation_id and a.episode = page.episode
) as held
order by page.resolved_at, page.conversation_id, page.episode, held.agent_id
"""


@dataclass(frozen=True, slots=True)
class HistoryPosition:
    """The last episode read, in the order in which episodes end."""

    resolved_at: datetime = _NEVER
    conversation_id: str = ""
    episode: int = 0


@dataclass(frozen=True, slots=True)
class History:
    resolutions: tuple[Resolution, ...]
    position: HistoryPosition


@dataclass(frozen=True, slots=True)
class _Held:
    conversation_id: str
    episode: int
    resolved_at: datetime
    agent_id: str
    intent: str | None
    product: str | None
    segment: str
    channel: str
    resolved: bool


async def ended_since(database: Database, position: HistoryPosition, *, at_most: int) -> History:
    """The latest `at_most` episodes that ended after `position`, oldest first, and the position after them."""
    async with database.ledger.connection() as connection, connection.cursor(row_factory=class_row(_Held)) as cursor:
        await cursor.execute(_ENDED, (position.resolved_at, position.conversation_id, position.episode, at_most))
        held = await cursor.fetchall()
    if held:
        position = HistoryPosition(held[-1].resolved_at, held[-1].conversation_id, held[-1].episode)
    return History(
        tuple(
            Resolution(one.agent_id, one.intent, one.product, one.segment, one.channel, one.resolved, one.resolved_at)
            for one in held
        ),
        position,
    )
