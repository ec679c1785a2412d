"""Who resolved what: the episodes that ended, as the success learner reads them."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from psycopg.rows import class_row

from domain.routing.success import Resolution
from storage.database import Database
from storage.long_reads import pages

COMMITTED_WITHIN: Final = timedelta(minutes=1)
"""An end is told at the instant of its step and is there to be read once that is committed: in another order."""

_NEVER: Final = datetime(1970, 1, 1, tzinfo=UTC)

# Who held the case in that episode and did not end it did not resolve it; who ended it did, unless it was passed on or
# the customer came back. What was no case at all teaches nothing.
_ENDED: Final = """
with page as (
    select r.* from resolutions r
    where r.resolved_at > %s and r.conversation_id || ':' || r.episode <> all(%s) and r.agent_id is not null
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
    """How far the history was read: when the last episode ended, and which ones ended shortly before it."""

    resolved_at: datetime = _NEVER
    recent: tuple[tuple[str, datetime], ...] = ()

    def after(self, ended: tuple[tuple[str, datetime], ...]) -> "HistoryPosition":
        """The position once these, of each its key and its end, were read too."""
        latest = max((at for _, at in ended), default=self.resolved_at)
        latest = max(latest, self.resolved_at)
        known = dict((*self.recent, *ended))
        return HistoryPosition(latest, tuple((key, at) for key, at in known.items() if at > latest - COMMITTED_WITHIN))


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
    """The latest `at_most` episodes that ended since `position`, oldest first, and the position after them."""
    async with database.ledger.connection() as connection, connection.cursor(row_factory=class_row(_Held)) as cursor:
        known = [key for key, _ in position.recent]
        await cursor.execute(_ENDED, (position.resolved_at - COMMITTED_WITHIN, known, at_most))
        held: list[_Held] = []
        async for page in pages(cursor):
            held += page
    return await asyncio.to_thread(_history, held, position)


def _history(held: Sequence[_Held], position: HistoryPosition) -> History:
    return History(
        tuple(
            Resolution(one.agent_id, one.intent, one.product, one.segment, one.channel, one.resolved, one.resolved_at)
            for one in held
        ),
        position.after(tuple((f"{one.conversation_id}:{one.episode}", one.resolved_at) for one in held)),
    )
